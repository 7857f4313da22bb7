#include "base/log_throttle.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

using namespace weir;

TEST_CASE("throttle: one line a second, and the next tells what was held back") {
  LogThrottle throttle;
  const uint64_t start = 5 * kNsPerSecond;
  CHECK(throttle.pass(start) == 0);
  for (uint64_t i = 1; i < 100; i++) CHECK_FALSE(throttle.pass(start + i).has_value());
  CHECK_FALSE(throttle.pass(start + kNsPerSecond - 1).has_value());
  CHECK(throttle.pass(start + kNsPerSecond) == 100);
  CHECK(throttle.pass(start + 3 * kNsPerSecond) == 0);
}

TEST_CASE("throttle: threads that share one write one line, and none is lost from the count") {
  constexpr uint64_t kThreads = 4;
  constexpr uint64_t kCalls = 20'000;
  LogThrottle throttle;
  std::atomic<uint64_t> lines{0};
  std::atomic<uint64_t> told{0};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; t++) {
    threads.emplace_back([&] {
      for (uint64_t i = 0; i < kCalls; i++) {
        // Ten seconds pass, for all of them alike.
        if (const auto held_back = throttle.pass(kNsPerSecond + i * 10 * kNsPerSecond / kCalls)) {
          lines++;
          told += *held_back;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(lines.load() >= 1);
  CHECK(lines.load() <= 11);
  const auto rest = throttle.pass(100 * kNsPerSecond);
  REQUIRE(rest.has_value());
  CHECK(lines.load() + told.load() + *rest == kThreads * kCalls);
}
