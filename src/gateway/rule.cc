#include "gateway/rule.h"

#include <algorithm>
#include <array>
#include <utility>

#include "gateway/caller.h"
#include "gateway/messages.h"
#include "gateway/policy.h"

namespace weir::gateway {

namespace {

struct PlaceholderWord {
  std::string_view word;
  Placeholder placeholder;
  bool built_in;
};
constexpr PlaceholderWord kPlaceholders[] = {
    {"initiator.id", Placeholder::initiator_id, false},
    {"initiator.username", Placeholder::initiator_username, false},
    {"request.id", Placeholder::request_id, false},
    {"interception.id", Placeholder::interception_id, false},
    {"client.address", Placeholder::client_address, false},
    {"client.host", Placeholder::client_host, true},
    {"client.proto", Placeholder::client_proto, true},
    {"forwarded.for", Placeholder::forwarded_for, true},
    {"credential", Placeholder::credential, true},
    {"upstream.authority", Placeholder::upstream_authority, true},
    {"body.size", Placeholder::body_size, true},
    {"answer.connection", Placeholder::answer_connection, true},
    {"answer.coding", Placeholder::answer_coding, true},
    {"answer.interception_id", Placeholder::answer_interception_id, true},
};

constexpr std::string_view kOperatorWords =
    "{initiator.id}, {initiator.username}, {request.id}, {interception.id}, "
    "{client.address}";

// RFC 9110 section 5.6.2.
bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

bool is_header_text(std::string_view text) {
  return std::ranges::none_of(text,
                              [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F; });
}

class Parser {
 public:
  Parser(const RuleConfig& config, bool built_in, std::vector<std::string>& mistakes)
      : config_(config), built_in_(built_in), mistakes_(mistakes) {}

  Rule parse() {
    Rule rule;
    rule.config = config_;
    rule.built_in = built_in_;
    rule.clients = client_mask();
    for (const std::string& pattern : config_.strip) check_pattern(pattern);
    for (const auto& [name, value] : config_.set) rule.set.push_back(injection(name, value, rule.clients));
    for (const auto& [name, value] : config_.add) rule.add.push_back(injection(name, value, rule.clients));
    return rule;
  }

 private:
  template <class... Args>
  void mistake(fmt::format_string<Args...> format, Args&&... args) {
    mistakes_.push_back(fmt::format("{}: rule \"{}\": {}", where(config_.place), config_.name,
                                    fmt::format(format, std::forward<Args>(args)...)));
  }

  uint32_t client_mask() {
    const std::string& client = config_.when.client;
    if (client.empty()) return kAllClients;
    const auto names = client_names();
    for (size_t i = 0; i < names.size(); ++i) {
      if (wire::equals_ignoring_case(names[i], client)) return 1u << i;
    }
    mistake("when.client \"{}\" is no client that weir tells apart{}; known are {}", client, suggestion(client, names),
            one_of(names));
    return 0;
  }

  void check_pattern(std::string_view pattern) {
    if (built_in_ && pattern == kConnectionNamed) return;
    const std::string_view name = pattern.ends_with('*') ? pattern.substr(0, pattern.size() - 1) : pattern;
    if (pattern != "*" && is_token(name) && name.find('*') == std::string_view::npos) return;
    mistake(
        "strip \"{}\" is not a header name; write a name such as \"x-internal\", or a prefix such as "
        "\"x-internal-*\"",
        pattern);
  }

  Injection injection(std::string_view name, std::string_view value, uint32_t clients) {
    Injection result;
    result.name = name;
    result.line_start = fmt::format("{}: ", name);
    result.clients = clients;
    if (!is_token(name) || name.find('*') != std::string_view::npos) {
      mistake("\"{}\" is not a header name; only letters, digits and - _ . may be used", name);
    }
    if (!is_header_text(value)) mistake("the value of {} has a control character; a header value is one line", name);
    parse_value(name, value, result.pieces);
    return result;
  }

  void add_literal(std::string_view text, std::vector<Piece>& pieces) {
    if (text.empty()) return;
    if (!pieces.empty() && pieces.back().placeholder == Placeholder::literal) {
      pieces.back().literal += text;
      return;
    }
    pieces.push_back({Placeholder::literal, std::string(text)});
  }

  // "{{" is a brace; "{word}" a placeholder.
  void parse_value(std::string_view name, std::string_view value, std::vector<Piece>& pieces) {
    while (!value.empty()) {
      const size_t open = value.find('{');
      add_literal(value.substr(0, open), pieces);
      if (open == std::string_view::npos) return;
      value.remove_prefix(open + 1);
      if (value.starts_with('{')) {
        add_literal("{", pieces);
        value.remove_prefix(1);
        continue;
      }
      const size_t close = value.find('}');
      if (close == std::string_view::npos) {
        mistake("the value of {} has a '{{' without a '}}'; write '{{{{' for the character itself", name);
        return;
      }
      add_placeholder(name, value.substr(0, close), pieces);
      value.remove_prefix(close + 1);
    }
  }

  void add_placeholder(std::string_view name, std::string_view word, std::vector<Piece>& pieces) {
    for (const PlaceholderWord& known : kPlaceholders) {
      if (known.word != word || (known.built_in && !built_in_)) continue;
      pieces.push_back({known.placeholder, {}});
      return;
    }
    if (word.find("token") != std::string_view::npos || word.find("credential") != std::string_view::npos ||
        word.find("key") != std::string_view::npos) {
      mistake(
          "\"{{{}}}\" in {} would forward a secret; rules may not name the gateway token or a credential. Identify "
          "the caller by {{initiator.id}} instead",
          word, name);
      return;
    }
    mistake("\"{{{}}}\" in {} is not known; a value may use {}", word, name, kOperatorWords);
  }

  const RuleConfig& config_;
  bool built_in_;
  std::vector<std::string>& mistakes_;
};

}  // namespace

Rule parse_rule(const RuleConfig& config, bool built_in, std::vector<std::string>& mistakes) {
  return Parser(config, built_in, mistakes).parse();
}

bool applies(const Policy& policy, const RuleWhen& when, const ProgramKey& key) {
  const Provider& provider = *policy.providers[key.provider_index];
  const auto fits = [](const std::string& wanted, std::string_view actual) {
    return wanted.empty() || wanted == actual;
  };
  return fits(when.provider, provider.name) && fits(when.type, text(provider.type)) &&
         (fits(when.route, text(key.kind)) || (key.kind == RouteKind::bridged && when.route == text(key.api))) &&
         fits(when.auth, text(key.mode)) && fits(when.credential_kind, text(key.credential));
}

bool reachable(const Policy& policy, const ProgramKey& key) {
  const Provider& provider = *policy.providers[key.provider_index];
  if ((key.kind == RouteKind::bridged) != (key.api != Api::none)) return false;
  if (key.api == Api::messages && provider.type == ProviderType::openai) return false;
  if (key.api != Api::none && key.api != Api::messages && provider.type == ProviderType::anthropic) return false;
  if (key.mode == AuthMode::centralized) {
    return key.credential == CredentialKind::centralized && provider.type != ProviderType::copilot &&
           !provider.chatgpt_backend;
  }
  switch (key.credential) {
    case CredentialKind::none:
    case CredentialKind::centralized:
      return false;
    case CredentialKind::personal_api_key:
      return provider.type != ProviderType::copilot && !provider.chatgpt_backend;
    case CredentialKind::subscription:
      return true;
  }
  std::unreachable();
}

std::span<const std::string_view> credential_headers(const Policy& policy, const ProgramKey& key) {
  static constexpr std::array<std::string_view, 2> kHeaders = {"X-Api-Key", "Authorization"};
  const std::span<const std::string_view> all = kHeaders;
  if (policy.providers[key.provider_index]->type != ProviderType::anthropic) return all.last(1);
  switch (key.credential) {
    case CredentialKind::none:
    case CredentialKind::centralized:
      return all.first(1);
    case CredentialKind::personal_api_key:  // the SDKs can send it as a bearer
      return all;
    case CredentialKind::subscription:
      return all.last(1);
  }
  std::unreachable();
}

bool pattern_matches(std::string_view pattern, std::string_view name) {
  if (!pattern.ends_with('*')) return wire::looks_like(pattern, name);
  pattern.remove_suffix(1);
  return name.size() >= pattern.size() && wire::looks_like(name.substr(0, pattern.size()), pattern);
}

}  // namespace weir::gateway
