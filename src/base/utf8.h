// UTF-8 by code points, for masks and for texts that are cut.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

// The size in bytes (1..4) of the code point at the front of `text`; 0 if its bytes are not valid UTF-8 (overlong
// forms, surrogates and values over U+10FFFF are invalid) or `text` is empty.
size_t code_point_size(std::string_view text);

// The longest prefix of `text` of at most `size_max` bytes that ends at a whole code point.
std::string_view cut_at_code_point(std::string_view text, size_t size_max);

bool is_valid_utf8(std::string_view text);
// `text` with U+FFFD for each byte that is not UTF-8.
std::string replace_invalid_utf8(std::string_view text);

}  // namespace weir
