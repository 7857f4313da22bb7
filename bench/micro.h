// What the micro-benchmarks share: rounds by the clock, the line that each prints, and --smoke.
//
//   PROGRAM [--smoke] [PART OF A NAME]
//
// A measurement prints the median and the fastest of many rounds of about a millisecond. --smoke, which ./dev test
// runs, calls each but twice and asks only whether the results are right: how fast they come is nothing that a test can
// say on a machine that does other work.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/clock.h"

namespace weir::bench {

// The compiler must assume that the value is used, and that memory has changed afterwards.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

// What one call does; for the figures that are printed.
struct Work {
  size_t units = 1;  // the time is given for one of them
  size_t bytes = 0;  // 0: no GB/s
};

class Micro {
 public:
  Micro(int count, char** arguments) {
    for (int i = 1; i < count; ++i) {
      if (const std::string_view argument = arguments[i]; argument == "--smoke") {
        smoke_ = true;
      } else {
        only_ = argument;
      }
    }
  }

  bool smoke() const { return smoke_; }
  bool wants(std::string_view name) const { return name.find(only_) != std::string_view::npos; }

  // `call` returns something that depends on its work. False: it was not asked for, and nothing is known of its result.
  template <class Call>
  bool measure(std::string_view name, Work work, Call&& call) {
    if (!wants(name)) return false;
    ran_++;
    keep(call());
    if (smoke_) {
      keep(call());
      return true;
    }
    const uint64_t once_ns = time(1, call);
    const uint64_t calls = std::max<uint64_t>(kRoundNs / std::max<uint64_t>(once_ns, 1), 1);
    std::vector<double> rounds;
    rounds.reserve(kRounds);
    for (int i = 0; i < kRounds; ++i) {
      rounds.push_back(static_cast<double>(time(calls, call)) / static_cast<double>(calls));
    }
    print(name, work, std::move(rounds));
    return true;
  }

  // Of a measurement that is made in another way than measure(): the time of a call in each round, ns.
  static void print(std::string_view name, Work work, std::vector<double> rounds) {
    std::ranges::sort(rounds);
    const double median = rounds[rounds.size() / 2];
    const auto units = static_cast<double>(work.units);
    fmt::print("{:<46} {:10.1f} ns (fastest {:10.1f})", name, median / units, rounds.front() / units);
    if (work.bytes > 0) fmt::print(", {:6.2f} GB/s", static_cast<double>(work.bytes) / median);
    fmt::print("\n");
  }

  // What holds whether it is fast or slow; said, and counted, when it does not.
  void check(bool holds, std::string_view what) {
    checked_++;
    if (holds) return;
    wrong_++;
    fmt::print("wrong: {}\n", what);
  }

  // For main(). A run that measured or checked nothing is a failure too: the name was misspelt.
  int finish() const {
    if (smoke_) fmt::print("{} measurements ran, {} of {} results wrong\n", ran_, wrong_, checked_);
    if (ran_ == 0) fmt::print("no measurement has \"{}\" in its name\n", only_);
    return wrong_ > 0 || ran_ == 0 || (smoke_ && checked_ == 0) ? 1 : 0;
  }

  // A measurement of another kind than measure() was made.
  void count_one() { ran_++; }

 private:
  static constexpr int kRounds = 101;
  static constexpr uint64_t kRoundNs = 1'000'000;

  template <class Call>
  static uint64_t time(uint64_t calls, Call& call) {
    const uint64_t begin = monotonic_ns();
    for (uint64_t i = 0; i < calls; ++i) keep(call());
    return monotonic_ns() - begin;
  }

  std::string_view only_;
  bool smoke_ = false;
  int ran_ = 0, checked_ = 0, wrong_ = 0;
};

}  // namespace weir::bench
