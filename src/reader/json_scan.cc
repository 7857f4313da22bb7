#include "reader/json_scan.h"

#include <bit>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace weir::reader {
namespace {

#if defined(__x86_64__)

__attribute__((target("avx2"))) inline uint64_t join(__m256i low, __m256i high) {
  return static_cast<uint32_t>(_mm256_movemask_epi8(low)) | uint64_t{static_cast<uint32_t>(_mm256_movemask_epi8(high))}
                                                                << 32;
}

// Quotes and control characters.
__attribute__((target("avx2"))) inline __m256i ends(__m256i bytes) {
  const __m256i quote = _mm256_set1_epi8('"'), control_max = _mm256_set1_epi8(0x1f);
  return _mm256_or_si256(_mm256_cmpeq_epi8(bytes, quote),
                         _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, control_max), bytes));
}

// Where is_simple_escape is false, of 32 bytes: the letter's high half names its column (2, 5, 6, 7: one bit each), its
// low half the columns in which a letter with that half is one of the eight.
__attribute__((target("avx2"))) inline __m256i no_simple_escapes(__m256i bytes) {
  const __m256i columns = _mm256_setr_epi8(0, 0, 1, 0, 0, 2, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0,  //
                                           0, 0, 1, 0, 0, 2, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m256i members = _mm256_setr_epi8(0, 0, 1 | 4 | 8, 0, 8, 0, 4, 0, 0, 0, 0, 0, 2, 0, 4, 1,  //
                                           0, 0, 1 | 4 | 8, 0, 8, 0, 4, 0, 0, 0, 0, 0, 2, 0, 4, 1);
  const __m256i half = _mm256_set1_epi8(0x0f);
  const __m256i by_high = _mm256_shuffle_epi8(columns, _mm256_and_si256(_mm256_srli_epi16(bytes, 4), half));
  const __m256i by_low = _mm256_shuffle_epi8(members, _mm256_and_si256(bytes, half));
  return _mm256_cmpeq_epi8(_mm256_and_si256(by_high, by_low), _mm256_setzero_si256());
}

// Which bytes are escaped; `open` says whether the first is, and then whether the next block's first is. In a run of
// backslashes the second, the fourth and so on are; after a run of odd size, the next byte is. The subtraction borrows
// through each run, which turns every other bit of it over (simdjson, "next_escape_and_terminal_code").
//   \\\"a\n  →  backslash 1110010, escaped 0101001 (the second backslash, the quote, the n)
inline uint64_t escaped_bytes(uint64_t backslash, uint64_t& open) {
  constexpr uint64_t kOdd = 0xAAAAAAAAAAAAAAAA;
  const uint64_t may_open = backslash & ~open;
  const uint64_t opens_and_escaped = (((may_open << 1) | kOdd) - may_open) ^ kOdd;
  const uint64_t escaped = opens_and_escaped ^ (backslash | open);
  open = (opens_and_escaped & backslash) >> 63;
  return escaped;
}

// 64 bytes a step, each step at the next 64: only the one bit of `open` makes one wait for the one before.
__attribute__((target("avx2"))) const char* skip_content_avx2(const char* at, const char* end, bool& non_ascii) {
  const __m256i backslash_byte = _mm256_set1_epi8('\\');
  __m256i passed = _mm256_setzero_si256();
  uint64_t open = 0;
  for (; end - at >= 64; at += 64) {
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + 32));
    passed = _mm256_or_si256(passed, _mm256_or_si256(low, high));
    const uint64_t backslash = join(_mm256_cmpeq_epi8(low, backslash_byte), _mm256_cmpeq_epi8(high, backslash_byte));
    uint64_t stop = join(ends(low), ends(high));
    if ((backslash | open) != 0) {
      const uint64_t escaped = escaped_bytes(backslash, open);
      const uint64_t careful = join(no_simple_escapes(low), no_simple_escapes(high));
      stop = (stop & ~escaped) | (careful & escaped);
      if (stop != 0) {
        non_ascii |= _mm256_movemask_epi8(passed) != 0;
        const int place = std::countr_zero(stop);
        const bool in_escape = (escaped >> place & 1) != 0;
        return at + place - (in_escape ? 1 : 0);
      }
    } else if (stop != 0) {
      non_ascii |= _mm256_movemask_epi8(passed) != 0;
      return at + std::countr_zero(stop);
    }
  }
  non_ascii |= _mm256_movemask_epi8(passed) != 0;
  return skip_content_sse2(at - open, end, non_ascii);  // an escape that is open begins before
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
