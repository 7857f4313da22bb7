#include "record/crc32c.h"

#include <doctest/doctest.h>

#include <string>

namespace weir::record {

TEST_CASE("crc32c: gives the values of RFC 3720") {
  std::string ascending;
  for (int byte = 0; byte < 32; ++byte) ascending += static_cast<char>(byte);
  const std::string descending(ascending.rbegin(), ascending.rend());
  for (const auto function : {crc32c, crc32c_scalar}) {
    CHECK(function(0, std::string(32, '\0').data(), 32) == 0x8A9136AA);
    CHECK(function(0, std::string(32, '\xFF').data(), 32) == 0x62A8AB43);
    CHECK(function(0, ascending.data(), 32) == 0x46DD794E);
    CHECK(function(0, descending.data(), 32) == 0x113FDB5C);
    CHECK(function(0, "123456789", 9) == 0xE3069283);
    CHECK(function(0, "", 0) == 0);
  }
}

TEST_CASE("crc32c: the fast form equals the scalar one at every size and alignment") {
  std::string bytes(300, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 131 + i / 7);
  for (size_t from = 0; from < 9; ++from) {
    for (size_t size = 0; from + size <= bytes.size(); ++size) {
      if (size % 8 == 0) {
        REQUIRE(crc32c_lanes(7, bytes.data() + from, size) == crc32c_lanes_scalar(7, bytes.data() + from, size));
      }
      REQUIRE(crc32c(7, bytes.data() + from, size) == crc32c_scalar(7, bytes.data() + from, size));
    }
  }
}

TEST_CASE("crc32c: continues at every split") {
  const std::string text = "a record that is checksummed in two parts";
  const uint32_t whole = crc32c(0, text.data(), text.size());
  for (size_t at = 0; at <= text.size(); ++at) {
    CHECK(crc32c(crc32c(0, text.data(), at), text.data() + at, text.size() - at) == whole);
  }
}

}  // namespace weir::record
