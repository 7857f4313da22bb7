// What the tests of src/record share: a folder of their own, a recorder on it, and a plain reader of the database.
#pragma once

#include <sqlite3.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "base/clock.h"
#include "base/log.h"
#include "record/journal_file.h"
#include "record/recorder.h"
#include "record/sample_events.h"
#include "record/store.h"

namespace weir::record {

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "weir-record-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::string path() const { return path_; }
  std::string database() const { return path_ + "/weir.db"; }
  std::string journals() const { return path_ + "/journal"; }
  // Files of the journals' folder whose name has `part`.
  std::vector<std::string> journal_files(std::string_view part) const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(journals())) {
      if (entry.path().filename().string().find(part) != std::string::npos) found.push_back(entry.path().string());
    }
    return found;
  }

 private:
  std::string path_;
};

// Reads the database as another program would. A query's rows as text: columns joined by '|', NULL as "NULL".
class Reader {
 public:
  explicit Reader(const std::string& path) {
    REQUIRE(sqlite3_open_v2(path.c_str(), &handle_, SQLITE_OPEN_READWRITE, nullptr) == SQLITE_OK);
    sqlite3_busy_timeout(handle_, 5000);
  }
  ~Reader() { sqlite3_close_v2(handle_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  std::vector<std::string> rows(const std::string& sql) {
    std::vector<std::string> found;
    sqlite3_stmt* statement = nullptr;
    REQUIRE_MESSAGE(sqlite3_prepare_v2(handle_, sql.c_str(), -1, &statement, nullptr) == SQLITE_OK,
                    sqlite3_errmsg(handle_));
    while (sqlite3_step(statement) == SQLITE_ROW) {
      std::string row;
      for (int column = 0; column < sqlite3_column_count(statement); ++column) {
        if (column > 0) row += '|';
        if (sqlite3_column_type(statement, column) == SQLITE_NULL) {
          row += "NULL";
        } else {
          const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement, column));
          row.append(bytes != nullptr ? bytes : "", static_cast<size_t>(sqlite3_column_bytes(statement, column)));
        }
      }
      found.push_back(row);
    }
    sqlite3_finalize(statement);
    return found;
  }
  std::string value(const std::string& sql) {
    const auto found = rows(sql);
    return found.empty() ? "(no row)" : found.front();
  }
  int64_t count(const std::string& table) { return std::stoll(value("SELECT count(*) FROM " + table)); }
  int execute(const char* sql) { return sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr); }

 private:
  sqlite3* handle_ = nullptr;
};

// The journal's promise is about time ("within about 50 ms"), so tests ask until it is so, bounded.
template <class Condition>
bool eventually(Condition condition, uint64_t bound_ns = 10 * kNsPerSecond) {
  const uint64_t until_ns = monotonic_ns() + bound_ns;
  while (!condition()) {
    if (monotonic_ns() > until_ns) return false;
    std::this_thread::yield();
  }
  return true;
}

// A log that tests read: a pipe's file.
class TestLog {
 public:
  explicit TestLog(const TempFolder& folder) : path_(folder.path() + "/log") {
    file_ = std::fopen(path_.c_str(), "w+");
    REQUIRE(file_ != nullptr);
    sink_ = std::make_unique<LogSink>(fileno(file_), LogFormat::text, LogLevel::debug);
  }
  ~TestLog() {
    sink_.reset();
    std::fclose(file_);
  }
  TestLog(const TestLog&) = delete;
  TestLog& operator=(const TestLog&) = delete;

  LogSink& sink() { return *sink_; }
  std::string text() {
    sink_->flush();
    std::ifstream file(path_);
    std::string read((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    return read;
  }
  size_t count(std::string_view part) {
    const std::string all = text();
    size_t found = 0;
    for (size_t at = all.find(part); at != std::string::npos; at = all.find(part, at + 1)) ++found;
    return found;
  }

 private:
  std::string path_;
  FILE* file_ = nullptr;
  std::unique_ptr<LogSink> sink_;
};

inline RecorderOptions options_of(const TempFolder& folder, uint64_t journal_size = 1 << 20) {
  return {.journal_directory = folder.journals(),
          .journal_size = journal_size,
          .worker_count = 1,
          .sinks = {{.path = folder.database()}},
          .node = "node-a"};
}

inline std::unique_ptr<Recorder> start_recorder(const RecorderOptions& options, TestLog* log = nullptr) {
  auto started = Recorder::start(options, log != nullptr ? &log->sink() : nullptr);
  REQUIRE_MESSAGE(started.has_value(), (started ? "" : started.error().message));
  return std::move(*started);
}

inline constexpr uint64_t kStopNs = 10 * kNsPerSecond;

}  // namespace weir::record
