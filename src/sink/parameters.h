// The parameters of one statement for libpq, which copies them when it is sent. Numbers are bigint and texts are bytes
// of UTF-8 without U+0000, both in binary form: nothing is quoted and nothing needs an end mark.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "base/utf8.h"

namespace weir::sink {

class Parameters {
 public:
  static constexpr int kCountMax = 34;

  // Borrows the text, unless it has to be mended (PostgreSQL takes neither U+0000 nor bytes that are not UTF-8): then
  // each of those becomes U+FFFD.
  Parameters& text(std::string_view text) {
    if (text.find('\0') != std::string_view::npos || !is_valid_utf8(text)) text = mend(text);
    return add(text.empty() ? "" : text.data(), text.size());
  }
  Parameters& number(int64_t number) {
    const uint64_t order = std::endian::native == std::endian::little ? __builtin_bswap64(static_cast<uint64_t>(number))
                                                                      : static_cast<uint64_t>(number);
    char* const place = numbers_[static_cast<size_t>(count_)].data();
    std::memcpy(place, &order, sizeof order);
    return add(place, sizeof order);
  }
  // Counters of 64 bits; bigint is signed.
  Parameters& size(uint64_t number) { return this->number(static_cast<int64_t>(number & INT64_MAX)); }
  Parameters& null() { return add(nullptr, 0); }

  int count() const { return count_; }
  const char* const* values() const { return values_.data(); }
  const int* lengths() const { return lengths_.data(); }
  static const int* formats() { return kBinary.data(); }

 private:
  static constexpr std::array<int, kCountMax> kBinary = [] {
    std::array<int, kCountMax> formats{};
    formats.fill(1);
    return formats;
  }();

  Parameters& add(const char* value, size_t size) {
    ASSERT(count_ < kCountMax);
    values_[static_cast<size_t>(count_)] = value;
    lengths_[static_cast<size_t>(count_)] = static_cast<int>(size);
    ++count_;
    return *this;
  }
  std::string_view mend(std::string_view text) {
    std::string& mended = mended_[static_cast<size_t>(count_)];
    mended = replace_invalid_utf8(text);
    for (size_t at = 0; (at = mended.find('\0', at)) != std::string::npos;) mended.replace(at, 1, "\xEF\xBF\xBD");
    return mended;
  }

  int count_ = 0;
  std::array<const char*, kCountMax> values_{};
  std::array<int, kCountMax> lengths_{};
  std::array<std::array<char, 8>, kCountMax> numbers_{};
  std::array<std::string, kCountMax> mended_;
};

}  // namespace weir::sink
