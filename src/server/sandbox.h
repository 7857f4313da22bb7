// What `weir serve` gives up once it has opened what only its starter could open. In two steps, because Landlock and
// capabilities are a thread's and seccomp would forbid the set-up of the rings:
//
//   listeners bound, keys and certificates read
//   confine_process()   the main thread, alone: the user, capabilities, no_new_privs, Landlock
//   database, journals, threads, rings (restricted in themselves, io/engine.h)
//   confine_threads()   every thread: seccomp
//
// What the kernel lacks is left out and told, or the start fails if the sandbox is required. The program that weir
// starts and restarts (weir-sink) is started by a child that is forked before confine_process() (sink_supervisor.h):
// afterwards there are neither processes nor programs to be had.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "gateway/config.h"
#include "server/landlock.h"

namespace weir::server {

// What the sandbox consists of on this machine, for the log.
struct Confinement {
  std::vector<std::string> missing;  // a sentence each
  int landlock = 0;                  // its version
  bool system_calls = false;
  bool rings = false;
};

// The files that a gateway with this configuration needs, now and at a reload: the folders of what it names (a file
// that is replaced is another file to Landlock), the data, and what looking up names and verifying certificates reads.
FileRights files_of(const gateway::Config& config);

// The user and the capabilities alone: for the supervisor of weir-sink, which has programs to start.
Result<> give_up_rights(const gateway::Config& config);
// REQUIRES: no other thread runs.
Result<Confinement> confine_process(const gateway::Config& config);
Result<> confine_threads(const gateway::Config& config, Confinement& confinement);

}  // namespace weir::server
