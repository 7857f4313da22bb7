// SQLite as this folder uses it: a connection, prepared statements, errors as values. Private to src/record.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "record/schema.h"
#include "record/sink.h"

namespace weir::record {

using DatabaseError = SinkError;  // the code is SQLite's primary one
template <class T = void>
using DbResult = SinkResult<T>;

class Statement {
 public:
  Statement() = default;
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  // Parameters from 1. Texts are borrowed until the next reset(), unless they are not valid UTF-8: then what is stored
  // is a copy with U+FFFD for each bad byte, so that no reader of a TEXT column ever meets bytes that are not text.
  void bind(int parameter, int64_t number);
  void bind(int parameter, std::string_view text);
  void bind_blob(int parameter, std::string_view bytes);
  void bind_null(int parameter);

  // True: there is a row.
  DbResult<bool> step();
  // For statements without rows: steps and resets.
  DbResult<> run();
  void reset();

  int64_t integer(int column) const;
  bool is_null(int column) const;
  std::string text(int column) const;

 private:
  friend class Database;
  sqlite3_stmt* statement_ = nullptr;
  const std::string* path_ = nullptr;  // the database's, for messages
};

class Database {
 public:
  struct Options {
    std::string path;
    int busy_timeout_ms = 1000;
    bool durable_commits = false;  // synchronous=FULL: a commit survives a power cut
    int cache_kib = 2048;
    int checkpoint_pages = 250;
    bool read_only = false;   // for commands that only look: the file must exist and is left as it is
    bool one_thread = false;  // at a time uses it, whose caller sees to that: SQLite then locks nothing at each call
    std::span<const char* const> migrations{};  // default: weir.db's (schema.h)
  };

  // Opens, or creates (0600) the file, and brings its schema up to date. Statements must not outlive the database.
  static DbResult<std::unique_ptr<Database>> open(const Options& options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  DbResult<> execute(const char* sql);
  // For what may fail without a consequence: a rollback of nothing, a checkpoint that another time does.
  void attempt(const char* sql);
  DbResult<Statement> prepare(std::string_view sql);
  DbResult<int64_t> query_integer(std::string_view sql);
  int64_t changes() const { return sqlite3_changes64(handle_); }
  int64_t last_rowid() const { return sqlite3_last_insert_rowid(handle_); }
  bool in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }
  // What weir.db lacks of kIndexes.
  DbResult<std::vector<Index>> missing_indexes();
  // Ends a statement that runs when `stop` says so, which is asked every few milliseconds. Borrows it; null: no more.
  void interrupt_when(const std::function<bool()>* stop);
  // True if another file (or none) is at the path now: somebody moved the database away under us.
  bool moved() const;
  const std::string& path() const { return path_; }

 private:
  Database(std::string path, sqlite3* handle) : path_(std::move(path)), handle_(handle) {}
  static DbResult<std::unique_ptr<Database>> open_to_read(const Options& options);
  DbResult<> configure(const Options& options);
  DbResult<> migrate(std::span<const char* const> migrations);
  DbResult<> check_version();

  std::string path_;
  sqlite3* handle_;
};

}  // namespace weir::record
