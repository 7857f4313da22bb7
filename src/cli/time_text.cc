#include "cli/time_text.h"

#include <charconv>
#include <ctime>

#include "base/clock.h"
#include "base/units.h"

namespace weir::cli {

namespace {

constexpr int64_t kUsPerSecond = 1000000;

// Reads exactly `digits` digits at the front of `text`; -1 if they are not there.
int take_number(std::string_view& text, size_t digits) {
  int number = -1;
  if (text.size() < digits) return -1;
  for (const char byte : text.substr(0, digits)) {
    if (byte < '0' || byte > '9') return -1;
  }
  std::from_chars(text.begin(), text.begin() + digits, number);
  text.remove_prefix(digits);
  return number;
}

bool take(std::string_view& text, char byte) {
  if (text.empty() || text.front() != byte) return false;
  text.remove_prefix(1);
  return true;
}

struct Clock {
  int hour = 0, minute = 0, second = 0;
  int64_t us = 0;
  int offset_minutes = 0;
};

// "10:00:00[.fraction](Z|+01:00)"
bool take_clock(std::string_view& text, Clock& clock) {
  clock.hour = take_number(text, 2);
  if (!take(text, ':')) return false;
  clock.minute = take_number(text, 2);
  if (!take(text, ':')) return false;
  clock.second = take_number(text, 2);
  if (take(text, '.')) {
    int64_t unit = kUsPerSecond / 10;
    if (text.empty() || text.front() < '0' || text.front() > '9') return false;
    for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; text.remove_prefix(1), unit /= 10) {
      clock.us += (text.front() - '0') * unit;
    }
  }
  if (!take(text, 'Z')) {
    const bool west = !text.empty() && text.front() == '-';
    if (!take(text, '+') && !take(text, '-')) return false;
    const int hours = take_number(text, 2);
    if (!take(text, ':')) return false;
    const int minutes = take_number(text, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return false;
    clock.offset_minutes = (west ? -1 : 1) * (hours * 60 + minutes);
  }
  const auto within = [](int value, int max) { return value >= 0 && value <= max; };
  return within(clock.hour, 23) && within(clock.minute, 59) && within(clock.second, 60);
}

bool parse_date(std::string_view text, int64_t& us) {
  std::tm date{};
  date.tm_year = take_number(text, 4) - 1900;
  if (!take(text, '-')) return false;
  const int month = take_number(text, 2);
  if (!take(text, '-')) return false;
  date.tm_mday = take_number(text, 2);
  if (date.tm_year < 70 || month < 1 || month > 12 || date.tm_mday < 1 || date.tm_mday > 31) return false;
  date.tm_mon = month - 1;
  Clock clock;
  if (!text.empty() && ((!take(text, 'T') && !take(text, ' ')) || !take_clock(text, clock))) return false;
  if (!text.empty()) return false;
  std::tm normal = date;
  const int64_t day = timegm(&normal);
  if (normal.tm_mday != date.tm_mday) return false;  // the 31st of a month that has none
  const int64_t minutes = int64_t{clock.hour} * 60 + clock.minute - clock.offset_minutes;
  us = (day + minutes * 60 + clock.second) * kUsPerSecond + clock.us;
  return true;
}

std::tm broken_down(int64_t us) {
  const std::time_t seconds = us / kUsPerSecond;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return parts;
}

}  // namespace

Result<int64_t> parse_moment(std::string_view text, int64_t now_us) {
  int64_t us = 0;
  if (parse_date(text, us)) return us;
  if (const Result<uint64_t> ago = parse_duration(text)) return now_us - static_cast<int64_t>(*ago / kNsPerUs);
  return fail("\"{}\" is no time: 2026-11-22, 2026-11-22T10:00:00Z, or how long ago, such as 30m, 1h or 7d", text);
}

std::string format_moment(int64_t us) {
  const std::tm parts = broken_down(us);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string format_rfc3339(int64_t us) {
  std::string text = format_moment(us);
  text[10] = 'T';
  return fmt::format("{}.{:06}Z", text, us % kUsPerSecond);
}

std::string format_span(int64_t us) {
  if (us < 1000) return fmt::format("{}us", us);
  if (us < kUsPerSecond) return fmt::format("{}ms", us / 1000);
  if (us < 60 * kUsPerSecond) return fmt::format("{}.{}s", us / kUsPerSecond, us / (kUsPerSecond / 10) % 10);
  return fmt::format("{}m{:02}s", us / (60 * kUsPerSecond), us / kUsPerSecond % 60);
}

}  // namespace weir::cli
