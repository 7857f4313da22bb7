#include "record/journal.h"

#include <doctest/doctest.h>

#include <fstream>
#include <string>
#include <vector>

#include "record/codec.h"
#include "record/record_fixture.h"

namespace weir::record {

namespace {

// A journal whose consumer is the test.
struct Ring {
  explicit Ring(uint64_t size = kRingSizeMin) {
    auto made = Journal::create(folder.path() + "/worker-0.journal", size, 0);
    REQUIRE_MESSAGE(made.has_value(), (made ? "" : made.error().message));
    journal = std::move(*made);
  }
  // Takes up to `count` records; each as its type's number and the number of its interception.
  std::vector<std::string> take(size_t count = SIZE_MAX) {
    std::vector<std::string> taken;
    uint64_t position = journal->tail();
    while (position < journal->head() && taken.size() < count) {
      const auto record = journal->view().record_at(position, journal->head());
      REQUIRE(record.has_value());
      const auto event = decode(record->type, record->payload);
      REQUIRE(event.has_value());
      const Uuid id = std::visit([](const auto& known) { return known.id; }, *event);
      taken.push_back(std::to_string(event->index()) + ":" + std::to_string(id.bytes[14] * 256 + id.bytes[15]));
      position = record->end;
    }
    journal->release_to(position);
    return taken;
  }

  TempFolder folder;
  std::unique_ptr<Journal> journal;
};

}  // namespace

TEST_CASE("journal: records come out as they went in, around the ring's end many times") {
  Ring ring;
  JournalWriter writer(*ring.journal);
  std::string text;
  for (uint64_t number = 0; number < 3000; ++number) {
    text.assign(number % 1999, 'p');
    REQUIRE(writer.begin(start_of(number)));
    writer.add(prompt_of(number, text));
    writer.end(end_of(number));
    const std::string id = std::to_string(number % 65536);
    REQUIRE(ring.take() == std::vector<std::string>{"0:" + id, "1:" + id, "5:" + id});
  }
  CHECK(ring.journal->head() > 3 * ring.journal->size());
}

TEST_CASE("journal: a full ring refuses the start, and takes it when there is room again") {
  Ring ring;
  JournalWriter writer(*ring.journal);
  uint64_t count = 0;
  while (writer.begin(start_of(count))) ++count;
  REQUIRE(count > 100);
  CHECK(writer.open_count() == count);
  // A quarter and the ends' room are still free.
  CHECK(ring.journal->size() - ring.journal->head() >= ring.journal->size() / 4 + count * 256);
  const uint64_t head = ring.journal->head();
  CHECK_FALSE(writer.begin(start_of(count)));
  CHECK(ring.journal->head() == head);
  CHECK(writer.open_count() == count);
  ring.take();
  CHECK(writer.begin(start_of(count)));
}

TEST_CASE("journal: ends of all that was accepted find room in a full ring") {
  Ring ring;
  JournalWriter writer(*ring.journal);
  uint64_t count = 0;
  while (writer.begin(start_of(count))) ++count;
  for (uint64_t number = 0; number < count; ++number) writer.end(end_of(number));
  CHECK(writer.backlog_empty());
  CHECK(writer.open_count() == 0);
  CHECK(ring.take().size() == 2 * count);
}

TEST_CASE("journal: facts that find no room wait, in order, and nothing new is accepted before them") {
  Ring ring;
  JournalWriter writer(*ring.journal);
  const std::string prompt(kLongTextMax, 'p');
  REQUIRE(writer.begin(start_of(1)));
  REQUIRE(writer.begin(start_of(2)));
  std::vector<std::string> expected = {"0:1", "0:2"};
  for (int i = 0; i < 40; ++i) {
    writer.add(prompt_of(1 + i % 2, prompt));
    expected.push_back("1:" + std::to_string(1 + i % 2));
  }
  CHECK_FALSE(writer.backlog_empty());
  writer.end(end_of(1));
  expected.emplace_back("5:1");
  CHECK_FALSE(writer.begin(start_of(3)));

  std::vector<std::string> taken = ring.take(5);
  writer.retry();
  for (bool more = true; more;) {
    const auto part = ring.take();
    taken.insert(taken.end(), part.begin(), part.end());
    writer.retry();
    more = ring.journal->head() != ring.journal->tail();
  }
  CHECK(taken == expected);
  CHECK(writer.backlog_empty());
  CHECK(writer.begin(start_of(3)));
}

TEST_CASE("journal: the largest records fit the smallest ring") {
  Ring ring;
  JournalWriter writer(*ring.journal);
  const std::string huge(1 << 20, 'u');
  Start start = start_of(1);
  start.user_agent = start.model = start.session_id = start.request_id = start.agent_id = huge;
  for (uint64_t turn = 0; turn < 50; ++turn) {
    REQUIRE(writer.begin(start));
    writer.add(ToolUsage{.id = start.id, .response_id = huge, .tool = huge, .arguments = huge, .error = huge});
    writer.add(prompt_of(1, huge));
    writer.end(end_of(1));
    REQUIRE(writer.backlog_empty());
    REQUIRE(ring.take().size() == 4);
  }
}

TEST_CASE("journal: sizes that are no power of two, or too small, are refused") {
  const TempFolder folder;
  for (const uint64_t size : {uint64_t{0}, kRingSizeMin / 2, kRingSizeMin + 4096, kRingSizeMin * 3}) {
    CHECK_FALSE(Journal::create(folder.path() + "/j", size, 0).has_value());
  }
  CHECK_FALSE(Journal::create(folder.path() + "/no/such/folder", kRingSizeMin, 0).has_value());
}

TEST_CASE("journal: earlier blocks are used again under another id") {
  const TempFolder folder;
  const std::string path = folder.path() + "/worker-0.journal";
  uint64_t first_id = 0;
  {
    auto journal = std::move(*Journal::create(path, kRingSizeMin, 0));
    first_id = journal->id();
    JournalWriter writer(*journal);
    REQUIRE(writer.begin(start_of(1)));
  }
  std::filesystem::rename(path, path + ".new");
  auto journal = std::move(*Journal::create(path, kRingSizeMin, 0));
  CHECK(journal->id() != first_id);
  CHECK(journal->head() == 0);
  // The old record still lies there, and is none of this journal's.
  CHECK_FALSE(journal->view().record_at(0, kRingSizeMin).has_value());
}

TEST_CASE("journal: syncing takes any stretch of the ring") {
  Ring ring;
  CHECK(ring.journal->sync(0, 0).has_value());
  CHECK(ring.journal->sync(100, 5000).has_value());
  CHECK(ring.journal->sync(kRingSizeMin - 100, kRingSizeMin + 100).has_value());
  CHECK(ring.journal->sync(kRingSizeMin / 2, kRingSizeMin / 2 + kRingSizeMin).has_value());
}

}  // namespace weir::record
