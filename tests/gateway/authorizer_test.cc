#include "gateway/token_table.h"
#include "support.h"

namespace weir::gateway::test {

namespace {

AuthorizerReply read(uint16_t status, std::string_view body) {
  ByteBuffer padded;
  padded.append(body);
  padded.reserve(body.size() + 1);
  return read_authorizer_answer(status, padded.view());
}

std::string written(const AuthorizerRequest& request) {
  ByteBuffer out;
  write_authorizer_request(request, out);
  return std::string(out.view());
}

const std::string kId(kInitiator);

struct Case {
  uint16_t status;
  std::string body;
  Verdict verdict;
};
const Case kCases[] = {
    {200, R"({"id":")" + kId + R"(","username":"ada"})", Verdict::allowed},
    {201, R"({"initiator_id":")" + kId + R"(","username":"ada","api_key_id":"k"})", Verdict::allowed},
    {200, R"({"id":")" + kId + R"(","username":"ada","api_key_id":null,"roles":[{"id":1}],"x":{}})", Verdict::allowed},
    {401, "", Verdict::refused},
    {403, "{}", Verdict::refused},
    {404, R"({"id":")" + kId + R"(","username":"ada"})", Verdict::refused},
    {200, "", Verdict::unreachable},
    {200, "[]", Verdict::unreachable},
    {200, "null", Verdict::unreachable},
    {200, "<html>", Verdict::unreachable},
    {200, "{", Verdict::unreachable},
    {200, R"({"id":")" + kId + R"("})", Verdict::unreachable},
    {200, R"({"username":"ada"})", Verdict::unreachable},
    {200, R"({"id":"42","username":"ada"})", Verdict::allowed},  // and then refused at the entry: no UUID
    {200, R"({"id":"","username":"ada"})", Verdict::unreachable},
    {200, R"({"id":42,"username":"ada"})", Verdict::unreachable},
    {200, R"({"id":")" + kId + R"(","username":["ada"]})", Verdict::unreachable},
    {204, "", Verdict::unreachable},
    {301, R"({"id":")" + kId + R"(","username":"ada"})", Verdict::unreachable},
    {400, "{}", Verdict::unreachable},
    {429, "{}", Verdict::unreachable},
    {500, "{}", Verdict::unreachable},
    {503, "", Verdict::unreachable},
};

}  // namespace

TEST_CASE("authorizer: what each answer means") {
  for (const Case& expected : kCases) {
    INFO(expected.status << " " << expected.body);
    const AuthorizerReply reply = read(expected.status, expected.body);
    CHECK(reply.verdict == expected.verdict);
    CHECK(reply.why.empty() == (expected.verdict == Verdict::allowed));
    CHECK(reply.identity.initiator_id().empty() == (expected.verdict != Verdict::allowed));
  }
}

TEST_CASE("authorizer: an answer becomes an identity") {
  const AuthorizerReply reply =
      read(200, R"({"id":"k-1","initiator_id":")" + kId + R"(","username":"ad\u00e1","api_key_id":"key-9"})");
  CHECK(reply.identity.initiator_id() == kId);
  CHECK(reply.identity.username() == "ad\xc3\xa1");
  CHECK(reply.identity.api_key_id() == "key-9");
}

TEST_CASE("authorizer: a token is asked about in the configured header") {
  CHECK(written({.authority = "auth.local:8080", .path = "/check?x=1", .token = "tok"}) ==
        "GET /check?x=1 HTTP/1.1\r\nHost: auth.local:8080\r\nAccept: application/json\r\nUser-Agent: weir\r\n"
        "Authorization: Bearer tok\r\n\r\n");
  const std::string theirs =
      written({.authority = "a", .path = "/api/v2/users/me", .token = "tok", .header = "Coder-Session-Token: {token}"});
  CHECK(contains(theirs, "\r\nCoder-Session-Token: tok\r\n\r\n"));
  CHECK_FALSE(contains(theirs, "Authorization"));
  CHECK(written({.authority = "a", .token = "t"}).starts_with("GET / HTTP/1.1\r\n"));
}

TEST_CASE("authorizer: a delegated key id is asked about by its own header, without a token") {
  const std::string request = written({.authority = "a", .path = "/p", .token = "tok", .delegated_key_id = "key-1"});
  CHECK(contains(request, "\r\nX-Weir-Delegated-Key-Id: key-1\r\n\r\n"));
  CHECK_FALSE(contains(request, "tok"));
}

}  // namespace weir::gateway::test
