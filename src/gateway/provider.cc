#include "gateway/provider.h"

#include <utility>

namespace weir::gateway {

std::string_view text(ProviderType type) {
  switch (type) {
    case ProviderType::anthropic:
      return "anthropic";
    case ProviderType::openai:
      return "openai";
    case ProviderType::copilot:
      return "copilot";
  }
  std::unreachable();
}

std::string_view text(Api api) {
  switch (api) {
    case Api::none:
      return "";
    case Api::messages:
      return "messages";
    case Api::chat_completions:
      return "chat_completions";
    case Api::responses:
      return "responses";
  }
  std::unreachable();
}

std::string_view text(RouteKind kind) {
  switch (kind) {
    case RouteKind::bridged:
      return "bridged";
    case RouteKind::passthrough:
      return "passthrough";
  }
  std::unreachable();
}

std::string_view text(AuthMode mode) {
  switch (mode) {
    case AuthMode::centralized:
      return "centralized";
    case AuthMode::byok:
      return "byok";
  }
  std::unreachable();
}

std::string_view text(CredentialKind kind) {
  switch (kind) {
    case CredentialKind::none:
      return "";
    case CredentialKind::centralized:
      return "centralized";
    case CredentialKind::personal_api_key:
      return "personal_api_key";
    case CredentialKind::subscription:
      return "subscription";
  }
  std::unreachable();
}

namespace {

struct BridgedRoute {
  std::string_view path;
  Api api;
};

// Spec section 3. Passthrough is an allow-list, because an operator key can have more rights than a model call needs;
// a trailing '/' means the subtree.
constexpr BridgedRoute kAnthropicBridged[] = {{"/v1/messages", Api::messages}};
constexpr std::string_view kAnthropicPassthrough[] = {
    "/v1/models",           "/v1/models/",           "/v1/messages/count_tokens",
    "/v1/messages/batches", "/v1/messages/batches/", "/api/event_logging/",
};
constexpr BridgedRoute kOpenaiBridged[] = {{"/chat/completions", Api::chat_completions},
                                           {"/responses", Api::responses}};
constexpr std::string_view kOpenaiPassthrough[] = {
    "/models", "/models/", "/responses/", "/conversations", "/conversations/", "/embeddings",
};
constexpr BridgedRoute kCopilotBridged[] = {
    {"/chat/completions", Api::chat_completions}, {"/responses", Api::responses}, {"/v1/messages", Api::messages}};
constexpr std::string_view kCopilotPassthrough[] = {"/models", "/models/",      "/agents/",
                                                    "/mcp/",   "/.well-known/", "/_ping"};

struct TypeRoutes {
  std::span<const BridgedRoute> bridged;
  std::span<const std::string_view> passthrough;
  Api passthrough_shape;  // also that of the provider's paths without a route
};

TypeRoutes routes_of(ProviderType type) {
  switch (type) {
    case ProviderType::anthropic:
      return {kAnthropicBridged, kAnthropicPassthrough, Api::messages};
    case ProviderType::openai:
      return {kOpenaiBridged, kOpenaiPassthrough, Api::chat_completions};
    case ProviderType::copilot:
      return {kCopilotBridged, kCopilotPassthrough, Api::chat_completions};
  }
  std::unreachable();
}

void judge_method(Route& route, wire::Method method) {
  if (route.kind == RouteKind::bridged) {
    route.method_allowed = method == wire::Method::post;
    route.allow = "POST";
    return;
  }
  // Of the methods without a name of their own TRACE would have the provider send the operator's key back.
  route.method_allowed = method != wire::Method::other;
  route.allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
}

void match_route(const TypeRoutes& routes, std::string_view path, wire::Method method, Route& route) {
  route.shape_api = routes.passthrough_shape;
  for (const BridgedRoute& bridged : routes.bridged) {
    if (path != bridged.path) continue;
    route.found = true;
    route.kind = RouteKind::bridged;
    route.api = bridged.api;
    route.shape_api = bridged.api;
    judge_method(route, method);
    return;
  }
  for (const std::string_view passthrough : routes.passthrough) {
    if (passthrough.ends_with('/') ? !path.starts_with(passthrough) : path != passthrough) continue;
    route.found = true;
    judge_method(route, method);
    return;
  }
}

}  // namespace

std::vector<KnownRoute> known_routes(ProviderType type) {
  const TypeRoutes routes = routes_of(type);
  std::vector<KnownRoute> known;
  known.reserve(routes.bridged.size() + routes.passthrough.size());
  for (const BridgedRoute& bridged : routes.bridged) known.push_back({.path = bridged.path, .bridged = true});
  for (const std::string_view path : routes.passthrough) known.push_back({.path = path, .bridged = false});
  return known;
}

std::string_view without_platform_prefix(std::string_view path) {
  for (const std::string_view prefix : {std::string_view("/api/v2/ai-gateway"), std::string_view("/api/v2/aibridge")}) {
    if (path.size() > prefix.size() && path.starts_with(prefix) && path[prefix.size()] == '/') {
      return path.substr(prefix.size());
    }
  }
  return path;
}

RouteTable::RouteTable(const std::vector<std::unique_ptr<Provider>>& providers) {
  prefixes_.reserve(providers.size());
  for (const auto& provider : providers) {
    std::string prefix = "/" + provider->name;
    if (provider->type == ProviderType::openai) prefix += "/v1";
    prefixes_.push_back({std::move(prefix), provider.get()});
  }
}

Route RouteTable::match(std::string_view path, wire::Method method) const {
  const std::string_view local = without_platform_prefix(path);
  for (const RoutePrefix& prefix : prefixes_) {
    if (!local.starts_with(prefix.text)) continue;
    const std::string_view rest = local.substr(prefix.text.size());
    if (!rest.empty() && rest.front() != '/') continue;  // "/openai-eu" is not below "/openai"
    Route route;
    route.provider = prefix.provider;
    route.upstream_path = rest;
    match_route(routes_of(prefix.provider->type), rest, method, route);
    return route;
  }
  return {};
}

}  // namespace weir::gateway
