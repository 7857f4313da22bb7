// The log: structured lines (text or JSON) on standard error, written by a thread of its own.
//
// LogSink owns the thread and the descriptor. Each thread that logs has its own Logger, a single-producer ring that the
// sink drains; a line costs its producer the copying of the fields and no system call. A full ring drops the line and
// counts it; the sink reports the count (`log_lines_dropped`). A text longer than kLogTextMax is cut. The sink looks at
// its rings every few milliseconds while lines come, and only a line after a pause has to wake it. Never pass a secret:
// nothing here can know one.
//
// Text (values are quoted where they need it):
//   2026-11-22T01:57:00.123456Z warn  provider refused the credential provider=anthropic status=401 route="a b"
// JSON:
//   {"time":"2026-11-22T01:57:00.123456Z","level":"warn","message":"provider refused the credential","status":401}
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string_view>
#include <type_traits>

#include "base/result.h"

namespace weir {

// Of a message or a value; with kLogFieldCountMax fields a line always fits a ring. Fields over that are left out.
inline constexpr size_t kLogTextMax = 4096;
inline constexpr size_t kLogFieldCountMax = 24;
inline constexpr size_t kLogRingSize = size_t{256} * 1024;

enum class LogLevel : uint8_t { debug, info, warn, error };
enum class LogFormat : uint8_t { text, json };

Result<LogLevel> parse_log_level(std::string_view text);
Result<LogFormat> parse_log_format(std::string_view text);

// One `key=value`. Borrows both until log() returns.
class LogField {
 public:
  LogField() = default;
  LogField(std::string_view name, std::string_view text) : key(name), text_value(text) {}
  LogField(std::string_view name, const char* text) : key(name), text_value(text) {}
  template <class Integer>
    requires std::is_integral_v<Integer>
  LogField(std::string_view name, Integer number)
      : key(name),
        number_value(static_cast<int64_t>(number)),
        is_number(true),
        is_unsigned(std::is_unsigned_v<Integer>) {}

  std::string_view key;
  std::string_view text_value;
  int64_t number_value = 0;
  bool is_number = false;
  bool is_unsigned = false;  // number_value holds the bits of a uint64_t
};

class Logger;

class LogSink {
 public:
  // Writes to `descriptor` (normally 2), which it does not own.
  enum class Start : uint8_t { now, later };
  LogSink(int descriptor, LogFormat format, LogLevel level, Start start_when = Start::now);
  // Starts the thread if it was not to start at once; what is logged before waits in the rings. flush() and the end
  // start it too. A process that gives up rights thread by thread does so before.
  void start();
  ~LogSink();  // drains every ring, then joins the thread
  LogSink(const LogSink&) = delete;
  LogSink& operator=(const LogSink&) = delete;

  // A new ring, for one thread. Any thread may call this. The sink outlives its loggers.
  std::unique_ptr<Logger> make_logger();
  // Waits until everything logged before the call is written.
  void flush();

 private:
  friend class Logger;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class Logger {
 public:
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  bool enabled(LogLevel level) const;
  void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields);
  void debug(std::string_view message, std::initializer_list<LogField> fields = {}) {
    log(LogLevel::debug, message, fields);
  }
  void info(std::string_view message, std::initializer_list<LogField> fields = {}) {
    log(LogLevel::info, message, fields);
  }
  void warn(std::string_view message, std::initializer_list<LogField> fields = {}) {
    log(LogLevel::warn, message, fields);
  }
  void error(std::string_view message, std::initializer_list<LogField> fields = {}) {
    log(LogLevel::error, message, fields);
  }

 private:
  friend class LogSink;
  struct Ring;
  explicit Logger(std::unique_ptr<Ring> ring);
  std::unique_ptr<Ring> ring_;
};

}  // namespace weir
