// SHA-256, by BoringSSL. Gateway tokens are kept and compared only in this form.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir {

using Digest = std::array<uint8_t, 32>;

Digest sha256(std::string_view bytes);
// Of the one text and the other after it, without a copy of either.
Digest sha256(std::string_view first, std::string_view second);
// In constant time: how much of a guess is right must not show.
bool equal_in_constant_time(const Digest& a, const Digest& b);
std::string to_hex(const Digest& digest);
std::optional<Digest> digest_from_hex(std::string_view hex);

}  // namespace weir
