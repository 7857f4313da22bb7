// CRC32C (Castagnoli, RFC 3720 appendix B.4), and the checksum of journal records that is made of it. SSE4.2 where the
// CPU has it, chosen at run time; the scalar twins give the same values and are what tests compare with.
#pragma once

#include <cstddef>
#include <cstdint>

namespace weir::record {

// Continues from `crc`, the value of the bytes before (0 at the front), so that crc(ab) == crc32c(crc32c(0, a), b).
uint32_t crc32c(uint32_t crc, const void* bytes, size_t size);
uint32_t crc32c_scalar(uint32_t crc, const void* bytes, size_t size);

// Three CRC32Cs side by side, and a fourth over their values: the instruction takes three cycles but starts every
// cycle, so this is up to three times as fast. Lane n takes the 8-byte words n, n+3, n+6 …; `size` is a multiple of 8.
uint32_t crc32c_lanes(uint32_t seed, const void* bytes, size_t size);
uint32_t crc32c_lanes_scalar(uint32_t seed, const void* bytes, size_t size);

}  // namespace weir::record
