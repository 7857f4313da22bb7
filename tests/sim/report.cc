#include "sim/report.h"

#include <unistd.h>

#include <array>
#include <cstdio>

#include "base/clock.h"

namespace weir::sim {

Report& report() {
  static Report instance;
  return instance;
}

// Also called from signal handlers: only formatting into a fixed array and write(2).
void print_failure(const char* reason) {
  std::array<char, 1024> line{};
  const auto end =
      fmt::format_to_n(line.data(), line.size(),
                       "\nsimulation failed: {}\n  seed    {}\n  after   {}.{:06} s\n  replay  {} --seed {} --trace\n",
                       reason, report().seed, report().now_ns / kNsPerSecond, report().now_ns % kNsPerSecond / kNsPerUs,
                       report().program, report().seed);
  std::fflush(stdout);
  ::rmdir(report().folder.c_str());
  [[maybe_unused]] const ssize_t written = ::write(2, line.data(), std::min(end.size, line.size()));
}

void fail_with(const std::string& invariant) {
  if (report().flush_log) report().flush_log();
  print_failure(invariant.c_str());
  ::_exit(1);
}

// In the order of things: what weir has logged until now comes first.
void trace_line(const std::string& line) {
  if (report().flush_log) report().flush_log();
  fmt::print("{:>5}.{:06} {}\n", report().now_ns / kNsPerSecond, report().now_ns % kNsPerSecond / kNsPerUs, line);
  std::fflush(stdout);
}

}  // namespace weir::sim
