// What a run says: the trace, and the one way in which it fails. A failure ends the process: the state that broke an
// invariant is not to be trusted for another seed.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <string>

namespace weir::sim {

// Of the seed that is running. `now_ns` is the simulated time since its start.
struct Report {
  uint64_t seed = 0;
  bool tracing = false;
  uint64_t now_ns = 0;
  std::string program;  // how it was called, for the command that replays
  std::string folder;   // to be removed; nothing stays in it
  std::function<void()> flush_log;
};
Report& report();

// Prints the seed, the invariant and the command that replays it with a trace, then ends the process with 1.
[[noreturn]] void fail_with(const std::string& invariant);
// The same lines without the end, for a signal's handler: what `reason` was is not known to us.
void print_failure(const char* reason);

template <class... Args>
[[noreturn]] void broken(fmt::format_string<Args...> format, Args&&... args) {
  fail_with(fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void require(bool holds, fmt::format_string<Args...> format, Args&&... args) {
  if (!holds) [[unlikely]]
    fail_with(fmt::format(format, std::forward<Args>(args)...));
}

void trace_line(const std::string& line);
template <class... Args>
void trace(fmt::format_string<Args...> format, Args&&... args) {
  if (report().tracing) trace_line(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace weir::sim
