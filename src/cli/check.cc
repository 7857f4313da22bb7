// `weir check` and `weir rules explain`: a configuration, judged and explained without starting anything.
#include <fmt/core.h>

#include <vector>

#include "cli/commands.h"
#include "cli/print.h"
#include "cli/settings.h"
#include "gateway/entry.h"
#include "gateway/policy.h"
#include "gateway/refusal.h"
#include "gateway/rule.h"
#include "server/start_check.h"

namespace weir::cli {

namespace {

// What the arguments select of what there can be; empty with a complaint in `why` if there is none.
std::vector<gateway::ProgramKey> select_programs(const Arguments& arguments, const gateway::Policy& policy,
                                                 const gateway::Provider& provider, std::string& why) {
  std::vector<gateway::ProgramKey> keys;
  bool route_known = false;
  gateway::for_each_key(policy.providers.size(), [&](const gateway::ProgramKey& key) {
    if (key.provider_index != provider.index || text(key.mode) != arguments.auth || !reachable(policy, key)) return;
    if (arguments.route != text(key.kind) && (key.api == gateway::Api::none || arguments.route != text(key.api)))
      return;
    route_known = true;
    if (arguments.credential.empty() || arguments.credential == text(key.credential)) keys.push_back(key);
  });
  why = route_known ? fmt::format("with --auth {} provider {} takes no credential {}", arguments.auth, provider.name,
                                  arguments.credential)
                    : fmt::format("provider {} has no route {}", provider.name, arguments.route);
  return keys;
}

// "502: no operator key is configured for provider chatgpt"
std::string refusal_text(const gateway::StandingRefusal& standing) {
  const gateway::RefusalRow& refusal = row(standing.refusal);
  const size_t place = refusal.text.find("{}");
  if (place == std::string_view::npos) return fmt::format("{}: {}", refusal.status, refusal.text);
  return fmt::format("{}: {}{}{}", refusal.status, refusal.text.substr(0, place), standing.detail,
                     refusal.text.substr(place + 2));
}

}  // namespace

int run_check(const Arguments& arguments) {
  Result<gateway::Config> config = read_settings(arguments);
  if (!config) return complain(config.error().message), kExitUsage;
  const size_t rules = config->rules.size(), listeners = config->listeners.size();
  const auto policy = gateway::build_policy(std::move(*config));
  if (!policy) return complain(policy.error().message), kExitUsage;
  if (auto good = server::check_start((*policy)->config); !good) return complain(good.error().message), kExitUsage;
  std::string line = fmt::format("{}: good: {} listener{}, {} provider{}, {} rule{}",
                                 arguments.config_file.empty() ? "the defaults" : arguments.config_file, listeners,
                                 listeners == 1 ? "" : "s", (*policy)->providers.size(),
                                 (*policy)->providers.size() == 1 ? "" : "s", rules, rules == 1 ? "" : "s");
  for (const auto& provider : (*policy)->providers) {
    if (provider->key.empty() && !provider->chatgpt_backend && provider->type != gateway::ProviderType::copilot) {
      line += fmt::format("\nprovider {} has no operator key: callers need one of their own", provider->name);
    }
  }
  return print_line(line) ? 0 : kExitFailure;
}

int run_rules_explain(const Arguments& arguments) {
  Result<gateway::Config> config = read_settings(arguments);
  if (!config) return complain(config.error().message), kExitUsage;
  const auto policy = gateway::build_policy(std::move(*config));
  if (!policy) return complain(policy.error().message), kExitUsage;
  std::string names;
  const gateway::Provider* provider = nullptr;
  for (const auto& known : (*policy)->providers) {
    names += (names.empty() ? "" : ", ") + known->name;
    if (known->name == arguments.provider) provider = known.get();
  }
  if (provider == nullptr) {
    return complain(fmt::format("there is no provider {}; there are {}", arguments.provider, names)), kExitUsage;
  }
  std::string why;
  const auto keys = select_programs(arguments, **policy, *provider, why);
  const auto mode =
      arguments.auth == text(gateway::AuthMode::byok) ? gateway::AuthMode::byok : gateway::AuthMode::centralized;
  if (const auto standing = standing_refusal(**policy, *provider, mode); standing.refusal != gateway::Refusal::none) {
    const bool told =
        print_line(fmt::format("provider {} ({}), auth {}: every such request is refused with {}\n", provider->name,
                               text(provider->type), arguments.auth, refusal_text(standing)));
    if (!told) return kExitFailure;
    if (keys.empty()) return 0;
  }
  if (keys.empty()) return complain(why), kExitUsage;
  for (const gateway::ProgramKey& key : keys) {
    if (!print_line((*policy)->rules->explain(**policy, key))) return kExitFailure;
  }
  return 0;
}

}  // namespace weir::cli
