// The inside of Ruleset, shared by ruleset.cc and rule_explain.cc.
#pragma once

#include <memory>
#include <vector>

#include "gateway/rule_program.h"
#include "gateway/ruleset.h"

namespace weir::gateway {

// Auth modes × route kinds × APIs × credential kinds.
inline constexpr size_t kKeysPerProvider = size_t{2} * 2 * 4 * 4;

struct Ruleset::Impl {
  std::vector<Rule> rules;  // in the order in which they apply
  std::vector<std::unique_ptr<Program>> owned;
  std::vector<const Program*> programs;  // by key
};

}  // namespace weir::gateway
