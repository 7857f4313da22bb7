#include "base/ids.h"

#include <doctest/doctest.h>

#include <set>

namespace {

uint64_t timestamp_ms(const weir::Uuid& id) {
  uint64_t ms = 0;
  for (size_t i = 0; i < 6; ++i) ms = ms << 8 | id.bytes[i];
  return ms;
}

TEST_CASE("ids: a v7 id carries its milliseconds, version and variant") {
  weir::UuidGenerator generator;
  const weir::Uuid id = generator.next(1763776620123456);
  CHECK(timestamp_ms(id) == 1763776620123);
  CHECK((id.bytes[6] >> 4) == 7);
  CHECK((id.bytes[8] >> 6) == 2);
  CHECK(id.text()[14] == '7');
  CHECK(weir::is_uuid(id.text()));
}

TEST_CASE("ids: format is the canonical lower-case text") {
  weir::Uuid id;
  for (size_t i = 0; i < 16; ++i) id.bytes[i] = static_cast<uint8_t>(i * 0x11);
  CHECK(id.text() == "00112233-4455-6677-8899-aabbccddeeff");
}

TEST_CASE("ids: within a millisecond, and when the clock steps back, they strictly increase") {
  weir::UuidGenerator generator;
  weir::Uuid last = generator.next(5'000'000'000);
  size_t wrong = 0;
  for (int i = 0; i < 200'000; ++i) {
    const int64_t us = 5'000'000'000 + (i % 1000 == 0 ? i * 10 : -i);
    const weir::Uuid id = generator.next(us);
    if (!(last.bytes < id.bytes)) ++wrong;
    last = id;
  }
  CHECK(wrong == 0);
}

TEST_CASE("ids: text order is time order") {
  weir::UuidGenerator generator;
  std::string last;
  for (int64_t ms = 1; ms < 2000; ++ms) {
    const std::string text = generator.next(ms * 1000).text();
    REQUIRE(last < text);
    last = text;
  }
}

TEST_CASE("ids: two generators do not make the same ids") {
  weir::UuidGenerator a;
  weir::UuidGenerator b;
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    seen.insert(a.next(1000).text());
    seen.insert(b.next(1000).text());
  }
  CHECK(seen.size() == 2000);
}

TEST_CASE("ids: a time before the epoch is the epoch") {
  weir::UuidGenerator generator;
  CHECK(timestamp_ms(generator.next(-1)) == 0);
}

TEST_CASE("ids: random ids are version 4 and differ") {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const weir::Uuid id = weir::random_uuid();
    CHECK((id.bytes[6] >> 4) == 4);
    CHECK((id.bytes[8] >> 6) == 2);
    seen.insert(id.text());
  }
  CHECK(seen.size() == 1000);
}

TEST_CASE("ids: is_uuid takes either case and any version") {
  CHECK(weir::is_uuid("00112233-4455-6677-8899-aabbccddeeff"));
  CHECK(weir::is_uuid("00112233-4455-6677-8899-AABBCCDDEEFF"));
  CHECK(weir::is_uuid("00000000-0000-0000-0000-000000000000"));
}

TEST_CASE("ids: is_uuid refuses everything else") {
  for (const char* text : {"", "00112233445566778899aabbccddeeff", "{00112233-4455-6677-8899-aabbccddeeff}",
                           "00112233-4455-6677-8899-aabbccddeef", "00112233-4455-6677-8899-aabbccddeefff",
                           "00112233-4455-6677-8899-aabbccddeefg", "0011223-34455-6677-8899-aabbccddeeff",
                           "00112233_4455_6677_8899_aabbccddeeff", " 0112233-4455-6677-8899-aabbccddeeff",
                           "-0112233-4455-6677-8899-aabbccddeeff"}) {
    CHECK_FALSE(weir::is_uuid(text));
  }
  CHECK_FALSE(weir::is_uuid(std::string_view("00112233-4455-6677-8899-aabbccddeef\0", 36)));
}

}  // namespace
