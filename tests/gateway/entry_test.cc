#include "support.h"

namespace weir::gateway::test {

namespace {

constexpr std::string_view kMessages = "/anthropic/v1/messages";
constexpr std::string_view kChat = "/openai/v1/chat/completions";

std::string symbol(Refusal refusal) {
  return refusal == Refusal::none ? "none" : std::string(row(refusal).symbol);
}

struct BearerCase {
  std::string_view authorization;
  std::string_view token;
};
constexpr BearerCase kBearers[] = {
    {"Bearer", ""},
    {"Bearer ", ""},
    {"token", ""},
    {"Basic x", ""},
    {"Bearer a b", ""},
    {"Bearer a\tb", ""},
    {"Bearerkey", ""},
    {"Bearers key", ""},
    {"", ""},
    {"   ", ""},
    {"Bearer key", "key"},
    {"BEARer key", "key"},
    {"bearer key", "key"},
    {"  Bearer key  ", "key"},
    {"\tbEARER\tkey\t", "key"},
    {"Bearer \t  key", "key"},
    {"Bearer k,e=y", "k,e=y"},
};

struct TokenCase {
  std::vector<std::string> headers;
  AuthMode mode;
  std::string_view token;  // empty: refused
};
const TokenCase kTokens[] = {
    // Governance header, then Authorization, then X-Api-Key.
    {{"X-Coder-AI-Governance-Token: g", "Authorization: Bearer a", "X-Api-Key: k"}, AuthMode::byok, "g"},
    {{"X-Api-Key: k", "Authorization: Bearer a", "X-Coder-AI-Governance-Token: g"}, AuthMode::byok, "g"},
    {{"X-Api-Key: k", "Authorization: Bearer a"}, AuthMode::centralized, "a"},
    {{"Authorization: Bearer a", "X-Api-Key: k"}, AuthMode::centralized, "a"},
    {{"X-Api-Key: k"}, AuthMode::centralized, "k"},
    {{"X-Api-Key:  k\t"}, AuthMode::centralized, "k"},
    // Each governance header, in any case.
    {{"X-Coder-AI-Governance-BYOK-Token: g"}, AuthMode::byok, "g"},
    {{"X-Weir-Token: g"}, AuthMode::byok, "g"},
    {{"x-weir-TOKEN:   g  "}, AuthMode::byok, "g"},
    {{"X-Weir-Token: g", "x-coder-ai-governance-token: g", "X-Coder-AI-Governance-BYOK-Token: g"}, AuthMode::byok, "g"},
    // A blank one means nothing.
    {{"X-Weir-Token:  \t ", "Authorization: Bearer a"}, AuthMode::centralized, "a"},
    {{"X-Weir-Token:", "X-Api-Key: k"}, AuthMode::centralized, "k"},
    {{"X-Weir-Token:", "X-Weir-Token: g"}, AuthMode::byok, "g"},
    // A malformed Authorization falls through; the first valid bearer of several counts.
    {{"Authorization: Basic dTpw", "X-Api-Key: k"}, AuthMode::centralized, "k"},
    {{"Authorization: Bearer", "X-Api-Key: k"}, AuthMode::centralized, "k"},
    {{"Authorization: Bearer a b", "X-Api-Key: k"}, AuthMode::centralized, "k"},
    {{"Authorization: Basic dTpw", "authorization: bearer second", "AUTHORIZATION: Bearer third"},
     AuthMode::centralized,
     "second"},
    {{"X-Api-Key:", "x-api-key: second"}, AuthMode::centralized, "second"},
    // None.
    {{}, AuthMode::centralized, ""},
    {{"Authorization: token"}, AuthMode::centralized, ""},
    {{"X-Api-Key:   "}, AuthMode::centralized, ""},
    {{"Cookie: session=1"}, AuthMode::centralized, ""},
    {{"X-Weir-Delegated-Key-Id: key-1"}, AuthMode::centralized, ""},  // not a trusted listener
};

}  // namespace

TEST_CASE("entry: a bearer is exactly two fields") {
  for (const auto& [authorization, token] : kBearers) {
    INFO("\"" << authorization << "\"");
    CHECK(bearer_token(authorization) == token);
  }
}

TEST_CASE("entry: the token is taken from the first of governance header, bearer and API key") {
  const auto policy = make_policy();
  for (const TokenCase& expected : kTokens) {
    const Request request("POST", kMessages, expected.headers);
    const Entry entry = enter(*policy, {}, request.head);
    INFO(doctest::toString(expected.headers.empty() ? "no headers" : expected.headers.front().c_str()));
    CHECK(entry.token == expected.token);
    CHECK(entry.mode == expected.mode);
    CHECK(symbol(entry.refusal) == (expected.token.empty() ? "no_authentication_key" : "none"));
    CHECK_FALSE(entry.delegated);
  }
}

TEST_CASE("entry: governance headers with different values are refused") {
  const auto policy = make_policy();
  const Request request("POST", kMessages, {"X-Weir-Token: one", "X-Coder-AI-Governance-Token: two"});
  CHECK(symbol(enter(*policy, {}, request.head).refusal) == "conflicting_governance");
  const Request twice("POST", kMessages, {"X-Weir-Token: one", "X-Weir-Token: two"});
  CHECK(symbol(enter(*policy, {}, twice.head).refusal) == "conflicting_governance");
  CHECK(row(Refusal::conflicting_governance).status == 400);
}

TEST_CASE("entry: governance headers are those of the configuration") {
  const auto policy = make_policy("", "governance_headers = [\"X-Acme-Gateway\", \"X-Weir-Token\"]\n");
  const Request own("POST", kMessages, {"x-acme-gateway: g", "X-Api-Key: k"});
  CHECK(enter(*policy, {}, own.head).mode == AuthMode::byok);
  const Request other("POST", kMessages, {"X-Coder-AI-Governance-Token: g", "X-Api-Key: k"});
  CHECK(enter(*policy, {}, other.head).mode == AuthMode::centralized);
  CHECK(enter(*policy, {}, other.head).token == "k");
}

TEST_CASE("entry: without a token a HEAD is told at info, everything else at warn") {
  const auto policy = make_policy();
  const Request head("HEAD", "/", {});
  const Entry probe = enter(*policy, {}, head.head);
  CHECK(symbol(probe.refusal) == "no_authentication_key");
  CHECK_FALSE(probe.warn);
  CHECK(probe.log_message == "unauthenticated HEAD request");
  const Request get("GET", "/anthropic/v1/models", {});
  CHECK(enter(*policy, {}, get.head).warn);
  CHECK(row(Refusal::no_authentication_key).text == "no authentication key provided");
}

TEST_CASE("entry: the request id is read from either header and trimmed") {
  const auto policy = make_policy();
  const Request theirs("POST", kMessages, {"X-Coder-AI-Governance-Request-Id:  r1 ", "X-Api-Key: k"});
  CHECK(enter(*policy, {}, theirs.head).request_id == "r1");
  const Request ours("POST", kMessages, {"x-weir-request-id: r2"});
  CHECK(enter(*policy, {}, ours.head).request_id == "r2");  // also of a request that is refused
  const Request blank("POST", kMessages, {"X-Coder-AI-Governance-Request-Id: ", "X-Weir-Request-Id: r3"});
  CHECK(enter(*policy, {}, blank.head).request_id == "r3");
  const Request none("POST", kMessages, {"X-Request-Id: provider's"});
  CHECK(enter(*policy, {}, none.head).request_id.empty());
}

TEST_CASE("entry: a delegated caller needs a trusted listener") {
  const auto policy = make_policy();
  for (const std::string name : {"X-Weir-Delegated-Key-Id", "x-coder-ai-gateway-delegated-key-id"}) {
    const Request request("POST", kMessages, {name + ": key-7"});
    const Entry entry = enter(*policy, {.trusted = true}, request.head);
    CHECK(symbol(entry.refusal) == "none");
    CHECK(entry.delegated);
    CHECK(entry.delegated_key_id == "key-7");
    CHECK(entry.token.empty());
    CHECK_FALSE(enter(*policy, {.trusted = false}, request.head).delegated);
  }
  const Request blank("POST", kMessages, {"X-Weir-Delegated-Key-Id:  "});
  CHECK(symbol(enter(*policy, {.trusted = true}, blank.head).refusal) == "no_authentication_key");
  const Request byok("POST", kMessages, {"X-Weir-Delegated-Key-Id: key-7", "X-Weir-Token: g", "X-Api-Key: own"});
  const Entry entry = enter(*policy, {.trusted = true}, byok.head);
  CHECK(entry.delegated);
  CHECK(entry.mode == AuthMode::byok);
  CHECK(entry.token == "g");
}

TEST_CASE("entry: the steps are judged in their order") {
  const auto policy = make_policy();
  const auto no_byok = make_policy("", "allow_byok = false\n");
  const Identity nobody = Identity::make("not-a-uuid", "ada", "k");
  const Request byok("POST", "/nowhere", {"X-Weir-Token: g", "X-Api-Key: own"});
  const Entry entry = enter(*no_byok, {}, byok.head);
  CHECK(symbol(admit(*no_byok, entry, Verdict::unreachable, nobody, byok.head).refusal) == "authorizer_unreachable");
  CHECK(symbol(admit(*no_byok, entry, Verdict::refused, nobody, byok.head).refusal) == "unauthorized");
  CHECK(symbol(admit(*no_byok, entry, Verdict::allowed, nobody, byok.head).refusal) == "byok_disabled");
  CHECK(symbol(admit(*policy, entry, Verdict::allowed, nobody, byok.head).refusal) == "initiator_invalid");
  CHECK(symbol(admit(*policy, entry, Verdict::allowed, allowed_identity(), byok.head).refusal) ==
        "route_not_supported");
}

TEST_CASE("entry: an unknown route names method and path as sent, without the query") {
  const auto policy = make_policy();
  const Request request("POST", "/openai/v1/fine_tuning?secret=1", {"Authorization: Bearer t"});
  Passage passage = pass(*policy, request);
  CHECK(symbol(passage.refusal()) == "route_not_supported");
  CHECK(passage.admission.detail == "POST /openai/v1/fine_tuning");
  const Admission moved = std::move(passage.admission);
  CHECK(moved.detail == "POST /openai/v1/fine_tuning");
}

TEST_CASE("entry: a wrong method on a bridged route is 405 with what is allowed") {
  const auto policy = make_policy();
  const Request request("GET", kChat, {"Authorization: Bearer t"});
  const Passage passage = pass(*policy, request);
  CHECK(symbol(passage.refusal()) == "method_not_allowed");
  CHECK(passage.admission.detail == "GET /openai/v1/chat/completions");
  CHECK(passage.entry.route.allow == "POST");
}

TEST_CASE("entry: WebSocket is refused on every known route, after the token") {
  const auto policy = make_policy();
  const std::vector<std::string> upgrade = {"Authorization: Bearer t", "Connection: keep-alive, Upgrade",
                                            "Upgrade: WebSocket"};
  for (const std::string_view path : std::initializer_list<std::string_view>{
           "/openai/v1/responses", kChat, kMessages, "/openai/v1/models", "/chatgpt/v1/responses"}) {
    INFO(path);
    const Request request("GET", path, upgrade);
    CHECK(symbol(pass(*policy, request).refusal()) == "websocket_not_supported");
    CHECK(symbol(pass(*policy, request, {}, Verdict::refused).refusal()) == "unauthorized");
  }
  const Request nowhere("GET", "/openai/v1/realtime", upgrade);
  CHECK(symbol(pass(*policy, nowhere).refusal()) == "route_not_supported");
}

TEST_CASE("entry: only a whole wish for WebSocket counts as one") {
  const auto policy = make_policy();
  const auto refusal = [&](const std::vector<std::string>& headers) {
    std::vector<std::string> all = {"X-Api-Key: t"};
    all.insert(all.end(), headers.begin(), headers.end());
    const Request request("POST", kMessages, all);
    return symbol(pass(*policy, request).refusal());
  };
  CHECK(refusal({"Connection: Upgrade", "Upgrade: websocket"}) == "websocket_not_supported");
  CHECK(refusal({"Upgrade: h2c, websocket", "Connection: close", "Connection: upgrade"}) == "websocket_not_supported");
  CHECK(refusal({"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA"}) == "none");
  CHECK(refusal({"Connection: Upgrade", "Upgrade: websockets"}) == "none");
  CHECK(refusal({"Connection: Upgrade", "Upgrade:"}) == "none");
  CHECK(refusal({"Connection: keep-alive", "Upgrade: websocket"}) == "none");
  CHECK(refusal({"Upgrade: websocket"}) == "none");
  CHECK(refusal({"Connection: upgrade"}) == "none");
  Request old("POST", kMessages, {"X-Api-Key: t", "Connection: Upgrade", "Upgrade: websocket"});
  old.head.minor_version = 0;
  CHECK(symbol(pass(*policy, old).refusal()) == "none");
}

TEST_CASE("entry: a client's probe is no news, another unknown path is") {
  const auto policy = make_policy();
  const auto warns = [&](std::string_view method, std::string_view path) {
    const Request request(method, path, {"X-Api-Key: t"});
    return enter(*policy, {}, request.head).warn;
  };
  for (const std::string_view path : {"/", "/anthropic", "/anthropic/api/hello", "/openai/v1", "/healthz",
                                      "/api/v2/ai-gateway/anthropic/api/hello", "/openai/v1/api/tags"}) {
    INFO(path);
    CHECK_FALSE(warns("HEAD", path));
    CHECK_FALSE(warns("GET", path));
    CHECK(warns("POST", path));
  }
  CHECK_FALSE(warns("HEAD", kMessages));
  CHECK(warns("GET", kMessages));
  CHECK(warns("GET", "/anthropic/v1/messages/x"));
  CHECK(warns("GET", "/anthropic/v1/models"));
}

TEST_CASE("entry: a malformed path is refused after the token is there, in the provider's shape") {
  const auto policy = make_policy();
  for (const std::string_view path :
       {"/anthropic/v1%2Fmessages", "/anthropic/../openai/v1/models", "/anthropic/%2e%2e/x", "/anthropic/v1\\messages",
        "/anthropic/v1/models/..;/organizations", "/anthropic/v1/models/.%3Bx/y"}) {
    INFO(path);
    const Request request("POST", path, {"X-Api-Key: t"});
    const Passage passage = pass(*policy, request);
    CHECK(symbol(passage.refusal()) == "malformed_target");
    CHECK_FALSE(passage.entry.detail.empty());
    CHECK(passage.entry.shape == ErrorShape::anthropic);
  }
  const Request anonymous("POST", "/anthropic/v1%2Fmessages", {});
  CHECK(symbol(pass(*policy, anonymous).refusal()) == "no_authentication_key");
}

TEST_CASE("entry: an identity keeps whole code points and refuses an id that does not fit") {
  const Identity identity = Identity::make(std::string(65, 'a'), std::string(254, 'u') + "é", std::string(200, 'k'));
  CHECK(identity.initiator_id().empty());
  CHECK(identity.username() == std::string(254, 'u'));
  CHECK(identity.api_key_id().size() == 128);
  CHECK(Identity::make(kInitiator, "ada", "").initiator_id() == kInitiator);
}

}  // namespace weir::gateway::test
