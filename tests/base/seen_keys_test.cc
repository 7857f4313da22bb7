#include "base/seen_keys.h"

#include <doctest/doctest.h>

namespace weir {

TEST_CASE("seen keys: each is new once") {
  SeenKeys seen;
  for (uint64_t key = 1; key <= 200; ++key) CHECK(seen.first(key));
  for (uint64_t key = 1; key <= 200; ++key) CHECK_FALSE(seen.first(key));
}

TEST_CASE("seen keys: two of one place forget each other, and nothing else") {
  SeenKeys seen;
  CHECK(seen.first(5));
  CHECK(seen.first(6));
  CHECK(seen.first(5 + 256));
  CHECK(seen.first(5));
  CHECK_FALSE(seen.first(6));
}

}  // namespace weir
