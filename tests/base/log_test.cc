#include "base/log.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/log_format.h"
#include "base/utf8.h"
#include "support/random.h"

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
      : file_(open_temporary()), sink(fileno(file_), log_format, level) {}
  ~FileSink() { std::fclose(file_); }
  FileSink(const FileSink&) = delete;
  FileSink& operator=(const FileSink&) = delete;

  // All that was logged so far.
  std::string text() {
    sink.flush();
    std::string bytes(static_cast<size_t>(lseek(fileno(file_), 0, SEEK_END)), '\0');
    REQUIRE(pread(fileno(file_), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    return bytes;
  }

 private:
  static FILE* open_temporary() {
    FILE* const file = std::tmpfile();
    REQUIRE(file != nullptr);
    return file;
  }

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

TEST_CASE("log: a logger that is idle is heard at once") {
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  {
    LogSink sink(ends[1], LogFormat::text, LogLevel::info);
    auto logger = sink.make_logger();
    std::array<char, 256> bytes;
    for (int i = 0; i < 20; ++i) {
      // The read waits until the sink, asleep by then or not, has written; nothing else wakes it.
      logger->info("ping");
      REQUIRE(read(ends[0], bytes.data(), bytes.size()) > 0);
    }
  }
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE("log: many threads, each line whole and each thread in order") {
  FileSink file;
  constexpr int kThreads = 4;
  constexpr int kLines = 3000;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&file, thread] {
      auto logger = file.sink.make_logger();
      for (int i = 0; i < kLines; ++i) logger->info("line", {{"thread", thread}, {"i", i}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string text = file.text();
  std::array<int, kThreads> next{};
  size_t dropped = 0;
  for (size_t start = 0; start < text.size();) {
    const size_t end = text.find('\n', start);
    const std::string line = text.substr(start, end - start);
    start = end + 1;
    int thread = 0;
    int i = 0;
    if (std::sscanf(line.c_str() + 28, "info  line thread=%d i=%d", &thread, &i) == 2) {
      REQUIRE(i >= next[static_cast<size_t>(thread)]);
      next[static_cast<size_t>(thread)] = i + 1;
    } else {
      const size_t at = line.find("log_lines_dropped=");
      REQUIRE(at != std::string::npos);
      dropped += std::stoul(line.substr(at + 18));
    }
  }
  CHECK(count_of(text, "info  line") + dropped == size_t{kThreads} * kLines);
}

TEST_CASE("log: a full ring drops lines and the sink says how many") {
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  constexpr size_t kLines = 2000;
  std::string text;
  std::thread reader;
  {
    LogSink sink(ends[1], LogFormat::text, LogLevel::info);
    auto logger = sink.make_logger();
    // Nobody reads: first the pipe fills, then the ring. Two megabytes are more than both.
    const std::string value(1000, 'v');
    for (size_t i = 0; i < kLines; ++i) logger->info("line", {{"value", value}});
    reader = std::thread([&] {
      std::array<char, 4096> bytes;
      for (ssize_t got = 0; (got = read(ends[0], bytes.data(), bytes.size())) > 0;) {
        text.append(bytes.data(), static_cast<size_t>(got));
      }
    });
  }
  close(ends[1]);
  reader.join();
  close(ends[0]);
  size_t dropped = 0;
  constexpr std::string_view kCount = "log_lines_dropped=";
  for (size_t at = text.find(kCount); at != std::string::npos; at = text.find(kCount, at + 1)) {
    dropped += std::stoul(text.substr(at + kCount.size()));
  }
  CHECK(dropped > 0);
  CHECK(count_of(text, " line value=vvv") + dropped == kLines);
}

TEST_CASE("log: a descriptor that does not block is waited for, a closed one is given up") {
  std::array<int, 2> ends{};
  REQUIRE(pipe2(ends.data(), O_NONBLOCK) == 0);
  std::string text;
  std::thread reader([&] {
    std::array<char, 512> bytes;
    pollfd readable{.fd = ends[0], .events = POLLIN, .revents = 0};
    while (poll(&readable, 1, -1) > 0) {
      const ssize_t got = read(ends[0], bytes.data(), bytes.size());
      if (got <= 0) return;
      text.append(bytes.data(), static_cast<size_t>(got));
    }
  });
  {
    LogSink sink(ends[1], LogFormat::text, LogLevel::info);
    auto logger = sink.make_logger();
    for (int i = 0; i < 50; ++i) logger->info("line", {{"value", std::string(3000, 'v')}});
    sink.flush();
  }
  close(ends[1]);
  reader.join();
  close(ends[0]);
  CHECK(count_of(text, " line value=v") == 50);
  // And one that is gone.
  LogSink sink(-1, LogFormat::text, LogLevel::info);
  auto logger = sink.make_logger();
  logger->info("nobody hears");
  sink.flush();
}

TEST_CASE("log: the ring's end may fall anywhere") {
  FileSink file;
  auto logger = file.sink.make_logger();
  // Sizes that share no factor with the ring's: about twenty times round.
  size_t bytes = 0;
  for (size_t i = 0; bytes < 20 * kLogRingSize; ++i) {
    const std::string value(1 + i * 37 % 4000, static_cast<char>('a' + i % 26));
    bytes += value.size();
    logger->info("line", {{"i", i}, {"value", value}, {"end", "."}});
    if (i % 16 == 0) file.sink.flush();
  }
  const std::string text = file.text();
  CHECK(text.find("log_lines_dropped") == std::string::npos);
  size_t at = 0;
  for (size_t i = 0; at < text.size(); ++i) {
    const std::string value(1 + i * 37 % 4000, static_cast<char>('a' + i % 26));
    const std::string expected = fmt::format(" info  line i={} value={} end=.\n", i, value);
    REQUIRE(text.compare(at + 27, expected.size(), expected) == 0);
    at += 27 + expected.size();
  }
}

TEST_CASE("log: long texts are cut at a whole code point, fields over the bound are left out") {
  FileSink file;
  auto logger = file.sink.make_logger();
  logger->info("x" + std::string(kLogTextMax, 'm'), {{"value", std::string(kLogTextMax - 1, 'v') + "é"}});
  CHECK(file.text().size() == 28 + 6 + kLogTextMax + 7 + kLogTextMax - 1 + 1);
  // The largest line that there is goes through.
  const std::string text(2 * kLogTextMax, 't');
  const LogField field(text, text);
  logger->info(text, {field, field, field, field, field, field, field, field, field, field, field, field, field,
                      field, field, field, field, field, field, field, field, field, field, field, field, field});
  const std::string all = file.text();
  CHECK(count_of(all, "log_lines_dropped") == 0);
  CHECK(count_of(all, "t=t") == kLogFieldCountMax);
}

// --- how a line reads

TEST_CASE("log: every level has its word, in a column of five") {
  FileSink file;
  auto logger = file.sink.make_logger();
  logger->debug("m");
  logger->info("m");
  logger->warn("m");
  logger->error("m");
  const std::string text = file.text();
  for (const char* part : {"Z debug m\n", "Z info  m\n", "Z warn  m\n", "Z error m\n"})
    CHECK(count_of(text, part) == 1);
}

TEST_CASE("log: numbers of every kind") {
  CHECK(format(LogFormat::text, "m", {{"a", -1}, {"b", UINT64_MAX}, {"c", INT64_MIN}, {"d", true}, {"e", uint8_t{7}}})
            .ends_with("m a=-1 b=18446744073709551615 c=-9223372036854775808 d=1 e=7\n"));
  CHECK(format(LogFormat::json, "m", {{"b", UINT64_MAX}}).ends_with("\"m\",\"b\":18446744073709551615}\n"));
}

TEST_CASE("log: text values are quoted only where they need it") {
  const auto value = [](std::string_view text) {
    const std::string line = format(LogFormat::text, "m", {{"k", text}});
    return line.substr(line.find("k=") + 2);
  };
  CHECK(value("plain") == "plain\n");
  CHECK(value("/v1/messages?beta") == "/v1/messages?beta\n");
  CHECK(value("back\\slash") == "back\\slash\n");
  CHECK(value("caf\xC3\xA9") == "caf\xC3\xA9\n");
  CHECK(value("") == "\"\"\n");
  CHECK(value("a b") == "\"a b\"\n");
  CHECK(value("a=b") == "\"a=b\"\n");
  CHECK(value("say \"hi\"") == "\"say \\\"hi\\\"\"\n");
  CHECK(value("a \\ b") == "\"a \\\\ b\"\n");
  CHECK(value("a\nb\r\tc") == "\"a\\nb\\r\\tc\"\n");
  CHECK(value("\x1b[31m") == "\"\\x1b[31m\"\n");
  CHECK(value(std::string_view("\0", 1)) == "\"\\x00\"\n");
  CHECK(value("\x7f") == "\"\\x7f\"\n");
  CHECK(value("\xFF") == "\"\\xff\"\n");
  CHECK(value("\xC2\x85") == "\"\\u0085\"\n");
  CHECK(value("\xE2\x80\xA8") == "\"\\u2028\"\n");
}

TEST_CASE("log: a hostile message stays on its line") {
  CHECK(format(LogFormat::text, "a\nb\x1b", {}).ends_with("warn  a\\nb\\x1b\n"));
  CHECK(format(LogFormat::json, "a\nb\"\x1b\xFF", {}).ends_with("\"message\":\"a\\nb\\\"\\u001b\xEF\xBF\xBD\"}\n"));
}

TEST_CASE("log: times are UTC to the microsecond") {
  std::string out;
  for (const int64_t us : {int64_t{0}, int64_t{-1}, int64_t{951782399999999}}) {
    append_log_line(LogFormat::text, {.unix_us = us, .level = LogLevel::info, .message = "m", .fields = {}}, out);
  }
  CHECK(out ==
        "1970-01-01T00:00:00.000000Z info  m\n"
        "1969-12-31T23:59:59.999999Z info  m\n"
        "2000-02-28T23:59:59.999999Z info  m\n");
}

// A strict reader of one JSON string from `at`, which it moves past; nullopt if it is none.
std::optional<std::string> read_json_string(std::string_view line, size_t& at) {
  if (at >= line.size() || line[at] != '"') return std::nullopt;
  ++at;
  std::string out;
  while (at < line.size() && line[at] != '"') {
    const size_t size = code_point_size(line.substr(at));
    if (size == 0 || static_cast<uint8_t>(line[at]) < 0x20) return std::nullopt;
    if (line[at] != '\\') {
      out += line.substr(at, size);
      at += size;
      continue;
    }
    const char escape = at + 1 < line.size() ? line[at + 1] : '\0';
    at += 2;
    constexpr std::string_view kEscapes = "\"\\nrt";
    if (const size_t index = kEscapes.find(escape); index != std::string_view::npos) {
      out += std::string_view("\"\\\n\r\t")[index];
    } else if (escape == 'u' && line.size() - at > 4) {
      const auto value = std::stoul(std::string(line.substr(at, 4)), nullptr, 16);
      // Only control bytes and the line separators are escaped so.
      if (value < 0x80) {
        out += static_cast<char>(value);
      } else {
        out += value < 0x100     ? std::string{'\xC2', static_cast<char>(value)}
               : value == 0x2028 ? "\xE2\x80\xA8"
                                 : "\xE2\x80\xA9";
      }
      at += 4;
    } else {
      return std::nullopt;
    }
  }
  if (at >= line.size()) return std::nullopt;
  ++at;
  return out;
}

// `text` with each byte that is not UTF-8 as U+FFFD.
std::string repaired(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t size = code_point_size(text);
    out += size == 0 ? "\xEF\xBF\xBD" : text.substr(0, size);
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return out;
}

TEST_CASE("log: JSON is valid whatever the bytes, and tells the value") {
  weir::test::Random random(11);
  for (int i = 0; i < 5000; ++i) {
    const std::string value = random.one_in(2) ? random.bytes(random.below(40))
                                               : random.mutated("say \"hi\" \xE2\x80\xA8\\", "\"\\\n\xC2\x85{}");
    const std::string line = format(LogFormat::json, value, {{"k", value}});
    REQUIRE(line.find('\n') == line.size() - 1);
    size_t at = line.find("\"message\":") + 10;
    REQUIRE(read_json_string(line, at) == repaired(value));
    REQUIRE(line.substr(at, 5) == ",\"k\":");
    at += 5;
    REQUIRE(read_json_string(line, at) == repaired(value));
    REQUIRE(line.substr(at) == "}\n");
  }
}

TEST_CASE("log: a text line is one line of UTF-8 whatever the bytes") {
  weir::test::Random random(12);
  for (int i = 0; i < 5000; ++i) {
    const std::string line =
        format(LogFormat::text, random.bytes(random.below(40)), {{"k", random.bytes(random.below(40))}});
    REQUIRE(line.find('\n') == line.size() - 1);
    REQUIRE(repaired(line) == line);
    REQUIRE(
        std::none_of(line.begin(), line.end() - 1, [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7F; }));
  }
}

TEST_CASE("log: levels and formats by name") {
  CHECK(parse_log_level("debug") == LogLevel::debug);
  CHECK(parse_log_level("info") == LogLevel::info);
  CHECK(parse_log_level("warn") == LogLevel::warn);
  CHECK(parse_log_level("error") == LogLevel::error);
  CHECK(parse_log_format("text") == LogFormat::text);
  CHECK(parse_log_format("json") == LogFormat::json);
  for (const char* text : {"", "Info", "warning", "trace", "info "}) {
    CHECK_FALSE(parse_log_level(text).has_value());
    CHECK_FALSE(parse_log_format(text).has_value());
  }
  CHECK(parse_log_level("x").error().message == "\"x\" is not a log level: debug, info, warn or error");
}

}  // namespace
