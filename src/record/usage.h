// Sums of tokens over interceptions, for `weir usage`. Blocking, read-only.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "record/store.h"

namespace weir::record {

enum class UsageKey : uint8_t { user, model, provider, client, credential_kind, day };
inline constexpr UsageKey kUsageKeys[] = {UsageKey::user,   UsageKey::model,           UsageKey::provider,
                                          UsageKey::client, UsageKey::credential_kind, UsageKey::day};
std::string_view text(UsageKey);

struct UsageSum {
  std::vector<std::string> keys{};  // as asked for; a day is "2026-11-22", UTC, of the start
  int64_t interceptions = 0;
  int64_t failed = 0;  // upstream_error, gateway_error, interrupted; a client that leaves is no failure
  int64_t input = 0, output = 0, cache_read = 0, cache_write = 0;
};

// In the order of the keys. The filter's limit and after_rowid do not apply. Exact up to 2^53, and never more than
// 2^63-1.
Result<std::vector<UsageSum>> read_usage(const std::string& database_path, const LogFilter& filter,
                                         std::span<const UsageKey> keys);

}  // namespace weir::record
