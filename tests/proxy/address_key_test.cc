// What stands for a client's address in limits.
#include "proxy/address_key.h"

#include <doctest/doctest.h>

#include <string>

namespace weir::proxy {
namespace {

std::string part(std::string_view address) {
  const auto parsed = io::parse_address(address);
  REQUIRE(parsed);
  std::array<char, 8> room;
  return std::string(limited_part(*parsed, room));
}

TEST_CASE("address key: an IPv4 address is itself, whatever its port") {
  CHECK(part("192.0.2.7:1") == part("192.0.2.7:65535"));
  CHECK(part("192.0.2.7:1") != part("192.0.2.8:1"));
  CHECK(part("192.0.2.7:1").size() == 4);
}

TEST_CASE("address key: an IPv6 address is its /64") {
  CHECK(part("[2001:db8:1:2::3]:1") == part("[2001:db8:1:2:ffff:ffff:ffff:ffff]:1"));
  CHECK(part("[2001:db8:1:2::3]:1") != part("[2001:db8:1:3::3]:1"));
}

TEST_CASE("address key: an IPv4 address in IPv6 is the IPv4 address") {
  CHECK(part("[::ffff:192.0.2.7]:1") == part("192.0.2.7:1"));
}

TEST_CASE("address key: a Unix socket has none") {
  CHECK(part("unix:/run/weir.sock").empty());
}

}  // namespace
}  // namespace weir::proxy
