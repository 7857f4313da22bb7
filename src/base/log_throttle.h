// Lets one line through in each second (or another pause), so that a flood of refusals is no flood of log lines. What
// was held back is told with the next line. Owned by one thread; time is an argument.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace weir {

class LogThrottle {
 public:
  explicit LogThrottle(uint64_t pause_ns = kNsPerSecond) : pause_ns_(pause_ns) {}

  // How many were held back since the last line; nothing: this one is held back too.
  std::optional<uint64_t> pass(uint64_t now_ns) {
    if (now_ns < next_ns_) {
      held_back_++;
      return std::nullopt;
    }
    next_ns_ = now_ns + pause_ns_;
    const uint64_t count = held_back_;
    held_back_ = 0;
    return count;
  }

 private:
  uint64_t pause_ns_;
  uint64_t next_ns_ = 0;
  uint64_t held_back_ = 0;
};

}  // namespace weir
