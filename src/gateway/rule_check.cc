// What the compiler refuses in an operator's rule: whatever would forward the gateway token, drop the chosen
// credential, or break framing. Each message says which rule, why, and how to mend it.
#include <algorithm>
#include <array>
#include <string_view>

#include "gateway/messages.h"
#include "gateway/policy.h"
#include "gateway/rule.h"

namespace weir::gateway {

namespace {

struct Guarded {
  std::string_view pattern;  // a name or "prefix*"
  std::string_view why;
};

constexpr std::string_view kFramingWhy =
    "weir writes it from what it really sends; another value would let one message be read as two";
constexpr std::string_view kHopWhy = "it belongs to one connection and weir strips it itself (RFC 9110 section 7.6.1)";
constexpr std::string_view kCodingWhy = "the body goes on byte for byte and would no longer be what its headers say";

// Neither stripped, set nor added by an operator, in either direction.
constexpr Guarded kFraming[] = {
    {"Host", "it must name the provider that the request goes to"},
    {"Content-Length", kFramingWhy},
    {"Transfer-Encoding", kFramingWhy},
    {"Connection", kHopWhy},
    {"Keep-Alive", kHopWhy},
    {"Proxy-Connection", kHopWhy},
    {"Proxy-Authorization", kHopWhy},
    {"Proxy-Authenticate", kHopWhy},
    {"TE", kHopWhy},
    {"Trailer", kHopWhy},
    {"Upgrade", kHopWhy},
    {"Expect", "weir answers it itself"},
    {"Content-Encoding", kCodingWhy},
};

constexpr std::string_view kMachineryWhy =
    "it is weir's own and never reaches a provider; a gateway behind this one would take it for a token or an id";
constexpr Guarded kMachinery[] = {
    {"X-Weir-*", kMachineryWhy},
    {"X-AI-Bridge-Actor-*", "send_actor_headers = true of the provider writes these"},
    {"X-Coder-AI-Governance-*", kMachineryWhy},
    {"X-Coder-AI-Gateway-*", kMachineryWhy},
};

class Check {
 public:
  Check(const Policy& policy, const Rule& rule, std::vector<std::string>& mistakes)
      : policy_(policy), rule_(rule), mistakes_(mistakes) {}

  void run() {
    check_conditions();
    for (const std::string& pattern : rule_.config.strip) check_strip(pattern);
    for (const Injection& set : rule_.set) check_injection("set", set);
    for (const Injection& add : rule_.add) check_injection("add", add);
    if (rule_.config.strip.empty() && rule_.set.empty() && rule_.add.empty()) {
      mistake("does nothing; give it strip, set or add");
    }
  }

 private:
  template <class... Args>
  void mistake(fmt::format_string<Args...> format, Args&&... args) {
    mistakes_.push_back(fmt::format("{}: rule \"{}\": {}", where(rule_.config.place), rule_.config.name,
                                    fmt::format(format, std::forward<Args>(args)...)));
  }

  void check_word(std::string_view key, std::string_view word, std::span<const std::string_view> known) {
    if (word.empty() || std::ranges::find(known, word) != known.end()) return;
    words_are_known_ = false;
    mistake("when.{} must be {} (was \"{}\"){}", key, one_of(known), word, suggestion(word, known));
  }

  void check_conditions() {
    const RuleWhen& when = rule_.config.when;
    std::vector<std::string_view> providers;
    providers.reserve(policy_.providers.size());
    for (const auto& provider : policy_.providers) providers.push_back(provider->name);
    check_word("provider", when.provider, providers);
    check_word("type", when.type, std::array<std::string_view, 3>{"anthropic", "openai", "copilot"});
    check_word("route", when.route,
               std::array<std::string_view, 5>{"bridged", "passthrough", "messages", "chat_completions", "responses"});
    check_word("auth", when.auth, std::array<std::string_view, 2>{"centralized", "byok"});
    check_word("credential_kind", when.credential_kind,
               std::array<std::string_view, 3>{"centralized", "personal_api_key", "subscription"});
    if (!words_are_known_) return;
    bool ever = false;
    for_each_key(policy_.providers.size(), [&](const ProgramKey& key) {
      ever = ever || (reachable(policy_, key) && applies(policy_, when, key));
    });
    if (!ever) mistake("never applies: no request meets all conditions of its `when`; leave one of them out");
  }

  void check_strip(std::string_view pattern) {
    for (const Guarded& guarded : kFraming) {
      if (!pattern_matches(pattern, guarded.pattern)) continue;
      mistake("strip \"{}\" would break framing: it takes away {}. {}; remove it, or name the headers that you mean",
              pattern, guarded.pattern, guarded.why);
      return;
    }
    if (rule_.config.response()) {
      if (pattern_matches(pattern, "X-Weir-Interception-Id")) {
        mistake(
            "strip \"{}\" would take away X-Weir-Interception-Id, by which an answer is found in the record; name "
            "the headers that you mean",
            pattern);
      }
      return;
    }
    check_credential(pattern);
  }

  // The first combination under which the rule would take the credential away is told as the example.
  void check_credential(std::string_view pattern) {
    bool told = false;
    for_each_key(policy_.providers.size(), [&](const ProgramKey& key) {
      if (told || !reachable(policy_, key) || !applies(policy_, rule_.config.when, key)) return;
      const auto headers = credential_headers(policy_, key);
      const auto header =
          std::ranges::find_if(headers, [&](std::string_view name) { return pattern_matches(pattern, name); });
      if (header == headers.end()) return;
      told = true;
      mistake(
          "strip \"{}\" would drop the chosen credential: {} pays provider \"{}\" (auth {}, {}). weir strips the "
          "credentials that lost by itself; remove it, name the headers that you mean, or limit the rule by `when`",
          pattern, *header, policy_.providers[key.provider_index]->name, text(key.mode), text(key.credential));
    });
  }

  void check_injection(std::string_view verb, const Injection& injection) {
    for (const Guarded& guarded : kFraming) {
      if (!pattern_matches(guarded.pattern, injection.name)) continue;
      mistake("{} {} would break framing: {}; remove it", verb, injection.name, guarded.why);
      return;
    }
    if (rule_.config.response()) {
      if (pattern_matches("X-Weir-Interception-Id", injection.name)) {
        mistake("{} {} would hide the name of the record; use a name of your own", verb, injection.name);
      }
      return;
    }
    if (pattern_matches("Authorization", injection.name) || pattern_matches("X-Api-Key", injection.name)) {
      mistake("{} {} would replace or contradict the chosen credential; set the provider's `key` instead", verb,
              injection.name);
      return;
    }
    for (const Guarded& guarded : kMachinery) {
      if (!pattern_matches(guarded.pattern, injection.name)) continue;
      mistake("{} {} is refused: {}; use a name of your own", verb, injection.name, guarded.why);
      return;
    }
    for (const std::string& governance : policy_.config.governance_headers) {
      if (!pattern_matches(governance, injection.name)) continue;
      mistake(
          "{} {} is refused: it bears the gateway token (governance_headers), which no provider may see; use "
          "another name",
          verb, injection.name);
      return;
    }
    if (pattern_matches("Accept-Encoding", injection.name) && rule_.config.when.route != "passthrough") {
      mistake(
          "{} Accept-Encoding would have bridged answers come compressed, which weir could not read; limit the rule "
          "with when.route = \"passthrough\"",
          verb);
    }
  }

  const Policy& policy_;
  const Rule& rule_;
  std::vector<std::string>& mistakes_;
  bool words_are_known_ = true;
};

}  // namespace

bool is_never_injected(std::string_view name) {
  const auto guarded = [&](const Guarded& one) { return pattern_matches(one.pattern, name); };
  return pattern_matches("Authorization", name) || pattern_matches("X-Api-Key", name) ||
         std::ranges::any_of(kFraming, guarded) || std::ranges::any_of(kMachinery, guarded);
}

void check_rule(const Policy& policy, const Rule& rule, std::vector<std::string>& mistakes) {
  Check(policy, rule, mistakes).run();
}

}  // namespace weir::gateway
