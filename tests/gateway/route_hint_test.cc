// What the 404 of an unknown path says (spec section 9, "A wrong base URL").
#include "gateway/route_hint.h"

#include "support.h"

namespace weir::gateway::test {

namespace {

struct Case {
  std::string_view path;
  std::string_view route;  // empty: nothing is suggested
  std::string_view base;
};

constexpr Case kCases[] = {
    // Without the provider: what the client appends tells whose API it is.
    {"/v1/messages", "/anthropic/v1/messages", "/anthropic"},
    {"/messages", "/anthropic/v1/messages", "/anthropic/v1"},
    {"/v1/messages/count_tokens", "/anthropic/v1/messages/count_tokens", "/anthropic"},
    {"/v1/messages/batches/b1/results", "/anthropic/v1/messages/batches/b1/results", "/anthropic"},
    {"/v1/chat/completions", "/openai/v1/chat/completions", "/openai/v1"},
    {"/chat/completions", "/openai/v1/chat/completions", "/openai/v1"},
    {"/v1/responses", "/openai/v1/responses", "/openai/v1"},
    {"/responses", "/openai/v1/responses", "/openai/v1"},
    {"/v1/embeddings", "/openai/v1/embeddings", "/openai/v1"},
    {"/v1/models", "/openai/v1/models", "/openai/v1"},
    {"/v1/models/gpt-5.1", "/openai/v1/models/gpt-5.1", "/openai/v1"},
    // Without the version, or with it twice.
    {"/anthropic/messages", "/anthropic/v1/messages", "/anthropic/v1"},
    {"/anthropic/v1/v1/messages", "/anthropic/v1/messages", "/anthropic"},
    {"/anthropic/models", "/anthropic/v1/models", "/anthropic/v1"},
    {"/openai/chat/completions", "/openai/v1/chat/completions", "/openai/v1"},
    {"/openai/v1/v1/chat/completions", "/openai/v1/chat/completions", "/openai"},
    {"/openai/responses", "/openai/v1/responses", "/openai/v1"},
    {"/chatgpt/responses", "/chatgpt/v1/responses", "/chatgpt/v1"},
    {"/copilot/v1/chat/completions", "/copilot/chat/completions", "/copilot"},
    {"/copilot/messages", "/copilot/v1/messages", "/copilot/v1"},
    // A slash too many.
    {"/anthropic//v1/messages", "/anthropic/v1/messages", "/anthropic"},
    {"/openai/v1//responses", "/openai/v1/responses", "/openai/v1"},
    {"/anthropic/v1/messages/", "/anthropic/v1/messages", "/anthropic"},
    // Misspelt.
    {"/antropic/v1/messages", "/anthropic/v1/messages", "/anthropic"},
    {"/Anthropic/v1/messages", "/anthropic/v1/messages", "/anthropic"},
    {"/opnai/v1/responses", "/openai/v1/responses", "/openai/v1"},
    {"/oepnai/v1/chat/completions", "/openai/v1/chat/completions", "/openai/v1"},
    {"/chatpgt/v1/responses", "/chatgpt/v1/responses", "/chatgpt/v1"},
    {"/co-pilot/chat/completions", "/copilot/chat/completions", "/copilot"},
    {"/anthropic/v1/message", "/anthropic/v1/messages", "/anthropic"},
    {"/openai/v1/chat/completion", "/openai/v1/chat/completions", "/openai/v1"},
    {"/openai/v1/Responses", "/openai/v1/responses", "/openai/v1"},
    // At another provider's.
    {"/openai/v1/messages", "/anthropic/v1/messages", "/anthropic"},
    {"/anthropic/v1/chat/completions", "/openai/v1/chat/completions", "/openai/v1"},
    {"/anthropic/v1/responses", "/openai/v1/responses", "/openai/v1"},
    // Behind a prefix that somebody made up.
    {"/llm/v1/messages", "/anthropic/v1/messages", "/anthropic"},
    {"/api/v2/aigateway/anthropic/v1/messages", "/anthropic/v1/messages", "/anthropic"},
    {"/proxy/anthropic/v1/messages", "/anthropic/v1/messages", "/anthropic"},

    // Nothing that is near.
    {"/", "", ""},
    {"/anthropic", "", ""},
    {"/anthropic/v1", "", ""},
    {"/openai/v1/assistants", "", ""},
    {"/openai/v1/fine_tuning/models", "", ""},
    {"/openai/v1/organization/projects/models", "", ""},
    {"/openai/v1/threads/t1/messages", "", ""},
    {"/v1/threads/t1/messages", "", ""},
    {"/nowhere/at/all", "", ""},
    {"/favicon.ico", "", ""},
    {"/.well-known/oauth-authorization-server", "", ""},
    {"/mcp/x", "", ""},
    {"/v2/messages", "/anthropic/v1/messages", "/anthropic/v1"},
};

std::string said(const Policy& policy, std::string_view path, std::string_view host = "gw:4001", bool tls = false,
                 bool anthropic_client = false) {
  return describe(*policy.routes,
                  {.method = "POST", .path = path, .host = host, .tls = tls, .anthropic_client = anthropic_client});
}

std::string expected(std::string_view prefix, const Case& c) {
  std::string text = "POST " + std::string(prefix) + std::string(c.path);
  if (c.route.empty()) return text;
  return text + "; did you mean " + std::string(prefix) + std::string(c.route) + "? base URL: http://gw:4001" +
         std::string(prefix) + std::string(c.base);
}

}  // namespace

TEST_CASE("route hints: the nearest route, and the base URL that this client needs") {
  const auto policy = make_policy();
  for (const Case& c : kCases) {
    for (const std::string_view prefix : {"", "/api/v2/ai-gateway", "/api/v2/aibridge"}) {
      if (!prefix.empty() && c.path.starts_with("/api/")) continue;
      INFO(c.path);
      CHECK_FALSE(policy->routes->match(std::string(prefix) + std::string(c.path), wire::Method::post).found);
      CHECK(said(*policy, std::string(prefix) + std::string(c.path)) == expected(prefix, c));
    }
  }
}

TEST_CASE("route hints: each base URL is one with which the client's path is a route") {
  const auto policy = make_policy();
  for (const Case& c : kCases) {
    if (c.route.empty()) continue;
    INFO(c.path);
    // What the route has behind the base URL is what the client appends; nearly, where it misspells it.
    REQUIRE(c.route.starts_with(c.base));
    CHECK(policy->routes->match(c.route, wire::Method::post).found);
  }
}

TEST_CASE("route hints: a path of both APIs is that of the client's") {
  const auto policy = make_policy();
  CHECK(contains(said(*policy, "/v1/models", "h", false, true),
                 "did you mean /anthropic/v1/models? base URL: http://h/anthropic"));
  CHECK(contains(said(*policy, "/v1/models", "h"), "did you mean /openai/v1/models?"));
  const Request request("GET", "/v1/models", {"Anthropic-Version: 2023-06-01"});
  const MissingRoute missing = missing_route(request.head, "/v1/models", false);
  CHECK(missing.anthropic_client);
  CHECK(missing.host == "gateway:4001");
  CHECK(missing.method == "GET");
}

TEST_CASE("route hints: providers are those of the configuration") {
  const auto policy = make_policy(
      "[[provider]]\nname = \"team-claude\"\ntype = \"anthropic\"\nbase_url = \"https://api.anthropic.com\"\n"
      "[[provider]]\nname = \"openai-eu\"\ntype = \"openai\"\nbase_url = \"https://eu.api.openai.com/v1\"\n");
  CHECK(contains(said(*policy, "/team-claud/v1/messages"), "base URL: http://gw:4001/team-claude"));
  CHECK(contains(said(*policy, "/team-claude/messages"), "base URL: http://gw:4001/team-claude/v1"));
  CHECK(contains(said(*policy, "/openai-eu/responses"), "did you mean /openai-eu/v1/responses?"));
  CHECK(contains(said(*policy, "/openai_eu/v1/responses"), "did you mean /openai-eu/v1/responses?"));
  CHECK(contains(said(*policy, "/v1/messages"), "base URL: http://gw:4001/anthropic"));  // the first of the type
}

TEST_CASE("route hints: a subscription's backend is nobody's default") {
  set_operator_keys();
  auto config = parse_config(
      "[[provider]]\nname = \"chatgpt\"\ntype = \"openai\"\nbase_url = \"https://chatgpt.com/backend-api/codex\"\n"
      "[[provider]]\nname = \"azure\"\ntype = \"openai\"\nbase_url = \"https://x.openai.azure.com/openai/v1\"\n"
      "key = { env = \"WEIR_TEST_OPENAI_KEY\" }\n",
      "weir.toml");
  REQUIRE(config);
  const auto policy = build_policy(std::move(*config));
  REQUIRE(policy);
  CHECK(contains(said(**policy, "/v1/responses"), "did you mean /azure/v1/responses?"));
  CHECK(contains(said(**policy, "/chatgpt/responses"), "did you mean /chatgpt/v1/responses?"));
  CHECK(said(**policy, "/v1/messages") == "POST /v1/messages");  // there is no such provider
}

TEST_CASE("route hints: the base URL has the listener's scheme, and the client's name of the host") {
  const auto policy = make_policy();
  CHECK(said(*policy, "/v1/messages", "weir.corp", true).ends_with("base URL: https://weir.corp/anthropic"));
  CHECK(said(*policy, "/v1/messages", "").ends_with("base URL: /anthropic"));
  Request request("POST", "/v1/messages", {});
  const std::string long_host(300, 'h');
  request.head.headers[0].value = long_host;
  CHECK(missing_route(request.head, "/v1/messages", false).host.empty());
}

TEST_CASE("route hints: other APIs are named before a token is asked for") {
  const auto policy = make_policy();
  struct Foreign {
    std::string_view path;
    std::string_view api;
  };
  constexpr Foreign kForeign[] = {
      {"/v1beta/models/gemini-3-pro:generateContent", "Gemini"},
      {"/anthropic/v1beta/models/gemini-3-pro:streamGenerateContent", "Gemini"},
      {"/v1/models/gemini-3-pro:countTokens", "Gemini"},
      {"/v1/projects/p/locations/eu/publishers/anthropic/models/claude:streamRawPredict", "Vertex AI"},
      {"/model/anthropic.claude-v9/invoke-with-response-stream", "Amazon Bedrock"},
      {"/anthropic/model/eu.anthropic.claude/converse", "Amazon Bedrock"},
      {"/openai/deployments/gpt/chat/completions", "Azure OpenAI"},
      {"/api/chat", "Ollama"},
      {"/openai/api/generate", "Ollama"},
  };
  for (const Foreign& foreign : kForeign) {
    INFO(foreign.path);
    CHECK(foreign_api(foreign.path) == foreign.api);
    const Request anonymous("POST", foreign.path, {});
    CHECK(enter(*policy, {}, anonymous.head).refusal == Refusal::route_not_supported);
    CHECK(contains(said(*policy, foreign.path), "the " + std::string(foreign.api) + " API"));
  }
  for (const std::string_view path :
       {"/v1/messages", "/anthropic/v1/nothing", "/", "/api/hello", "/model/x", "/nowhere/invoke"}) {
    INFO(path);
    CHECK(foreign_api(path).empty());
    const Request anonymous("POST", path, {});
    CHECK(enter(*policy, {}, anonymous.head).refusal == Refusal::no_authentication_key);
  }
  // What is a route is one, whatever its name.
  const Request model("GET", "/openai/v1/models/x:countTokens", {});
  CHECK(enter(*policy, {}, model.head).refusal == Refusal::no_authentication_key);
}

TEST_CASE("route hints: a long path or one of many segments is told, cut, without a guess") {
  const auto policy = make_policy();
  const std::string long_path = "/" + std::string(60000, 'x') + "/v1/messages";
  const std::string text = said(*policy, long_path);
  CHECK(text.size() < 600);
  CHECK(text.ends_with("..."));
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "/a";
  CHECK(said(*policy, deep + "/v1/messages") == "POST " + deep + "/v1/messages");
  CHECK(foreign_api(long_path + ":generateContent").empty());
}

}  // namespace weir::gateway::test
