// What the record costs, without a socket: appending to the journal (ns for each record, by percentile, at rest and
// while another thread keeps the disk busy, so that pages of the journal are under write-back), and draining it into
// SQLite (exchanges a second of one core). In a folder of its own below the current one, whose file system is measured.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "base/clock.h"
#include "load/histogram.h"
#include "micro.h"
#include "record/journal_file.h"
#include "record/recorder.h"
#include "record/sample_events.h"
#include "record/store.h"

namespace {

using namespace weir;
using namespace weir::record;

// As a UUIDv7: time-ordered in front, random behind, which is what the database's indexes see.
Uuid time_ordered_uuid(uint64_t number) {
  Uuid id;
  for (size_t i = 0; i < 8; ++i) id.bytes[7 - i] = static_cast<uint8_t>((number / 256) >> (8 * i));
  uint64_t random = (number + 1) * 0x9E3779B97F4A7C15;
  random ^= random >> 29;
  for (size_t i = 0; i < 8; ++i) id.bytes[8 + i] = static_cast<uint8_t>(random >> (8 * i));
  return id;
}

// With texts as long as they are in life.
Start long_start_of(uint64_t number) {
  static constexpr const char* kUsers[] = {
      "7b0ad5b5-7d4e-4f7c-9c1c-2b8f1f6f7d11", "1c2d5b5a-7d4e-4f7c-9c1c-2b8f1f6f7d12",
      "f00ad5b5-7d4e-4f7c-9c1c-2b8f1f6f7d13", "99aad5b5-7d4e-4f7c-9c1c-2b8f1f6f7d14"};
  Start start = start_of(number, static_cast<int64_t>(1'700'000'000'000'000 + number * 25));
  start.id = time_ordered_uuid(number);
  start.initiator_id = kUsers[number % std::size(kUsers)];
  start.username = "ada.lovelace";
  start.api_key_id = "3e1f0c62-9f1e-4a3e-8a55-0c3f5f0b7a10";
  start.model = "claude-sonnet-4-20250514";
  start.user_agent = "claude-cli/2.0.14 (external, cli)";
  start.session_id = "0b6d7b1e-51f5-4a61-8e0c-b8a1a2f9a111";
  start.agent_id = start.parent_agent_id = start.correlating_tool_call_id = {};
  start.request_id = "01890a5d-ac96-774b-bcce-b302099a8057";
  return start;
}

void print_percentiles(std::string_view name, const load::Histogram& ns) {
  fmt::print("{:<34} mean {:6.0f}  p50 {:6}  p99 {:6}  p99.9 {:6}  p99.99 {:7}  max {:8} ns\n", name, ns.mean(),
             ns.percentile(0.5), ns.percentile(0.99), ns.percentile(0.999), ns.percentile(0.9999), ns.max());
}

// Writes and syncs a file over and over, so that pages of the journal are under writeback too.
class DiskLoad {
 public:
  explicit DiskLoad(const std::string& folder) : path_(folder + "/load"), thread_([this] { run(); }) {}
  ~DiskLoad() {
    stop_ = true;
    thread_.join();
    std::filesystem::remove(path_);
  }
  DiskLoad(const DiskLoad&) = delete;
  DiskLoad& operator=(const DiskLoad&) = delete;

 private:
  void run() {
    const std::string block(1 << 20, 'x');
    while (!stop_) {
      const int file = ::open(path_.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
      for (int i = 0; i < 256 && !stop_; ++i) {
        if (::write(file, block.data(), block.size()) < 0) break;
      }
      ::sync();
      ::close(file);
    }
  }
  std::string path_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// How many whole records lie between the positions.
uint64_t count_records(const Journal& journal, uint64_t from, uint64_t to) {
  uint64_t count = 0;
  while (from < to) {
    const auto record = journal.view().record_at(from, to);
    if (!record) break;
    from = record->end;
    ++count;
  }
  return count;
}

// Paced as a busy worker would be, so that the ring goes around and the kernel has time to write pages back.
void measure_append(bench::Micro& micro, const std::string& folder, std::string_view name, bool paced) {
  if (!micro.wants(name)) return;
  micro.count_one();
  auto journal = Journal::create(folder + "/append.journal", (micro.smoke() ? 4ull : 64ull) << 20, 0);
  micro.check(journal.has_value(), journal ? "" : journal.error().message);
  if (!journal) return;
  JournalWriter writer(**journal);
  const std::string prompt(430, 'p');  // a record of 500 bytes
  const uint64_t count = micro.smoke() ? 20'000 : 500'000;
  const uint64_t apart_ns = paced && !micro.smoke() ? 10'000 : 0;
  auto histogram = std::make_unique<load::Histogram>();
  uint64_t found = 0, looked_from = (*journal)->head();
  micro.check(writer.begin(start_of(0)), "the start finds room");
  const uint64_t began_ns = monotonic_ns();
  for (uint64_t number = 0; number < count; ++number) {
    if (number % 1024 == 0) {
      const uint64_t head = (*journal)->head();
      if (micro.smoke()) found += count_records(**journal, looked_from, head);
      looked_from = head;
      (*journal)->release_to(head);
      (*journal)->prefault(head, 1 << 20);
    }
    while (monotonic_ns() < began_ns + number * apart_ns) {
    }
    const uint64_t before_ns = monotonic_ns();
    writer.add(prompt_of(0, prompt));
    histogram->add(monotonic_ns() - before_ns);
  }
  if (micro.smoke()) {
    found += count_records(**journal, looked_from, (*journal)->head());
    micro.check(found == count + 1, fmt::format("{}: {} of {} records can be read back", name, found, count + 1));
  } else {
    print_percentiles(name, *histogram);
  }
  if (!paced && !micro.smoke()) {
    const uint64_t from_ns = monotonic_ns();
    for (uint64_t number = 0; number < count; ++number) {
      if (number % 1024 == 0) (*journal)->release_to((*journal)->head());
      writer.add(prompt_of(0, prompt));
    }
    fmt::print("{:<34} {:.1f} ns each\n", "  without reading the clock",
               static_cast<double>(monotonic_ns() - from_ns) / static_cast<double>(count));
  }
  std::filesystem::remove(folder + "/append.journal");
}

double thread_seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

void measure_drain(bench::Micro& micro, const std::string& parent, uint64_t usual_count, size_t prompt_size) {
  const std::string name = fmt::format("drain, prompts of {} B", prompt_size);
  if (!micro.wants(name)) return;
  micro.count_one();
  const uint64_t count = micro.smoke() ? 500 : usual_count;
  const std::string folder = parent + "/" + std::to_string(prompt_size);
  std::filesystem::create_directory(folder);
  auto recorder = Recorder::start({.journal_directory = folder + "/journal",
                                   .journal_size = (micro.smoke() ? 8ull : 256ull) << 20,
                                   .worker_count = 1,
                                   .sinks = {{.path = folder + "/weir.db"}},
                                   .node = "bench"},
                                  nullptr);
  micro.check(recorder.has_value(), recorder ? "" : recorder.error().message);
  if (!recorder) return;
  Journal& journal = (*recorder)->journal(0);
  JournalWriter writer(journal);
  const std::string prompt(prompt_size, 'p');
  const double cpu_before = thread_seconds(CLOCK_PROCESS_CPUTIME_ID) - thread_seconds(CLOCK_THREAD_CPUTIME_ID);
  const uint64_t began_ns = monotonic_ns();
  for (uint64_t number = 0; number < count; ++number) {
    const Start start = long_start_of(number);
    while (!writer.begin(start)) usleep(1000);
    UserPrompt user_prompt = prompt_of(number, prompt);
    TokenUsage usage = usage_of(number);
    End end = end_of(number, start.started_at + 1'000'000);
    user_prompt.id = usage.id = end.id = start.id;
    writer.add(user_prompt);
    writer.add(usage);
    writer.end(end);
  }
  while (journal.tail() != journal.head()) usleep(1000);
  const double seconds = static_cast<double>(monotonic_ns() - began_ns) * 1e-9;
  const double cpu = thread_seconds(CLOCK_PROCESS_CPUTIME_ID) - thread_seconds(CLOCK_THREAD_CPUTIME_ID) - cpu_before;
  if (micro.smoke()) {
    (*recorder)->stop(kNsPerSecond);
    auto store = Store::open(folder + "/weir.db");
    const auto rows =
        store ? (*store)->log({.limit = static_cast<uint32_t>(count) + 1}) : std::unexpected(store.error());
    micro.check(rows && rows->size() == count && rows->front().outcome == "completed",
                fmt::format("{}: each exchange is in the database", name));
    return;
  }
  fmt::print("{}: {:.0f} exchanges/s (start, prompt, usage, end); recorder's CPU {:.2f} us each\n", name,
             static_cast<double>(count) / seconds, cpu * 1e6 / static_cast<double>(count));
}

}  // namespace

int main(int argc, char** argv) {
  bench::Micro micro(argc, argv);
  std::string folder = "micro-journal-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) {
    std::perror(folder.c_str());
    return 1;
  }
  measure_append(micro, folder, "append 500 B, back to back", false);
  measure_append(micro, folder, "append 500 B, 100,000/s, disk idle", true);
  {
    std::unique_ptr<DiskLoad> load;
    if (!micro.smoke()) load = std::make_unique<DiskLoad>(folder);
    measure_append(micro, folder, "append 500 B, 100,000/s, disk busy", true);
  }
  measure_drain(micro, folder, 200'000, 200);
  measure_drain(micro, folder, 10'000, 65'536);
  std::filesystem::remove_all(folder);
  return micro.finish();
}
