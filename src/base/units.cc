#include "base/units.h"

#include <array>
#include <span>

#include "base/clock.h"

namespace weir {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

constexpr std::array<Unit, 8> kSizeUnits = {{
    {"GiB", uint64_t{1} << 30},
    {"MiB", uint64_t{1} << 20},
    {"KiB", uint64_t{1} << 10},
    {"GB", uint64_t{1000} * 1000 * 1000},
    {"MB", uint64_t{1000} * 1000},
    {"KB", 1000},
    {"B", 1},
    {"", 1},
}};
constexpr uint64_t kNsPerMinute = 60 * kNsPerSecond;
constexpr uint64_t kNsPerHour = 60 * kNsPerMinute;
constexpr uint64_t kNsPerDay = 24 * kNsPerHour;
// Largest first.
constexpr std::array<Unit, 7> kDurationUnits = {{
    {"d", kNsPerDay},
    {"h", kNsPerHour},
    {"m", kNsPerMinute},
    {"s", kNsPerSecond},
    {"ms", kNsPerMs},
    {"us", kNsPerUs},
    {"ns", 1},
}};

// An hour's worth; largest first.
constexpr std::array<Unit, 4> kRateUnits = {{{"/s", 3600}, {"/m", 60}, {"/h", 1}, {"", 3600}}};

struct Number {
  uint64_t value = 0;
  std::string_view unit;
  bool is_valid = false;
};

// The decimal digits at the front, and what follows them.
Number split(std::string_view text) {
  Number number;
  size_t digits = 0;
  for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
    if (__builtin_mul_overflow(number.value, uint64_t{10}, &number.value) ||
        __builtin_add_overflow(number.value, static_cast<uint64_t>(text[digits] - '0'), &number.value)) {
      return number;
    }
  }
  number.unit = text.substr(digits);
  number.is_valid = digits > 0;
  return number;
}

Result<uint64_t> scale(std::string_view text, const Number& number, std::span<const Unit> units,
                       std::string_view expected) {
  for (const Unit& unit : units) {
    if (unit.name != number.unit) continue;
    uint64_t value = 0;
    if (__builtin_mul_overflow(number.value, unit.factor, &value)) break;
    return value;
  }
  return fail("\"{}\" is not {}", text, expected);
}

}  // namespace

Result<uint64_t> parse_size(std::string_view text) {
  constexpr std::string_view kExpected = "a size such as \"512B\", \"64KiB\" or \"32MiB\"";
  const Number number = split(text);
  if (!number.is_valid) return fail("\"{}\" is not {}", text, kExpected);
  return scale(text, number, kSizeUnits, kExpected);
}

Result<uint64_t> parse_duration(std::string_view text) {
  constexpr std::string_view kExpected = "a duration such as \"250ms\", \"30s\" or \"5m\"";
  const Number number = split(text);
  if (!number.is_valid) return fail("\"{}\" is not {}", text, kExpected);
  if (text == "0") return uint64_t{0};
  return scale(text, number, kDurationUnits, kExpected);
}

Result<uint64_t> parse_rate(std::string_view text) {
  constexpr std::string_view kExpected = "a rate such as \"20/s\", \"100/m\" or \"1000/h\"";
  const Number number = split(text);
  if (!number.is_valid) return fail("\"{}\" is not {}", text, kExpected);
  return scale(text, number, kRateUnits, kExpected);
}

std::string format_size(uint64_t bytes) {
  std::string shortest;
  for (const Unit& unit : kSizeUnits) {
    if (bytes == 0 || unit.name.empty() || bytes % unit.factor != 0) continue;
    std::string text = fmt::format("{}{}", bytes / unit.factor, unit.name);
    if (shortest.empty() || text.size() < shortest.size()) shortest = std::move(text);
  }
  return shortest.empty() ? "0" : shortest;
}

std::string format_duration(uint64_t ns) {
  // The largest unit that divides it gives the shortest form.
  for (const Unit& unit : kDurationUnits) {
    if (ns != 0 && ns % unit.factor == 0) return fmt::format("{}{}", ns / unit.factor, unit.name);
  }
  return "0";
}

std::string format_rate(uint64_t per_hour) {
  for (const Unit& unit : kRateUnits) {
    if (per_hour != 0 && per_hour % unit.factor == 0) return fmt::format("{}{}", per_hour / unit.factor, unit.name);
  }
  return "0";
}

std::string format_wait(uint64_t seconds) {
  constexpr uint64_t kMinute = 60;
  constexpr uint64_t kHour = 60 * kMinute;
  if (seconds == 1) return "1 second";
  if (seconds < 2 * kMinute) return fmt::format("{} seconds", seconds);
  if (seconds < 2 * kHour) return fmt::format("{} minutes", (seconds + kMinute - 1) / kMinute);
  return fmt::format("{} hours", (seconds + kHour - 1) / kHour);
}

}  // namespace weir
