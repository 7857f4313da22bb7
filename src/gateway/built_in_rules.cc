// The rules of spec sections 1 and 4, as data. There is no other place that strips or writes a header of a forwarded
// message: what is not said here does not happen.
#include "gateway/policy.h"
#include "gateway/rule.h"

namespace weir::gateway {

namespace {

using Values = std::vector<std::pair<std::string, std::string>>;

// RFC 9110 section 7.6.1: these speak about one connection only. `Proxy-*` is all of Proxy-Connection,
// Proxy-Authorization, Proxy-Authenticate.
std::vector<std::string> hop_by_hop() {
  return {"Connection", std::string(kConnectionNamed), "Keep-Alive", "Proxy-*", "TE",
          "Trailer",    "Transfer-Encoding",           "Upgrade"};
}

RuleConfig rule(std::string name, RuleWhen when, std::vector<std::string> strip, Values set = {}) {
  RuleConfig config;
  config.name = std::move(name);
  config.when = std::move(when);
  config.strip = std::move(strip);
  config.set = std::move(set);
  config.place = {.file = "built-in", .line = 0};
  return config;
}

RuleWhen when_route(std::string route) {
  RuleWhen when;
  when.route = std::move(route);
  return when;
}

RuleWhen when_centralized(ProviderType type) {
  RuleWhen when;
  when.type = text(type);
  when.auth = text(AuthMode::centralized);
  return when;
}

void add_credential_rules(std::vector<RuleConfig>& rules) {
  rules.push_back(rule("credentials that were not chosen", {}, {"Authorization", "X-Api-Key"}));
  RuleConfig own = rule("the user's own credential", {}, {});
  own.when.auth = text(AuthMode::byok);
  own.keep = {std::string(kKeepCredential)};
  rules.push_back(std::move(own));
  rules.push_back(rule("the operator's key, as an API key", when_centralized(ProviderType::anthropic), {},
                       {{"X-Api-Key", "{credential}"}}));
  rules.push_back(rule("the operator's key, as a bearer", when_centralized(ProviderType::openai), {},
                       {{"Authorization", "Bearer {credential}"}}));
}

void add_request_rules(const Policy& policy, std::vector<RuleConfig>& rules) {
  rules.push_back(rule("hop-by-hop headers", {}, hop_by_hop()));
  rules.push_back(rule("where the request goes", {}, {}, {{"Host", "{upstream.authority}"}}));
  rules.push_back(rule("weir's own headers", {},
                       {"X-Weir-*", "X-AI-Bridge-Actor-*", "X-Coder-AI-Governance-*", "X-Coder-AI-Gateway-*"}));
  rules.push_back(rule("governance headers", {}, policy.config.governance_headers));
  // weir has answered it: the body is there before the provider is asked.
  rules.push_back(rule("expectations", {}, {"Expect"}));
  rules.push_back(rule("an answer that can be read", when_route("bridged"), {"Accept-Encoding"}));
  rules.push_back(rule("who forwarded, bridged", when_route("bridged"),
                       {"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}));
  rules.push_back(rule("who forwarded, passthrough", when_route("passthrough"), {},
                       {{"X-Forwarded-For", "{forwarded.for}"},
                        {"X-Forwarded-Host", "{client.host}"},
                        {"X-Forwarded-Proto", "{client.proto}"}}));
  add_credential_rules(rules);
  for (const auto& provider : policy.providers) {
    if (!provider->send_actor_headers) continue;
    RuleWhen when;
    when.provider = provider->name;
    rules.push_back(rule(
        "who acts", std::move(when), {},
        {{"X-AI-Bridge-Actor-ID", "{initiator.id}"}, {"X-AI-Bridge-Actor-Metadata-Username", "{initiator.username}"}}));
  }
  rules.push_back(rule("the request's framing", {}, {}, {{"Content-Length", "{body.size}"}}));
}

void add_response_rules(std::vector<RuleConfig>& rules) {
  const size_t first = rules.size();
  rules.push_back(rule("hop-by-hop headers of the answer", {}, hop_by_hop()));
  rules.push_back(rule("the name of the record", {}, {}, {{"X-Weir-Interception-Id", "{answer.interception_id}"}}));
  rules.push_back(rule("the answer's framing", {}, {},
                       {{"Content-Length", "{body.size}"},
                        {"Transfer-Encoding", "{answer.coding}"},
                        {"Connection", "{answer.connection}"}}));
  for (size_t i = first; i < rules.size(); ++i) rules[i].on = "response";
}

}  // namespace

std::vector<RuleConfig> built_in_rules(const Policy& policy) {
  std::vector<RuleConfig> rules;
  add_request_rules(policy, rules);
  add_response_rules(rules);
  return rules;
}

}  // namespace weir::gateway
