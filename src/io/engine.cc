// What every implementation of the engine shares.
#include "io/engine.h"

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

}  // namespace weir::io
