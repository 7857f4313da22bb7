// How long a duration's way into a histogram takes, ns: the one of the metrics, which every exchange passes twice, and
// the finer one of weir-load, which must not disturb what it measures.
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

#include "base/counter.h"
#include "load/histogram.h"
#include "micro.h"

namespace {

using namespace weir;

constexpr size_t kDurations = 1024;

// From 1 µs to 1 s, as many in each power of two, in no order.
std::array<uint64_t, kDurations> durations() {
  std::array<uint64_t, kDurations> all{};
  uint64_t random = 42;
  for (uint64_t& ns : all) {
    random = random * 6364136223846793005 + 1442695040888963407;
    const uint64_t power = uint64_t{1000} << (random >> 33) % 20;
    ns = power + (random >> 20) % power;
  }
  return all;
}

}  // namespace

int main(int count, char** arguments) {
  bench::Micro micro(count, arguments);
  const auto all = durations();
  uint64_t sum_us = 0, max_ns = 0;
  for (const uint64_t ns : all) {
    sum_us += ns / kNsPerUs;
    max_ns = std::max(max_ns, ns);
  }

  auto metrics = std::make_unique<Histogram>();
  uint64_t calls = 0;
  const auto add_to_metrics = [&] {
    for (const uint64_t ns : all) metrics->add_ns(ns);
    return ++calls;
  };
  if (micro.measure("histogram of the metrics", {.units = kDurations}, add_to_metrics)) {
    uint64_t counted = 0;
    for (size_t i = 0; i <= Histogram::kBounds; ++i) counted += metrics->bucket(i);
    micro.check(counted == calls * kDurations, "every duration is in one bucket");
    micro.check(metrics->sum_us() == calls * sum_us, "the sum is that of the durations");
  }

  auto fine = std::make_unique<load::Histogram>();
  calls = 0;
  const auto add_to_fine = [&] {
    for (const uint64_t ns : all) fine->add(ns);
    return ++calls;
  };
  if (micro.measure("histogram of weir-load", {.units = kDurations}, add_to_fine)) {
    micro.check(fine->count() == calls * kDurations, "every duration is counted");
    micro.check(fine->max() == max_ns, "the greatest is remembered");
  }

  auto even = std::make_unique<load::Histogram>();
  for (uint64_t ns = 1; ns <= 100'000; ++ns) even->add(ns);
  uint64_t found = 0;
  if (micro.measure("its 99th percentile", {}, [&] { return found = even->percentile(0.99); })) {
    micro.check(found >= 98'000 && found <= 100'000, "the 99th percentile of 1 to 100,000 ns, within 1 %");
  }
  return micro.finish();
}
