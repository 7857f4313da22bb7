// SHA-256, by BoringSSL: gateway tokens are kept and compared only in this form. And the UUID of a name.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"

namespace weir {

using Digest = std::array<uint8_t, 32>;

Digest sha256(std::string_view bytes);
// Of the one text and the other after it, without a copy of either.
Digest sha256(std::string_view first, std::string_view second);
// In constant time: how much of a guess is right must not show.
bool equal_in_constant_time(const Digest& a, const Digest& b);
std::string to_hex(const Digest& digest);
std::optional<Digest> digest_from_hex(std::string_view hex);

// The UUIDv5 of a name (RFC 9562 section 5.5): everywhere the same. SHA-1 is the format's; nothing rests on its
// strength.
Uuid uuid_of_name(const Uuid& name_space, std::string_view name);

}  // namespace weir
