// A rule in the form that the compiler works on. The built-in rules and the operator's come to it alike, as RuleConfig;
// built-in ones may use a few words that the configuration refuses: the strip "{connection}" (the headers that
// Connection names), the keep "{credential}", and the placeholders below `client_address`.
//
// A name means every header of that name in any case, and those that differ from it only by '_' for '-' or '-' for '_'
// (wire::looks_like): what a rule takes away or writes anew must not come past it under a name that servers take for
// the same. Only well-known names are read from a request as they are spelt, so that a look-alike means nothing.
//
// Rules apply in order, the built-in ones first; within one rule strip, then set, then add. `set` strips what the peer
// sent and writes one header; a later strip or set also takes away what earlier rules wrote. A header whose value has a
// placeholder without a value is left out.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "gateway/config.h"
#include "gateway/ruleset.h"

namespace weir::gateway {

enum class Placeholder : uint8_t {
  literal,
  initiator_id,
  initiator_username,
  request_id,
  interception_id,
  client_address,
  // Built-in rules only.
  client_host,
  client_proto,
  forwarded_for,  // the client's X-Forwarded-For and its address after it
  credential,
  upstream_authority,
  body_size,
  answer_connection,
  answer_coding,
  answer_interception_id,
};

struct Piece {
  Placeholder placeholder = Placeholder::literal;
  std::string literal;
};

struct Injection {
  std::string name;
  std::string line_start;  // "Name: "
  std::vector<Piece> pieces;
  uint32_t clients = UINT32_MAX;  // mask by client_index
};

inline constexpr uint32_t kAllClients = UINT32_MAX;
inline constexpr std::string_view kConnectionNamed = "{connection}";
inline constexpr std::string_view kKeepCredential = "{credential}";

struct Rule {
  RuleConfig config;
  bool built_in = false;
  uint32_t clients = kAllClients;
  std::vector<Injection> set;
  std::vector<Injection> add;
};

// The rules of spec sections 1 and 4, for a policy's providers and governance headers.
std::vector<RuleConfig> built_in_rules(const Policy& policy);

// The compiled form of one rule's values. Mistakes are appended to `mistakes`, one line each.
Rule parse_rule(const RuleConfig& config, bool built_in, std::vector<std::string>& mistakes);

// What an operator's rule must not do, whatever its conditions (framing, weir's own names) and under them (the chosen
// credential).
void check_rule(const Policy& policy, const Rule& rule, std::vector<std::string>& mistakes);

// Whether no rule may write this header of a request.
bool is_never_injected(std::string_view name);

bool applies(const Policy& policy, const RuleWhen& when, const ProgramKey& key);
// Whether requests with this key exist: centralized never has a user's credential, Copilot never the operator's.
bool reachable(const Policy& policy, const ProgramKey& key);
// The headers of which one bears the chosen credential under this key, the one that wins first.
std::span<const std::string_view> credential_headers(const Policy& policy, const ProgramKey& key);

// `pattern` is a name or "prefix*"; look-alikes match.
bool pattern_matches(std::string_view pattern, std::string_view name);

// Calls `use(key)` for every combination, reachable or not.
template <class Use>
void for_each_key(size_t provider_count, Use&& use) {
  for (size_t provider = 0; provider < provider_count; ++provider) {
    for (const AuthMode mode : {AuthMode::centralized, AuthMode::byok}) {
      for (const RouteKind kind : {RouteKind::bridged, RouteKind::passthrough}) {
        for (const Api api : {Api::none, Api::messages, Api::chat_completions, Api::responses}) {
          for (const CredentialKind credential : {CredentialKind::none, CredentialKind::centralized,
                                                  CredentialKind::personal_api_key, CredentialKind::subscription}) {
            use(ProgramKey{.provider_index = static_cast<uint16_t>(provider),
                           .mode = mode,
                           .kind = kind,
                           .api = api,
                           .credential = credential});
          }
        }
      }
    }
  }
}

}  // namespace weir::gateway
