// The table of spec section 3.
#include "support.h"

namespace weir::gateway::test {

namespace {

struct Case {
  std::string_view path;
  std::string_view provider;  // empty: none
  std::string_view upstream;  // empty: no route
  Api api = Api::none;        // not none: bridged
};

constexpr Case kCases[] = {
    {"/anthropic/v1/messages", "anthropic", "/v1/messages", Api::messages},
    {"/anthropic/v1/models", "anthropic", "/v1/models"},
    {"/anthropic/v1/models/", "anthropic", "/v1/models/"},
    {"/anthropic/v1/models/claude-x", "anthropic", "/v1/models/claude-x"},
    {"/anthropic/v1/messages/count_tokens", "anthropic", "/v1/messages/count_tokens"},
    {"/anthropic/v1/messages/batches", "anthropic", "/v1/messages/batches"},
    {"/anthropic/v1/messages/batches/b1/results", "anthropic", "/v1/messages/batches/b1/results"},
    {"/anthropic/api/event_logging/batch", "anthropic", "/api/event_logging/batch"},
    {"/anthropic/v1/messages/", "anthropic", ""},
    {"/anthropic/v1/messages/count_tokens/x", "anthropic", ""},
    {"/anthropic/v1/modelsx", "anthropic", ""},
    {"/anthropic/v1/files", "anthropic", ""},
    {"/anthropic/api/event_logging", "anthropic", ""},
    {"/anthropic", "anthropic", ""},
    {"/anthropic/", "anthropic", ""},
    {"/anthropicx/v1/messages", "", ""},
    {"/Anthropic/v1/messages", "", ""},

    {"/openai/v1/chat/completions", "openai", "/chat/completions", Api::chat_completions},
    {"/openai/v1/responses", "openai", "/responses", Api::responses},
    {"/openai/v1/responses/resp_1", "openai", "/responses/resp_1"},
    {"/openai/v1/models", "openai", "/models"},
    {"/openai/v1/models/gpt", "openai", "/models/gpt"},
    {"/openai/v1/conversations", "openai", "/conversations"},
    {"/openai/v1/conversations/c/items", "openai", "/conversations/c/items"},
    {"/openai/v1/embeddings", "openai", "/embeddings"},
    {"/openai/v1/embeddings/x", "openai", ""},
    {"/openai/v1/chat/completions/x", "openai", ""},
    {"/openai/v1/fine_tuning/jobs", "openai", ""},
    {"/openai/v1", "openai", ""},
    {"/openai/chat/completions", "", ""},
    {"/openai", "", ""},

    {"/chatgpt/v1/responses", "chatgpt", "/responses", Api::responses},
    {"/chatgpt/v1/models", "chatgpt", "/models"},

    {"/copilot/chat/completions", "copilot", "/chat/completions", Api::chat_completions},
    {"/copilot/responses", "copilot", "/responses", Api::responses},
    {"/copilot/v1/messages", "copilot", "/v1/messages", Api::messages},
    {"/copilot/models", "copilot", "/models"},
    {"/copilot/models/gpt/policy", "copilot", "/models/gpt/policy"},
    {"/copilot/agents/swe/jobs", "copilot", "/agents/swe/jobs"},
    {"/copilot/mcp/x", "copilot", "/mcp/x"},
    {"/copilot/.well-known/oauth", "copilot", "/.well-known/oauth"},
    {"/copilot/_ping", "copilot", "/_ping"},
    {"/copilot/_ping/x", "copilot", ""},
    {"/copilot/agents", "copilot", ""},
    {"/copilot/responses/r1", "copilot", ""},
    {"/copilot/embeddings", "copilot", ""},

    {"/", "", ""},
    {"/healthz", "", ""},
    {"/v1/messages", "", ""},
};

std::string upstream_target(const Policy& policy, std::string_view target) {
  const Request request("POST", target, {"X-Weir-Token: t", "Authorization: Bearer own"});
  const std::string head = pass(policy, request).upstream;
  const size_t begin = head.find(' ') + 1;
  return head.substr(begin, head.find(' ', begin) - begin);
}

}  // namespace

TEST_CASE("routes: every path of the table, under each of the platform's prefixes") {
  const auto policy = make_policy();
  for (const Case& expected : kCases) {
    for (const std::string prefix : {"", "/api/v2/ai-gateway", "/api/v2/aibridge"}) {
      const std::string path = prefix + std::string(expected.path);
      INFO(path);
      const Route route = policy->routes->match(path, wire::Method::post);
      CHECK((route.provider == nullptr ? "" : route.provider->name) == expected.provider);
      CHECK(route.found == !expected.upstream.empty());
      CHECK(route.api == expected.api);
      if (!route.found) continue;
      CHECK(route.upstream_path == expected.upstream);
      CHECK((route.kind == RouteKind::bridged) == (expected.api != Api::none));
      CHECK(route.method_allowed);
    }
  }
}

TEST_CASE("routes: only the platform's own prefixes are taken off, and once") {
  const auto policy = make_policy();
  for (const std::string_view path :
       {"/api/v2/anthropic/v1/messages", "/api/v2/ai-gateway", "/api/v2/ai-gatewayx/anthropic/v1/messages",
        "/api/v2/ai-gateway/api/v2/ai-gateway/anthropic/v1/messages", "//anthropic/v1/messages", ""}) {
    INFO(path);
    CHECK(policy->routes->match(path, wire::Method::post).provider == nullptr);
  }
}

TEST_CASE("routes: bridged ones take POST only, passthrough ones every method that has a name") {
  const auto policy = make_policy();
  using wire::Method;
  for (const Method method :
       {Method::get, Method::head, Method::put, Method::patch, Method::del, Method::options, Method::other}) {
    const Route bridged = policy->routes->match("/anthropic/v1/messages", method);
    CHECK(bridged.found);
    CHECK_FALSE(bridged.method_allowed);
    CHECK(bridged.allow == "POST");
    CHECK(policy->routes->match("/anthropic/v1/models", method).method_allowed == (method != Method::other));
  }
  CHECK(policy->routes->match("/anthropic/v1/messages", Method::post).method_allowed);
}

TEST_CASE("routes: the error's shape is that of the route's API, else of the provider") {
  const auto policy = make_policy();
  const auto shape = [&](std::string_view target) {
    const Request request("POST", target, {"X-Api-Key: t"});
    return enter(*policy, {}, request.head).shape;
  };
  CHECK(shape("/anthropic/v1/messages") == ErrorShape::anthropic);
  CHECK(shape("/anthropic/v1/models") == ErrorShape::anthropic);
  CHECK(shape("/anthropic/nothing") == ErrorShape::anthropic);
  CHECK(shape("/copilot/v1/messages") == ErrorShape::anthropic);
  CHECK(shape("/copilot/chat/completions") == ErrorShape::openai);
  CHECK(shape("/copilot/models") == ErrorShape::openai);
  CHECK(shape("/openai/v1/responses") == ErrorShape::openai);
  CHECK(shape("/chatgpt/v1/nothing") == ErrorShape::openai);
  CHECK(shape("/nothing") == ErrorShape::openai);
}

TEST_CASE("routes: the upstream target is the base URL's path, the route's, and the query unchanged") {
  const auto policy = make_policy();
  CHECK(upstream_target(*policy, "/anthropic/v1/messages?beta=true") == "/v1/messages?beta=true");
  CHECK(upstream_target(*policy, "/anthropic/v1/messages?") == "/v1/messages?");
  CHECK(upstream_target(*policy, "/openai/v1/responses") == "/v1/responses");
  CHECK(upstream_target(*policy, "/api/v2/aibridge/openai/v1/models?limit=%2F&x=a+b") == "/v1/models?limit=%2F&x=a+b");
  CHECK(upstream_target(*policy, "/chatgpt/v1/responses") == "/backend-api/codex/responses");
  CHECK(upstream_target(*policy, "/copilot/mcp/a%20b") == "/mcp/a%20b");
}

TEST_CASE("routes: several providers of one type have prefixes of their own") {
  const auto policy = make_policy(
      "[[provider]]\nname = \"openai-eu\"\ntype = \"openai\"\n"
      "base_url = \"https://eu.api.openai.com/v1\"\n");
  CHECK(policy->routes->match("/openai-eu/v1/models", wire::Method::get).provider->name == "openai-eu");
  CHECK(policy->routes->match("/openai/v1/models", wire::Method::get).provider->name == "openai");
}

}  // namespace weir::gateway::test
