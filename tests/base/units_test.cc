#include "base/units.h"

#include <doctest/doctest.h>

namespace {

using namespace weir;

TEST_CASE("units: sizes as people write them") {
  CHECK(parse_size("0") == 0u);
  CHECK(parse_size("512") == 512u);
  CHECK(parse_size("512B") == 512u);
  CHECK(parse_size("64KiB") == 65536u);
  CHECK(parse_size("64KB") == 64000u);
  CHECK(parse_size("32MiB") == 33554432u);
  CHECK(parse_size("2MB") == 2000000u);
  CHECK(parse_size("1GiB") == 1073741824u);
  CHECK(parse_size("3GB") == 3000000000u);
  CHECK(parse_size("18446744073709551615") == UINT64_MAX);
}

TEST_CASE("units: other texts are no sizes, and the message shows them") {
  for (const char* text : {"", "B", "KiB", "-1", "+1", " 1", "1 ", "1 KiB", "1.5MiB", "0x10", "1kib", "1K", "1TiB",
                           "18446744073709551616", "17179869184GiB", "99999999999999999999B"}) {
    const Result<uint64_t> size = parse_size(text);
    REQUIRE_FALSE(size.has_value());
    CHECK(size.error().message == fmt::format("\"{}\" is not a size such as \"512B\", \"64KiB\" or \"32MiB\"", text));
  }
}

TEST_CASE("units: durations as people write them") {
  CHECK(parse_duration("0") == 0u);
  CHECK(parse_duration("0s") == 0u);
  CHECK(parse_duration("7ns") == 7u);
  CHECK(parse_duration("250us") == 250'000u);
  CHECK(parse_duration("10ms") == 10'000'000u);
  CHECK(parse_duration("30s") == 30'000'000'000u);
  CHECK(parse_duration("5m") == 300'000'000'000u);
  CHECK(parse_duration("2h") == 7'200'000'000'000u);
  CHECK(parse_duration("30d") == 2'592'000'000'000'000u);
}

TEST_CASE("units: other texts are no durations") {
  for (const char* text :
       {"", "s", "30", "00", "-1s", "1.5s", "1 s", " 1s", "1S", "1min", "1w", "300000d", "99999999999999999999s"}) {
    CHECK_FALSE(parse_duration(text).has_value());
  }
}

TEST_CASE("units: rates are an hour's worth, and come back in the shortest exact form") {
  CHECK(parse_rate("0") == 0u);
  CHECK(parse_rate("20") == 72'000u);
  CHECK(parse_rate("20/s") == 72'000u);
  CHECK(parse_rate("100/m") == 6'000u);
  CHECK(parse_rate("7/h") == 7u);
  for (const char* text : {"", "/s", "-1", "1.5/s", "1 /s", "1/d", "1/", "6000000000000000000/s"}) {
    CHECK_FALSE(parse_rate(text).has_value());
  }
  CHECK(format_rate(0) == "0");
  CHECK(format_rate(72'000) == "20/s");
  CHECK(format_rate(6'000) == "100/m");
  CHECK(format_rate(7) == "7/h");
}

TEST_CASE("units: sizes come back in the shortest exact form") {
  CHECK(format_size(0) == "0");
  CHECK(format_size(1) == "1B");
  CHECK(format_size(65536) == "64KiB");
  CHECK(format_size(65537) == "65537B");
  CHECK(format_size(64000) == "64KB");
  CHECK(format_size(33554432) == "32MiB");
  CHECK(format_size(UINT64_MAX) == "18446744073709551615B");
}

TEST_CASE("units: durations come back in the shortest exact form") {
  CHECK(format_duration(0) == "0");
  CHECK(format_duration(1) == "1ns");
  CHECK(format_duration(250'000) == "250us");
  CHECK(format_duration(90'000'000'000) == "90s");
  CHECK(format_duration(86'400'000'000'000) == "1d");
}

TEST_CASE("units: waits are told in words, rounded up") {
  CHECK(format_wait(1) == "1 second");
  CHECK(format_wait(0) == "0 seconds");
  CHECK(format_wait(119) == "119 seconds");
  CHECK(format_wait(120) == "2 minutes");
  CHECK(format_wait(121) == "3 minutes");
  CHECK(format_wait(7199) == "120 minutes");
  CHECK(format_wait(7201) == "3 hours");
}

TEST_CASE("units: what is formatted parses to the same") {
  for (const uint64_t value : {0ul, 1ul, 999ul, 1000ul, 1024ul, 1500ul, 1ul << 20, 3600ul * 1000000000, UINT64_MAX}) {
    CHECK(parse_size(format_size(value)) == value);
    CHECK(parse_duration(format_duration(value)) == value);
  }
}

}  // namespace
