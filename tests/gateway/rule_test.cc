// The operator's [[rule]]s: what they do, and what the compiler refuses.
#include <algorithm>

#include "support.h"

namespace weir::gateway::test {

namespace {

std::string rule(std::string_view body) {
  return "\n[[rule]]\nname = \"mine\"\n" + std::string(body) + "\n";
}

std::string upstream(const Policy& policy, std::string_view path, const std::vector<std::string>& headers) {
  const Request request("POST", path, headers);
  return pass(policy, request).upstream;
}

struct Refused {
  std::string_view body;
  std::string_view reason;  // a part of the message
};
const Refused kRefused[] = {
    // Framing.
    {R"(strip = ["Host"])", "would break framing"},
    {R"(strip = ["content-LENGTH"])", "would break framing"},
    {R"(strip = ["Transfer-Encoding"])", "would break framing"},
    {R"(strip = ["Connection"])", "would break framing"},
    {R"(strip = ["te"])", "would break framing"},
    {R"(strip = ["con*"])", "Content-Length"},
    {R"(strip = ["c*"])", "would break framing"},
    {R"(strip = ["content-encoding"])", "would break framing"},
    {R"(set = { "Host" = "evil" })", "would break framing"},
    {R"(set = { "Content-Length" = "0" })", "would break framing"},
    {R"(add = { "transfer-encoding" = "chunked" })", "would break framing"},
    {R"(add = { "Connection" = "x" })", "would break framing"},
    {R"(set = { "Upgrade" = "h2c" })", "would break framing"},
    {"on = \"response\"\nstrip = [\"content-length\"]", "would break framing"},
    {"on = \"response\"\nset = { \"Transfer-Encoding\" = \"chunked\" }", "would break framing"},
    {"on = \"response\"\nadd = { \"Content-Encoding\" = \"gzip\" }", "would break framing"},
    // The chosen credential.
    {R"(strip = ["Authorization"])", "would drop the chosen credential"},
    {R"(strip = ["X-Api-Key"])", "would drop the chosen credential"},
    {R"(strip = ["x-*"])", "would drop the chosen credential"},
    {R"(strip = ["auth*"])", "would drop the chosen credential"},
    {"when = { provider = \"anthropic\", auth = \"centralized\" }\nstrip = [\"x-api-key\"]",
     "X-Api-Key pays provider \"anthropic\""},
    {"when = { provider = \"anthropic\", credential_kind = \"personal_api_key\" }\nstrip = [\"Authorization\"]",
     "Authorization pays provider \"anthropic\" (auth byok, personal_api_key)"},
    {"when = { provider = \"anthropic\", credential_kind = \"personal_api_key\" }\nstrip = [\"x-api-key\"]",
     "X-Api-Key pays provider \"anthropic\" (auth byok, personal_api_key)"},
    {"when = { client = \"Claude Code\" }\nstrip = [\"authorization\"]", "would drop the chosen credential"},
    {R"(set = { "authorization" = "Bearer mine" })", "the chosen credential"},
    {R"(add = { "X-Api-Key" = "sk" })", "the chosen credential"},
    // The gateway token and weir's own names.
    {R"(set = { "x-token" = "{token}" })", "would forward a secret"},
    {R"(set = { "x-token" = "{gateway.token}" })", "would forward a secret"},
    {R"(add = { "x-pay" = "{credential}" })", "would forward a secret"},
    {R"(set = { "x-pay" = "{provider.key}" })", "would forward a secret"},
    {R"(set = { "X-Weir-Token" = "x" })", "is refused"},
    {R"(set = { "x-coder-ai-governance-token" = "x" })", "is refused"},
    {R"(add = { "X-AI-Bridge-Actor-ID" = "{initiator.id}" })", "send_actor_headers"},
    {R"(set = { "X-Acme-Token" = "x" })", "bears the gateway token"},
    {R"(set = { "Accept-Encoding" = "gzip" })", "bridged answers"},
    {"on = \"response\"\nstrip = [\"x-*\"]", "X-Weir-Interception-Id"},
    {"on = \"response\"\nset = { \"x-weir-interception-id\" = \"1\" }", "name of the record"},
    // Look-alikes of these.
    {R"(strip = ["content_length"])", "would break framing"},
    {R"(set = { "Transfer_Encoding" = "chunked" })", "would break framing"},
    {R"(strip = ["X_Api_Key"])", "would drop the chosen credential"},
    {R"(add = { "x_api_key" = "sk" })", "the chosen credential"},
    {R"(set = { "X_Weir-Token" = "x" })", "is refused"},
    {R"(set = { "X_Acme_Token" = "x" })", "bears the gateway token"},
    {"on = \"response\"\nset = { \"x_weir_interception_id\" = \"1\" }", "name of the record"},
    // Mistakes of form.
    {"", "does nothing"},
    {R"(strip = ["*"])", "is not a header name"},
    {R"(strip = ["x-*-y"])", "is not a header name"},
    {R"(strip = ["x y"])", "is not a header name"},
    {R"(strip = ["{connection}"])", "is not a header name"},
    {R"(set = { "x:y" = "1" })", "is not a header name"},
    {R"(set = { "" = "1" })", "is not a header name"},
    {R"(set = { "x-y" = "a\r\nb" })", "control character"},
    {R"(set = { "x-y" = "{nobody}" })", "is not known; a value may use {initiator.id}"},
    {R"(set = { "x-y" = "{body.size}" })", "is not known"},
    {R"(set = { "x-y" = "{initiator.id" })", "without a '}'"},
    {"when = { provider = \"antropic\" }\nstrip = [\"x-y\"]", "did you mean \"anthropic\"?"},
    {"when = { type = \"claude\" }\nstrip = [\"x-y\"]", "when.type must be anthropic, openai or copilot"},
    {"when = { route = \"bridge\" }\nstrip = [\"x-y\"]", "did you mean \"bridged\"?"},
    {"when = { auth = \"own\" }\nstrip = [\"x-y\"]", "when.auth must be centralized or byok"},
    {"when = { credential_kind = \"key\" }\nstrip = [\"x-y\"]", "when.credential_kind must be"},
    {"when = { client = \"Claude\" }\nstrip = [\"x-y\"]", "no client that weir tells apart"},
    {"when = { type = \"copilot\", auth = \"centralized\" }\nstrip = [\"x-y\"]", "never applies"},
    {"when = { auth = \"byok\", credential_kind = \"centralized\" }\nstrip = [\"x-y\"]", "never applies"},
    {"when = { provider = \"openai\", route = \"messages\" }\nstrip = [\"x-y\"]", "never applies"},
};

}  // namespace

TEST_CASE("rules: strip takes names and prefixes, in any case, from requests") {
  const auto policy = make_policy(rule(R"(strip = ["x-internal-*", "Cookie", "x-one", "user-agent"])"));
  const std::string head = upstream(*policy, "/openai/v1/responses",
                                    {"X-Internal-A: 1", "x-internal-b: 2", "COOKIE: c", "X-One: 1", "X-One-Two: stays",
                                     "User-Agent: u", "X-Internal: stays", "X-Api-Key: t"});
  for (const std::string_view gone : {"x-internal-a", "x-internal-b", "cookie", "x-one", "user-agent"}) {
    INFO(std::string(gone));
    CHECK(value_of(head, gone) == "(absent)");
  }
  CHECK(contains(head, "X-One-Two: stays\r\nX-Internal: stays\r\n"));
}

TEST_CASE("rules: a client's header that differs by '_' for '-' is taken for the rule's") {
  const auto policy = make_policy(
      rule("strip = [\"x-internal-*\", \"session-id\", \"x_old-name\"]\nset = { \"x-team-name\" = \"blue\" }"));
  const std::string head =
      upstream(*policy, "/openai/v1/responses",
               {"x_internal-a: 1", "X-INTERNAL_B: 2", "session_id: 3", "x-old_name: 4", "x_team_name: 5",
                "X-Team_Name: 6", "x-team-name: 7", "x_internal: stays", "x_team: stays", "X-Api-Key: t"});
  CHECK(head ==
        "POST /v1/responses HTTP/1.1\r\nHost: api.openai.com\r\nx_internal: stays\r\nx_team: stays\r\n"
        "Authorization: Bearer sk-operator-key\r\nContent-Length: 17\r\nx-team-name: blue\r\n\r\n");
}

TEST_CASE("rules: set replaces what the client sent, add leaves it") {
  const auto policy =
      make_policy(rule("set = { \"x-team\" = \"blue\", \"User-Agent\" = \"weir\" }\n"
                       "add = { \"x-tag\" = [\"one\", \"two\"] }"));
  const std::string head = upstream(*policy, "/openai/v1/responses",
                                    {"X-Team: red", "x-team: green", "User-Agent: u", "x-tag: zero", "X-Api-Key: t"});
  CHECK(values_of(head, "x-team") == std::vector<std::string>{"blue"});
  CHECK(values_of(head, "user-agent") == std::vector<std::string>{"weir"});
  CHECK(values_of(head, "x-tag") == std::vector<std::string>{"zero", "one", "two"});
}

TEST_CASE("rules: values are made of literals and placeholders") {
  const auto policy = make_policy(
      rule(R"(set = { "x-who" = "{initiator.username} <{initiator.id}>", "x-ids" = "{request.id}/{interception.id}",)"
           R"( "x-from" = "{client.address}", "x-brace" = "{{a}" })"));
  const std::string head = upstream(*policy, "/openai/v1/responses", {"X-Api-Key: t"});
  CHECK(value_of(head, "x-who") == "ada <" + std::string(kInitiator) + ">");
  CHECK(value_of(head, "x-ids") == "req-1/int-1");
  CHECK(value_of(head, "x-from") == "192.0.2.7");
  CHECK(value_of(head, "x-brace") == "{a}");
}

TEST_CASE("rules: a header whose placeholder has no value is left out, and the client's is gone all the same") {
  const auto policy = make_policy(rule(R"(set = { "x-who" = "user {initiator.username}" })"));
  const Request request("POST", "/openai/v1/responses", {"X-Api-Key: t", "X-Who: mallory"});
  RuleValues values = rule_values();
  values.username = {};
  CHECK(value_of(pass(*policy, request, {}, Verdict::allowed, values).upstream, "x-who") == "(absent)");
}

TEST_CASE("rules: each condition chooses") {
  struct Case {
    std::string_view when;
    bool messages, chat, models, own_key, own_bearer;  // of the five requests below
  };
  const Case cases[] = {
      {"provider = \"anthropic\"", true, false, false, true, true},
      {"type = \"openai\"", false, true, true, false, false},
      {"route = \"bridged\"", true, true, false, true, true},
      {"route = \"passthrough\"", false, false, true, false, false},
      {"route = \"messages\"", true, false, false, true, true},
      {"route = \"chat_completions\"", false, true, false, false, false},
      {"auth = \"centralized\"", true, true, true, false, false},
      {"auth = \"byok\"", false, false, false, true, true},
      {"credential_kind = \"centralized\"", true, true, true, false, false},
      {"credential_kind = \"personal_api_key\"", false, false, false, true, false},
      {"credential_kind = \"subscription\"", false, false, false, false, true},
      {"client = \"claude code\"", true, false, false, false, false},
      {"provider = \"anthropic\", auth = \"byok\", route = \"messages\"", false, false, false, true, true},
  };
  for (const Case& expected : cases) {
    INFO(std::string(expected.when));
    const auto policy = make_policy(
        rule("when = { " + std::string(expected.when) + " }\nset = { \"x-hit\" = \"yes\" }\nstrip = [\"x-a\"]"));
    const auto hit = [&](std::string_view path, std::vector<std::string> headers) {
      headers.emplace_back("X-A: 1");
      const std::string head = upstream(*policy, path, headers);
      const bool set = value_of(head, "x-hit") == "yes";
      CHECK(set == (value_of(head, "x-a") == "(absent)"));
      return set;
    };
    CHECK(hit("/anthropic/v1/messages", {"X-Api-Key: t", "User-Agent: claude-cli/2"}) == expected.messages);
    CHECK(hit("/openai/v1/chat/completions", {"X-Api-Key: t"}) == expected.chat);
    CHECK(hit("/openai/v1/models", {"X-Api-Key: t"}) == expected.models);
    CHECK(hit("/anthropic/v1/messages", {"X-Weir-Token: t", "X-Api-Key: own"}) == expected.own_key);
    CHECK(hit("/anthropic/v1/messages", {"X-Weir-Token: t", "Authorization: Bearer sk-ant-api03-own"}) ==
          expected.own_key);
    CHECK(hit("/anthropic/v1/messages", {"X-Weir-Token: t", "Authorization: Bearer own"}) == expected.own_bearer);
  }
}

TEST_CASE("rules: later ones have the last word") {
  const auto policy = make_policy(
      "\n[[rule]]\nname = \"first\"\nset = { \"x-team\" = \"one\", \"x-gone\" = \"1\" }\n"
      "[[rule]]\nname = \"second\"\nset = { \"x-team\" = \"two\" }\nstrip = [\"x-go*\"]\n"
      "[[rule]]\nname = \"third\"\nwhen = { client = \"Codex\" }\nset = { \"x-team\" = \"three\" }\n"
      "[[rule]]\nname = \"hide where from\"\nstrip = [\"X-Forwarded-*\"]\n");
  const std::string head = upstream(*policy, "/openai/v1/embeddings", {"X-Api-Key: t"});
  CHECK(values_of(head, "x-team") == std::vector<std::string>{"two"});
  CHECK(value_of(head, "x-gone") == "(absent)");
  CHECK(value_of(head, "X-Forwarded-For") == "(absent)");
  const Request codex("POST", "/openai/v1/embeddings", {"X-Api-Key: t", "User-Agent: codex/1"});
  CHECK(values_of(pass(*policy, codex).upstream, "x-team") == std::vector<std::string>{"three"});
}

TEST_CASE("rules: answers have rules of their own") {
  const auto policy = make_policy(rule(
      "on = \"response\"\nstrip = [\"x-envoy-*\", \"server\"]\nset = { \"x-served-by\" = \"weir {request.id}\" }"));
  const std::string bytes = "HTTP/1.1 200 OK\r\nServer: cloudflare\r\nX-Envoy-Time: 1\r\nA: 1\r\n\r\n";
  wire::ResponseHead head;
  REQUIRE(wire::parse_response_head(bytes, 0, 4096, head).status == wire::HeadStatus::complete);
  ByteBuffer out;
  write_response_head(policy->rules->program({.credential = CredentialKind::centralized}), rule_values(),
                      {.head = &head, .interception_id = "int-1"}, out);
  CHECK(out.view() == "HTTP/1.1 200 OK\r\nA: 1\r\nX-Weir-Interception-Id: int-1\r\nx-served-by: weir req-1\r\n\r\n");
  CHECK(value_of(upstream(*policy, "/openai/v1/responses", {"X-Api-Key: t"}), "x-served-by") == "(absent)");
}

TEST_CASE("rules: what would be wrong is refused with place, rule, reason and remedy") {
  for (const Refused& expected : kRefused) {
    INFO(std::string(expected.body));
    const auto policy = try_policy(rule(expected.body), "governance_headers = [\"X-Acme-Token\", \"X-Weir-Token\"]\n");
    REQUIRE_FALSE(policy.has_value());
    const std::string& message = policy.error().message;
    INFO(message);
    CHECK(message.starts_with("weir.toml:"));
    CHECK(contains(message, "rule \"mine\": "));
    CHECK(contains(message, expected.reason));
  }
}

TEST_CASE("rules: the place in a message is the rule's line") {
  const auto policy = try_policy(rule(R"(strip = ["Host"])"));
  REQUIRE_FALSE(policy.has_value());
  const auto lines = std::count(kProviders.begin(), kProviders.end(), '\n');
  CHECK(
      policy.error().message.starts_with("weir.toml:" + std::to_string(lines + 2) + ": rule \"mine\": strip \"Host\""));
}

TEST_CASE("rules: every mistake of a set is told at once") {
  const auto policy = try_policy(rule(R"(strip = ["Host", "authorization"])") +
                                 "[[rule]]\nname = \"other\"\nset = { \"TE\" = \"x\" }\n");
  REQUIRE_FALSE(policy.has_value());
  const std::string& message = policy.error().message;
  CHECK(std::count(message.begin(), message.end(), '\n') == 2);
  CHECK(contains(message, "rule \"other\": set TE would break framing"));
}

TEST_CASE("rules: what looks alike and is harmless is allowed") {
  for (const std::string_view body :
       {"when = { type = \"openai\" }\nstrip = [\"X-Api-Key\"]",
        "when = { provider = \"anthropic\", auth = \"centralized\" }\nstrip = [\"authorization\"]",
        "when = { provider = \"anthropic\", credential_kind = \"subscription\" }\nstrip = [\"X-Api-Key\"]",
        "when = { route = \"passthrough\" }\nset = { \"Accept-Encoding\" = \"gzip\" }",
        "strip = [\"x-weir-*\", \"x-coder-ai-governance-*\"]", "strip = [\"hosting\", \"contents\"]",
        "set = { \"Content-Type\" = \"application/json\" }", "on = \"response\"\nstrip = [\"authorization\"]",
        "on = \"response\"\nset = { \"x-api-key\" = \"none of your business\" }"}) {
    const auto policy = try_policy(rule(body));
    INFO(std::string(body));
    INFO((policy ? "" : policy.error().message));
    CHECK(policy.has_value());
  }
}

TEST_CASE("rules: explain tells what happens to each header, and why") {
  const auto policy = make_policy(rule("set = { \"x-team\" = \"{initiator.username}\" }\nstrip = [\"x-internal-*\"]"));
  const ProgramKey byok{.provider_index = 0,
                        .mode = AuthMode::byok,
                        .kind = RouteKind::bridged,
                        .api = Api::messages,
                        .credential = CredentialKind::personal_api_key};
  const std::string text = policy->rules->explain(*policy, byok);
  INFO(text);
  CHECK(
      contains(text, "provider anthropic (anthropic), auth byok, route bridged messages, credential personal_api_key"));
  for (const std::string_view word :
       {"x-internal-*", "mine (weir.toml:", "set to {initiator.username}", "Authorization", "kept where it stands",
        "(named by Connection)", "Transfer-Encoding", "X-Weir-Interception-Id", "(every other)",
        "the user's own credential, if it is not in X-Api-Key"}) {
    INFO(std::string(word));
    CHECK(contains(text, word));
  }
  ProgramKey central = byok;
  central.mode = AuthMode::centralized;
  central.credential = CredentialKind::centralized;
  const std::string other = policy->rules->explain(*policy, central);
  CHECK(contains(other, "set to {credential}"));
  CHECK_FALSE(contains(other, "kept where it stands"));
}

}  // namespace weir::gateway::test
