// Signals that stop a command or make it read its files again come to one place; no thread may be hit by one.
#pragma once

#include <csignal>

namespace weir::cli {

// Blocks SIGTERM, SIGINT and SIGHUP in this thread and those that it starts from now on. REQUIRES: none was started
// yet.
inline sigset_t block_stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return set;
}

}  // namespace weir::cli
