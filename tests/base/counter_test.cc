#include "base/counter.h"

#include <doctest/doctest.h>

using namespace weir;

TEST_CASE("counter: every duration lies at or under its bucket's bound and over the one before") {
  for (uint64_t us : {0ull, 1ull, 127ull, 128ull, 129ull, 192ull, 193ull, 256ull, 257ull, 1000ull, 999'999ull,
                      1'000'000ull, 3'600'000'000ull, 6'442'450'944ull}) {
    CAPTURE(us);
    const size_t index = Histogram::index_of(us);
    REQUIRE(index < Histogram::kBounds);
    CHECK(us <= Histogram::bound_us(index));
    if (index > 0) CHECK(us > Histogram::bound_us(index - 1));
  }
}

TEST_CASE("counter: what is over the last bound counts in the bucket without one") {
  CHECK(Histogram::index_of(Histogram::bound_us(Histogram::kBounds - 1)) == Histogram::kBounds - 1);
  CHECK(Histogram::index_of(Histogram::bound_us(Histogram::kBounds - 1) + 1) == Histogram::kBounds);
  CHECK(Histogram::index_of(UINT64_MAX) == Histogram::kBounds);
}

TEST_CASE("counter: bounds grow by at most a half") {
  for (size_t i = 1; i < Histogram::kBounds; i++) {
    CHECK(Histogram::bound_us(i) > Histogram::bound_us(i - 1));
    CHECK(2 * Histogram::bound_us(i) <= 3 * Histogram::bound_us(i - 1));
  }
}

TEST_CASE("counter: a histogram adds up what it was given") {
  Histogram histogram;
  histogram.add_ns(150 * kNsPerUs);
  histogram.add_ns(2 * kNsPerSecond);
  uint64_t count = 0;
  for (size_t i = 0; i <= Histogram::kBounds; i++) count += histogram.bucket(i);
  CHECK(count == 2);
  CHECK(histogram.bucket(1) == 1);
  CHECK(histogram.sum_us() == 2'000'150);
}
