// What stands for a client's address in limits: an IPv4 address whole, of an IPv6 address its /64 (one customer has
// that many), an IPv4 address in IPv6's clothes as itself. Nothing for Unix sockets.
#pragma once

#include <array>
#include <string_view>

#include "io/address.h"

namespace weir::proxy {

// The bytes that are hashed, in `room`; empty: the address is not limited.
std::string_view limited_part(const io::Address& address, std::array<char, 8>& room);

}  // namespace weir::proxy
