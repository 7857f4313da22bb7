#include "base/log_format.h"

#include <array>
#include <charconv>
#include <ctime>
#include <iterator>

#include <fmt/format.h>

#include "base/utf8.h"

namespace weir {
namespace {

constexpr std::string_view level_text(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warn:
      return "warn";
    case LogLevel::error:
      return "error";
  }
  return "";
}

void append_time(int64_t unix_us, std::string& out) {
  time_t seconds = unix_us / 1000000;
  int64_t us = unix_us % 1000000;
  if (us < 0) {
    us += 1000000;
    --seconds;
  }
  tm utc{};
  gmtime_r(&seconds, &utc);
  fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", utc.tm_year + 1900,
                 utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, us);
}

void append_number(const LogField& field, std::string& out) {
  std::array<char, 24> digits;
  char* const last = digits.data() + digits.size();
  const std::to_chars_result result =
      field.is_unsigned ? std::to_chars(digits.data(), last, static_cast<uint64_t>(field.number_value))
                        : std::to_chars(digits.data(), last, field.number_value);
  out.append(digits.data(), result.ptr);
}

// Code points that a terminal obeys (C1) or that readers of lines may take for an end of line (NEL is among C1).
bool is_unsafe_code_point(std::string_view bytes) {
  const bool is_c1 = bytes.size() == 2 && bytes[0] == '\xC2' && static_cast<uint8_t>(bytes[1]) < 0xA0;
  return is_c1 || bytes == "\xE2\x80\xA8" || bytes == "\xE2\x80\xA9";
}

uint32_t decode(std::string_view bytes) {
  uint32_t value = static_cast<uint8_t>(bytes[0]) & (0x7Fu >> bytes.size());
  for (const char c : bytes.substr(1)) value = value << 6 | (static_cast<uint8_t>(c) & 0x3Fu);
  return value;
}

// Text goes to `out` with what is unsafe escaped; an invalid byte by `append_invalid`.
template <class AppendInvalid>
void append_escaped(std::string_view text, std::string_view control_format, std::string& out,
                    AppendInvalid&& append_invalid) {
  while (!text.empty()) {
    const size_t size = code_point_size(text);
    const auto byte = static_cast<uint8_t>(text.front());
    if (size == 0) {
      append_invalid(byte);
      text.remove_prefix(1);
      continue;
    }
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += text.front();
    } else if (byte == '\n') {
      out += "\\n";
    } else if (byte == '\r') {
      out += "\\r";
    } else if (byte == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      fmt::format_to(std::back_inserter(out), fmt::runtime(control_format), byte);
    } else if (is_unsafe_code_point(text.substr(0, size))) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", decode(text.substr(0, size)));
    } else {
      out += text.substr(0, size);
    }
    text.remove_prefix(size);
  }
}

// `stops`: ASCII characters that need quotes besides control bytes and what is not UTF-8.
bool needs_escapes(std::string_view text, std::string_view stops) {
  while (!text.empty()) {
    const size_t size = code_point_size(text);
    const auto byte = static_cast<uint8_t>(text.front());
    if (size == 0 || byte < 0x20 || byte == 0x7F || stops.find(text.front()) != std::string_view::npos ||
        is_unsafe_code_point(text.substr(0, size))) {
      return true;
    }
    text.remove_prefix(size);
  }
  return false;
}

void append_text_escaped(std::string_view text, std::string& out) {
  append_escaped(text, "\\x{:02x}", out,
                 [&out](uint8_t byte) { fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte); });
}

void append_text_line(const LogLine& line, std::string& out) {
  append_time(line.unix_us, out);
  fmt::format_to(std::back_inserter(out), " {:<5} ", level_text(line.level));
  if (needs_escapes(line.message, "")) {
    append_text_escaped(line.message, out);
  } else {
    out += line.message;
  }
  for (const LogField& field : line.fields) {
    out += ' ';
    out += field.key;
    out += '=';
    if (field.is_number) {
      append_number(field, out);
    } else if (field.text_value.empty() || needs_escapes(field.text_value, " \"=")) {
      out += '"';
      append_text_escaped(field.text_value, out);
      out += '"';
    } else {
      out += field.text_value;
    }
  }
  out += '\n';
}

void append_json_text(std::string_view text, std::string& out) {
  out += '"';
  append_escaped(text, "\\u{:04x}", out, [&out](uint8_t) { out += "\xEF\xBF\xBD"; });
  out += '"';
}

void append_json_line(const LogLine& line, std::string& out) {
  out += R"({"time":")";
  append_time(line.unix_us, out);
  out += R"(","level":")";
  out += level_text(line.level);
  out += R"(","message":)";
  append_json_text(line.message, out);
  for (const LogField& field : line.fields) {
    out += ',';
    append_json_text(field.key, out);
    out += ':';
    if (field.is_number) {
      append_number(field, out);
    } else {
      append_json_text(field.text_value, out);
    }
  }
  out += "}\n";
}

}  // namespace

void append_log_line(LogFormat format, const LogLine& line, std::string& out) {
  switch (format) {
    case LogFormat::text:
      append_text_line(line, out);
      break;
    case LogFormat::json:
      append_json_line(line, out);
      break;
  }
}

}  // namespace weir
