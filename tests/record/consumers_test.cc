// Several sinks on one journal: each has its own position, the slowest holds the space, and a file goes when all have
// it.

#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "record/consumer_page.h"
#include "record/leftover.h"
#include "record/record_fixture.h"

namespace weir::record {

namespace {

RecorderOptions both(const TempFolder& folder) {
  RecorderOptions options = options_of(folder);
  options.sinks.push_back({.kind = SinkSpec::Kind::outside, .name = "other"});
  return options;
}

void write_whole(JournalWriter& writer, uint64_t number) {
  REQUIRE(writer.begin(start_of(number)));
  writer.end(end_of(number));
}

}  // namespace

TEST_CASE("consumers: the table keeps names and positions, and knows when it is damaged") {
  alignas(64) char bytes[kConsumerPageSize] = {};
  ConsumerPage page(bytes);
  const std::vector<std::string> names = {"sqlite", std::string(kConsumerNameMax, 'x')};
  page.format(names);
  REQUIRE(page.sound());
  CHECK(page.count() == 2);
  CHECK(page.name(1) == names[1]);
  CHECK(page.find("sqlite") == 0);
  CHECK_FALSE(page.find("sqlit").has_value());
  page.set_position(1, 77);
  CHECK(page.position(0) == 0);
  CHECK(page.position(1) == 77);
  CHECK(page.sound());
  for (size_t at = 0; at < sizeof(ConsumerTable); ++at) {
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    CHECK_FALSE(page.sound());
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
  }
}

TEST_CASE("consumers: the slowest holds the space") {
  const TempFolder folder;
  auto recorder = start_recorder(both(folder));
  Journal& journal = recorder->journal(0);
  JournalWriter writer(journal);
  write_whole(writer, 1);
  REQUIRE(eventually([&] { return journal.consumers().position(0) == journal.head(); }));
  CHECK(journal.tail() == 0);
  journal.consumers().set_position(1, journal.head());
  CHECK(eventually([&] { return journal.tail() == journal.head(); }));
  CHECK(recorder->stop(kStopNs));
}

TEST_CASE("consumers: a file stays until the sink outside has it, and is given to the other only once") {
  const TempFolder folder;
  {
    auto recorder = start_recorder(both(folder));
    JournalWriter writer(recorder->journal(0));
    write_whole(writer, 1);
    CHECK_FALSE(recorder->stop(100 * kNsPerMs));
  }
  for (int run = 0; run < 2; ++run) {
    auto recorder = start_recorder(both(folder));
    Reader reader(folder.database());
    CHECK(reader.count("interceptions") == 1);
    CHECK(reader.count("journal_positions") == 0);
    CHECK(folder.journal_files(".left").size() == 1);
  }
  auto recorder = start_recorder(both(folder));
  const std::string left = folder.journal_files(".left")[0];
  CHECK((*Leftover::load(left))->position_of("sqlite") == (*Leftover::load(left))->head());
  CHECK((*Leftover::load(left))->position_of("other") == 0);
  CHECK_FALSE((*Leftover::load(left))->position_of("third").has_value());
  {
    auto page = std::move(*MappedConsumerPage::open(left));
    (*page)->set_position(1, kConsumed);
  }
  CHECK(eventually([&] { return folder.journal_files(".left").empty(); }));
}

TEST_CASE("consumers: a sink that is added begins with new journals; one that is removed is not waited for") {
  const TempFolder folder;
  {
    auto recorder = start_recorder(options_of(folder));
    JournalWriter writer(recorder->journal(0));
    Reader other(folder.database());
    REQUIRE(other.execute("BEGIN IMMEDIATE") == SQLITE_OK);
    write_whole(writer, 1);
    CHECK_FALSE(recorder->stop(0));
  }
  {
    auto recorder = start_recorder(both(folder));
    CHECK(folder.journal_files(".left").empty());
    JournalWriter writer(recorder->journal(0));
    write_whole(writer, 2);
    recorder->stop(100 * kNsPerMs);
  }
  start_recorder(options_of(folder)).reset();
  CHECK(folder.journal_files(".left").empty());
  CHECK(Reader(folder.database()).count("interceptions") == 2);
}

TEST_CASE("consumers: records that no configured sink reads are kept aside, and told") {
  const TempFolder folder;
  TestLog log(folder);
  {
    auto recorder = start_recorder(options_of(folder));
    JournalWriter writer(recorder->journal(0));
    Reader other(folder.database());
    REQUIRE(other.execute("BEGIN IMMEDIATE") == SQLITE_OK);
    write_whole(writer, 1);
    CHECK_FALSE(recorder->stop(0));
  }
  RecorderOptions options = options_of(folder);
  options.sinks[0].name = "elsewhere";
  start_recorder(options, &log).reset();
  CHECK(folder.journal_files(".bad-").size() == 1);
  CHECK(log.count("not configured any more") == 1);
}

TEST_CASE("consumers: a damaged table is told, and every sink goes on where the slowest was") {
  const TempFolder folder;
  TestLog log(folder);
  {
    auto recorder = start_recorder(options_of(folder));
    JournalWriter writer(recorder->journal(0));
    Reader other(folder.database());
    REQUIRE(other.execute("BEGIN IMMEDIATE") == SQLITE_OK);
    write_whole(writer, 1);
    CHECK_FALSE(recorder->stop(0));
  }
  std::fstream file(folder.journals() + "/worker-0.journal", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(kConsumersOffset + 9);
  file << '!';
  file.close();
  start_recorder(options_of(folder), &log).reset();
  CHECK(Reader(folder.database()).count("interceptions") == 1);
  CHECK(log.count("the list of consumers is damaged") == 1);
  CHECK(folder.journal_files(".bad-").size() == 1);
}

TEST_CASE("consumers: a journal of version 1 is delivered to SQLite") {
  const TempFolder folder;
  std::filesystem::create_directory(folder.journals());
  const std::string path = folder.journals() + "/worker-0.journal";
  {
    auto journal = std::move(*Journal::create(path, kRingSizeMin, 0));
    JournalWriter writer(*journal);
    write_whole(writer, 1);
  }
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  bytes.erase(kConsumersOffset, kConsumerPageSize);  // that page is what version 2 added
  FileHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  header.version = 1;
  header.header_size = kHeaderSizeV1;
  header.checksum = header_checksum(header);
  std::memcpy(bytes.data(), &header, sizeof header);
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  start_recorder(options_of(folder)).reset();
  CHECK(Reader(folder.database()).count("interceptions") == 1);
  CHECK(folder.journal_files("worker-").size() == 1);
  CHECK(folder.journal_files(".bad-").empty());
}

}  // namespace weir::record
