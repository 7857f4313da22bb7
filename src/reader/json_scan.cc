#include "reader/json_scan.h"

#include <bit>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace weir::reader {
namespace {

#if defined(__x86_64__)

// The masks of 64 bytes, one bit for each.
struct Block {
  uint64_t backslash, quote, control, non_ascii;
};

__attribute__((target("avx2"))) inline uint64_t join(__m256i low, __m256i high) {
  return static_cast<uint32_t>(_mm256_movemask_epi8(low)) | uint64_t{static_cast<uint32_t>(_mm256_movemask_epi8(high))}
                                                                << 32;
}

__attribute__((target("avx2"))) inline Block classify(__m256i low, __m256i high) {
  const __m256i backslash = _mm256_set1_epi8('\\'), quote = _mm256_set1_epi8('"'), control_max = _mm256_set1_epi8(0x1f);
  return {join(_mm256_cmpeq_epi8(low, backslash), _mm256_cmpeq_epi8(high, backslash)),
          join(_mm256_cmpeq_epi8(low, quote), _mm256_cmpeq_epi8(high, quote)),
          join(_mm256_cmpeq_epi8(_mm256_min_epu8(low, control_max), low),
               _mm256_cmpeq_epi8(_mm256_min_epu8(high, control_max), high)),
          join(low, high)};
}

// is_simple_escape of 32 bytes: the letter's high half names its column (2, 5, 6, 7: one bit each), its low half the
// columns in which a letter with that half is one of the eight.
__attribute__((target("avx2"))) inline __m256i simple_escapes(__m256i bytes) {
  const __m256i columns = _mm256_setr_epi8(0, 0, 1, 0, 0, 2, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0,  //
                                           0, 0, 1, 0, 0, 2, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m256i members = _mm256_setr_epi8(0, 0, 1 | 4 | 8, 0, 8, 0, 4, 0, 0, 0, 0, 0, 2, 0, 4, 1,  //
                                           0, 0, 1 | 4 | 8, 0, 8, 0, 4, 0, 0, 0, 0, 0, 2, 0, 4, 1);
  const __m256i half = _mm256_set1_epi8(0x0f);
  const __m256i by_high = _mm256_shuffle_epi8(columns, _mm256_and_si256(_mm256_srli_epi16(bytes, 4), half));
  const __m256i by_low = _mm256_shuffle_epi8(members, _mm256_and_si256(bytes, half));
  // Not zero where both agree: compare with zero, and turn it over.
  const __m256i none = _mm256_cmpeq_epi8(_mm256_and_si256(by_high, by_low), _mm256_setzero_si256());
  return _mm256_xor_si256(none, _mm256_set1_epi8(-1));
}

// Which bytes are escaped, by runs of backslashes: in a run, the second, the fourth and so on are; after a run of odd
// size, the next byte is. With the runs that start at an odd place added to the mask itself, the carry of each walks to
// the end of its run and marks there whether it was odd (simdjson, "find_escaped").
//   \\\"a\n  →  backslash 1110010, escaped 0101001 (the second backslash, the
//   quote, the n)
inline uint64_t escaped_bytes(uint64_t backslash) {
  constexpr uint64_t kEven = 0x5555555555555555;
  const uint64_t follows = backslash << 1;
  const uint64_t odd_starts = backslash & ~kEven & ~follows;
  const uint64_t even_runs = odd_starts + backslash;  // what falls out at the top is the caller's last_is_open
  return (kEven ^ (even_runs << 1)) & follows;
}

__attribute__((target("avx2"))) const char* skip_content_avx2(const char* at, const char* end, bool& non_ascii) {
  while (end - at >= 64) {
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + 32));
    const Block block = classify(low, high);
    non_ascii |= block.non_ascii != 0;
    if (block.backslash == 0) {
      const uint64_t stop = block.quote | block.control;
      if (stop != 0) return at + std::countr_zero(stop);
      at += 64;
      continue;
    }
    const uint64_t escaped = escaped_bytes(block.backslash);
    const uint64_t careful = escaped & ~join(simple_escapes(low), simple_escapes(high));
    const uint64_t stop = (block.quote & ~escaped) | block.control | careful;
    if (stop != 0) {
      const int place = std::countr_zero(stop);
      const bool in_escape = (careful >> place & 1) != 0;
      return at + place - (in_escape ? 1 : 0);
    }
    // A backslash that opens an escape in the last byte is left to the next block.
    const bool last_is_open = ((block.backslash & ~escaped) >> 63) != 0;
    at += last_is_open ? 63 : 64;
  }
  return skip_content_sse2(at, end, non_ascii);
}

#endif

}  // namespace

const char* skip_content_scalar(const char* at, const char* end, bool& non_ascii) {
  for (; at != end; ++at) {
    const auto byte = static_cast<unsigned char>(*at);
    if (byte == '"' || byte < 0x20) return at;
    non_ascii |= byte >= 0x80;
    if (byte != '\\') continue;
    if (end - at < 2 || !is_simple_escape(at[1])) return at;
    ++at;
  }
  return at;
}

#if defined(__x86_64__)
// 16 bytes a step. Scalar sentence: skip_content_scalar. SSE2 is part of every x86-64.
const char* skip_content_sse2(const char* at, const char* end, bool& non_ascii) {
  const __m128i backslash = _mm_set1_epi8('\\'), quote = _mm_set1_epi8('"'), control_max = _mm_set1_epi8(0x1f);
  while (end - at >= 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i special = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)),
                                         _mm_cmpeq_epi8(_mm_min_epu8(bytes, control_max), bytes));
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(special));
    non_ascii |= _mm_movemask_epi8(bytes) != 0;
    if (mask == 0) {
      at += 16;
      continue;
    }
    at += std::countr_zero(mask);
    if (*at != '\\' || end - at < 2 || !is_simple_escape(at[1])) return at;
    at += 2;
  }
  return skip_content_scalar(at, end, non_ascii);
}
#endif

SkipContent best_skip_content() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") ? skip_content_avx2 : skip_content_sse2;
#else
  return skip_content_scalar;
#endif
}

}  // namespace weir::reader
