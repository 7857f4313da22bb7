#include "gateway/advice.h"

#include <algorithm>
#include <utility>

#include "gateway/head_index.h"
#include "gateway/token_copy.h"

namespace weir::gateway {

namespace {

using wire::HeaderName;

struct Form {
  std::string_view prefix;
  std::string_view what;
};
// The first that fits.
constexpr Form kForms[] = {
    {"sk-ant-oat", "the token of a Claude login"},
    {"sk-ant-", "an Anthropic API key"},
    {"sk-", "an API key of a provider"},
    {"eyJ", "the token of a login (a JWT)"},
    {"gho_", "a GitHub token"},
    {"ghu_", "a GitHub token"},
    {"ghp_", "a GitHub token"},
    {"github_pat_", "a GitHub token"},
};

std::string_view form_of(std::string_view token) {
  for (const Form& form : kForms) {
    if (token.starts_with(form.prefix)) return form.what;
  }
  return {};
}

// The header that bears the gateway token beside a user's own credential; empty: there is none, or it is not allowed.
std::string_view governance_header(const Policy& policy) {
  const bool allowed = policy.config.allow_byok && !policy.config.governance_headers.empty();
  return allowed ? std::string_view(policy.config.governance_headers.front()) : std::string_view();
}

bool any_header(const wire::RequestHead& head, HeaderName id, auto&& is_so) {
  return std::ranges::any_of(std::span(head.headers).first(head.header_count), [&](const wire::Header& header) {
    return header.id == id && !header.value.empty() && is_so(header.value);
  });
}

// What is wrong with what came; empty: nothing came.
std::string_view find_mistake(const Provider& provider, const Entry& entry, const wire::RequestHead& head) {
  const auto is_copy = [&](std::string_view value) { return holds_token(value, entry.token); };
  const auto is_other = [&](std::string_view value) { return !is_copy(value); };
  if (any_header(head, HeaderName::authorization, is_copy)) return "Authorization has the gateway token once more";
  if (any_header(head, HeaderName::authorization, is_other)) return "Authorization is not \"Bearer\" and one token";
  if (any_header(head, HeaderName::x_api_key, is_copy)) return "X-Api-Key has the gateway token once more";
  const bool takes_key = provider.type == ProviderType::anthropic;
  if (!takes_key && any_header(head, HeaderName::x_api_key, is_other)) return "X-Api-Key is not used for this provider";
  return {};
}

std::string_view place_of(const Provider& provider) {
  switch (provider.type) {
    case ProviderType::anthropic:
      return "send your Anthropic key in X-Api-Key, or your login's token in Authorization: Bearer";
    case ProviderType::openai:
      return provider.chatgpt_backend ? "send your ChatGPT login's token in Authorization: Bearer"
                                      : "send your OpenAI key or login's token in Authorization: Bearer";
    case ProviderType::copilot:
      return "send your Copilot token in Authorization: Bearer";
  }
  std::unreachable();
}

}  // namespace

std::string advise_token(const Policy& policy, const Entry& entry) {
  const std::string_view what = entry.delegated ? std::string_view() : form_of(entry.token);
  if (what.empty()) return {};
  if (entry.mode == AuthMode::byok) {
    return fmt::format(
        "{} came where the gateway token belongs; send the gateway token there, and your own credential in "
        "Authorization: Bearer or X-Api-Key",
        what);
  }
  const std::string_view header = governance_header(policy);
  if (header.empty()) {
    return fmt::format("{} came where the gateway token belongs; send the gateway token in its place", what);
  }
  return fmt::format(
      "{} came, and no gateway token; send the gateway token in {} beside your own credential, or in its place if the "
      "operator's key is to pay",
      what, header);
}

std::string advise_credential(const Policy& policy, const Entry& entry, const wire::RequestHead& head) {
  const Provider& provider = *entry.route.provider;
  const std::string_view place = place_of(provider);
  if (entry.mode == AuthMode::centralized) {  // of Copilot
    const std::string_view header = governance_header(policy);
    if (header.empty()) return "Copilot takes users' own tokens only, which this gateway does not allow";
    return fmt::format("Copilot takes users' own tokens only; send the gateway token in {}, and {}", header,
                       place.substr(place.find(' ') + 1));
  }
  const std::string_view mistake = find_mistake(provider, entry, head);
  const std::string_view instead = provider.key.empty()
                                       ? ""
                                       : "; if the operator's key is to pay, send nothing but the gateway token, in "
                                         "Authorization: Bearer";
  return fmt::format("{}{}{}{}", mistake, mistake.empty() ? "" : "; ", place, instead);
}

std::string advise_own_login(const Policy& policy, const Provider& provider) {
  if (!provider.chatgpt_backend) return provider.name;
  const std::string_view header = governance_header(policy);
  if (header.empty()) {
    return fmt::format("{}: it takes users' own logins only, which this gateway does not allow", provider.name);
  }
  return fmt::format("{}: it takes users' own logins only; send the gateway token in {}, and {}", provider.name, header,
                     place_of(provider).substr(5));
}

}  // namespace weir::gateway
