// Lets one line through in each second (or another pause), so that a flood of refusals is no flood of log lines. What
// was held back is told with the next line. Any thread may use one: all workers share those of a reason. Time is an
// argument.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace weir {

class LogThrottle {
 public:
  static constexpr uint64_t kPauseNs = kNsPerSecond;

  explicit LogThrottle(uint64_t pause_ns = kPauseNs) : pause_ns_(pause_ns) {}
  // For those that one thread owns, in a list.
  LogThrottle(const LogThrottle& other) { *this = other; }
  LogThrottle& operator=(const LogThrottle& other) {
    pause_ns_ = other.pause_ns_;
    next_ns_.store(other.next_ns_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    held_back_.store(other.held_back_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    return *this;
  }

  // How many were held back since the last line; nothing: this one is held back too.
  std::optional<uint64_t> pass(uint64_t now_ns) {
    // Relaxed: the numbers guard no other memory. Of two threads at the same instant one writes the line.
    uint64_t next_ns = next_ns_.load(std::memory_order_relaxed);
    if (now_ns < next_ns || !next_ns_.compare_exchange_strong(next_ns, now_ns + pause_ns_, std::memory_order_relaxed)) {
      held_back_.fetch_add(1, std::memory_order_relaxed);
      return std::nullopt;
    }
    return held_back_.exchange(0, std::memory_order_relaxed);
  }

 private:
  uint64_t pause_ns_ = kPauseNs;
  std::atomic<uint64_t> next_ns_{0};
  std::atomic<uint64_t> held_back_{0};
};

}  // namespace weir
