// Providers and routes (spec section 3): which paths exist, and where they lead.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"
#include "wire/head.h"
#include "wire/target.h"

namespace weir::gateway {

enum class ProviderType : uint8_t { anthropic, openai, copilot };
enum class Api : uint8_t { none, messages, chat_completions, responses };
enum class RouteKind : uint8_t { bridged, passthrough };
enum class AuthMode : uint8_t { centralized, byok };
enum class CredentialKind : uint8_t { none, centralized, personal_api_key, subscription };

// As they stand in records, logs and rules: "chat_completions", "personal_api_key".
std::string_view text(ProviderType);
std::string_view text(Api);
std::string_view text(RouteKind);
std::string_view text(AuthMode);
std::string_view text(CredentialKind);

enum class Recording : uint8_t { full, length, off };
struct RecordSettings {
  Recording prompts = Recording::full;
  Recording tools = Recording::full;
  Recording thoughts = Recording::full;
};

// Immutable once built; part of a Policy.
struct Provider {
  uint16_t index = 0;  // in Policy::providers
  std::string name;
  ProviderType type = ProviderType::openai;
  wire::BaseUrl base_url;
  Secret key;                    // the operator's; empty: none
  std::string ca_file;           // empty: the system's store
  bool chatgpt_backend = false;  // the base URL is a ChatGPT backend: users' subscriptions only, no operator key
  bool send_actor_headers = false;
  bool insert_usage = true;  // ask Chat streams for usage in the client's name
  RecordSettings record;
};

struct Route {
  const Provider* provider = nullptr;  // null: no provider's prefix
  bool found = false;
  RouteKind kind = RouteKind::passthrough;
  Api api = Api::none;             // of a bridged route
  Api shape_api = Api::none;       // whose error shape: Copilot's /v1/messages is Anthropic's
  std::string_view upstream_path;  // what follows the base URL's path; a view into the request's path
  bool method_allowed = true;
  std::string_view allow;  // the Allow header of a 405
};

// A row of the table of spec section 3, as it stands behind the provider's prefix; a trailing '/' means the subtree.
struct KnownRoute {
  std::string_view path;
  bool bridged = false;
};
std::vector<KnownRoute> known_routes(ProviderType type);

// The path as it stands under "/": without the prefix under which the platform serves the same routes.
std::string_view without_platform_prefix(std::string_view path);

// Where a provider's routes begin.
struct RoutePrefix {
  std::string text;  // "/anthropic", "/openai/v1"
  const Provider* provider;
};

// Chooses by the path alone, then judges the method: bridged routes take POST only. Prefixes: "/",
// "/api/v2/ai-gateway/",
// "/api/v2/aibridge/". Under a provider's prefix without a route: `provider` set, `found` false.
class RouteTable {
 public:
  // Borrows the providers for as long as the table lives. Throws nothing; names are unique (config checks).
  explicit RouteTable(const std::vector<std::unique_ptr<Provider>>& providers);
  Route match(std::string_view path, wire::Method method) const;
  std::span<const RoutePrefix> prefixes() const { return prefixes_; }

 private:
  std::vector<RoutePrefix> prefixes_;
};

}  // namespace weir::gateway
