// What every implementation of the engine shares.
#include "io/engine.h"

#include <cerrno>

namespace weir::io {

std::string_view text(Code code) {
  switch (code) {
    case Code::ok:
      return "ok";
    case Code::ended:
      return "connection closed";
    case Code::cancelled:
      return "cancelled";
    case Code::reset:
      return "connection reset";
    case Code::refused:
      return "connection refused";
    case Code::unreachable:
      return "unreachable";
    case Code::timed_out:
      return "timed out";
    case Code::descriptors_full:
      return "out of descriptors or memory";
    case Code::no_buffers:
      return "out of receive buffers";
    case Code::other:
      return "socket error";
  }
  return "?";
}

Code code_of(int error) {
  switch (error) {
    case ECANCELED:
    case EINTR:
      return Code::cancelled;
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
    case ECONNABORTED:
    case ESHUTDOWN:
      return Code::reset;
    case ECONNREFUSED:
      return Code::refused;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EADDRNOTAVAIL:
    case ENETDOWN:
    case ENOENT:
      return Code::unreachable;
    case ETIMEDOUT:
      return Code::timed_out;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return Code::descriptors_full;
    case ENOBUFS:
      return Code::no_buffers;
    default:
      return Code::other;
  }
}

}  // namespace weir::io
