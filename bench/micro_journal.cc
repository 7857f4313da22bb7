// What the record costs, without a socket: appending to the journal (ns for each record, by percentile, at rest and
// while another thread keeps the disk busy), and draining it into SQLite (exchanges a second of one core).
//
//   micro_journal [FOLDER [append|drain]]     FOLDER is on the file system to measure (default: the current one)

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "record/journal_file.h"
#include "record/recorder.h"

namespace {

using namespace weir;
using namespace weir::record;

Uuid uuid_of(uint64_t number) {
  Uuid id;
  for (size_t i = 0; i < 8; ++i) id.bytes[7 - i] = static_cast<uint8_t>((number / 256) >> (8 * i));
  // As a UUIDv7: time-ordered in front, random behind.
  uint64_t random = (number + 1) * 0x9E3779B97F4A7C15;
  random ^= random >> 29;
  for (size_t i = 0; i < 8; ++i) id.bytes[8 + i] = static_cast<uint8_t>(random >> (8 * i));
  return id;
}

Start start_of(uint64_t number) {
  static const char* const users[] = {"7b0ad5b5-7d4e-4f7c-9c1c-2b8f1f6f7d11", "1c2d5b5a-7d4e-4f7c-9c1c-2b8f1f6f7d12",
                                      "f00ad5b5-7d4e-4f7c-9c1c-2b8f1f6f7d13", "99aad5b5-7d4e-4f7c-9c1c-2b8f1f6f7d14"};
  return {.id = uuid_of(number),
          .started_at = static_cast<int64_t>(1'700'000'000'000'000 + number * 25),
          .initiator_id = users[number % 4],
          .username = "ada.lovelace",
          .api_key_id = "3e1f0c62-9f1e-4a3e-8a55-0c3f5f0b7a10",
          .provider = "anthropic",
          .provider_type = "anthropic",
          .route = "messages",
          .model = "claude-sonnet-4-20250514",
          .streaming = true,
          .client = "Claude Code",
          .user_agent = "claude-cli/2.0.14 (external, cli)",
          .session_id = "0b6d7b1e-51f5-4a61-8e0c-b8a1a2f9a111",
          .auth_mode = "centralized",
          .source = "public",
          .request_id = "01890a5d-ac96-774b-bcce-b302099a8057",
          .credential_kind = "centralized",
          .credential_hint = "sk-a...efgh",
          .credential_length = 108,
          .request_bytes = 50'000};
}

UserPrompt prompt_of(uint64_t number, const std::string& text) {
  return {.id = uuid_of(number), .prompt = text, .created_at = 1'700'000'000'000'000};
}
TokenUsage usage_of(uint64_t number) {
  return {.id = uuid_of(number),
          .response_id = "msg_01XFDUDYJgAACzvnptvVoYEL",
          .input = 12,
          .output = 345,
          .cache_read = 20'000,
          .cache_write = 512,
          .extra = R"({"cache_write_5m":512})",
          .created_at = 1'700'000'000'000'000};
}
End end_of(uint64_t number) {
  return {.id = uuid_of(number),
          .ended_at = 1'700'000'000'000'000,
          .upstream_status = 200,
          .upstream_request_id = "req_011CTTqbDLUVFWEvXcXgpvAT",
          .outcome = Outcome::completed,
          .attempts = 1,
          .first_byte_us = 800'000,
          .response_bytes = 4321};
}

void print_percentiles(const char* name, std::vector<uint32_t>& samples) {
  std::ranges::sort(samples);
  const auto at = [&](double share) {
    return samples[std::min(samples.size() - 1, static_cast<size_t>(static_cast<double>(samples.size()) * share))];
  };
  uint64_t sum = 0;
  for (const uint32_t sample : samples) sum += sample;
  std::printf("%-34s mean %6llu  p50 %6u  p99 %6u  p99.9 %6u  p99.99 %7u  max %8u ns\n", name,
              static_cast<unsigned long long>(sum / samples.size()), at(0.5), at(0.99), at(0.999), at(0.9999),
              samples.back());
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

// Paced as a busy worker would be, so that the ring goes around and the kernel has time to write pages back.
void measure_append(const std::string& folder, const char* name, bool paced) {
  auto journal = Journal::create(folder + "/append.journal", 64ull << 20, 0);
  if (!journal) {
    std::fprintf(stderr, "%s\n", journal.error().message.c_str());
    std::exit(1);
  }
  JournalWriter writer(**journal);
  const std::string prompt(430, 'p');  // a record of 500 bytes
  std::vector<uint32_t> samples;
  constexpr uint64_t count = 1'000'000;
  samples.reserve(count);
  if (!writer.begin(start_of(0))) std::exit(1);
  const uint64_t began_ns = monotonic_ns();
  for (uint64_t number = 0; number < count; ++number) {
    if (number % 1024 == 0) {
      (*journal)->release_to((*journal)->head());
      (*journal)->prefault((*journal)->head(), 1 << 20);
    }
    if (paced) {
      while (monotonic_ns() < began_ns + number * 10'000) {
      }
    }
    const uint64_t before_ns = monotonic_ns();
    writer.add(prompt_of(0, prompt));
    samples.push_back(static_cast<uint32_t>(monotonic_ns() - before_ns));
  }
  print_percentiles(name, samples);
  if (!paced) {
    const uint64_t from_ns = monotonic_ns();
    for (uint64_t number = 0; number < count; ++number) {
      if (number % 1024 == 0) (*journal)->release_to((*journal)->head());
      writer.add(prompt_of(0, prompt));
    }
    std::printf("%-34s %.1f ns each\n", "  without reading the clock",
                static_cast<double>(monotonic_ns() - from_ns) / count);
  }
  std::filesystem::remove(folder + "/append.journal");
}

double thread_seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

void measure_drain(const std::string& parent, uint64_t count, size_t prompt_size) {
  const std::string folder = parent + "/" + std::to_string(prompt_size);
  std::filesystem::create_directory(folder);
  auto recorder = Recorder::start({.journal_directory = folder + "/journal",
                                   .journal_size = 256ull << 20,
                                   .worker_count = 1,
                                   .sinks = {{.path = folder + "/weir.db"}},
                                   .node = "bench"},
                                  nullptr);
  if (!recorder) {
    std::fprintf(stderr, "%s\n", recorder.error().message.c_str());
    std::exit(1);
  }
  Journal& journal = (*recorder)->journal(0);
  JournalWriter writer(journal);
  const std::string prompt(prompt_size, 'p');
  const double cpu_before = thread_seconds(CLOCK_PROCESS_CPUTIME_ID) - thread_seconds(CLOCK_THREAD_CPUTIME_ID);
  const uint64_t began_ns = monotonic_ns();
  for (uint64_t number = 0; number < count; ++number) {
    while (!writer.begin(start_of(number))) usleep(1000);
    writer.add(prompt_of(number, prompt));
    writer.add(usage_of(number));
    writer.end(end_of(number));
  }
  while (journal.tail() != journal.head()) usleep(1000);
  const double seconds = static_cast<double>(monotonic_ns() - began_ns) * 1e-9;
  const double cpu = thread_seconds(CLOCK_PROCESS_CPUTIME_ID) - thread_seconds(CLOCK_THREAD_CPUTIME_ID) - cpu_before;
  std::printf("drain, prompts of %zu B: %.0f exchanges/s (start, prompt, usage, end); recorder's CPU %.2f us each\n",
              prompt_size, static_cast<double>(count) / seconds, cpu * 1e6 / static_cast<double>(count));
}

}  // namespace

int main(int argc, char** argv) {
  std::string folder = std::string(argc > 1 ? argv[1] : ".") + "/micro-journal-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) {
    std::perror(folder.c_str());
    return 1;
  }
  const std::string_view only = argc > 2 ? argv[2] : "";
  if (only != "drain" && only != "large") {
    measure_append(folder, "append 500 B, back to back", false);
    measure_append(folder, "append 500 B, 100,000/s, disk idle", true);
    const DiskLoad load(folder);
    measure_append(folder, "append 500 B, 100,000/s, disk busy", true);
  }
  if (only != "append") {
    if (only != "large") measure_drain(folder, 200'000, 200);
    measure_drain(folder, 10'000, 65'536);
  }
  std::filesystem::remove_all(folder);
  return 0;
}
