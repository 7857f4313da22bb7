// Randomness for property tests: seeded, so that a failure replays.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

namespace weir::test {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  // 0 .. bound - 1. REQUIRES: bound > 0.
  size_t below(size_t bound) { return std::uniform_int_distribution<size_t>(0, bound - 1)(engine_); }
  bool one_in(size_t count) { return below(count) == 0; }
  char byte() { return static_cast<char>(below(256)); }
  char pick(std::string_view from) { return from[below(from.size())]; }

  std::string bytes(size_t size) {
    std::string text(size, '\0');
    for (char& c : text) c = byte();
    return text;
  }
  // `text` with a few bytes changed, removed, doubled or put in, mostly those of `alphabet`.
  std::string mutated(std::string_view text, std::string_view alphabet) {
    std::string out(text);
    for (size_t count = 1 + below(4); count > 0 && !out.empty(); --count) {
      const size_t at = below(out.size());
      const char c = one_in(4) ? byte() : pick(alphabet);
      switch (below(4)) {
        case 0:
          out[at] = c;
          break;
        case 1:
          out.erase(at, 1 + below(3));
          break;
        case 2:
          out.insert(at, 1, c);
          break;
        default:
          out.insert(at, out.substr(at, below(40)));
          break;
      }
    }
    return out;
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace weir::test
