// Request targets and base URLs. Pure; views into the caller's bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir::wire {

enum class TargetFault : uint8_t { none, not_a_path, encoded_slash, dot_segment, control_byte, bad_escape };
std::string_view describe(TargetFault fault);

struct Target {
  std::string_view path;   // begins with '/'; as the client sent it
  std::string_view query;  // without the '?'; empty if there is none
  bool has_query = false;
  std::string_view authority;  // of the absolute form; empty: origin form
  TargetFault fault = TargetFault::none;
};

// Origin form, and absolute form ("http://host/path", RFC 9112 section 3.2.2: a server must accept it). Refused (spec
// section 3): %2F and %5C in any case and '\' in the path, "." and ".." segments also when percent-encoded and with ';'
// (or %3B) and parameters behind the dots, control bytes and bytes over 0x7E anywhere, '%' without two hexadecimal
// digits in the path, '#'. The query is otherwise free.
Target parse_target(std::string_view target);

struct BaseUrl {
  bool tls = false;
  std::string host;       // lower case; an IPv6 literal without its brackets
  uint16_t port = 0;      // 80 or 443 by default
  std::string path;       // "" or "/v1", never with a trailing slash
  std::string authority;  // for the Host field: the port only if it is not the scheme's
};

// "https://api.openai.com/v1". User information, query and fragment are errors.
Result<BaseUrl> parse_base_url(std::string_view url);

}  // namespace weir::wire
