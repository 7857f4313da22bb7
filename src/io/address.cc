#include "io/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string>

namespace weir::io {

bool Address::is_loopback() const {
  if (family() == AF_UNIX) return true;
  if (family() == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&storage);
    return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
  }
  if (family() == AF_INET6) return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr);
  return false;
}

uint16_t Address::port() const {
  if (family() == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
  if (family() == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port);
  return 0;
}

bool Address::operator==(const Address& other) const {
  return size == other.size && std::memcmp(&storage, &other.storage, size) == 0;
}

std::string Address::host_text() const {
  std::array<char, INET6_ADDRSTRLEN> out{};
  if (family() == AF_INET) {
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr, out.data(), out.size());
    return out.data();
  }
  if (family() == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&v6)) {
      ::inet_ntop(AF_INET, &v6.s6_addr[12], out.data(), out.size());
    } else {
      ::inet_ntop(AF_INET6, &v6, out.data(), out.size());
    }
    return out.data();
  }
  return "unix";
}

std::string Address::text() const {
  if (family() == AF_INET) return fmt::format("{}:{}", host_text(), port());
  if (family() == AF_INET6) {
    const std::string host = host_text();  // an IPv4 address where it stands for one
    return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port())
                                               : fmt::format("[{}]:{}", host, port());
  }
  if (family() == AF_UNIX) return fmt::format("unix:{}", reinterpret_cast<const sockaddr_un*>(&storage)->sun_path);
  return "?";
}

Address address_from(const sockaddr* address, socklen_t size) {
  Address out;
  out.size = std::min<socklen_t>(size, sizeof out.storage);
  std::memcpy(&out.storage, address, out.size);
  return out;
}

Result<Address> parse_address(std::string_view text) {
  if (text.starts_with("unix:")) {
    const std::string_view path = text.substr(5);
    sockaddr_un unix_address{};
    unix_address.sun_family = AF_UNIX;
    if (path.empty()) return fail("\"{}\": the path of the Unix socket is missing", text);
    if (path.size() >= sizeof unix_address.sun_path) {
      return fail("\"{}\": the path of a Unix socket has at most {} bytes", text, sizeof unix_address.sun_path - 1);
    }
    path.copy(unix_address.sun_path, path.size());
    return address_from(reinterpret_cast<const sockaddr*>(&unix_address), sizeof unix_address);
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return fail("\"{}\": a port is missing (like 127.0.0.1:4001)", text);
  const std::string_view port_text = text.substr(colon + 1);
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (error != std::errc() || end != port_text.data() + port_text.size()) {
    return fail("\"{}\": the port must be 0..65535", text);
  }
  std::string host(text.substr(0, colon));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    if (::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6.sin6_addr) != 1) {
      return fail("\"{}\": not an IPv6 address", text);
    }
    return address_from(reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
  }
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) != 1) {
    return fail("\"{}\": not an address; use an IPv4 address, an IPv6 one in [brackets], or unix:/path", text);
  }
  return address_from(reinterpret_cast<const sockaddr*>(&v4), sizeof v4);
}

}  // namespace weir::io
