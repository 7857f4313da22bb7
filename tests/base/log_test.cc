#include "base/log.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "base/log_format.h"

namespace {

using namespace weir;

std::string format(LogFormat log_format, std::string_view message, std::vector<LogField> fields) {
  std::string out;
  append_log_line(log_format,
                  {.unix_us = 1795312620123456, .level = LogLevel::warn, .message = message, .fields = fields}, out);
  return out;
}

// A sink that writes to a temporary file, and what it wrote.
class FileSink {
 public:
  explicit FileSink(LogFormat log_format = LogFormat::text, LogLevel level = LogLevel::debug)
      : file_(std::tmpfile()), sink(fileno(file_), log_format, level) {}
  ~FileSink() { std::fclose(file_); }
  FileSink(const FileSink&) = delete;
  FileSink& operator=(const FileSink&) = delete;

  std::string text() {
    sink.flush();
    std::string bytes(static_cast<size_t>(lseek(fileno(file_), 0, SEEK_END)), '\0');
    REQUIRE(pread(fileno(file_), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    return bytes;
  }

 private:
  FILE* file_;

 public:
  LogSink sink;
};

size_t count_of(std::string_view text, std::string_view part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST_CASE("log: a text line") {
  CHECK(format(LogFormat::text, "provider refused the credential",
               {{"provider", "anthropic"}, {"status", 401}, {"hint", "sk-a...efgh"}}) ==
        "2026-11-22T01:57:00.123456Z warn  provider refused the credential provider=anthropic status=401 "
        "hint=sk-a...efgh\n");
}

TEST_CASE("log: a JSON line") {
  CHECK(format(LogFormat::json, "provider refused", {{"provider", "anthropic"}, {"status", 401}}) ==
        "{\"time\":\"2026-11-22T01:57:00.123456Z\",\"level\":\"warn\",\"message\":\"provider refused\","
        "\"provider\":\"anthropic\",\"status\":401}\n");
}

TEST_CASE("log: lines of one logger arrive in their order") {
  FileSink file;
  auto logger = file.sink.make_logger();
  for (int i = 0; i < 500; ++i) logger->info("line", {{"i", i}});
  const std::string text = file.text();
  size_t at = 0;
  for (int i = 0; i < 500; ++i) {
    at = text.find(fmt::format("info  line i={}\n", i), at);
    REQUIRE(at != std::string::npos);
  }
}

TEST_CASE("log: lines under the level cost nothing and are not written") {
  FileSink file(LogFormat::text, LogLevel::warn);
  auto logger = file.sink.make_logger();
  logger->info("quiet");
  logger->error("loud");
  CHECK_FALSE(logger->enabled(LogLevel::info));
  CHECK(logger->enabled(LogLevel::warn));
  CHECK(count_of(file.text(), "\n") == 1);
}

TEST_CASE("log: the end of a logger writes what it logged") {
  FileSink file;
  file.sink.make_logger()->info("last words");
  CHECK(count_of(file.text(), "last words") == 1);
}

}  // namespace
