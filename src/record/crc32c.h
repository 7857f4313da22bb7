// CRC32C (Castagnoli, RFC 3720 appendix B.4), the checksum of journal records. SSE4.2 where the CPU has it, chosen at
// run time; the scalar twin gives the same values and is what tests compare with.
#pragma once

#include <cstddef>
#include <cstdint>

namespace weir::record {

// Continues from `crc`, the value of the bytes before (0 at the front), so that crc(ab) == crc32c(crc32c(0, a), b).
uint32_t crc32c(uint32_t crc, const void* bytes, size_t size);
uint32_t crc32c_scalar(uint32_t crc, const void* bytes, size_t size);

}  // namespace weir::record
