// The hint of a credential (spec section 1, "Mask"): what may be shown of a secret, and never tells its length.
#pragma once

#include <string>
#include <string_view>

namespace weir {

// At most 4 code points of up to 4 bytes at each end, and "...".
inline constexpr size_t kHintSizeMax = 35;

// Writes the hint to `out` (room for kHintSizeMax bytes) and returns its size. By Unicode code points; each byte of
// invalid UTF-8 counts as one code point and is shown as '?'. Allocates nothing.
size_t mask(std::string_view secret, char* out);
std::string mask(std::string_view secret);

}  // namespace weir
