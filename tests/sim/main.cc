// Runs simulations: one seed after the other, or one seed with its trace. Ends with 1 at the first broken invariant.
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "base/clock.h"
#include "sim/simulation.h"

namespace {

weir::sim::Random* process_random = nullptr;

}  // namespace

// In place of the system's: ids and the journal's name come from the seed too.
extern "C" ssize_t getrandom(void* out, size_t size, unsigned int) {
  static weir::sim::Random unseeded(1);
  weir::sim::Random& random = process_random != nullptr ? *process_random : unseeded;
  for (size_t i = 0; i < size; i++) static_cast<char*>(out)[i] = static_cast<char>(random.next());
  return static_cast<ssize_t>(size);
}

namespace weir::sim {
namespace {

constexpr unsigned kSeedSecondsMax = 60;  // of real time: an endless loop inside a turn

constexpr const char* kHelp = R"(usage: sim [--seed N [--trace]] [--seeds N] [--from N]

  --seed N    runs this one
  --trace     says what happens, and what weir logs
  --seeds N   runs so many (default 100)
  --from N    the first of them (default 1)
)";

struct Options {
  uint64_t from = 1;
  uint64_t count = 100;
  bool trace = false;
};

[[noreturn]] void usage() {
  fmt::print(stderr, "{}", kHelp);
  std::exit(2);
}

Options parse(int count, char** words) {
  Options options;
  for (int i = 1; i < count; i++) {
    const std::string_view word = words[i];
    if (word == "--help") {
      fmt::print("{}", kHelp);
      std::exit(0);
    }
    if (word == "--trace") {
      options.trace = true;
      continue;
    }
    if (i + 1 == count) usage();
    const std::string_view value = words[++i];
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size()) usage();
    if (word == "--seed") {
      options.from = number;
      options.count = 1;
    } else if (word == "--seeds") {
      options.count = number;
    } else if (word == "--from") {
      options.from = number;
    } else {
      usage();
    }
  }
  return options;
}

// An assertion of weir's, a sanitizer's finding, an endless loop: the seed is told, then the process ends as it would.
void on_signal(int signal) {
  print_failure(signal == SIGALRM   ? "a turn does not end"
                : signal == SIGABRT ? "an assertion, or a sanitizer's finding (above)"
                                    : "a crash");
  ::_exit(1);
}

void run(const Options& options, const std::string& folder) {
  const int log = options.trace ? 1 : ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Totals totals;
  {
    LogSink sink(log, LogFormat::text, options.trace ? LogLevel::debug : LogLevel::info);
    if (options.trace) report().flush_log = [&sink] { sink.flush(); };
    for (uint64_t seed = options.from; seed < options.from + options.count; seed++) {
      report().seed = seed;
      report().now_ns = 0;
      ::alarm(kSeedSecondsMax);
      Random of_process(~seed);
      process_random = &of_process;
      Simulation simulation(seed, sink, folder);
      simulation.run(totals);
      process_random = nullptr;
      if (options.trace) sink.flush();
    }
    report().flush_log = nullptr;
    ::alarm(0);
  }
  fmt::print(
      "{} seeds, {} turns, {} s simulated: {} requests, {} answered whole, {} refusals, {} interceptions, {} "
      "completed, {} tried twice, {} questions to the authorizer shared, {} of its connections spoilt\n",
      totals.seeds, totals.turns, totals.simulated_ns / kNsPerSecond, totals.requests, totals.answered_whole,
      totals.refused, totals.interceptions, totals.completed, totals.retried, totals.questions_shared,
      totals.authorizer_spoilt);
}

}  // namespace
}  // namespace weir::sim

int main(int count, char** words) {
  const weir::sim::Options options = weir::sim::parse(count, words);
  weir::sim::report().program = words[0];
  weir::sim::report().tracing = options.trace;
  for (const int signal : {SIGABRT, SIGALRM}) std::signal(signal, weir::sim::on_signal);
#if !defined(__SANITIZE_ADDRESS__)  // whose own handlers say more, and abort then
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE}) std::signal(signal, weir::sim::on_signal);
#endif
  std::string folder = (std::filesystem::temp_directory_path() / "weir-sim-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return 2;
  weir::sim::report().folder = folder;
  weir::sim::run(options, folder);
  ::rmdir(folder.c_str());
  return 0;
}
