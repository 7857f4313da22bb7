// Limits for each address and initiator: buckets, counts, entries that are given away, several threads at once.
#include "gateway/limiter.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/clock.h"

namespace weir::gateway::test {

namespace {

constexpr uint64_t kNow = 1000 * kNsPerSecond;
constexpr uint64_t kKey = 0x0123456789abcdef;

// How many of `count` are let through at one instant.
uint32_t allowed(LimitTable& table, uint64_t key, const Bucket& bucket, uint32_t count, uint64_t now_ns) {
  uint32_t through = 0;
  for (uint32_t i = 0; i < count; i++) through += table.take(key, bucket, now_ns) == 0 ? 1u : 0u;
  return through;
}

}  // namespace

TEST_CASE("limiter: a rate is an interval; without a burst it is what comes in a second") {
  CHECK(Bucket::make(36'000, 0).interval_ns == 100 * kNsPerMs);
  CHECK(Bucket::make(36'000, 0).burst == 10);
  CHECK(Bucket::make(60, 0).burst == 1);
  CHECK(Bucket::make(60, 5).burst == 5);
  CHECK(Bucket::make(0, 5).interval_ns == 0);
}

TEST_CASE("limiter: no rate lets everything through") {
  LimitTable table(16);
  CHECK(allowed(table, kKey, {}, 1000, kNow) == 1000);
}

TEST_CASE("limiter: the burst comes at once, the next after an interval") {
  LimitTable table(16);
  const Bucket bucket = Bucket::make(36'000, 3);
  CHECK(allowed(table, kKey, bucket, 10, kNow) == 3);
  CHECK(table.take(kKey, bucket, kNow) == 100 * kNsPerMs);
  CHECK(table.take(kKey, bucket, kNow + 60 * kNsPerMs) == 40 * kNsPerMs);
  CHECK(allowed(table, kKey, bucket, 10, kNow + 100 * kNsPerMs) == 1);
  CHECK(allowed(table, kKey, bucket, 10, kNow + 10 * kNsPerSecond) == 3);
}

TEST_CASE("limiter: over a long time exactly the rate and the burst get through") {
  LimitTable table(16);
  const Bucket bucket = Bucket::make(36'000, 5);
  uint32_t through = 0;
  for (uint64_t t = 0; t < 100 * kNsPerSecond; t += 7 * kNsPerMs) {
    through += table.take(kKey, bucket, kNow + t) == 0 ? 1u : 0u;
  }
  CHECK(through >= 1000);
  CHECK(through <= 1005);
}

TEST_CASE("limiter: keys do not share a bucket") {
  LimitTable table(64);
  const Bucket bucket = Bucket::make(3600, 1);
  for (uint64_t i = 0; i < 16; i++) CHECK(table.take(kKey + (i << 40) + i, bucket, kNow) == 0);
  for (uint64_t i = 0; i < 16; i++) CHECK(table.take(kKey + (i << 40) + i, bucket, kNow) != 0);
}

TEST_CASE("limiter: so many at once and no more; one that leaves makes room") {
  LimitTable table(16);
  auto first = table.enter(kKey, 2, kNow);
  auto second = table.enter(kKey, 2, kNow);
  CHECK(first.count == 1);
  CHECK(second.count == 2);
  const auto third = table.enter(kKey, 2, kNow);
  CHECK(third.refused);
  CHECK(third.hold.index == LimitTable::Hold::kNone);
  table.leave(first.hold);
  table.leave(first.hold);  // once only
  CHECK(table.enter(kKey, 2, kNow).count == 2);
}

TEST_CASE("limiter: what is held is counted over all keys") {
  LimitTable table(64);
  CHECK(table.holds() == 0);
  LimitTable::Entered one = table.enter(1, 4, 1);
  LimitTable::Entered again = table.enter(1, 4, 1);
  LimitTable::Entered other = table.enter(2, 4, 1);
  CHECK(table.holds() == 3);
  table.leave(again.hold);
  table.leave(one.hold);
  table.leave(other.hold);
  CHECK(table.holds() == 0);
}

TEST_CASE("limiter: an entry that counts something is not given away; when all are in use nothing is limited") {
  LimitTable table(16);
  std::vector<LimitTable::Entered> held;
  for (uint64_t i = 1; i <= 16; i++) held.push_back(table.enter(i << 40, 1, kNow));
  for (const auto& entered : held) CHECK(entered.count == 1);
  const auto other = table.enter(uint64_t{99} << 40, 1, kNow);
  CHECK_FALSE(other.refused);
  CHECK(other.hold.index == LimitTable::Hold::kNone);
  CHECK(table.full_count() == 1);
  CHECK(table.enter(uint64_t{7} << 40, 1, kNow).refused);
  table.leave(held[3].hold);
  CHECK(table.enter(uint64_t{99} << 40, 1, kNow).count == 1);
}

TEST_CASE("limiter: an entry is given away once its bucket is full again") {
  LimitTable table(16);
  const Bucket bucket = Bucket::make(3600, 1);
  for (uint64_t i = 1; i <= 16; i++) CHECK(table.take(i << 40, bucket, kNow) == 0);
  CHECK(table.take(uint64_t{99} << 40, bucket, kNow) == 0);  // no place: not limited, and counted
  CHECK(table.full_count() == 1);
  CHECK(table.take(uint64_t{99} << 40, bucket, kNow + kNsPerSecond) == 0);
  CHECK(table.full_count() == 1);
  CHECK(table.take(uint64_t{99} << 40, bucket, kNow + kNsPerSecond) == kNsPerSecond);
}

TEST_CASE("limiter: threads together get no more than the burst") {
  LimitTable table(1024);
  const Bucket bucket = Bucket::make(3600, 1000);
  std::atomic<uint32_t> through{0};
  {
    std::vector<std::jthread> threads;
    threads.reserve(4);
    for (int i = 0; i < 4; i++) threads.emplace_back([&] { through += allowed(table, kKey, bucket, 1000, kNow); });
  }
  CHECK(through == 1000);
}

TEST_CASE("limiter: threads together never hold more than the limit, and all of it comes back") {
  LimitTable table(1024);
  constexpr uint32_t kMax = 3;
  std::atomic<uint32_t> holding{0};
  std::atomic<bool> exceeded{false};
  (void)table.enter(kKey, kMax, kNow);  // the entry is there: two first meetings at one instant may make two
  {
    std::vector<std::jthread> threads;
    threads.reserve(4);
    for (int i = 0; i < 4; i++) {
      threads.emplace_back([&] {
        for (int round = 0; round < 20'000; round++) {
          auto entered = table.enter(kKey, kMax, kNow);
          if (entered.refused) continue;
          if (holding.fetch_add(1) + 1 > kMax - 1) exceeded = true;
          holding.fetch_sub(1);
          table.leave(entered.hold);
        }
      });
    }
  }
  CHECK_FALSE(exceeded);
  CHECK(table.enter(kKey, kMax, kNow).count == 2);
}

TEST_CASE("limiter: threads with many keys in a crowded table neither lose nor invent a count") {
  LimitTable table(64);
  {
    std::vector<std::jthread> threads;
    threads.reserve(4);
    for (uint64_t t = 0; t < 4; t++) {
      threads.emplace_back([&table, t] {
        std::vector<LimitTable::Hold> held;
        for (uint64_t round = 0; round < 20'000; round++) {
          held.push_back(table.enter(((round * 7 + t) % 200 + 1) * 0x9E3779B97F4A7C15, 1000, kNow).hold);
          if (held.size() < 8) continue;
          for (auto& hold : held) table.leave(hold);
          held.clear();
        }
        for (auto& hold : held) table.leave(hold);
      });
    }
  }
  for (uint64_t key = 1; key <= 200; key++) {
    auto entered = table.enter(key * 0x9E3779B97F4A7C15, 1, kNow);
    CHECK(entered.count == 1);  // nothing is left of anybody
    table.leave(entered.hold);
  }
}

TEST_CASE("limiter: keys depend on the process") {
  const Limiter one(100);
  const Limiter other(100);
  CHECK(one.key_of("a") == one.key_of("a"));
  CHECK(one.key_of("a") != one.key_of("b"));
  CHECK(one.key_of("a") != other.key_of("a"));
}

}  // namespace weir::gateway::test
