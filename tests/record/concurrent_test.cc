// Journals with their workers, the recorder and those that look on, all at once: what the thread sanitizer must see.

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "record/record_fixture.h"

namespace weir::record {

namespace {

// Whole interceptions with these numbers, in this order; a worker's loop when the ring is full.
void write_range(Journal& journal, uint64_t first, uint64_t count, std::string_view prompt) {
  JournalWriter writer(journal);
  for (uint64_t number = first; number < first + count; ++number) {
    while (!writer.begin(start_of(number))) std::this_thread::yield();
    writer.add(prompt_of(number, prompt));
    writer.add(usage_of(number));
    writer.end(end_of(number));
  }
  while (!writer.backlog_empty()) writer.retry();
}

// Each of 0..count-1 arrived once, with its facts.
void check_exactly_once(Reader& reader, uint64_t count) {
  const std::string expected = std::to_string(count);
  CHECK(reader.value("SELECT count(*) FROM interceptions WHERE outcome = 'completed'") == expected);
  CHECK(reader.value("SELECT count(*) FROM interceptions") == expected);
  for (const char* table : {"user_prompts", "token_usages"}) {
    CHECK(reader.value(fmt::format("SELECT count(*) || '/' || count(DISTINCT interception_id) FROM {}", table)) ==
          fmt::format("{0}/{0}", count));
  }
}

// Of each worker, ids rise with the rowid. The last digits tell the number.
void check_order(Reader& reader, uint64_t per_worker, uint32_t workers) {
  std::vector<uint64_t> next(workers);
  for (uint32_t worker = 0; worker < workers; ++worker) next[worker] = worker * per_worker;
  for (const std::string& id : reader.rows("SELECT id FROM interceptions ORDER BY rowid")) {
    const uint64_t number = std::stoull(id.substr(24), nullptr, 16);
    CHECK(number == next[number / per_worker]++);
  }
}

}  // namespace

TEST_CASE("recorder: several workers at once, each in its order") {
  const TempFolder folder;
  RecorderOptions options = options_of(folder);
  options.worker_count = 3;
  options.sync_interval_ns = 5 * kNsPerMs;
  auto recorder = start_recorder(options);
  constexpr uint64_t kPerWorker = 500;
  std::vector<std::thread> workers;
  workers.reserve(3);
  for (uint32_t worker = 0; worker < 3; ++worker) {
    workers.emplace_back(
        [&, worker] { write_range(recorder->journal(worker), worker * kPerWorker, kPerWorker, "a prompt"); });
  }
  for (std::thread& worker : workers) worker.join();
  REQUIRE(recorder->stop(kStopNs));
  Reader reader(folder.database());
  check_exactly_once(reader, 3 * kPerWorker);
  check_order(reader, kPerWorker, 3);
}

TEST_CASE("recorder: workers go around small rings many times, for two sinks, while others look on") {
  const TempFolder folder;
  RecorderOptions options = options_of(folder);
  options.worker_count = 2;
  const std::string lines = folder.path() + "/out.jsonl";
  options.sinks.push_back(
      {.kind = SinkSpec::Kind::jsonl, .name = "jsonl", .path = lines, .state_path = folder.path() + "/sink-jsonl.db"});
  uint64_t heard = 0;
  options.on_ended = [&](const InterceptionRow&) { ++heard; };
  auto recorder = start_recorder(options);
  // A prompt of 32 KiB: a ring of 1 MiB takes about 30.
  const std::string prompt(32768, 'p');
  constexpr uint64_t kPerWorker = 200;
  std::atomic<bool> over{false};
  std::vector<std::thread> workers;
  workers.reserve(2);
  for (uint32_t worker = 0; worker < 2; ++worker) {
    workers.emplace_back(
        [&, worker] { write_range(recorder->journal(worker), worker * kPerWorker, kPerWorker, prompt); });
  }
  uint64_t looks = 0;
  uint64_t delivered_last = 0;
  std::thread watching([&] {
    for (bool last = false; !last; ++looks) {
      last = over;
      is_full(recorder->journal(0), 1);
      is_full(recorder->journal(1), 1);
      recorder->database_state();
      delivered_last = recorder->delivered_count();
    }
  });
  for (std::thread& worker : workers) worker.join();
  REQUIRE(recorder->stop(kStopNs));
  over = true;
  watching.join();
  CHECK(looks > 0);
  CHECK(delivered_last == 8 * kPerWorker);
  CHECK(heard == 2 * kPerWorker);
  CHECK(recorder->journal(0).head() > 4 * options.journal_size);
  Reader reader(folder.database());
  check_exactly_once(reader, 2 * kPerWorker);
  check_order(reader, kPerWorker, 2);
  std::ifstream file(lines);
  CHECK(std::count(std::istreambuf_iterator<char>(file), {}, '\n') == 2 * kPerWorker);
}

}  // namespace weir::record
