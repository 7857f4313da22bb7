#include "record/leftover.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "record/codec.h"
#include "record/record_fixture.h"

namespace weir::record {

namespace {

// A journal of a process that is gone, with `count` starts in it, as bytes that a test may change.
struct Left {
  TempFolder folder;
  std::string path = folder.path() + "/worker-0.journal";
  std::string bytes;
  std::vector<uint64_t> positions;  // of its records
  uint64_t head = 0;

  explicit Left(uint64_t count = 10) {
    auto journal = std::move(*Journal::create(path, kRingSizeMin, 0));
    JournalWriter writer(*journal);
    for (uint64_t number = 0; number < count; ++number) {
      positions.push_back(journal->head());
      REQUIRE(writer.begin(start_of(number)));
    }
    head = journal->head();
    std::ifstream file(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
    REQUIRE(bytes.size() == kHeaderSize + kRingSizeMin);
  }
  std::unique_ptr<Leftover> load(Scope scope = Scope::undelivered) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    auto loaded = Leftover::load(path, scope);
    REQUIRE_MESSAGE(loaded.has_value(), (loaded ? "" : loaded.error().message));
    return std::move(*loaded);
  }
  void set(size_t offset, uint64_t value) { std::memcpy(bytes.data() + offset, &value, sizeof value); }
  void flip(size_t offset) { bytes[offset] = static_cast<char>(bytes[offset] ^ 0x10); }
  // Changes both headers as a writer would have written them.
  template <class Change>
  void change_headers(Change change) {
    FileHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    change(header);
    header.checksum = header_checksum(header);
    for (const size_t offset : {size_t{0}, kHeaderCopyOffset})
      std::memcpy(bytes.data() + offset, &header, sizeof header);
  }
};

}  // namespace

TEST_CASE("leftover: a whole file gives every record after the tail") {
  Left left;
  CHECK(left.load()->positions() == left.positions);
  CHECK(left.load()->damage().empty());
  left.set(kTailOffset, left.positions[4]);
  const auto leftover = left.load();
  CHECK(leftover->positions() == std::vector<uint64_t>(left.positions.begin() + 4, left.positions.end()));
  CHECK(std::get<Start>(*decode(RecordType::start, leftover->record(left.positions[4]).payload)).id == uuid_of(4));
  left.set(kTailOffset, left.head);
  CHECK(left.load()->positions().empty());
  CHECK(left.load()->damage().empty());
}

TEST_CASE("leftover: a flipped bit costs one record and is told with its place") {
  Left left;
  left.flip(kHeaderSize + left.positions[3] + 40);
  const auto leftover = left.load();
  auto expected = left.positions;
  expected.erase(expected.begin() + 3);
  CHECK(leftover->positions() == expected);
  REQUIRE(leftover->damage().size() == 1);
  CHECK(leftover->damage()[0].file_offset == kHeaderSize + left.positions[3]);
  CHECK(leftover->damage()[0].size == left.positions[4] - left.positions[3]);
}

TEST_CASE("leftover: a damaged length or position does not hide the records behind it") {
  for (const size_t at : {offsetof(RecordHeader, checksum), offsetof(RecordHeader, type), offsetof(RecordHeader, words),
                          offsetof(RecordHeader, position)}) {
    Left left;
    left.flip(kHeaderSize + left.positions[0] + at);
    const auto leftover = left.load();
    CHECK(leftover->positions() == std::vector<uint64_t>(left.positions.begin() + 1, left.positions.end()));
    CHECK(leftover->damage().size() == 1);
  }
}

TEST_CASE("leftover: a file cut short gives what is whole") {
  Left left;
  left.bytes.resize(kHeaderSize + left.positions[6] + 20);
  const auto leftover = left.load();
  CHECK(leftover->positions() == std::vector<uint64_t>(left.positions.begin(), left.positions.begin() + 6));
  REQUIRE(leftover->damage().size() == 2);
  CHECK(leftover->damage()[0].what == "the file is cut short");
  CHECK(leftover->damage()[1].file_offset == kHeaderSize + left.positions[6]);
}

TEST_CASE("leftover: cut at every place of the header, it is never taken for an empty journal") {
  Left left(1);
  const std::string whole = left.bytes;
  for (const size_t size : {size_t{0}, size_t{1}, size_t{95}, size_t{96}, kHeadOffset, kTailOffset, kHeaderSize - 1}) {
    left.bytes = whole.substr(0, size);
    const auto leftover = left.load();
    CHECK(leftover->positions().empty());
    CHECK_FALSE(leftover->damage().empty());
  }
}

TEST_CASE("leftover: the header's copy serves when the first is damaged") {
  Left left;
  for (size_t offset = 0; offset < sizeof(FileHeader); ++offset) {
    left.flip(offset);
    const auto leftover = left.load();
    CHECK(leftover->positions() == left.positions);
    CHECK(leftover->damage().size() == 1);
    left.flip(offset);
  }
}

TEST_CASE("leftover: a foreign file is no journal, and no error") {
  Left left;
  left.bytes = "#!/bin/sh\necho not a journal\n";
  CHECK_FALSE(left.load()->is_journal());
  CHECK(left.load()->damage().size() == 1);
  left.bytes.assign(kHeaderSize + kRingSizeMin, '\0');
  CHECK_FALSE(left.load()->is_journal());
}

TEST_CASE("leftover: a journal of a newer weir, or no file at all, is an error") {
  Left left;
  left.change_headers([](FileHeader& header) { header.version = kFormatVersion + 1; });
  std::ofstream(left.path, std::ios::binary | std::ios::trunc) << left.bytes;
  const auto loaded = Leftover::load(left.path);
  REQUIRE_FALSE(loaded.has_value());
  CHECK(loaded.error().message.find("newer weir") != std::string::npos);
  CHECK_FALSE(Leftover::load(left.folder.path() + "/missing").has_value());
  CHECK_FALSE(Leftover::load(left.folder.path()).has_value());
}

TEST_CASE("leftover: positions that cannot be true are told, and every whole record counts") {
  for (const auto& [offset, value] : std::vector<std::pair<size_t, uint64_t>>{
           {kHeadOffset, UINT64_MAX - 7}, {kHeadOffset, 3}, {kTailOffset, uint64_t{1} << 60}}) {
    Left left;
    left.set(offset, value);
    CHECK(left.load()->positions() == left.positions);
    CHECK(left.load()->damage().size() == 1);
  }
}

TEST_CASE("leftover: after a power cut, records behind an old head count") {
  Left left;
  left.set(kHeadOffset, left.positions[7]);
  left.change_headers([](FileHeader& header) { header.boot_id[0] = 'x'; });
  CHECK(left.load()->positions() == left.positions);
  CHECK(left.load()->damage().empty());
}

TEST_CASE("leftover: while the kernel lives, one record behind the head was not published; more say that it is wrong") {
  Left left;
  left.set(kHeadOffset, left.positions[9]);
  CHECK(left.load()->positions().size() == 9);
  CHECK(left.load()->damage().empty());
  left.set(kHeadOffset, left.positions[8]);
  CHECK(left.load()->positions() == left.positions);
  REQUIRE(left.load()->damage().size() == 1);
  CHECK(left.load()->damage()[0].file_offset == kHeadOffset);
}

TEST_CASE("leftover: after a power cut, a head that is ahead of its records is damage") {
  Left left;
  std::memset(left.bytes.data() + kHeaderSize + left.positions[8], 0, left.head - left.positions[8]);
  const auto leftover = left.load();
  CHECK(leftover->positions().size() == 8);
  REQUIRE(leftover->damage().size() == 1);
  CHECK(leftover->damage()[0].file_offset == kHeaderSize + left.positions[8]);
}

TEST_CASE("leftover: positions at the end of their range are no reason to look for ever") {
  Left left;
  left.set(kHeadOffset, UINT64_MAX - 7);
  left.set(kTailOffset, UINT64_MAX - 1023);
  for (const Scope scope : {Scope::undelivered, Scope::whole_ring})
    CHECK(left.load(scope)->positions() == left.positions);
}

TEST_CASE("leftover: the whole ring has the delivered records too, as far as they were not written over") {
  Left left;
  left.set(kTailOffset, left.positions[4]);
  CHECK(left.load(Scope::whole_ring)->positions() == left.positions);
  CHECK(left.load(Scope::whole_ring)->damage().empty());
  left.flip(kHeaderSize + left.positions[1] + 40);
  CHECK(left.load()->damage().empty());
  CHECK(left.load(Scope::whole_ring)->damage().size() == 1);

  const TempFolder folder;
  auto journal = std::move(*Journal::create(folder.path() + "/j", kRingSizeMin, 0));
  JournalWriter writer(*journal);
  std::vector<uint64_t> positions;
  for (uint64_t number = 0; journal->head() < 3 * kRingSizeMin + 12345; ++number) {
    positions.push_back(journal->head());
    REQUIRE(writer.begin(start_of(number)));
    writer.end(end_of(number));
    journal->release_to(journal->head());
  }
  const auto ring = std::move(*Leftover::load(folder.path() + "/j", Scope::whole_ring));
  CHECK(ring->damage().empty());
  CHECK(ring->positions().size() > kRingSizeMin / 1024);
  CHECK(ring->positions().front() > journal->head() - kRingSizeMin);
  CHECK(std::ranges::is_sorted(ring->positions()));
  CHECK(ring->record(ring->positions().back()).end == journal->head());
}

TEST_CASE("leftover: a live journal is read whole while its process goes on, and nothing is called damaged") {
  const TempFolder folder;
  auto journal = std::move(*Journal::create(folder.path() + "/j", kRingSizeMin, 0));
  std::atomic<bool> stop{false};
  std::thread process([&] {
    JournalWriter writer(*journal);
    for (uint64_t number = 0; !stop; ++number) {
      if (writer.begin(start_of(number))) writer.end(end_of(number));
      if (number % 7 == 0) journal->release_to(journal->head());
    }
  });
  for (int i = 0; i < 50; ++i) {
    const auto ring = Leftover::load(folder.path() + "/j", Scope::whole_ring);
    REQUIRE_MESSAGE(ring.has_value(), (ring ? "" : ring.error().message));
    for (const Damage& damage : (*ring)->damage()) FAIL_CHECK(damage.what << " at " << damage.file_offset);
  }
  stop = true;
  process.join();
}

TEST_CASE("leftover: a whole record of no known kind is damage, not a record") {
  for (const auto& [type, payload] : {std::pair{uint16_t{77}, size_t{48}}, {uint16_t{1}, size_t{16}}}) {
    Left left(3);
    std::string record(sizeof(RecordHeader) + payload, 'x');
    FileHeader file;
    std::memcpy(&file, left.bytes.data(), sizeof file);
    RecordHeader header{0, type, static_cast<uint16_t>(record.size() / kRecordAlignment), left.head};
    std::memcpy(record.data(), &header, sizeof header);
    header.checksum = record_checksum(record_seed(file.journal_id), record.data(), record.size());
    std::memcpy(record.data(), &header, sizeof header);
    left.bytes.replace(kHeaderSize + left.head, record.size(), record);
    left.set(kHeadOffset, left.head + record.size());
    const auto leftover = left.load();
    CHECK(leftover->positions() == left.positions);
    REQUIRE(leftover->damage().size() == 1);
    CHECK(leftover->damage()[0].file_offset == kHeaderSize + left.head);
    CHECK(leftover->damage()[0].what.find("type " + std::to_string(type)) != std::string::npos);
  }
}

TEST_CASE("leftover: a small file that tells of a large ring is read at once") {
  Left left;
  left.change_headers([](FileHeader& header) { header.ring_size = kRingSizeMax; });
  left.set(kHeadOffset, kRingSizeMax - 64);
  left.bytes.resize(kHeaderSize + left.positions[5]);
  const auto leftover = left.load();
  CHECK(leftover->positions() == std::vector<uint64_t>(left.positions.begin(), left.positions.begin() + 5));
  CHECK(leftover->damage().size() == 2);
}

TEST_CASE("leftover: what follows the ring, and another byte order, are told") {
  Left left;
  left.bytes += "more";
  REQUIRE(left.load()->damage().size() == 1);
  CHECK(left.load()->damage()[0].file_offset == kHeaderSize + kRingSizeMin);
  CHECK(left.load()->positions() == left.positions);
  left.change_headers([](FileHeader& header) { header.byte_order = std::byteswap(header.byte_order); });
  CHECK_FALSE(left.load()->is_journal());
  CHECK(left.load()->damage()[0].what.find("byte order") != std::string::npos);
}

TEST_CASE("recovery: a leftover journal is delivered once, and its file goes") {
  const TempFolder folder;
  {
    Left left(10);
    std::filesystem::create_directory(folder.journals());
    std::filesystem::copy(left.path, folder.journals() + "/worker-7.journal");
  }
  for (int run = 0; run < 2; ++run) {
    auto recorder = start_recorder(options_of(folder));
    Reader reader(folder.database());
    CHECK(reader.count("interceptions") == 10);
    CHECK(reader.value("SELECT count(*) FROM interceptions WHERE outcome = 'interrupted'") == "10");
    CHECK(reader.count("journal_positions") == 0);
    CHECK(folder.journal_files("worker-").size() == 1);
  }
}

TEST_CASE("recovery: a damaged journal is told, what is readable delivered, and the file kept aside") {
  const TempFolder folder;
  TestLog log(folder);
  size_t offset = 0;
  {
    Left left(10);
    offset = kHeaderSize + left.positions[3];
    left.flip(offset + 40);
    left.load();  // writes it
    std::filesystem::create_directory(folder.journals());
    std::filesystem::copy(left.path, folder.journals() + "/worker-0.journal");
  }
  for (int run = 0; run < 2; ++run) {
    auto recorder = start_recorder(options_of(folder), &log);
    Reader reader(folder.database());
    CHECK(reader.count("interceptions") == 9);
    CHECK(folder.journal_files(".bad-").size() == 1);
  }
  CHECK(log.count("offset=" + std::to_string(offset)) == 1);
  CHECK(log.count("kept the damaged journal") == 1);
}

TEST_CASE("recovery: a record of no known kind is told, and its file kept aside") {
  const TempFolder folder;
  TestLog log(folder);
  {
    Left left(2);
    FileHeader file;
    std::memcpy(&file, left.bytes.data(), sizeof file);
    char* const first = left.bytes.data() + kHeaderSize;
    RecordHeader header;
    std::memcpy(&header, first, sizeof header);
    header.type = 9;
    std::memcpy(first, &header, sizeof header);
    header.checksum = record_checksum(record_seed(file.journal_id), first, left.positions[1]);
    std::memcpy(first, &header, sizeof header);
    left.load();
    std::filesystem::create_directory(folder.journals());
    std::filesystem::copy(left.path, folder.journals() + "/worker-0.journal");
  }
  auto recorder = start_recorder(options_of(folder), &log);
  CHECK(Reader(folder.database()).count("interceptions") == 1);
  CHECK(folder.journal_files(".bad-").size() == 1);
  CHECK(log.count("offset=" + std::to_string(kHeaderSize)) == 1);
}

TEST_CASE("recovery: a foreign file is set aside and told; a newer journal stops the start") {
  const TempFolder folder;
  TestLog log(folder);
  std::filesystem::create_directory(folder.journals());
  std::ofstream(folder.journals() + "/worker-0.journal") << "something else";
  start_recorder(options_of(folder), &log).reset();
  CHECK(folder.journal_files("worker-0.journal.bad-").size() == 1);
  CHECK(log.count("set a file aside") == 1);
  {
    Left left;
    left.change_headers([](FileHeader& header) { header.version = kFormatVersion + 1; });
    std::ofstream(folder.journals() + "/worker-1.journal", std::ios::binary) << left.bytes;
  }
  const auto started = Recorder::start(options_of(folder), nullptr);
  REQUIRE_FALSE(started.has_value());
  CHECK(started.error().message.find("worker-1.journal") != std::string::npos);
  CHECK(folder.journal_files("worker-1.journal").size() == 1);
}

}  // namespace weir::record
