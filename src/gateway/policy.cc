#include "gateway/policy.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
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

Result<std::string> read_key_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open() || file.bad()) return fail("cannot read key.file \"{}\": {}", path, std::strerror(errno));
  return text;
}

// Never puts a byte of the key into a message.
Result<std::string> read_key(const KeySource& source) {
  std::string key;
  std::string origin;
  if (!source.file.empty()) {
    auto text = read_key_file(source.file);
    if (!text) return std::unexpected(std::move(text.error()));
    key = std::move(*text);
    origin = fmt::format("key.file \"{}\"", source.file);
  } else if (!source.env.empty()) {
    const char* value = std::getenv(source.env.c_str());  // NOLINT(concurrency-mt-unsafe): nothing calls setenv
    if (value == nullptr || *value == '\0') {
      if (source.optional) return std::string();
      return fail("key.env \"{0}\" is not set; start weir with {0}=…, or remove `key` if users bring their own",
                  source.env);
    }
    key = value;
    origin = fmt::format("key.env \"{}\"", source.env);
  } else {
    return std::string();
  }
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t begin = key.find_first_not_of(kBlank);
  key = begin == std::string::npos ? std::string() : key.substr(begin, key.find_last_not_of(kBlank) - begin + 1);
  if (key.empty()) return fail("{} is empty", origin);
  if (!is_sendable(key)) return fail("{} has white space or a control character inside the key", origin);
  return key;
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

std::string provider_place(const ProviderConfig& config) {
  return fmt::format("{}: provider \"{}\"", where(config.place), config.name);
}

std::unique_ptr<Provider> build_provider(const Config& config, const ProviderConfig& from,
                                         std::vector<std::string>& mistakes) {
  auto provider = std::make_unique<Provider>();
  provider->name = from.name;
  provider->type = from.type;
  provider->ca_file = from.ca_file;
  provider->send_actor_headers = from.send_actor_headers;
  provider->record = merge(config.record, from.record);
  const std::string_view base_url =
      from.base_url.empty() ? default_base_url(from.name, from.type) : std::string_view(from.base_url);
  if (auto url = wire::parse_base_url(base_url)) {
    provider->base_url = std::move(*url);
  } else {
    // A URL with user information holds a password.
    const std::string_view shown = base_url.find('@') == std::string_view::npos ? base_url : "(not shown)";
    mistakes.push_back(fmt::format("{}: base_url \"{}\": {}", provider_place(from), shown, url.error().message));
  }
  provider->chatgpt_backend = from.type == ProviderType::openai && is_chatgpt_backend(provider->base_url);
  const bool has_key = !from.key.env.empty() || !from.key.file.empty();
  if (has_key && provider->chatgpt_backend) {
    mistakes.push_back(
        fmt::format("{}: a ChatGPT backend takes users' subscriptions only; remove `key`", provider_place(from)));
  } else if (has_key && from.type == ProviderType::copilot) {
    mistakes.push_back(fmt::format("{}: Copilot takes users' own tokens only; remove `key`", provider_place(from)));
  } else if (auto key = read_key(from.key)) {
    provider->key = std::move(*key);
  } else {
    mistakes.push_back(fmt::format("{}: {}", provider_place(from), key.error().message));
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
