// Counts of durations by size, from 1 ns to 18 minutes, each told apart to 1/128 of itself (HDR-style: powers of two,
// divided linearly). Fixed memory; adding is a few instructions. Not for several threads at once.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace weir::load {

class Histogram {
 public:
  void add(uint64_t value_ns) {
    counts_[place(std::min(value_ns, kValueMax))]++;
    count_++;
    sum_ += value_ns;
    max_ = std::max(max_, value_ns);
  }
  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }
  double mean() const { return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_); }
  // The value that so large a part (0 to 1) of the values does not exceed, as the middle of its place; 0 if empty.
  uint64_t percentile(double part) const {
    const auto wanted = std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(part * static_cast<double>(count_))));
    uint64_t seen = 0;
    for (size_t i = 0; i < counts_.size(); i++) {
      seen += counts_[i];
      if (count_ > 0 && seen >= wanted) return std::min(middle(i), max_);
    }
    return 0;
  }
  void clear() { *this = Histogram(); }

 private:
  static constexpr unsigned kBits = 7;
  static constexpr uint64_t kValueMax = (uint64_t{1} << 40) - 1;

  // Values below 2^(kBits+1) have a place each; above, 2^kBits places for each power of two.
  static size_t place(uint64_t value) {
    const auto width = static_cast<unsigned>(std::bit_width(value));
    if (width <= kBits + 1) return value;
    const unsigned shift = width - kBits - 1;
    return (size_t{shift} << kBits) + static_cast<size_t>(value >> shift);
  }
  static uint64_t middle(size_t place) {
    if (place < (size_t{2} << kBits)) return place;
    const unsigned shift = static_cast<unsigned>(place >> kBits) - 1;
    const uint64_t low = static_cast<uint64_t>(place - (size_t{shift} << kBits)) << shift;
    return low + ((uint64_t{1} << shift) >> 1);
  }

  std::array<uint64_t, (40 - kBits + 1) << kBits> counts_{};
  uint64_t count_ = 0, sum_ = 0, max_ = 0;
};

}  // namespace weir::load
