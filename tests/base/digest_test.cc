#include "base/digest.h"

#include <doctest/doctest.h>

namespace {

using namespace weir;

TEST_CASE("digest: SHA-256 of the examples of FIPS 180-4") {
  CHECK(to_hex(sha256("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(to_hex(sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(to_hex(sha256(std::string(1'000'000, 'a'))) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("digest: the UUID of a name is that of RFC 9562's example, and has version and variant") {
  const Uuid dns = {{0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}};
  CHECK(uuid_of_name(dns, "www.example.com").text() == "2ed6657d-e927-568b-95e1-2665a8aea6a2");
  CHECK(uuid_of_name(dns, "").text()[14] == '5');
  CHECK(uuid_of_name(dns, "a") != uuid_of_name(dns, "b"));
  CHECK(uuid_of_name(dns, "a") != uuid_of_name({}, "a"));
}

TEST_CASE("digest: hexadecimal digits of either case come back") {
  const Digest digest = sha256("weir");
  std::string hex = to_hex(digest);
  CHECK(digest_from_hex(hex) == digest);
  for (char& c : hex) c = static_cast<char>(c >= 'a' ? c - 0x20 : c);
  CHECK(digest_from_hex(hex) == digest);
}

TEST_CASE("digest: other texts are none") {
  const std::string hex = to_hex(sha256("weir"));
  CHECK_FALSE(digest_from_hex("").has_value());
  CHECK_FALSE(digest_from_hex(hex.substr(1)).has_value());
  CHECK_FALSE(digest_from_hex(hex + "0").has_value());
  CHECK_FALSE(digest_from_hex("g" + hex.substr(1)).has_value());
  CHECK_FALSE(digest_from_hex(hex.substr(1) + " ").has_value());
}

TEST_CASE("digest: equal means every byte") {
  const Digest digest = sha256("weir");
  for (size_t i = 0; i < digest.size(); ++i) {
    Digest other = digest;
    other[i] ^= 1;
    CHECK_FALSE(equal_in_constant_time(digest, other));
  }
  CHECK(equal_in_constant_time(digest, sha256("weir")));
}

}  // namespace
