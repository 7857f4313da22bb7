// How a log line reads: text or JSON, one line whatever the bytes of its values. Private to base; log.cc's sink uses
// it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/log.h"

namespace weir {

struct LogLine {
  int64_t unix_us = 0;
  LogLevel level = LogLevel::info;
  std::string_view message;
  std::span<const LogField> fields;
};

// Appends the line and its line feed. Values are hostile: control bytes, line separators and invalid UTF-8 come out
// escaped (text: quoted, with \n, \x1b, \u2028) or replaced (JSON: U+FFFD), so that a line stays one line.
void append_log_line(LogFormat format, const LogLine& line, std::string& out);

}  // namespace weir
