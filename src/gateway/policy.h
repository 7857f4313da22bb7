// A Policy is the compiled, immutable form of a Config: providers with their keys, routes, rule programs, limits. Built
// at start and at every reload; workers hold a pointer and an exchange keeps the one that it began with.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "gateway/config.h"
#include "gateway/provider.h"
#include "gateway/ruleset.h"

namespace weir::gateway {

struct Policy {
  Config config;
  std::vector<std::unique_ptr<Provider>> providers;
  std::unique_ptr<RouteTable> routes;
  std::unique_ptr<Ruleset> rules;
  // config.governance_headers: known names as ids and as bits, others as texts.
  std::vector<wire::HeaderName> governance_ids;
  uint64_t governance_mask = 0;
  std::vector<std::string> governance_names;

  bool is_governance(const wire::Header& header) const;
};

// Reads keys (env, file), parses URLs, compiles the rules. Errors as "weir.toml:12: …".
Result<std::unique_ptr<Policy>> build_policy(Config config);

}  // namespace weir::gateway
