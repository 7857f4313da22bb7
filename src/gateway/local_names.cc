#include "gateway/local_names.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace weir::gateway {

namespace {

// Without port and brackets.
std::string_view host_of(std::string_view authority) {
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    return close == authority.npos ? authority : authority.substr(1, close - 1);
  }
  return authority.substr(0, authority.rfind(':'));
}

// Only the usual forms: "127.1" or "2130706433" are not what a client writes that means well.
bool is_address(std::string_view host, Addresses addresses) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (host.size() >= text.size()) return false;
  std::copy(host.begin(), host.end(), text.begin());
  in_addr v4{};
  if (::inet_pton(AF_INET, text.data(), &v4) == 1) {
    return addresses == Addresses::any || (ntohl(v4.s_addr) >> 24) == 127;
  }
  in6_addr v6{};
  if (::inet_pton(AF_INET6, text.data(), &v6) != 1) return false;
  const bool mapped = IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127;
  return addresses == Addresses::any || IN6_IS_ADDR_LOOPBACK(&v6) || mapped;
}

// "https://app.example:8443" → "app.example:8443"; an opaque one ("null") has none.
std::string_view authority_of_origin(std::string_view origin) {
  const size_t scheme = origin.find("://");
  return scheme == origin.npos ? std::string_view() : origin.substr(scheme + 3);
}

}  // namespace

bool is_local_name(std::string_view authority, std::span<const std::string> names, Addresses addresses) {
  const std::string_view host = host_of(authority);
  if (host.empty()) return false;
  if (wire::equals_ignoring_case(host, "localhost") || is_address(host, addresses)) return true;
  return std::ranges::any_of(names, [&](const std::string& name) { return wire::equals_ignoring_case(host, name); });
}

ForeignName find_foreign_name(const wire::RequestHead& head, std::string_view target_authority,
                              std::span<const std::string> names, Addresses addresses) {
  using enum ForeignName::Where;
  // RFC 9112 section 3.2.2: the target's authority counts, whatever Host says.
  if (!target_authority.empty() && !is_local_name(target_authority, names, addresses)) return {host, target_authority};
  for (uint32_t i = 0; i < head.header_count; ++i) {
    const wire::Header& header = head.headers[i];
    if (header.id == wire::HeaderName::host) {
      if (!is_local_name(header.value, names, addresses)) return {host, header.value};
    } else if (wire::equals_ignoring_case(header.name, "origin")) {
      if (!is_local_name(authority_of_origin(header.value), names, addresses)) return {origin, header.value};
    }
  }
  return {};
}

}  // namespace weir::gateway
