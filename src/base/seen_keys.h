// Which keys have been seen before, so that something is told once for each and not at each request. A fixed table with
// one place for each hash: it allocates nothing, and two keys of one place make each other new again, at worst.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace weir {

class SeenKeys {
 public:
  // `key`: a hash, not 0. Whether this key is new, as far as is known.
  bool first(uint64_t key) { return std::exchange(places_[key % kPlaces], key) != key; }

 private:
  static constexpr size_t kPlaces = 256;
  std::array<uint64_t, kPlaces> places_{};
};

}  // namespace weir
