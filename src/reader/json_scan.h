// Finds the end of a JSON string's content fast. Private to reader; json.cc parses with it, tests compare its
// implementations.
//
// 1. Nothing at `end` or past it is read.
// 2. Everything before the returned place is content that is right, but for UTF-8, which is not looked at.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace weir::reader {

// The letter after the backslash of an escape that has only one.
constexpr bool is_simple_escape(char c) {
  switch (c) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
      return true;
    default:
      return false;
  }
}

// From `at` (inside a string, not inside an escape) to the closing quote, or to an earlier place that has to be looked
// at with care: a control character, or the backslash of an escape that is not one of a single letter. `end` if there
// was nothing of all that. `non_ascii` is set if a byte over 0x7F was passed (or, harmlessly, stands just after).
using SkipContent = const char* (*)(const char* at, const char* end, bool& non_ascii);
const char* skip_content_scalar(const char* at, const char* end, bool& non_ascii);
#if defined(__x86_64__)
const char* skip_content_sse2(const char* at, const char* end, bool& non_ascii);
#endif
// The fastest that this machine runs.
SkipContent best_skip_content();

// The closing quote, if it is among the next 16 bytes and nothing before it needs care; else null. Most strings of JSON
// are keys, types and names. Scalar sentence: the first of the 16 bytes that is a quote, a backslash or a control
// character, if it is a quote. Of `role":"user\n...` the three comparisons give ....1.1....1.... whose lowest bit is
// the place.
inline const char* short_string_end(const char* at, const char* end, bool& non_ascii) {
#if defined(__SSE2__)
  if (end - at < 16) return nullptr;
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  const __m128i quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
  const __m128i others = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')),
                                      _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes));
  const auto quote = static_cast<unsigned>(_mm_movemask_epi8(quotes));
  const auto other = static_cast<unsigned>(_mm_movemask_epi8(others));
  const unsigned first = quote & (0 - quote);
  if (first == 0 || (other & (first - 1)) != 0) return nullptr;
  non_ascii |= (static_cast<unsigned>(_mm_movemask_epi8(bytes)) & (first - 1)) != 0;
  return at + std::countr_zero(first);
#else
  (void)at, (void)end, (void)non_ascii;
  return nullptr;
#endif
}

}  // namespace weir::reader
