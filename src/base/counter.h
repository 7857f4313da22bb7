// Numbers that one thread writes and others read for metrics. A write is a plain load and store, without a lock prefix:
// a Counter has one writer for its whole life. Relaxed everywhere: each number stands for itself, and a reader that
// sees two of them sees no order between them.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace weir {

class Counter {
 public:
  void add(uint64_t number = 1) { set(value() + number); }
  void set(uint64_t number) { value_.store(number, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// How often something took how long. Log-linear: each power of two of microseconds, from 128 µs to 107 minutes, is cut
// in two halves, so a bound is at most half as large again as the one before it.
class Histogram {
 public:
  static constexpr unsigned kFirstBit = 7;  // 128 µs
  static constexpr unsigned kLastBit = 32;
  static constexpr size_t kBounds = size_t{2} * (kLastBit - kFirstBit + 1);

  // The upper bound of a bucket, in microseconds, included: 128, 192, 256, 384, …
  static constexpr uint64_t bound_us(size_t index) { return (uint64_t{2} + index % 2) << (kFirstBit - 1 + index / 2); }
  // Of the bucket that counts this duration; kBounds is the one without an upper bound.
  static constexpr size_t index_of(uint64_t us) {
    if (us <= bound_us(0)) return 0;
    // 129..192 → 1, 193..256 → 2: what is asked is where us - 1 lies.
    const uint64_t below = us - 1;
    const auto bit = static_cast<unsigned>(std::bit_width(below)) - 1;
    if (bit > kLastBit) return kBounds;
    const size_t index = 2 * size_t{bit - kFirstBit} + (below >> (bit - 1) & 1) + 1;
    return index < kBounds ? index : kBounds;
  }

  void add_ns(uint64_t ns) {
    buckets_[index_of(ns / kNsPerUs)].add();
    sum_us_.add(ns / kNsPerUs);
  }
  uint64_t bucket(size_t index) const { return buckets_[index].value(); }
  uint64_t sum_us() const { return sum_us_.value(); }

 private:
  std::array<Counter, kBounds + 1> buckets_;
  Counter sum_us_;
};

}  // namespace weir
