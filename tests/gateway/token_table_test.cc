#include "gateway/token_table.h"

#include "support.h"

namespace weir::gateway::test {

namespace {

TokenRow token_row(int number, int64_t expires_at_us = 0) {
  return {.key_id = "key-" + std::to_string(number),
          .token_sha256 = sha256("token-" + std::to_string(number)),
          .initiator_id = std::string(kInitiator),
          .username = "user-" + std::to_string(number),
          .expires_at_us = expires_at_us};
}

}  // namespace

TEST_CASE("tokens: each of many is found by token and by key id, and no other") {
  std::vector<TokenRow> rows;
  rows.reserve(500);
  for (int i = 0; i < 500; ++i) rows.push_back(token_row(i));
  const TokenTable table(rows);
  CHECK(table.size() == 500);
  for (int i = 0; i < 500; ++i) {
    const auto by_token = table.find_token(sha256("token-" + std::to_string(i)), 1);
    const auto by_key = table.find_key("key-" + std::to_string(i), 1);
    REQUIRE(by_token.verdict == Verdict::allowed);
    CHECK(by_token.identity->username() == "user-" + std::to_string(i));
    CHECK(by_token.identity->api_key_id() == "key-" + std::to_string(i));
    CHECK(by_token.identity == by_key.identity);
  }
  for (int i = 500; i < 1500; ++i) {
    CHECK(table.find_token(sha256("token-" + std::to_string(i)), 1).verdict == Verdict::refused);
    CHECK(table.find_key("key-" + std::to_string(i), 1).verdict == Verdict::refused);
  }
}

TEST_CASE("tokens: an empty table refuses everybody") {
  const TokenTable table({});
  CHECK(table.find_token(sha256("x"), 1).verdict == Verdict::refused);
  CHECK(table.find_key("", 1).verdict == Verdict::refused);
  CHECK(table.size() == 0);
}

TEST_CASE("tokens: digests that begin alike are told apart") {
  std::vector<TokenRow> rows;
  for (uint8_t last = 0; last < 20; ++last) {
    TokenRow row = token_row(last);
    row.token_sha256 = Digest{};
    row.token_sha256[31] = last;
    rows.push_back(row);
  }
  const TokenTable table(rows);
  for (uint8_t last = 0; last < 21; ++last) {
    Digest digest{};
    digest[31] = last;
    CHECK((table.find_token(digest, 1).verdict == Verdict::allowed) == (last < 20));
  }
}

TEST_CASE("tokens: one that has expired is refused from that microsecond on") {
  const TokenTable table({token_row(1, 1000)});
  CHECK(table.find_token(sha256("token-1"), 999).verdict == Verdict::allowed);
  CHECK(table.find_token(sha256("token-1"), 1000).verdict == Verdict::refused);
  CHECK(table.find_key("key-1", 999).verdict == Verdict::allowed);
  CHECK(table.find_key("key-1", 1001).verdict == Verdict::refused);
}

}  // namespace weir::gateway::test
