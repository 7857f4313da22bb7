#include "record/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace weir::record {

namespace {

constexpr uint32_t kPolynomialReflected = 0x82F63B78;

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomialReflected : 0);
    table[byte] = crc;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kTable = make_table();

#if defined(__x86_64__)
[[gnu::target("sse4.2")]] uint32_t crc32c_sse42(uint32_t crc, const void* bytes, size_t size) {
  const auto* at = static_cast<const unsigned char*>(bytes);
  uint64_t value = ~crc;
  for (; size >= 8; size -= 8, at += 8) {
    uint64_t word;
    std::memcpy(&word, at, sizeof word);
    value = _mm_crc32_u64(value, word);
  }
  auto low = static_cast<uint32_t>(value);
  for (; size > 0; --size, ++at) low = _mm_crc32_u8(low, *at);
  return ~low;
}
#endif

using Function = uint32_t (*)(uint32_t, const void*, size_t);

Function choose() {
#if defined(__x86_64__)
  __builtin_cpu_init();  // choose() may run before the constructors that do it
  if (__builtin_cpu_supports("sse4.2")) return crc32c_sse42;
#endif
  return crc32c_scalar;
}

const Function kChosen = choose();

}  // namespace

uint32_t crc32c(uint32_t crc, const void* bytes, size_t size) {
  return kChosen(crc, bytes, size);
}

uint32_t crc32c_scalar(uint32_t crc, const void* bytes, size_t size) {
  const auto* at = static_cast<const unsigned char*>(bytes);
  uint32_t value = ~crc;
  for (; size > 0; --size, ++at) value = (value >> 8) ^ kTable[(value ^ *at) & 0xFF];
  return ~value;
}

}  // namespace weir::record
