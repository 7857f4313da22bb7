// Where the delimiters of a head are: bitmaps over a window of bytes, one bit for each, and a forward search in them.
// Private to wire; head.cc parses with it, tests and the benchmark compare its two implementations.
//
// 1. Nothing past `size` bytes is read, so a window may end at the end of a mapping.
// 2. Bits past the end are 0: a search there finds nothing, and the parser asks for more.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "wire/head.h"

namespace weir::wire {

// Most heads take two or three; a body that follows the head in the buffer is looked at for at most one.
inline constexpr size_t kScanWindow = 256;

struct ScanMasks {
  std::array<uint64_t, kScanWindow / 64> non_token;  // not a tchar of RFC 9110 section 5.6.2
  std::array<uint64_t, kScanWindow / 64> control;    // 0x00-0x1F without HTAB, and DEL: never inside a line
};

// Fills `out` for the first `size` of `bytes`. REQUIRES: size <= kScanWindow.
using Classify = void (*)(const char* bytes, size_t size, ScanMasks& out);
void classify_scalar(const char* bytes, size_t size, ScanMasks& out);
// The fastest that this machine runs.
Classify best_classify();

class Scanner {
 public:
  Scanner(std::string_view bytes, Classify classify) : bytes_(bytes), classify_(classify) {}

  // The offset of the first such byte at `from` or after it; the size of the bytes if there is none.
  size_t find_non_token(size_t from) { return find(masks_.non_token, from); }
  size_t find_control(size_t from) { return find(masks_.control, from); }

 private:
  size_t find(const std::array<uint64_t, kScanWindow / 64>& mask, size_t from) {
    while (from < bytes_.size()) {
      // Unsigned: before the first window this holds too.
      if (from - base_ >= kScanWindow) [[unlikely]]
        load(from);
      const uint64_t word = mask[(from - base_) / 64] >> (from % 64);
      if (word != 0) return from + static_cast<size_t>(std::countr_zero(word));
      from = (from | 63) + 1;
    }
    return bytes_.size();
  }
  void load(size_t from) {
    base_ = from & ~size_t{63};
    const size_t rest = bytes_.size() - base_;
    classify_(bytes_.data() + base_, rest < kScanWindow ? rest : kScanWindow, masks_);
  }

  std::string_view bytes_;
  Classify classify_;
  size_t base_ = ~size_t{0} - kScanWindow;  // no window yet
  ScanMasks masks_;
};

// What head.h declares, with a chosen classifier.
HeadResult parse_request_head_by(Classify classify, std::string_view bytes, size_t seen, size_t head_size_max,
                                 RequestHead& out);
HeadResult parse_response_head_by(Classify classify, std::string_view bytes, size_t seen, size_t head_size_max,
                                  ResponseHead& out);

}  // namespace weir::wire
