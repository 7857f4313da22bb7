// Where the delimiters of a head are: bitmaps of a window of bytes, one bit for each, and forward searches in them.
// Private to wire: head_parse.cc parses with it, tests compare its two classifiers.
//
// 1. Nothing past the end of the bytes is read: they may end at the end of a mapping.
// 2. Bits past the end are 1: a search ends there at the latest, without a check of its own.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "wire/head.h"

namespace weir::wire {

inline constexpr size_t kBlock = 64;  // bytes for each word of a mask
// Most heads fit one window. It is filled in steps, so that a body which follows the head is hardly looked at.
inline constexpr size_t kWindow = 1024;
inline constexpr size_t kFillStep = 256;

struct BlockMasks {
  uint64_t non_token = 0;  // not a tchar of RFC 9110 section 5.6.2
  uint64_t control = 0;    // 0x00-0x1F without HTAB, and DEL: never inside a line
};

constexpr bool is_token_character(uint8_t byte) {
  const bool alphanumeric =
      (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
  return alphanumeric || std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(byte)) != std::string_view::npos;
}
constexpr bool is_line_control(uint8_t byte) {
  return (byte < 0x20 && byte != '\t') || byte == 0x7F;
}

enum ByteClass : uint8_t { kNonToken = 1, kControl = 2 };
constexpr std::array<uint8_t, 256> make_classes() {
  std::array<uint8_t, 256> classes{};
  for (size_t i = 0; i < 256; ++i) {
    const auto byte = static_cast<uint8_t>(i);
    classes[i] =
        static_cast<uint8_t>((is_token_character(byte) ? 0 : kNonToken) | (is_line_control(byte) ? kControl : 0));
  }
  return classes;
}
inline constexpr std::array<uint8_t, 256> kClasses = make_classes();

using MaskWords = std::array<uint64_t, kWindow / kBlock>;

// Classifies a step of `bytes` from `offset` into the words from `index` on.
template <class Classifier>
void fill_step(std::string_view bytes, size_t offset, size_t index, MaskWords& non_token, MaskWords& control) {
  for (size_t i = index; i < index + kFillStep / kBlock; ++i, offset += kBlock) {
    const size_t size = offset < bytes.size() ? bytes.size() - offset : 0;
    const BlockMasks masks = size > 0 ? Classifier::block(bytes, offset) : BlockMasks{};
    const uint64_t past_end = size < kBlock ? ~uint64_t{0} << size : 0;
    non_token[i] = masks.non_token | past_end;
    control[i] = masks.control | past_end;
  }
}

struct ScalarClassifier {
  // Of up to kBlock bytes from `offset`, which is less than their size.
  static BlockMasks block(std::string_view bytes, size_t offset) {
    BlockMasks masks;
    for (size_t i = 0; i < kBlock && offset + i < bytes.size(); ++i) {
      const uint64_t byte_class = kClasses[static_cast<uint8_t>(bytes[offset + i])];
      masks.non_token |= (byte_class & kNonToken) << i;
      masks.control |= (byte_class / kControl) << i;
    }
    return masks;
  }
  static void step(std::string_view bytes, size_t offset, size_t index, MaskWords& non_token, MaskWords& control) {
    fill_step<ScalarClassifier>(bytes, offset, index, non_token, control);
  }
};

#if defined(__x86_64__)
// One look-up tells both classes: the entries of a byte's row (high half) and column (low half) are combined by `and`.
//   bits 2-7  one for each row with token characters (2 to 7), set in the columns where they are
//   bit 0     control bytes of rows 0 and 1: every column but that of HTAB, 9
//   bit 1     columns 9 and 15, for 0x19 in row 1 and DEL in row 7
// So a token character gives 4 or more ('y', in row 7 and column 9, gives bit 1 besides its own), a control byte 1 to
// 3, any other 0. Rows 8 to 15 have no bits.
inline constexpr uint8_t kTokenMin = 4;
inline constexpr std::array<uint8_t, 16> kRows = {1, 3, 4, 8, 16, 32, 64, 128 | 2};
constexpr std::array<uint8_t, 16> make_columns() {
  std::array<uint8_t, 16> columns{};
  for (size_t byte = 0; byte < 128; ++byte) {
    uint8_t& column = columns[byte % 16];
    const bool is_token = (kClasses[byte] & kNonToken) == 0;
    if (is_token) column = static_cast<uint8_t>(column | (kRows[byte / 16] & ~3));
  }
  for (size_t i = 0; i < 16; ++i) columns[i] = static_cast<uint8_t>(columns[i] | (i == 9 ? 2 : i == 15 ? 3 : 1));
  return columns;
}
inline constexpr std::array<uint8_t, 16> kColumns = make_columns();

// REQUIRES: the processor has AVX2.
struct Avx2Classifier {
  // As that of ScalarClassifier.
  __attribute__((target("avx2"))) static BlockMasks block(std::string_view bytes, size_t offset) {
    if (offset + kBlock <= bytes.size()) [[likely]]
      return whole_block(bytes.data() + offset);
    if (bytes.size() < kBlock) return ScalarClassifier::block(bytes, offset);
    // The last 64 bytes, without those before `offset`.
    BlockMasks masks = whole_block(bytes.data() + bytes.size() - kBlock);
    const size_t before = offset + kBlock - bytes.size();
    masks.non_token >>= before;
    masks.control >>= before;
    return masks;
  }
  // Not inlined: its constants would be set up for each header.
  __attribute__((target("avx2"), flatten, noinline)) static void step(std::string_view bytes, size_t offset,
                                                                      size_t index, MaskWords& non_token,
                                                                      MaskWords& control) {
    fill_step<Avx2Classifier>(bytes, offset, index, non_token, control);
  }

  // The first bytes of "Host: x\r\n", bit 0 left:
  //   bytes       H  o  s  t  :     x  CR LF
  //   combined    16 64 128 ...0 0 128  1  1
  //   token       1  1  1  1  0  0  1  0  0
  //   nonzero     1  1  1  1  0  0  1  1  1
  //   control     0  0  0  0  0  0  0  1  1
  __attribute__((target("avx2"))) static BlockMasks whole_block(const char* bytes) {
    const __m256i columns = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(&kColumns)));
    const __m256i rows = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(&kRows)));
    const __m256i low_half = _mm256_set1_epi8(0x0F);
    // Added, these carry into a byte's top bit, which movemask takes.
    const __m256i to_token = _mm256_set1_epi8(0x80 - kTokenMin);
    const __m256i to_nonzero = _mm256_set1_epi8(0x7F);
    uint64_t token = 0;
    uint64_t nonzero = 0;
    for (size_t i = 0; i < 2; ++i) {
      const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes + 32 * i));
      // A shuffle by a byte over 0x7F gives 0, as it should: the columns' index needs no mask.
      const __m256i column = _mm256_shuffle_epi8(columns, v);
      const __m256i row = _mm256_shuffle_epi8(rows, _mm256_and_si256(_mm256_srli_epi16(v, 4), low_half));
      const __m256i combined = _mm256_and_si256(column, row);
      const int token_bits = _mm256_movemask_epi8(_mm256_adds_epu8(combined, to_token));
      const int nonzero_bits = _mm256_movemask_epi8(_mm256_adds_epu8(combined, to_nonzero));
      token |= uint64_t{static_cast<uint32_t>(token_bits)} << (32 * i);
      nonzero |= uint64_t{static_cast<uint32_t>(nonzero_bits)} << (32 * i);
    }
    return {.non_token = ~token, .control = nonzero & ~token};
  }
};
#endif

template <class Classifier>
class Scanner {
 public:
  explicit Scanner(std::string_view bytes) : bytes_(bytes) {}

  // The offset of the first such byte at `from` or after it; the size of the bytes if there is none.
  // REQUIRES: from <= size.
  size_t find_non_token(size_t from) { return find(non_token_, from); }
  size_t find_control(size_t from) { return find(control_, from); }

 private:
  size_t find(const MaskWords& words, size_t from) {
    while (true) {
      // Unsigned: a place before the window is far behind it too.
      if (from - window_ >= filled_) [[unlikely]]
        fill(from);
      const size_t bit = from - window_;
      const uint64_t word = words[bit / kBlock] >> (bit % kBlock);
      if (word != 0) return from + static_cast<size_t>(std::countr_zero(word));
      from = window_ + (bit | (kBlock - 1)) + 1;
    }
  }

  // Fills the window up to `from` and a step further, or begins a new one there.
  __attribute__((noinline)) void fill(size_t from) {
    if (from - window_ >= kWindow) {
      window_ = from;
      filled_ = 0;
    }
    for (; from - window_ >= filled_; filled_ += kFillStep) {
      Classifier::step(bytes_, window_ + filled_, filled_ / kBlock, non_token_, control_);
    }
  }

  std::string_view bytes_;
  size_t window_ = 0;
  size_t filled_ = 0;
  MaskWords non_token_;
  MaskWords control_;
};

// What head.h declares, each with one classifier.
HeadResult parse_request_head_scalar(std::string_view bytes, size_t seen, size_t head_size_max, RequestHead& out);
HeadResult parse_response_head_scalar(std::string_view bytes, size_t seen, size_t head_size_max, ResponseHead& out);
#if defined(__x86_64__)
HeadResult parse_request_head_avx2(std::string_view bytes, size_t seen, size_t head_size_max, RequestHead& out);
HeadResult parse_response_head_avx2(std::string_view bytes, size_t seen, size_t head_size_max, ResponseHead& out);
#endif

}  // namespace weir::wire
