// Copies of the gateway token in a request, beside the header that it was read from. A client that is told one key
// sends it wherever its library likes (`Api-Key`, `X-Goog-Api-Key`, a cookie); a provider must not get it there.
#pragma once

#include <string_view>

#include "base/byte_buffer.h"
#include "wire/head.h"

namespace weir::gateway {

// Whether the token stands in the value: alone, behind a scheme, in quotes, among others, or inside `Basic`. False for
// an empty token.
bool holds_token(std::string_view value, std::string_view token);

enum class TokenCopy : uint8_t {
  none,
  header,  // the header's name is that of a credential, and the token stands in its value
  cookie,  // the token is the value of a cookie
};
TokenCopy find_token_copy(const wire::Header& header, std::string_view token);

// Appends "name: " and the cookies that do not hold the token, byte for byte; nothing if none is left.
// REQUIRES: `header` is TokenCopy::cookie.
void append_other_cookies(const wire::Header& header, std::string_view token, ByteBuffer& out);

}  // namespace weir::gateway
