// The one source of chance of a simulation: everything follows from its seed, on every machine.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>

namespace weir::sim {

// SplitMix64 (Steele, Lea, Flood): full period, any seed is good.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  // 0..bound-1; 0 for 0.
  uint64_t below(uint64_t bound) { return bound == 0 ? 0 : next() % bound; }
  uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }
  size_t size(size_t low, size_t high) { return static_cast<size_t>(between(low, high)); }
  bool percent(uint64_t chance) { return below(100) < chance; }
  // Mostly small, now and then up to `high`: sizes and pauses as they come in life.
  uint64_t skewed(uint64_t high) { return high == 0 ? 0 : below(std::bit_ceil(high + 1) >> below(12)) % (high + 1); }
  std::string letters(size_t count) {
    constexpr char kLetters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    std::string text(count, ' ');
    for (char& letter : text) letter = kLetters[below(sizeof kLetters - 1)];
    return text;
  }

 private:
  uint64_t state_;
};

}  // namespace weir::sim
