#include "cli/time_text.h"

#include <doctest/doctest.h>

using namespace weir::cli;

namespace {

constexpr int64_t kNow = 1'800'000'000'000'000;

int64_t moment(std::string_view text) {
  const auto read = parse_moment(text, kNow);
  REQUIRE(read);
  return *read;
}

}  // namespace

TEST_CASE("time: dates, moments with offsets, and how long ago") {
  CHECK(moment("2026-11-22") == 1'795'305'600'000'000);
  CHECK(moment("2026-11-22T01:02:03Z") == 1'795'309'323'000'000);
  CHECK(moment("2026-11-22 01:02:03Z") == 1'795'309'323'000'000);
  CHECK(moment("2026-11-22T01:02:03.5Z") == 1'795'309'323'500'000);
  CHECK(moment("2026-11-22T01:02:03.1234567Z") == 1'795'309'323'123'456);
  CHECK(moment("2026-11-22T03:02:03+02:00") == moment("2026-11-22T01:02:03Z"));
  CHECK(moment("2026-11-21T20:32:03-04:30") == moment("2026-11-22T01:02:03Z"));
  CHECK(moment("1h") == kNow - 3'600'000'000);
  CHECK(moment("7d") == kNow - 7 * 86'400'000'000);
}

TEST_CASE("time: what is no time is told") {
  for (const char* text :
       {"", "yesterday", "2026-13-01", "2026-02-30", "2026-11-22T", "2026-11-22T01:02", "2026-11-22T25:00:00Z",
        "2026-11-22T01:02:03", "2026-11-22T01:02:03.Z", "2026-11-22T01:02:03+0200", "2026-1-1", "1", "2026-11-22x"}) {
    CHECK_FALSE(parse_moment(text, kNow));
  }
}

TEST_CASE("time: formats") {
  CHECK(format_moment(1'795'309'323'500'000) == "2026-11-22 01:02:03");
  CHECK(format_rfc3339(1'795'309'323'500'000) == "2026-11-22T01:02:03.500000Z");
  CHECK(format_span(850) == "850us");
  CHECK(format_span(12'345) == "12ms");
  CHECK(format_span(3'250'000) == "3.2s");
  CHECK(format_span(250'000'000) == "4m10s");
}
