#include "wire/target.h"

#include <arpa/inet.h>

#include <array>

#include "wire/head.h"

namespace weir::wire {
namespace {

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
constexpr bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr bool is_hex_digit(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && equals_ignoring_case(text.substr(0, prefix.size()), prefix);
}

// What a byte of a target calls for.
enum ByteNeed : uint8_t { kControl = 1, kHash = 2, kEscape = 4, kDot = 8 };
constexpr std::array<uint8_t, 256> make_needs() {
  std::array<uint8_t, 256> needs{};
  for (size_t byte = 0; byte < 256; ++byte) needs[byte] = byte <= ' ' || byte > '~' ? kControl : 0;
  needs['#'] = kHash;
  needs['%'] = needs['\\'] = kEscape;
  needs['.'] = kDot;
  return needs;
}
constexpr std::array<uint8_t, 256> kNeeds = make_needs();

uint8_t needs_of(std::string_view text) {
  uint8_t needs = 0;
  for (const char c : text) needs |= kNeeds[static_cast<uint8_t>(c)];
  return needs;
}

// "." or "..", each dot plain or as %2e, alone or with parameters behind a ';' (plain or as %3b), which Java's servers
// cut off first: the forms that a server behind us may resolve after we matched the route.
bool is_dot_segment(std::string_view segment) {
  int dots = 0;
  while (dots < 3) {
    if (segment.starts_with('.')) {
      segment.remove_prefix(1);
    } else if (starts_with_ignoring_case(segment, "%2e")) {
      segment.remove_prefix(3);
    } else {
      break;
    }
    ++dots;
  }
  const bool ends = segment.empty() || segment.front() == ';' || starts_with_ignoring_case(segment, "%3b");
  return ends && (dots == 1 || dots == 2);
}

TargetFault check_escapes(std::string_view path) {
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\') return TargetFault::encoded_slash;
    if (path[i] != '%') continue;
    if (path.size() - i < 3 || !is_hex_digit(path[i + 1]) || !is_hex_digit(path[i + 2])) return TargetFault::bad_escape;
    const std::string_view escape = path.substr(i, 3);
    if (equals_ignoring_case(escape, "%2f") || equals_ignoring_case(escape, "%5c")) return TargetFault::encoded_slash;
    // A control byte is one also when it is encoded.
    if (escape[1] == '0' || escape[1] == '1' || equals_ignoring_case(escape, "%7f")) return TargetFault::control_byte;
  }
  return TargetFault::none;
}

// REQUIRES: `path` begins with '/'. Most paths need nothing looked at twice.
TargetFault check_path(std::string_view path, uint8_t needs) {
  if ((needs & (kEscape | kDot)) == 0) return TargetFault::none;
  if (const TargetFault fault = check_escapes(path); fault != TargetFault::none) return fault;
  for (size_t slash = 0; slash != std::string_view::npos;) {
    const size_t next = path.find('/', slash + 1);
    if (is_dot_segment(path.substr(slash + 1, next == std::string_view::npos ? next : next - slash - 1))) {
      return TargetFault::dot_segment;
    }
    slash = next;
  }
  return TargetFault::none;
}

// Moves "http://host" from the front of an absolute form; false if there is no host, or user information.
bool take_authority(std::string_view& target, std::string_view& authority) {
  const size_t scheme_size = starts_with_ignoring_case(target, "http://")    ? 7
                             : starts_with_ignoring_case(target, "https://") ? 8
                                                                             : 0;
  if (scheme_size == 0) return false;
  const size_t end = target.find_first_of("/?", scheme_size);
  authority = target.substr(scheme_size, end == std::string_view::npos ? end : end - scheme_size);
  if (authority.empty() || authority.find_first_of("@\\%") != std::string_view::npos) return false;
  target = end == std::string_view::npos ? std::string_view() : target.substr(end);
  return true;
}

// "host", "host:port", "[v6]:port" into `out`, whose `tls` is set.
Result<> parse_authority(std::string_view authority, BaseUrl& out) {
  std::string_view host = authority;
  std::string_view port;
  bool has_port = false;
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return fail("has an address without its closing bracket");
    host = authority.substr(1, close - 1);
    const std::string_view rest = authority.substr(close + 1);
    has_port = rest.starts_with(':');
    if (!rest.empty() && !has_port) return fail("has something other than a port behind its address");
    port = has_port ? rest.substr(1) : rest;
    in6_addr address{};
    if (inet_pton(AF_INET6, std::string(host).c_str(), &address) != 1) {
      return fail("has a host that is not an IPv6 address: \"{}\"", host);
    }
  } else {
    if (const size_t colon = authority.find(':'); colon != std::string_view::npos) {
      host = authority.substr(0, colon);
      port = authority.substr(colon + 1);
      has_port = true;
    }
    if (host.empty()) return fail("has no host");
    for (const char c : host) {
      const bool is_allowed = is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_';
      if (!is_allowed) return fail("may have only letters, digits, '-', '.' and '_' in its host");
    }
  }
  const uint16_t default_port = out.tls ? 443 : 80;
  uint32_t number = 0;
  for (const char c : port) {
    number = is_digit(c) && number <= 65535 ? number * 10 + static_cast<uint32_t>(c - '0') : 65536;
  }
  if (has_port && (number == 0 || number > 65535)) return fail("must have a port of 1 to 65535");
  out.port = has_port ? static_cast<uint16_t>(number) : default_port;
  for (const char c : host) out.host += lower(c);
  const bool is_v6 = authority.starts_with('[');
  out.authority = is_v6 ? fmt::format("[{}]", out.host) : out.host;
  if (out.port != default_port) out.authority += fmt::format(":{}", out.port);
  return {};
}

}  // namespace

std::string_view describe(TargetFault fault) {
  switch (fault) {
    case TargetFault::none:
      return "no fault";
    case TargetFault::not_a_path:
      return "a request target that is neither a path nor an absolute URL";
    case TargetFault::encoded_slash:
      return "an encoded slash or a backslash in the path";
    case TargetFault::dot_segment:
      return "a dot segment in the path";
    case TargetFault::control_byte:
      return "a control byte, a space or a byte outside ASCII in the request target";
    case TargetFault::bad_escape:
      return "a '%' without two hexadecimal digits in the path";
  }
  return "";
}

Target parse_target(std::string_view target) {
  Target result;
  const auto refuse = [&result](TargetFault fault) {
    result.fault = fault;
    return result;
  };
  const uint8_t needs = needs_of(target);
  if ((needs & kControl) != 0) return refuse(TargetFault::control_byte);
  if ((needs & kHash) != 0) return refuse(TargetFault::not_a_path);
  if (!target.starts_with('/') && !take_authority(target, result.authority)) return refuse(TargetFault::not_a_path);
  const size_t mark = target.find('?');
  result.path = target.substr(0, mark);
  result.has_query = mark != std::string_view::npos;
  if (result.has_query) result.query = target.substr(mark + 1);
  if (result.path.empty()) result.path = "/";  // "http://host" asks for its root
  return refuse(check_path(result.path, needs));
}

Result<BaseUrl> parse_base_url(std::string_view url) {
  BaseUrl out;
  std::string_view rest = url;
  const size_t scheme_end = url.find("://");
  const size_t authority_start = scheme_end == std::string_view::npos ? 0 : scheme_end + 3;
  // The URL is not shown: a password may be in it.
  if (url.substr(authority_start, url.find('/', authority_start) - authority_start).find('@') !=
      std::string_view::npos) {
    return fail("must have no user information before '@'");
  }
  if (starts_with_ignoring_case(rest, "https://")) {
    out.tls = true;
    rest.remove_prefix(8);
  } else if (starts_with_ignoring_case(rest, "http://")) {
    rest.remove_prefix(7);
  } else {
    return fail("must begin with https:// or http://");
  }
  if (rest.find('?') != std::string_view::npos) return fail("must have no query");
  if (rest.find('#') != std::string_view::npos) return fail("must have no fragment");
  const size_t slash = rest.find('/');
  const std::string_view authority = rest.substr(0, slash);
  if (const Result<> result = parse_authority(authority, out); !result) return std::unexpected(result.error());
  std::string_view path = slash == std::string_view::npos ? std::string_view() : rest.substr(slash);
  while (path.ends_with('/')) path.remove_suffix(1);
  if (!path.empty()) {
    if (const TargetFault fault = parse_target(path).fault; fault != TargetFault::none) {
      return fail("has {}", describe(fault));
    }
  }
  out.path = path;
  return out;
}

}  // namespace weir::wire
