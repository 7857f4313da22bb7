// `weir check` and `weir rules explain`: a configuration, judged and explained without starting anything.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "cli/commands.h"
#include "cli/print.h"
#include "cli/settings.h"
#include "gateway/policy.h"
#include "tls/tls.h"

namespace weir::cli {

namespace {

using gateway::Api;
using gateway::AuthMode;
using gateway::CredentialKind;
using gateway::ProviderType;
using gateway::RouteKind;

// Whether weir-sink will find its connection string. It is not read here: it holds a password.
Result<> check_connection(const gateway::SinkConfig& sink) {
  if (sink.kind != gateway::SinkKind::postgres || !sink.managed || !sink.service.empty()) return {};
  if (sink.dsn_file.empty()) {
    if (std::getenv("WEIR_SINK_DSN") != nullptr) return {};
    return fail("needs dsn_file or service, or WEIR_SINK_DSN in the environment");
  }
  if (::access(sink.dsn_file.c_str(), R_OK) == 0) return {};
  return fail("cannot read dsn_file {}: {}", sink.dsn_file, std::strerror(errno));
}

// What only using them shows: connection strings, certificates and CA files.
Result<> check_files(const gateway::Policy& policy) {
  for (const gateway::ListenerConfig& listener : policy.config.listeners) {
    if (listener.certificate.empty()) continue;
    if (auto loaded = tls::ServerContext::load(listener.certificate, listener.key); !loaded) {
      return fail("{}:{}: listener {}: {}", listener.place.file, listener.place.line, listener.name,
                  loaded.error().message);
    }
  }
  for (const auto& provider : policy.providers) {
    if (!provider->base_url.tls) continue;
    if (auto made = tls::ClientContext::make(provider->ca_file, provider->base_url.host); !made) {
      return fail("provider {}: {}", provider->name, made.error().message);
    }
  }
  for (const gateway::SinkConfig& sink : policy.config.sinks) {
    if (auto good = check_connection(sink); !good) {
      return fail("{}:{}: sink {}: {}", sink.place.file, sink.place.line, sink_name(sink), good.error().message);
    }
  }
  return {};
}

std::vector<CredentialKind> credentials_of(ProviderType type, AuthMode mode) {
  if (mode == AuthMode::centralized) return {CredentialKind::centralized};
  if (type == ProviderType::copilot) return {CredentialKind::subscription};
  return {CredentialKind::personal_api_key, CredentialKind::subscription};
}

std::vector<Api> apis_of(ProviderType type) {
  switch (type) {
    case ProviderType::anthropic:
      return {Api::messages};
    case ProviderType::openai:
      return {Api::chat_completions, Api::responses};
    case ProviderType::copilot:
      return {Api::chat_completions, Api::responses, Api::messages};
  }
  return {};
}

// The keys that the arguments select; empty with a complaint in `why` if they contradict each other.
std::vector<gateway::ProgramKey> select_programs(const Arguments& arguments, const gateway::Provider& provider,
                                                 std::string& why) {
  const AuthMode mode = arguments.auth == "byok" ? AuthMode::byok : AuthMode::centralized;
  std::vector<Api> apis = {Api::none};
  if (arguments.route != "passthrough") {
    apis = apis_of(provider.type);
    if (arguments.route != "bridged") {
      std::erase_if(apis, [&](Api api) { return text(api) != arguments.route; });
    }
  }
  std::vector<CredentialKind> credentials = credentials_of(provider.type, mode);
  if (!arguments.credential.empty()) {
    std::erase_if(credentials, [&](CredentialKind kind) { return text(kind) != arguments.credential; });
  }
  if (apis.empty()) why = fmt::format("provider {} has no route {}", provider.name, arguments.route);
  if (credentials.empty()) {
    why = fmt::format("with --auth {} provider {} takes no credential {}", arguments.auth, provider.name,
                      arguments.credential);
  }
  std::vector<gateway::ProgramKey> keys;
  for (const Api api : apis) {
    for (const CredentialKind credential : credentials) {
      keys.push_back({.provider_index = provider.index,
                      .mode = mode,
                      .kind = api == Api::none ? RouteKind::passthrough : RouteKind::bridged,
                      .api = api,
                      .credential = credential});
    }
  }
  return keys;
}

}  // namespace

int run_check(const Arguments& arguments) {
  Result<gateway::Config> config = read_settings(arguments);
  if (!config) return complain(config.error().message), kExitUsage;
  const size_t rules = config->rules.size(), listeners = config->listeners.size();
  const auto policy = gateway::build_policy(std::move(*config));
  if (!policy) return complain(policy.error().message), kExitUsage;
  if (auto good = check_files(**policy); !good) return complain(good.error().message), kExitUsage;
  std::string line = fmt::format("{}: good: {} listener{}, {} provider{}, {} rule{}",
                                 arguments.config_file.empty() ? "the defaults" : arguments.config_file, listeners,
                                 listeners == 1 ? "" : "s", (*policy)->providers.size(),
                                 (*policy)->providers.size() == 1 ? "" : "s", rules, rules == 1 ? "" : "s");
  for (const auto& provider : (*policy)->providers) {
    if (provider->key.empty() && !provider->chatgpt_backend && provider->type != ProviderType::copilot) {
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
  const auto keys = select_programs(arguments, *provider, why);
  if (keys.empty()) return complain(why), kExitUsage;
  for (const gateway::ProgramKey& key : keys) {
    if (!print_line((*policy)->rules->explain(**policy, key))) return kExitFailure;
  }
  return 0;
}

}  // namespace weir::cli
