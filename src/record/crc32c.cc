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

[[gnu::target("sse4.2")]] uint32_t crc32c_lanes_sse42(uint32_t seed, const void* bytes, size_t size) {
  const auto* at = static_cast<const unsigned char*>(bytes);
  std::array<uint64_t, 3> lanes{seed, ~seed, seed ^ 0x5A5A5A5A};
  for (; size >= 24; size -= 24, at += 24) {
    uint64_t words[3];
    std::memcpy(words, at, sizeof words);
    lanes[0] = _mm_crc32_u64(lanes[0], words[0]);
    lanes[1] = _mm_crc32_u64(lanes[1], words[1]);
    lanes[2] = _mm_crc32_u64(lanes[2], words[2]);
  }
  for (size_t lane = 0; size >= 8; size -= 8, at += 8, ++lane) {
    uint64_t word;
    std::memcpy(&word, at, sizeof word);
    lanes[lane] = _mm_crc32_u64(lanes[lane], word);
  }
  return static_cast<uint32_t>(_mm_crc32_u64(lanes[0], lanes[1] << 32 | lanes[2]));
}
#endif

// One word into a register that is not inverted, as the instruction does it.
uint32_t add_word(uint32_t value, const unsigned char* word) {
  return ~crc32c_scalar(~value, word, 8);
}

using Function = uint32_t (*)(uint32_t, const void*, size_t);

Function choose() {
#if defined(__x86_64__)
  __builtin_cpu_init();  // choose() may run before the constructors that do it
  if (__builtin_cpu_supports("sse4.2")) return crc32c_sse42;
#endif
  return crc32c_scalar;
}

Function choose_lanes() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("sse4.2")) return crc32c_lanes_sse42;
#endif
  return crc32c_lanes_scalar;
}

const Function kChosen = choose();
const Function kChosenLanes = choose_lanes();

}  // namespace

uint32_t crc32c(uint32_t crc, const void* bytes, size_t size) {
  return kChosen(crc, bytes, size);
}

uint32_t crc32c_lanes(uint32_t seed, const void* bytes, size_t size) {
  return kChosenLanes(seed, bytes, size);
}

uint32_t crc32c_scalar(uint32_t crc, const void* bytes, size_t size) {
  const auto* at = static_cast<const unsigned char*>(bytes);
  uint32_t value = ~crc;
  for (; size > 0; --size, ++at) value = (value >> 8) ^ kTable[(value ^ *at) & 0xFF];
  return ~value;
}

uint32_t crc32c_lanes_scalar(uint32_t seed, const void* bytes, size_t size) {
  const auto* at = static_cast<const unsigned char*>(bytes);
  std::array<uint32_t, 3> lanes{seed, ~seed, seed ^ 0x5A5A5A5A};
  for (size_t lane = 0; size >= 8; size -= 8, at += 8, lane = (lane + 1) % 3) lanes[lane] = add_word(lanes[lane], at);
  const uint64_t others = uint64_t{lanes[1]} << 32 | lanes[2];
  unsigned char last[8];
  std::memcpy(last, &others, sizeof last);
  return add_word(lanes[0], last);
}

}  // namespace weir::record
