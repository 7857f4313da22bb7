// What reaches the provider and the client (spec section 4): everything, byte for byte, less what the rules take.
#include <algorithm>

#include "support.h"
#include "support/counted_new.h"

namespace weir::gateway::test {

namespace {

// Lower-case names that must not reach a provider, with any spelling of each.
const std::vector<std::string> kNeverForwarded = {
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "proxy-authorization: Basic eA==",
    "Proxy-Anything: x",
    "TE: trailers",
    "Trailer: X-T",
    "UPGRADE: websocket",
    "Expect: 100-continue",
    "X-Weir-Token: t",
    "x-coder-ai-governance-token: t",
    "X-Coder-AI-Governance-BYOK-Token: t",
    "X-CODER-AI-GOVERNANCE-REQUEST-ID: r",
    "X-Coder-AI-Governance-Anything: r",
    "X-Weir-Request-Id: r",
    "X-Weir-Delegated-Key-Id: k",
    "x-weir-interception-id: spoofed",
    "X-Weir-New: 1",
    "X-Coder-AI-Gateway-Delegated-Key-ID: k",
    "X-Coder-AI-Gateway-New: 1",
    "X-AI-Bridge-Actor-ID: spoofed",
    "x-ai-bridge-actor-metadata-username: spoofed",
    "X-AI-Bridge-Actor-New: 1",
    "X-Api-Key: lost",
};
const std::vector<std::string> kAlwaysForwarded = {
    "User-Agent: x",
    "Content-Type: application/json",
    "anthropic-version: 2023-06-01",
    "Anthropic-Beta: a,b",
    "x-stainless-os: L",
    "X-Claude-Code-Session-Id: s",
    "Cookie: a=b; c=d",
    "Cookie: e=f",
    "X-Coder-Chat-Id: c",
    "X-Request-Id: theirs",
    "x-mIxEd: Kept As-Is",
    "X-Tabs: a\tb",
    "X-Weird: 1",
    "X-Weir: 1",
    "X-AI-Bridge: 1",
    "X-Coder-AI: 1",
    "Proxied: 1",
    "Content-Encoding: zstd",
    "ChatGPT-Account-Id: a",
    "session-id: s",
    "Via: 1.1 edge",
    "Forwarded: for=1.2.3.4",
    "Accept: */*",
    "Tea: 1",
};

std::string_view name_of(std::string_view line) {
  return line.substr(0, line.find(':'));
}

std::string written_response(const Policy& policy, const std::vector<std::string>& lines, DownstreamAnswer answer,
                             std::string_view status_line = "HTTP/1.1 200 OK") {
  std::string bytes(status_line);
  bytes += "\r\n";
  for (const std::string& line : lines) bytes += line + "\r\n";
  bytes += "\r\n";
  wire::ResponseHead head;
  const auto result = wire::parse_response_head(bytes, 0, 64 << 10, head);
  INFO(bytes);
  REQUIRE(result.status == wire::HeadStatus::complete);
  answer.head = &head;
  ByteBuffer out;
  write_response_head(policy.rules->program({.credential = CredentialKind::centralized}), rule_values(), answer, out);
  return std::string(out.view());
}

}  // namespace

TEST_CASE("forwarding: weir's own, hop-by-hop and lost headers never reach a provider") {
  const auto policy = make_policy();
  for (const std::string_view path : {"/openai/v1/responses", "/openai/v1/embeddings"}) {
    for (const std::string& line : kNeverForwarded) {
      INFO(line);
      const Request request("POST", path, {"A: 1", line, "X-Weir-Token: t", "Authorization: Bearer own", "B: 2"});
      const std::string upstream = pass(*policy, request).upstream;
      CHECK(value_of(upstream, name_of(line)) == "(absent)");
      CHECK(contains(upstream, "A: 1\r\n"));
      CHECK(contains(upstream, "Authorization: Bearer own\r\nB: 2\r\n"));
    }
  }
}

TEST_CASE("forwarding: look-alikes of what weir takes and writes go the same way, and mean nothing") {
  const auto policy = make_policy(
      "[[rule]]\nname = \"tag\"\nset = { \"x-team-name\" = \"{initiator.username}\", \"x_cost_center\" = \"7\" }\n"
      "strip = [\"x-internal-*\"]\n",
      "governance_headers = [\"X-Weir-Token\", \"X-Acme-Gateway\"]\n");
  std::vector<std::string> names = {"X-Acme-Gateway",    "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
                                    "Content-Length",    "Accept-Encoding", "X-Team-Name",      "X-Cost-Center",
                                    "Transfer-Encoding", "X-Internal-Id"};
  for (const std::string& line : kNeverForwarded) names.emplace_back(name_of(line));
  for (const std::string& name : names) {
    for (size_t dash = name.find('-'); dash != std::string::npos; dash = name.find('-', dash + 1)) {
      std::string one = name;
      one[dash] = '_';
      std::string all = name;
      std::ranges::replace(all, '-', '_');
      const Request request("POST", "/openai/v1/responses",
                            {"A: 1", one + ": spoofed", "X-Keep: 1", all + ": spoofed", "X-Api-Key: t"});
      const Passage passage = pass(*policy, request);
      INFO(one);
      CHECK(passage.entry.mode == AuthMode::centralized);
      CHECK(passage.entry.request_id.empty());
      CHECK(contains(passage.upstream, "\r\nA: 1\r\nX-Keep: 1\r\n"));
      CHECK_FALSE(contains(passage.upstream, "spoofed"));
      const Entry trusted = enter(*policy, {.trusted = true}, request.head);
      CHECK_FALSE(trusted.delegated);
    }
  }
  const Request only("POST", "/openai/v1/responses", {"X_Weir_Token: t", "X_Api_Key: t", "X-Weir_Delegated-Key-Id: k"});
  CHECK(enter(*policy, {.trusted = true}, only.head).refusal == Refusal::no_authentication_key);
}

TEST_CASE("forwarding: names with '_' that are nobody's look-alikes stay") {
  const auto policy = make_policy();
  const std::vector<std::string> lines = {
      "x_keep: kept", "X_Weirdness: kept", "session_id: s", "X_Weir: 1",         "_: 1",          "__: 1",
      "x_: 1",        "X_Coder_AI: 1",     "Te_: 1",        "Content_Type: a/b", "User_Agent: u", "anthropic_beta: a"};
  std::string expected;
  for (const std::string& line : lines) expected += line + "\r\n";
  std::vector<std::string> headers = lines;
  headers.emplace_back("X-Api-Key: t");
  const Request request("POST", "/openai/v1/responses", headers);
  CHECK(contains(pass(*policy, request).upstream, "\r\n" + expected));
}

TEST_CASE("forwarding: every other header goes on byte for byte and in order") {
  const auto policy = make_policy();
  std::vector<std::string> lines = kAlwaysForwarded;
  lines.emplace_back("Authorization: Bearer t");
  std::string expected;
  for (const std::string& line : kAlwaysForwarded) expected += line + "\r\n";
  for (const std::string_view path : {"/anthropic/v1/messages", "/anthropic/v1/models"}) {
    const Request request("POST", path, lines);
    CHECK(contains(pass(*policy, request).upstream, "\r\n" + expected));
  }
}

TEST_CASE("forwarding: a bridged request as a whole") {
  const auto policy = make_policy();
  const Request request("POST", "/anthropic/v1/messages?beta=true",
                        {"Content-Length: 9", "Accept-Encoding: gzip", "X-Api-Key: t", "Accept: */*",
                         "X-Forwarded-For: 10.0.0.1", "x-forwarded-host: h", "X-FORWARDED-PROTO: https", "A: 1"});
  CHECK(pass(*policy, request).upstream ==
        "POST /v1/messages?beta=true HTTP/1.1\r\nHost: api.anthropic.com\r\nAccept: */*\r\nA: 1\r\n"
        "X-Api-Key: sk-ant-operator-key\r\nContent-Length: 17\r\n\r\n");
}

TEST_CASE("forwarding: a passthrough request as a whole") {
  const auto policy = make_policy();
  const Request request("GET", "/openai/v1/models",
                        {"Accept-Encoding: gzip", "X-Api-Key: t", "X-Forwarded-For: 10.0.0.1", "A: 1",
                         "x-forwarded-for: 10.0.0.2, 10.0.0.3", "X-Forwarded-Host: h", "X-Forwarded-Proto: https"});
  CHECK(pass(*policy, request).upstream ==
        "GET /v1/models HTTP/1.1\r\nHost: api.openai.com\r\nAccept-Encoding: gzip\r\nA: 1\r\n"
        "X-Forwarded-For: 10.0.0.1, 10.0.0.2, 10.0.0.3, 192.0.2.7\r\nX-Forwarded-Host: gateway:4001\r\n"
        "X-Forwarded-Proto: http\r\nAuthorization: Bearer sk-operator-key\r\n\r\n");
}

TEST_CASE("forwarding: the client's address opens X-Forwarded-For; a Unix socket has none") {
  const auto policy = make_policy();
  const Request request("GET", "/openai/v1/models", {"X-Api-Key: t"});
  CHECK(value_of(pass(*policy, request).upstream, "X-Forwarded-For") == "192.0.2.7");
  RuleValues values = rule_values();
  values.client_address = {};
  values.client_tls = true;
  const std::string upstream = pass(*policy, request, {}, Verdict::allowed, values).upstream;
  CHECK(value_of(upstream, "X-Forwarded-For") == "(absent)");
  CHECK(value_of(upstream, "X-Forwarded-Proto") == "https");
}

TEST_CASE("forwarding: Connection takes away what it names, but not the credential") {
  const auto policy = make_policy();
  const Request request(
      "POST", "/openai/v1/responses",
      {"X-Hop: 1", "Connection: keep-alive, X-HOP,, authorization , host", "X-Weir-Token: t",
       "Authorization: Bearer own", "connection: x-other, content-length", "X-Other: 2", "X-Last: 3"});
  CHECK(pass(*policy, request).upstream ==
        "POST /v1/responses HTTP/1.1\r\nHost: api.openai.com\r\nAuthorization: Bearer own\r\nX-Last: 3\r\n"
        "Content-Length: 17\r\n\r\n");
  const Request central("POST", "/openai/v1/responses", {"Connection: Authorization", "Authorization: Bearer t"});
  CHECK(value_of(pass(*policy, central).upstream, "Authorization") == "Bearer sk-operator-key");
}

TEST_CASE("forwarding: white space around a value is not part of it") {
  const auto policy = make_policy();
  const Request request("POST", "/openai/v1/responses",
                        {"A:1", "B:\t2", "C: 3 ", "D:  4", "E:", "F: ", "G: 7", "X-Api-Key: t"});
  CHECK(contains(pass(*policy, request).upstream, "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: \r\nF: \r\nG: 7\r\n"));
}

TEST_CASE("forwarding: actor headers are sent only to a provider that wants them") {
  const auto policy = make_policy(
      "[[provider]]\nname = \"acting\"\ntype = \"openai\"\nkey = { env = \"WEIR_TEST_OPENAI_KEY\" }\n"
      "send_actor_headers = true\n");
  const std::vector<std::string> headers = {"X-Api-Key: t", "X-AI-Bridge-Actor-ID: spoofed"};
  const Request request("POST", "/acting/v1/responses", headers);
  const std::string upstream = pass(*policy, request).upstream;
  CHECK(value_of(upstream, "X-AI-Bridge-Actor-ID") == kInitiator);
  CHECK(value_of(upstream, "X-AI-Bridge-Actor-Metadata-Username") == "ada");
  const Request other("POST", "/openai/v1/responses", headers);
  CHECK(value_of(pass(*policy, other).upstream, "X-AI-Bridge-Actor-ID") == "(absent)");
}

TEST_CASE("forwarding: a value from outside cannot begin a header of its own") {
  const auto policy = make_policy(
      "[[provider]]\nname = \"acting\"\ntype = \"openai\"\nkey = { env = \"WEIR_TEST_OPENAI_KEY\" }\n"
      "send_actor_headers = true\n");
  RuleValues values = rule_values();
  values.username = "ada\r\nX-Api-Key: injected";
  const Request request("POST", "/acting/v1/responses", {"X-Api-Key: t"});
  const std::string upstream = pass(*policy, request, {}, Verdict::allowed, values).upstream;
  CHECK(value_of(upstream, "X-AI-Bridge-Actor-Metadata-Username") == "ada??X-Api-Key: injected");
  CHECK(value_of(upstream, "X-Api-Key") == "(absent)");
}

TEST_CASE("forwarding: an answer keeps status, reason and headers, less hop-by-hop") {
  const auto policy = make_policy();
  const std::vector<std::string> lines = {"Date: now",
                                          "Connection: x-hop, close",
                                          "retry-after: 3",
                                          "x-ratelimit-limit-requests: 5",
                                          "Set-Cookie: a=b",
                                          "Set-Cookie: c=d",
                                          "Transfer-Encoding: chunked",
                                          "X-Hop: 1",
                                          "Keep-Alive: x",
                                          "Proxy-Authenticate: x",
                                          "Trailer: x",
                                          "request-id: r",
                                          "Content-Type: a/b",
                                          "X-Weir-Interception-Id: spoofed"};
  CHECK(written_response(*policy, lines, {.framing = AnswerFraming::chunked, .interception_id = "int-9"},
                         "HTTP/1.1 429 Slow  down") ==
        "HTTP/1.1 429 Slow  down\r\nDate: now\r\nretry-after: 3\r\nx-ratelimit-limit-requests: 5\r\n"
        "Set-Cookie: a=b\r\nSet-Cookie: c=d\r\nrequest-id: r\r\nContent-Type: a/b\r\n"
        "X-Weir-Interception-Id: int-9\r\nTransfer-Encoding: chunked\r\n\r\n");
}

TEST_CASE("forwarding: the answer's framing is weir's") {
  const auto policy = make_policy();
  const std::vector<std::string> lines = {"Content-Length: 5", "A: 1"};
  CHECK(written_response(*policy, lines, {.content_length = 5, .write_content_length = true}) ==
        "HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 5\r\n\r\n");
  CHECK(written_response(*policy, lines, {.framing = AnswerFraming::close, .close = true, .http_1_0 = true}) ==
        "HTTP/1.1 200 OK\r\nA: 1\r\nConnection: close\r\n\r\n");
  CHECK(written_response(*policy, lines, {.content_length = 0, .write_content_length = true, .http_1_0 = true}) ==
        "HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
  CHECK(written_response(*policy, {}, {}, "HTTP/1.1 204 ") == "HTTP/1.1 204 \r\n\r\n");
}

TEST_CASE("forwarding: a warm request allocates nothing from entry to head") {
  const auto policy = make_policy();
  const Request request("POST", "/anthropic/v1/messages?beta=true",
                        {"User-Agent: claude-cli/2", "X-Weir-Token: t", "Authorization: Bearer own", "Connection: x-a",
                         "X-A: 1", "x-stainless-os: Linux", "X-Claude-Code-Session-Id: s"});
  const Identity identity = allowed_identity();
  const RuleValues values = rule_values();
  ByteBuffer out;
  out.reserve(4096);

  Caller caller;
  const size_t allocations = weir::test::allocations_of([&] {
    const Entry entry = enter(*policy, {}, request.head);
    const Admission admission = admit(*policy, entry, Verdict::allowed, identity, request.head);
    caller = identify_caller(request.head);
    UpstreamRequest upstream;
    upstream.head = &request.head;
    upstream.provider = entry.route.provider;
    upstream.path = entry.route.upstream_path;
    upstream.credential = &admission.credential;
    upstream.gateway_token = entry.token;
    write_request_head(policy->rules->program(program_key(entry, admission)), values, upstream, out);
  });

  CHECK(allocations == 0);
  CHECK(caller.session_id == "s");
  CHECK(contains(out.view(), "Authorization: Bearer own\r\n"));
}

}  // namespace weir::gateway::test
