// Times as people write and read them. UTC throughout: logs and records of several nodes are compared.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir::cli {

// "2026-11-22", "2026-11-22T10:00:00Z", "2026-11-22T10:00:00.5+01:00", or how long before `now_us`: "1h", "30m", "7d".
// In µs since the epoch.
Result<int64_t> parse_moment(std::string_view text, int64_t now_us);
std::string format_moment(int64_t us);   // "2026-11-22 10:00:00"
std::string format_rfc3339(int64_t us);  // "2026-11-22T10:00:00.123456Z"
std::string format_span(int64_t us);     // "850us", "12ms", "3.2s", "4m10s"

}  // namespace weir::cli
