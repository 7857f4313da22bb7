// The gateway token where a client repeats it.
#include "gateway/token_copy.h"

#include "support.h"

namespace weir::gateway::test {

namespace {

constexpr std::string_view kToken = "weir_0123456789abcdefghijABCDEFGHIJ0123456789-_x";
// Of "me:" and of "" before the token.
constexpr std::string_view kBasic = "bWU6d2Vpcl8wMTIzNDU2Nzg5YWJjZGVmZ2hpakFCQ0RFRkdISUowMTIzNDU2Nzg5LV94";
constexpr std::string_view kBasicAlone = "d2Vpcl8wMTIzNDU2Nzg5YWJjZGVmZ2hpakFCQ0RFRkdISUowMTIzNDU2Nzg5LV94Og==";

std::string with_token(std::string text) {
  for (size_t at = text.find('@'); at != std::string::npos; at = text.find('@')) text.replace(at, 1, kToken);
  return text;
}

// What the provider gets of these headers; '@' stands for the token.
std::string forwarded(const std::vector<std::string>& lines, bool byok = false) {
  const auto policy = make_policy();
  std::vector<std::string> headers;
  headers.reserve(lines.size() + 2);
  for (const std::string& line : lines) headers.push_back(with_token(line));
  headers.push_back(with_token(byok ? "X-Weir-Token: @" : "Authorization: Bearer @"));
  if (byok) headers.emplace_back("Authorization: Bearer own-credential");
  const Request request("POST", "/openai/v1/responses", headers);
  const Passage passage = pass(*policy, request);
  REQUIRE(passage.refusal() == Refusal::none);
  CHECK_FALSE(contains(passage.upstream, kBasic));
  return passage.upstream;
}

}  // namespace

TEST_CASE("token copies: no header named like a credential's brings the token to a provider") {
  for (const std::string name :
       {"Api-Key", "api_key", "ApiKey", "X-Goog-Api-Key", "Ocp-Apim-Subscription-Key", "Coder-Session-Token",
        "X-Auth-Token", "Private-Token", "X-Secret", "X-Authorization", "X-Forwarded-Authorization", "X-Auth", "Auth",
        "X-Password", "X-Credential", "Cookie2", "X-JWT-Assertion", "X-Bearer"}) {
    for (const std::string value : {"@", "Bearer @", "token @", "Token token=@", "\"@\"", "me:@", "a, @", "@ b"}) {
      INFO(name << ": " << value);
      const std::string line = name + ": " + value;
      const std::string head = forwarded({"A: 1", line, "B: 2"});
      CHECK(contains(head, "A: 1\r\nB: 2\r\n"));
      CHECK_FALSE(contains(head, kToken));
      CHECK_FALSE(contains(forwarded({line}, /*byok=*/true), kToken));
    }
    for (const std::string_view basic : {kBasic, kBasicAlone}) {
      const std::string line = name + ": bAsIc " + std::string(basic);
      INFO(line);
      CHECK(contains(forwarded({"A: 1", line, "B: 2"}), "A: 1\r\nB: 2\r\n"));
    }
  }
}

TEST_CASE("token copies: what is no copy stays, byte for byte") {
  const std::vector<std::string> lines = {
      "Api-Key: another-key-of-mine-0123456789-0123456789-0123456789",
      "X-Goog-Api-Key:",
      "X-Auth: Basic " + std::string(kBasic).substr(0, 40),
      "X-Auth: Basic !!!",
      "X-Author: " + std::string(kToken.substr(1)),
      "X-Trace: " + std::string(kToken).substr(0, 47),
      "Cookie: a=b;c=d ;  e=f; g",
      "cookie: " + std::string(kToken.substr(1)) + "=1; a=\"b c\"",
  };
  std::string expected;
  for (const std::string& line : lines) expected += line == "X-Goog-Api-Key:" ? line + " \r\n" : line + "\r\n";
  CHECK(contains(forwarded(lines), expected));
  CHECK(contains(forwarded(lines, /*byok=*/true), expected));
}

TEST_CASE("token copies: a cookie whose value is the token goes, the others stay as they are") {
  struct Case {
    std::string_view sent;
    std::string_view kept;  // empty: no Cookie at all
  };
  const Case cases[] = {
      {"s=@", ""},
      {"@", ""},
      {"s=@;", ""},
      {" s=@ ; ", ""},
      {"s=@; t=@", ""},
      {"s=@; a=b", "a=b"},
      {"a=b; s=@", "a=b"},
      {"a=b; s=@; c=d", "a=b; c=d"},
      {"a=b;s=@;c=d;", "a=b;c=d;"},
      {"a=b ;  s=@;   c=\"d\"; e", "a=b ;   c=\"d\"; e"},
      {"a=b; s=\"@\"; c=d", "a=b; c=d"},
      {"a=b; s=Bearer%20@; c=d", "a=b; c=d"},
      {"a==b=; s==@", "a==b="},
      {"; a=b; s=@", "; a=b"},
  };
  for (const Case& expected : cases) {
    INFO(std::string(expected.sent));
    const std::string head = forwarded({"A: 1", "cOOkie: " + std::string(expected.sent), "B: 2", "Cookie: x=y"});
    const std::string cookie = expected.kept.empty() ? "" : "cOOkie: " + std::string(expected.kept) + "\r\n";
    INFO(head);
    CHECK(contains(head, "A: 1\r\n" + cookie + "B: 2\r\nCookie: x=y\r\n"));
  }
}

TEST_CASE("token copies: one behind a scheme is nobody's provider credential either") {
  const auto policy = make_policy();
  for (const std::string value :
       {"X-Api-Key: Bearer @", "X-Api-Key: \"@\"", "Authorization: Bearer \"@\"", "Authorization: Bearer me:@"}) {
    INFO(value);
    const Request request("POST", "/anthropic/v1/messages", {with_token("X-Weir-Token: @"), with_token(value)});
    CHECK(pass(*policy, request).refusal() == Refusal::credential_missing);
  }
}

TEST_CASE("token copies: a short token is a word of its own") {
  CHECK(holds_token("t", "t"));
  CHECK(holds_token("Bearer t", "t"));
  CHECK(holds_token("a \"t\"", "t"));
  CHECK(holds_token("xt t", "t"));
  CHECK_FALSE(holds_token("token", "t"));
  CHECK_FALSE(holds_token("a-t", "t"));
  CHECK_FALSE(holds_token("t_b", "t"));
  CHECK_FALSE(holds_token("anything", ""));
  CHECK_FALSE(holds_token("", "t"));
  CHECK(holds_token("Basic dTp0", "t"));          // "u:t"
  CHECK_FALSE(holds_token("Basic dTp0dA", "t"));  // "u:tt"
  CHECK_FALSE(holds_token("Basics dTp0", "t"));
}

}  // namespace weir::gateway::test
