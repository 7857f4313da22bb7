#include "proxy/address_key.h"

#include <netinet/in.h>

#include <cstring>

namespace weir::proxy {

std::string_view limited_part(const io::Address& address, std::array<char, 8>& room) {
  if (address.family() == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
    std::memcpy(room.data(), &v4->sin_addr, 4);
    return {room.data(), 4};
  }
  if (address.family() != AF_INET6) return {};
  const in6_addr& v6 = reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_addr;
  const bool mapped = IN6_IS_ADDR_V4MAPPED(&v6);
  const size_t size = mapped ? 4 : 8;
  std::memcpy(room.data(), mapped ? &v6.s6_addr[12] : &v6.s6_addr[0], size);
  return {room.data(), size};
}

}  // namespace weir::proxy
