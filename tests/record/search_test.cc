// That searches find their rows by an index: the plan of every statement that a command runs is asked of SQLite.
#include <doctest/doctest.h>

#include "record/database.h"
#include "record/facts.h"
#include "record/record_fixture.h"
#include "record/session.h"
#include "record/sqlite_sink.h"
#include "record/usage.h"

namespace weir::record {

namespace {

std::vector<std::string> heard;

int note(unsigned, void*, void* statement, void*) {
  heard.emplace_back(sqlite3_sql(static_cast<sqlite3_stmt*>(statement)));
  return 0;
}

int listen(sqlite3* handle, char**, const sqlite3_api_routines*) {
  sqlite3_trace_v2(handle, SQLITE_TRACE_STMT, note, nullptr);
  return SQLITE_OK;
}

// While it lives, what connections of this process run is heard.
class Listening {
 public:
  Listening() {
    heard.clear();
    sqlite3_auto_extension(reinterpret_cast<void (*)()>(listen));
  }
  ~Listening() { sqlite3_cancel_auto_extension(reinterpret_cast<void (*)()>(listen)); }
};

// The lines of the plans of `statements` that read a table from one end to the other.
std::string scans_of(Reader& reader, const std::vector<std::string>& statements) {
  std::string scans;
  for (const std::string& sql : statements) {
    if (!sql.starts_with("SELECT")) continue;
    for (const std::string& row : reader.rows("EXPLAIN QUERY PLAN " + sql)) {
      const std::string detail = row.substr(row.rfind('|') + 1);
      // What runs is few: its index holds nothing else. "(subquery)": the rows that were found.
      const bool harmless = !detail.starts_with("SCAN") || detail.find("interceptions_running") != std::string::npos ||
                            detail.starts_with("SCAN (") || detail.starts_with("SCAN CONSTANT ROW");
      if (!harmless || detail.find("TEMP B-TREE FOR ORDER BY") != std::string::npos)
        scans += detail + "  <=  " + sql + '\n';
    }
  }
  return scans;
}

}  // namespace

TEST_CASE("search: no filter by user, session or time, and no id, reads the whole table") {
  const TempFolder folder;
  REQUIRE(Store::open(folder.database()).has_value());
  Reader reader(folder.database());
  const LogFilter filters[] = {{.user = "ada"},
                               {.user = "7b0ad5b5-7d4e-4f7c-9c1c-2b8f1f6f7d11"},
                               {.session_id = "s"},
                               {.since = 5, .until = 9},
                               {.user = "ada", .outcome = "completed", .since = 5}};
  for (const LogFilter& filter : filters) {
    const Listening listening;
    auto store = Store::open_to_read(folder.database());
    REQUIRE(store.has_value());
    REQUIRE((*store)->log(filter).has_value());
    LogFilter forward = filter;
    forward.after_rowid = 7;
    REQUIRE((*store)->log(forward).has_value());
    auto cursor = (*store)->follow_from_now();
    REQUIRE(cursor.has_value());
    REQUIRE((*store)->follow(*cursor, filter).has_value());
    REQUIRE(read_session(folder.database(), filter).has_value());
    REQUIRE(read_facts(folder.database(), "01933f2a").has_value());
    CHECK(heard.size() > 7);
    CHECK(scans_of(reader, heard) == "");
  }
  // Sums are sorted by their keys, not by time; a table that is read has one index.
  const Listening listening;
  for (const LogFilter& filter : filters) REQUIRE(read_usage(folder.database(), filter, {}).has_value());
  CHECK(heard.size() >= std::size(filters));
  CHECK(scans_of(reader, heard) == "");
}

TEST_CASE("search: the newest rows without a filter come from the index of starts") {
  const TempFolder folder;
  auto store = Store::open(folder.database());
  REQUIRE(store.has_value());
  Reader reader(folder.database());
  std::vector<std::string> statements;
  {
    const Listening listening;
    auto reading = Store::open_to_read(folder.database());
    REQUIRE((*reading)->log({}).has_value());
    statements = heard;
  }
  CHECK(scans_of(reader, statements).starts_with("SCAN i USING INDEX interceptions_by_start"));
}

TEST_CASE("search: a database of an older weir gets its indexes, in one piece or not at all") {
  const TempFolder folder;
  REQUIRE(Store::open(folder.database()).has_value());
  Reader reader(folder.database());
  const char* const kNames =
      "SELECT name FROM sqlite_schema WHERE type = 'index' AND name IN "
      "('interceptions_by_username', 'interceptions_by_session') ORDER BY name";
  CHECK(reader.rows(kNames).size() == 2);
  reader.rows("DROP INDEX interceptions_by_username");
  reader.rows("DROP INDEX interceptions_by_session");
  reader.rows(
      "INSERT INTO interceptions (id, started_at, initiator_id, username, api_key_id, provider, provider_type, route, "
      "model, streaming, client, user_agent, session_id, agent_id, parent_agent_id, correlating_tool_call_id, "
      "auth_mode, "
      "auth_delegated, source, request_id, credential_kind, credential_hint, credential_length, request_bytes, node) "
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) "
      "SELECT printf('%05d', i), i, '', 'u' || i, '', '', '', '', '', 0, '', '', 's' || i, '', '', '', '', 0, '', '', "
      "'', "
      "'', 0, 0, 'n' FROM n");
  SqliteSink sink({.path = folder.database(), .node = "n"});
  auto missing = sink.missing_indexes();
  REQUIRE(missing.has_value());
  REQUIRE(missing->size() == 2);
  CHECK_FALSE(sink.make_index(missing->front(), [] { return true; }).has_value());
  CHECK(reader.rows(kNames).empty());
  for (const Index& index : *missing) REQUIRE(sink.make_index(index, [] { return false; }).has_value());
  CHECK(reader.rows(kNames).size() == 2);
  REQUIRE(sink.missing_indexes().has_value());
  CHECK(sink.missing_indexes()->empty());
}

TEST_CASE("search: a recorder on a database of an older weir makes its indexes") {
  const TempFolder folder;
  REQUIRE(Store::open(folder.database()).has_value());
  Reader reader(folder.database());
  reader.rows("DROP INDEX interceptions_by_session");
  auto recorder = Recorder::start({.journal_directory = folder.journals(),
                                   .journal_size = 1 << 20,
                                   .worker_count = 1,
                                   .sinks = {{.path = folder.database()}},
                                   .node = "n"},
                                  nullptr);
  REQUIRE(recorder.has_value());
  const char* const kIndex = "SELECT name FROM sqlite_schema WHERE name = 'interceptions_by_session'";
  CHECK(eventually([&] { return reader.rows(kIndex).size() == 1; }));
}

TEST_CASE("search: reading makes no database, and tells one that is none of weir's") {
  const TempFolder folder;
  CHECK_FALSE(Store::open_to_read(folder.database()).has_value());
  CHECK_FALSE(std::filesystem::exists(folder.database()));
  std::ofstream(folder.database()).close();
  const auto empty = Store::open_to_read(folder.database());
  REQUIRE_FALSE(empty.has_value());
  CHECK(empty.error().message.find("holds nothing of weir") != std::string::npos);
  CHECK(std::filesystem::file_size(folder.database()) == 0);
}

}  // namespace weir::record
