#include "record/events.h"

namespace weir::record {

std::string_view text(Outcome outcome) {
  switch (outcome) {
    case Outcome::completed:
      return "completed";
    case Outcome::upstream_error:
      return "upstream_error";
    case Outcome::client_disconnected:
      return "client_disconnected";
    case Outcome::gateway_error:
      return "gateway_error";
    case Outcome::interrupted:
      return "interrupted";
  }
  return "";
}

std::string_view text(ErrorType error_type) {
  switch (error_type) {
    case ErrorType::none:
      return "";
    case ErrorType::bad_request:
      return "bad_request";
    case ErrorType::unauthorized:
      return "unauthorized";
    case ErrorType::rate_limited:
      return "rate_limited";
    case ErrorType::overloaded:
      return "overloaded";
    case ErrorType::server_error:
      return "server_error";
    case ErrorType::timeout:
      return "timeout";
    case ErrorType::network:
      return "network";
    case ErrorType::unreadable:
      return "unreadable";
    case ErrorType::unknown:
      return "unknown";
  }
  return "";
}

}  // namespace weir::record
