// The database fails in every way that it can; traffic goes on, and everything arrives once when it is back.

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "record/faulty_vfs.h"
#include "record/record_fixture.h"

namespace weir::record {

namespace {

void write_whole(JournalWriter& writer, uint64_t number) {
  REQUIRE(writer.begin(start_of(number)));
  writer.add(prompt_of(number, "a prompt"));
  writer.add(usage_of(number));
  writer.end(end_of(number));
}

bool arrived(Journal& journal) {
  return journal.head() == journal.tail();
}

void check_exactly_once(const TempFolder& folder, uint64_t count) {
  Reader reader(folder.database());
  const std::string expected = std::to_string(count);
  CHECK(reader.value("SELECT count(*) FROM interceptions WHERE outcome = 'completed'") == expected);
  CHECK(reader.value("SELECT count(*) FROM interceptions") == expected);
  for (const char* table : {"user_prompts", "token_usages"}) {
    CHECK(reader.value(std::string("SELECT count(*) || '/' || count(DISTINCT interception_id) FROM ") + table) ==
          expected + "/" + expected);
  }
}

}  // namespace

TEST_CASE("faults: a locked database delays the records, is told once, and gets them once") {
  const TempFolder folder;
  TestLog log(folder);
  auto recorder = start_recorder(options_of(folder), &log);
  Journal& journal = recorder->journal(0);
  JournalWriter writer(journal);
  {
    Reader other(folder.database());
    REQUIRE(other.execute("BEGIN IMMEDIATE") == SQLITE_OK);
    for (uint64_t number = 0; number < 20; ++number) write_whole(writer, number);
    REQUIRE(eventually([&] { return log.count("the database fails") == 1; }));
    for (uint64_t number = 20; number < 40; ++number) write_whole(writer, number);
    CHECK(log.count("another program holds a lock") == 1);
    REQUIRE(other.execute("COMMIT") == SQLITE_OK);
  }
  REQUIRE(eventually([&] { return arrived(journal); }));
  REQUIRE(recorder->stop(kStopNs));
  CHECK(log.count("the database fails") == 1);
  CHECK(log.count("the database works again") == 1);
  check_exactly_once(folder, 40);
}

TEST_CASE("faults: while the database is locked the journal fills, refuses, and takes again") {
  const TempFolder folder;
  auto recorder = start_recorder(options_of(folder));
  Journal& journal = recorder->journal(0);
  JournalWriter writer(journal);
  uint64_t count = 0;
  {
    Reader other(folder.database());
    REQUIRE(other.execute("BEGIN IMMEDIATE") == SQLITE_OK);
    // What the recorder holds in a transaction that cannot begin is none.
    while (writer.begin(start_of(count))) {
      writer.add(prompt_of(count, "a prompt"));
      writer.add(usage_of(count));
      writer.end(end_of(count));
      ++count;
    }
    CHECK(count > 500);
    CHECK_FALSE(writer.begin(start_of(count)));
    REQUIRE(other.execute("COMMIT") == SQLITE_OK);
  }
  REQUIRE(eventually([&] { return writer.begin(start_of(count)); }));
  writer.add(prompt_of(count, "a prompt"));
  writer.add(usage_of(count));
  writer.end(end_of(count));
  REQUIRE(recorder->stop(kStopNs));
  check_exactly_once(folder, count + 1);
}

TEST_CASE("faults: a stop while the database is locked keeps its bound, and the next start delivers") {
  const TempFolder folder;
  {
    auto recorder = start_recorder(options_of(folder));
    JournalWriter writer(recorder->journal(0));
    Reader other(folder.database());
    REQUIRE(other.execute("BEGIN IMMEDIATE") == SQLITE_OK);
    write_whole(writer, 1);
    const uint64_t from_ns = monotonic_ns();
    CHECK_FALSE(recorder->stop(300 * kNsPerMs));
    CHECK(monotonic_ns() - from_ns < 5 * kNsPerSecond);
  }
  start_recorder(options_of(folder)).reset();
  check_exactly_once(folder, 1);
}

TEST_CASE("faults: a database whose folder is missing at start is found when it comes") {
  const TempFolder folder;
  TestLog log(folder);
  RecorderOptions options = options_of(folder);
  options.sinks[0].path = folder.path() + "/later/weir.db";
  auto recorder = start_recorder(options, &log);
  JournalWriter writer(recorder->journal(0));
  write_whole(writer, 1);
  CHECK(log.count("check that its folder exists") == 1);
  std::filesystem::create_directory(folder.path() + "/later");
  REQUIRE(eventually([&] { return arrived(recorder->journal(0)); }));
  Reader reader(options.sinks[0].path);
  CHECK(reader.count("interceptions") == 1);
}

TEST_CASE("faults: what a dead process left waits for the database, and is closed before anything new") {
  const TempFolder folder;
  {
    auto recorder = start_recorder(options_of(folder));
    JournalWriter writer(recorder->journal(0));
    Reader other(folder.database());
    REQUIRE(other.execute("BEGIN IMMEDIATE") == SQLITE_OK);
    REQUIRE(writer.begin(start_of(1)));
    CHECK_FALSE(recorder->stop(0));
  }
  auto locker = std::make_unique<Reader>(folder.database());
  REQUIRE(locker->execute("BEGIN IMMEDIATE") == SQLITE_OK);
  auto recorder = start_recorder(options_of(folder));
  JournalWriter writer(recorder->journal(0));
  REQUIRE(writer.begin(start_of(2)));
  locker.reset();
  REQUIRE(eventually([&] { return arrived(recorder->journal(0)); }));
  Reader reader(folder.database());
  CHECK(reader.rows("SELECT id, outcome FROM interceptions ORDER BY rowid") ==
        std::vector<std::string>{"00000000-0000-0000-0000-000000000001|interrupted",
                                 "00000000-0000-0000-0000-000000000002|"});
}

TEST_CASE("faults: a file that is no database is told; when it is gone, the records arrive") {
  const TempFolder folder;
  TestLog log(folder);
  std::ofstream(folder.database()) << std::string(5000, 'x');
  auto recorder = start_recorder(options_of(folder), &log);
  JournalWriter writer(recorder->journal(0));
  write_whole(writer, 1);
  CHECK(log.count("move the file away") == 1);
  std::filesystem::remove(folder.database());
  REQUIRE(recorder->stop(kStopNs));
  check_exactly_once(folder, 1);
}

TEST_CASE("faults: a database that is deleted under us is made again, and later records are in it") {
  const TempFolder folder;
  auto recorder = start_recorder(options_of(folder));
  JournalWriter writer(recorder->journal(0));
  write_whole(writer, 1);
  REQUIRE(eventually([&] { return arrived(recorder->journal(0)); }));
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(folder.database() + suffix);
  write_whole(writer, 2);
  REQUIRE(recorder->stop(kStopNs));
  check_exactly_once(folder, 1);
}

TEST_CASE("faults: an error at any operation of SQLite delays; nothing is lost or comes twice") {
  for (const int code : {SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_READONLY, SQLITE_CORRUPT}) {
    FaultyVfs vfs;
    const TempFolder folder;
    auto recorder = start_recorder(options_of(folder));
    Journal& journal = recorder->journal(0);
    JournalWriter writer(journal);
    uint64_t number = 0;
    for (int64_t after = 0; after < 24; ++after) {
      vfs.fail(after, 2, code);
      // Rounds until the fault has struck: how many operations a batch takes is SQLite's affair.
      while (!vfs.over()) {
        write_whole(writer, number++);
        REQUIRE(eventually([&] { return arrived(journal); }));
      }
    }
    REQUIRE(recorder->stop(kStopNs));
    recorder.reset();
    check_exactly_once(folder, number);
  }
}

}  // namespace weir::record
