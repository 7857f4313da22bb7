// Sizes and durations as people write them in flags and configuration: "64KiB", "30s".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir {

// "0", "512", "512B", "64KiB", "32MiB", "1GiB", "64KB" (= 64,000). In bytes; overflow and other text are errors.
Result<uint64_t> parse_size(std::string_view text);
// "250us", "10ms", "30s", "5m", "2h", "30d"; "0" alone is zero; other numbers without a unit are errors. In
// nanoseconds.
Result<uint64_t> parse_duration(std::string_view text);
// "20" or "20/s", "100/m", "1000/h"; "0" is none. How often an hour.
Result<uint64_t> parse_rate(std::string_view text);
// The shortest exact form: 65536 → "64KiB".
std::string format_size(uint64_t bytes);
std::string format_duration(uint64_t ns);
std::string format_rate(uint64_t per_hour);
// For people, rounded up: "1 second", "100 seconds", "12 minutes", "5 hours".
std::string format_wait(uint64_t seconds);

}  // namespace weir
