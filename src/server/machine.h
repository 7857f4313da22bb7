// What the configuration asks of this machine, and what the machine and the process's limits allow.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "gateway/config.h"
#include "io/engine.h"

namespace weir::server {

std::string node_name(const gateway::Config& config);  // default: the host's
io::EngineOptions engine_options(const gateway::Config& config);
uint32_t usable_cores();
uint32_t worker_count(const gateway::Config& config);
// Refuses what cannot be meant on this machine: a thousand workers on eight cores. For a start, not for a check of a
// file, which may be another machine's.
Result<> check_machine(const gateway::Config& config);

// How the file descriptors are shared out. An exchange takes one on each side, so half of what weir itself does not
// need is for clients: whatever strangers hold open, a request that is accepted can go upstream, and recorder, admin
// endpoint and resolver have theirs.
struct DescriptorPlan {
  uint64_t limit = 0;      // RLIMIT_NOFILE
  uint64_t needed = 0;     // for limits.connections
  uint32_t clients = 0;    // connections, of all workers together; at most limits.connections
  uint32_t upstreams = 0;  // of all workers together
};
// Raises the soft limit to the hard one first: it is often 1024 by history alone. The error: not even one connection
// for each worker.
Result<DescriptorPlan> plan_descriptors(const gateway::Config& config);

}  // namespace weir::server
