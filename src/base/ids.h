// UUIDs: version 7 for interceptions (RFC 9562 section 5.7: time-ordered), and the check that an initiator id is one.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

struct Uuid {
  std::array<uint8_t, 16> bytes{};

  bool operator==(const Uuid&) const = default;
  // Writes the 36 characters of the canonical lower-case form, no terminator.
  void format(char* out) const;
  std::string text() const;
};

inline constexpr size_t kUuidTextSize = 36;

// True for the 8-4-4-4-12 form in hexadecimal digits of either case, of any version.
bool is_uuid(std::string_view text);

// Makes UUIDv7s. Owned by one thread. Within one generator they strictly increase, also within a millisecond and when
// the clock steps back. Random bits come from a ChaCha/xoshiro generator seeded by getrandom(2).
class UuidGenerator {
 public:
  UuidGenerator();
  // `unix_us`: microseconds since the epoch, UTC.
  Uuid next(int64_t unix_us);

 private:
  uint64_t last_ms_ = 0;
  uint32_t counter_ = 0;
  std::array<uint64_t, 4> state_{};
};

// A random UUIDv4 from getrandom(2), for ids that tell nothing about time (`weir key add`).
Uuid random_uuid();

}  // namespace weir
