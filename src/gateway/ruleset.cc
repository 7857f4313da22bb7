#include "gateway/ruleset.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/assert.h"
#include "gateway/messages.h"
#include "gateway/policy.h"
#include "gateway/ruleset_impl.h"

namespace weir::gateway {

namespace {

size_t index_of(const ProgramKey& key) {
  size_t index = key.provider_index;
  index = index * 2 + std::to_underlying(key.mode);
  index = index * 2 + std::to_underlying(key.kind);
  index = index * 4 + std::to_underlying(key.api);
  return index * 4 + std::to_underlying(key.credential);
}

// What earlier rules wrote under this name is not written for these clients.
void take_back(std::vector<Injection>& injections, std::string_view pattern, uint32_t clients) {
  for (Injection& injection : injections) {
    if (pattern_matches(pattern, injection.name)) injection.clients &= ~clients;
  }
  std::erase_if(injections, [](const Injection& injection) { return injection.clients == 0; });
}

void strip(Pass& pass, std::string_view pattern, uint32_t clients) {
  take_back(pass.front, pattern, clients);
  take_back(pass.back, pattern, clients);
  if (clients == kAllClients) {
    pass.strip.add(pattern);
    return;
  }
  pass.strip_for.push_back({.clients = clients, .strip = {}});
  pass.strip_for.back().strip.add(pattern);
}

void inject(Pass& pass, const Injection& injection) {
  const bool first = wire::header_name(injection.name) == wire::HeaderName::host;
  (first ? pass.front : pass.back).push_back(injection);
}

void apply(const Rule& rule, Pass& pass) {
  for (const std::string& pattern : rule.config.strip) {
    if (pattern == kConnectionNamed) {
      pass.strip_connection_named = true;
    } else {
      strip(pass, pattern, rule.clients);
    }
  }
  for (const std::string& kept : rule.config.keep) {
    ASSERT(kept == kKeepCredential);
    pass.keep_credential = true;
  }
  for (const Injection& set : rule.set) {
    strip(pass, set.name, rule.clients);
    inject(pass, set);
  }
  for (const Injection& add : rule.add) inject(pass, add);
}

}  // namespace

void NameSet::add(std::string_view pattern) {
  for (uint8_t id = 1; id < std::to_underlying(wire::HeaderName::count); ++id) {
    if (pattern_matches(pattern, wire::header_text(static_cast<wire::HeaderName>(id)))) known_ |= uint64_t{1} << id;
  }
  const bool prefix = pattern.ends_with('*');
  const std::string_view name = prefix ? pattern.substr(0, pattern.size() - 1) : pattern;
  const bool alone = !prefix && wire::header_name(name) != wire::HeaderName::other &&
                     name.find_first_of("-_") == std::string_view::npos;  // nothing looks like it
  std::vector<std::string>& texts = prefix ? prefixes_ : names_;
  if (alone || (!prefix && contains_other(name))) return;
  initials_ |= letter_bits(name, 0);
  thirds_ |= letter_bits(name, 2);
  if (!prefix) sizes_ |= uint64_t{1} << size_bit(name);
  texts.emplace_back(name);
}

// All if there is no such letter.
uint32_t NameSet::letter_bits(std::string_view name, size_t index) {
  if (name.size() <= index) return UINT32_MAX;
  const uint32_t bits = uint32_t{1} << letter(name, index);
  const bool dash = name[index] == '-' || name[index] == '_';
  return dash ? bits | uint32_t{1} << letter("-", 0) | uint32_t{1} << letter("_", 0) : bits;
}

bool NameSet::contains_other(std::string_view name) const {
  for (const std::string& prefix : prefixes_) {
    if (name.size() >= prefix.size() && wire::looks_like(name.substr(0, prefix.size()), prefix)) return true;
  }
  if ((sizes_ >> size_bit(name) & 1) == 0) return false;
  return std::ranges::any_of(names_, [&](const std::string& known) { return wire::looks_like(known, name); });
}

Ruleset::Ruleset(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Ruleset::~Ruleset() = default;

Result<std::unique_ptr<Ruleset>> Ruleset::compile(const Policy& policy, const std::vector<RuleConfig>& rules) {
  auto impl = std::make_unique<Impl>();
  std::vector<std::string> mistakes;
  for (const RuleConfig& config : built_in_rules(policy)) {
    impl->rules.push_back(parse_rule(config, /*built_in=*/true, mistakes));
  }
  ASSERT(mistakes.empty());
  for (const RuleConfig& config : rules) {
    impl->rules.push_back(parse_rule(config, /*built_in=*/false, mistakes));
    check_rule(policy, impl->rules.back(), mistakes);
  }
  if (auto result = all_mistakes(mistakes); !result) return std::unexpected(std::move(result.error()));

  // Most combinations have the same rules: one program serves them all.
  std::map<std::vector<uint32_t>, const Program*> known;
  impl->programs.resize(policy.providers.size() * kKeysPerProvider);
  for_each_key(policy.providers.size(), [&](const ProgramKey& key) {
    std::vector<uint32_t> applicable;
    for (uint32_t i = 0; i < impl->rules.size(); ++i) {
      if (applies(policy, impl->rules[i].config.when, key)) applicable.push_back(i);
    }
    const Program*& program = known[applicable];
    if (program == nullptr) {
      auto made = std::make_unique<Program>();
      for (const uint32_t i : applicable) {
        const Rule& rule = impl->rules[i];
        apply(rule, rule.config.response() ? made->response : made->request);
      }
      program = made.get();
      impl->owned.push_back(std::move(made));
    }
    impl->programs[index_of(key)] = program;
  });
  return std::unique_ptr<Ruleset>(new Ruleset(std::move(impl)));
}

const Program& Ruleset::program(const ProgramKey& key) const {
  const size_t index = index_of(key);
  ASSERT(index < impl_->programs.size());
  return *impl_->programs[index];
}

}  // namespace weir::gateway
