#include "gateway/policy.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "gateway/head_index.h"
#include "gateway/messages.h"
#include "gateway/option.h"

namespace weir::gateway {

namespace {

// A key that is pasted into a file has a line end; one with a space or control byte inside is a mistake, and one could
// end the header that it is written into.
bool is_sendable(std::string_view key) {
  return std::ranges::all_of(key, [](char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7F; });
}

// systemd guards the folder and its files itself, and lets other users in by access lists that look like group rights.
Result<Secret> read_credential(const std::string& name) {
  const char* folder = std::getenv("CREDENTIALS_DIRECTORY");  // NOLINT(concurrency-mt-unsafe): nothing calls setenv
  if (folder == nullptr) {
    return fail(
        "key.credential \"{0}\": weir was not started by systemd with LoadCredential={0}:PATH ($CREDENTIALS_DIRECTORY "
        "is not set)",
        name);
  }
  auto secret = read_secret_file(fmt::format("{}/{}", folder, name), "key.credential", /*may_be_shared=*/true);
  if (!secret) return fail("{}; does the unit have LoadCredential={}:PATH?", secret.error().message, name);
  return secret;
}

// What the source holds, with the blanks around it. Nothing: the source is optional and not there.
Result<Secret> read_source(const KeySource& source) {
  if (!source.credential.empty()) return read_credential(source.credential);
  if (!source.file.empty()) return read_secret_file(source.file, "key.file");
  const std::string_view value = take_secret_from_environment(source.env);
  if (value.empty() && !source.optional) {
    return fail("key.env \"{0}\" is not set; start weir with {0}=…, or remove `key` if users bring their own",
                source.env);
  }
  return Secret(value);
}

// Never puts a byte of the key into a message.
Result<Secret> read_key(const KeySource& source) {
  if (source.empty()) return Secret();
  auto secret = read_source(source);
  if (!secret) return secret;
  if (secret->empty() && source.optional) return Secret();
  const std::string origin = !source.file.empty()         ? fmt::format("key.file \"{}\"", source.file)
                             : !source.credential.empty() ? fmt::format("key.credential \"{}\"", source.credential)
                                                          : fmt::format("key.env \"{}\"", source.env);
  constexpr std::string_view kBlank = " \t\r\n";
  std::string_view key = secret->view();
  const size_t begin = key.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return fail("{} is empty", origin);
  key = key.substr(begin, key.find_last_not_of(kBlank) - begin + 1);
  if (!is_sendable(key)) return fail("{} has white space or a control character inside the key", origin);
  return Secret(key);
}

// A path segment with everything below it, so that `https://host/backend-api/codex-next` is not one.
bool is_chatgpt_backend(const wire::BaseUrl& url) {
  return url.host == "chatgpt.com" || (url.path + "/").find("/backend-api/codex/") != std::string::npos;
}

RecordSettings merge(const RecordSettings& global, const RecordOverride& own) {
  return {.prompts = own.prompts.value_or(global.prompts),
          .tools = own.tools.value_or(global.tools),
          .thoughts = own.thoughts.value_or(global.thoughts)};
}

std::string provider_place(const ProviderConfig& config, std::string_view key) {
  return fmt::format("{}: provider \"{}\"", where(config.place, key), config.name);
}

// Where the operator's key was written.
std::string key_place(const ProviderConfig& config) {
  const KeySource& key = config.key;
  return provider_place(config, !key.file.empty() ? "key.file" : key.env.empty() ? "key.credential" : "key.env");
}

// A variable that somebody named must be set, also for one of the default providers.
KeySource key_source(const ProviderConfig& config) {
  KeySource source = config.key;
  if (config.place.keys.contains("key.env")) source.optional = false;
  return source;
}

std::unique_ptr<Provider> build_provider(const Config& config, const ProviderConfig& from,
                                         std::vector<std::string>& mistakes) {
  auto provider = std::make_unique<Provider>();
  provider->name = from.name;
  provider->type = from.type;
  provider->ca_file = from.ca_file;
  provider->send_actor_headers = from.send_actor_headers;
  provider->insert_usage = from.insert_usage;
  provider->record = merge(config.record, from.record);
  const std::string_view base_url =
      from.base_url.empty() ? default_base_url(from.name, from.type) : std::string_view(from.base_url);
  if (auto url = wire::parse_base_url(base_url)) {
    provider->base_url = std::move(*url);
  } else {
    const std::string_view advice =
        base_url.find('@') == std::string_view::npos ? "" : ": give the provider's key in `key`";
    mistakes.push_back(fmt::format("{}: base_url {} {}{}", provider_place(from, "base_url"), shown_url(base_url),
                                   url.error().message, advice));
  }
  provider->chatgpt_backend = from.type == ProviderType::openai && is_chatgpt_backend(provider->base_url);
  const bool has_key = !from.key.empty();
  if (has_key && provider->chatgpt_backend) {
    mistakes.push_back(
        fmt::format("{}: a ChatGPT backend takes users' subscriptions only; remove `key`", key_place(from)));
  } else if (has_key && from.type == ProviderType::copilot) {
    mistakes.push_back(fmt::format("{}: Copilot takes users' own tokens only; remove `key`", key_place(from)));
  } else if (auto key = read_key(key_source(from))) {
    provider->key = std::move(*key);
  } else {
    mistakes.push_back(fmt::format("{}: {}", key_place(from), key.error().message));
  }
  return provider;
}

}  // namespace

bool Policy::is_governance(const wire::Header& header) const {
  if (header.id != wire::HeaderName::other) return (governance_mask >> std::to_underlying(header.id) & 1) != 0;
  return std::ranges::any_of(governance_names,
                             [&](const std::string& name) { return wire::equals_ignoring_case(name, header.name); });
}

Result<std::unique_ptr<Policy>> build_policy(Config config) {
  if (auto checked = check_config(config); !checked) return std::unexpected(std::move(checked.error()));
  auto policy = std::make_unique<Policy>();
  policy->config = std::move(config);

  std::vector<std::string> mistakes;
  for (const ProviderConfig& from : policy->config.providers) {
    auto provider = build_provider(policy->config, from, mistakes);
    provider->index = static_cast<uint16_t>(policy->providers.size());
    policy->providers.push_back(std::move(provider));
  }
  if (auto result = all_mistakes(mistakes); !result) return std::unexpected(std::move(result.error()));

  for (const std::string& name : policy->config.governance_headers) {
    const wire::HeaderName id = wire::header_name(name);
    if (id == wire::HeaderName::other) {
      policy->governance_names.push_back(name);
    } else {
      policy->governance_ids.push_back(id);
      policy->governance_mask |= uint64_t{1} << std::to_underlying(id);
    }
  }
  policy->routes = std::make_unique<RouteTable>(policy->providers);
  auto rules = Ruleset::compile(*policy, policy->config.rules);
  if (!rules) return std::unexpected(std::move(rules.error()));
  policy->rules = std::move(*rules);
  return policy;
}

}  // namespace weir::gateway
