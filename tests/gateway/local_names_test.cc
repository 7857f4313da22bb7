// What web pages may not call: the authorizer `none` and the admin endpoint.
#include "gateway/local_names.h"

#include "support.h"

namespace weir::gateway::test {

namespace {

constexpr std::string_view kNone = "[authorizer]\nkind = \"none\"\n";
constexpr std::string_view kNoneWithHosts =
    "[authorizer]\nkind = \"none\"\nhosts = [\"weir.example\", \"vscode-app\", \"10.0.0.9\"]\n";

// Not Request: that has a Host of its own.
Refusal refusal_of(const Policy& policy, std::string_view bytes_before_end, const Origin& origin = {}) {
  static wire::RequestHead head;
  static std::string bytes;
  bytes = std::string(bytes_before_end) + "Authorization: Bearer t\r\n\r\n";
  INFO(bytes);
  REQUIRE(wire::parse_request_head(bytes, 0, 64 << 10, head).status == wire::HeadStatus::complete);
  const Entry entry = enter(policy, origin, head);
  if (entry.refusal == Refusal::foreign_host) CHECK_FALSE(entry.detail.empty());
  return entry.refusal;
}

std::string with_host(std::string_view host) {
  return "POST /anthropic/v1/messages HTTP/1.1\r\nHost: " + std::string(host) + "\r\n";
}

std::string with_origin(std::string_view origin) {
  return with_host("localhost:4001") + "origin: " + std::string(origin) + "\r\n";
}

}  // namespace

TEST_CASE("local names: without an authorizer only names of this machine are answered") {
  const auto policy = make_policy(kNone);
  for (const std::string_view host : {"localhost", "LocalHost:4001", "127.0.0.1", "127.0.0.1:4001", "127.255.0.9:1",
                                      "[::1]", "[::1]:4001", "[0:0:0:0:0:0:0:1]:4001", "[::ffff:127.0.0.1]:4001"}) {
    CHECK(refusal_of(*policy, with_host(host)) == Refusal::none);
  }
  for (const std::string_view host :
       {"evil.example", "evil.example:4001", "localhost.evil.example", "localhost.", "127.0.0.1.evil.example", "127.1",
        "2130706433", "0.0.0.0:4001", "0.0.0.0", "10.0.0.1", "[::]", "[::2]:4001", "[::ffff:10.0.0.1]", "127.0.0.1.",
        "localhos", "xlocalhost", "weir.example"}) {
    CHECK(refusal_of(*policy, with_host(host)) == Refusal::foreign_host);
    CHECK(refusal_of(*policy, with_host(host), {.unix_socket = true}) == Refusal::none);
  }
}

TEST_CASE("local names: a page of another place may not call") {
  const auto policy = make_policy(kNone);
  for (const std::string_view origin :
       {"http://localhost", "http://localhost:3000", "https://127.0.0.1:8443", "http://[::1]:3000"}) {
    CHECK(refusal_of(*policy, with_origin(origin)) == Refusal::none);
  }
  for (const std::string_view origin :
       {"https://evil.example", "http://evil.example:4001", "null", "", "localhost", "https://localhost.evil.example",
        "vscode-file://vscode-app", "https://", "http://localhost, https://evil.example"}) {
    CHECK(refusal_of(*policy, with_origin(origin)) == Refusal::foreign_origin);
  }
  CHECK(refusal_of(*policy, with_origin("http://localhost") + "Origin: https://evil.example\r\n") ==
        Refusal::foreign_origin);
}

TEST_CASE("local names: the configuration adds some") {
  const auto policy = make_policy(kNoneWithHosts);
  for (const std::string_view host : {"weir.example", "WEIR.example:4001", "10.0.0.9:4001", "localhost"}) {
    CHECK(refusal_of(*policy, with_host(host)) == Refusal::none);
  }
  CHECK(refusal_of(*policy, with_host("x.weir.example")) == Refusal::foreign_host);
  CHECK(refusal_of(*policy, with_host("10.0.0.8")) == Refusal::foreign_host);
  CHECK(refusal_of(*policy, with_origin("vscode-file://vscode-app")) == Refusal::none);
  CHECK(refusal_of(*policy, with_origin("https://weir.example")) == Refusal::none);
  CHECK(refusal_of(*policy, with_origin("https://evil.example")) == Refusal::foreign_origin);
}

TEST_CASE("local names: the absolute form's name counts, and HTTP/1.0 needs none") {
  const auto policy = make_policy(kNone);
  CHECK(refusal_of(*policy, "GET http://evil.example/anthropic/v1/models HTTP/1.1\r\nHost: localhost\r\n") ==
        Refusal::foreign_host);
  CHECK(refusal_of(*policy, "GET http://localhost:4001/anthropic/v1/models HTTP/1.1\r\nHost: localhost\r\n") ==
        Refusal::none);
  CHECK(refusal_of(*policy, "GET /anthropic/v1/models HTTP/1.0\r\n") == Refusal::none);
  CHECK(refusal_of(*policy, "GET /anthropic/v1/models HTTP/1.0\r\nHost: evil.example\r\n") == Refusal::foreign_host);
}

TEST_CASE("local names: other authorizers ask for a token instead") {
  const auto policy = make_policy();
  CHECK(refusal_of(*policy, with_host("evil.example")) == Refusal::none);
  CHECK(refusal_of(*policy, with_origin("https://evil.example")) == Refusal::none);
}

TEST_CASE("local names: what was opened to other machines is called by its address") {
  const std::vector<std::string> names = {"metrics.example"};
  for (const std::string_view name :
       {"10.1.2.3:9100", "[fd00::7]:9100", "[fd00::7]", "metrics.example:1", "localhost"}) {
    INFO(std::string(name));
    CHECK(is_local_name(name, names, Addresses::any));
  }
  CHECK_FALSE(is_local_name("evil.example", names, Addresses::any));
  CHECK_FALSE(is_local_name("", names, Addresses::any));
  CHECK_FALSE(is_local_name(":80", names, Addresses::any));
  CHECK_FALSE(is_local_name("10.1.2.3:9100", names, Addresses::loopback));
}

}  // namespace weir::gateway::test
