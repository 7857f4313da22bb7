#include "server/machine.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/clock.h"
#include "server/admin.h"

namespace weir::server {

namespace {

// More workers than cores only take turns; some more are of use to whoever tries things out.
constexpr uint32_t kWorkersForEachCore = 4;
constexpr uint32_t kWorkersAlways = 64;

// What weir itself opens: the log, databases with their companions, look-ups, files that a reload reads.
constexpr uint64_t kOwnDescriptors = 64;
constexpr uint64_t kDescriptorsOfSink = 8;
// The ring, its event, the mail's event, the journal.
constexpr uint64_t kDescriptorsOfWorker = 4;
// A worker's upstream connections need no more than this whatever the limit allows.
constexpr uint64_t kUpstreamsOfWorkerMax = 65536;

uint32_t power_of_two_at_least(uint32_t number) {
  uint32_t power = 1;
  while (power < number) power *= 2;
  return power;
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

}  // namespace

std::string node_name(const gateway::Config& config) {
  return config.node.empty() ? host_name() : config.node;
}

io::EngineOptions engine_options(const gateway::Config& config) {
  const auto used = [&](std::string_view feature) {
    return std::ranges::find(config.ring_without, feature) == config.ring_without.end();
  };
  return {.entries = config.ring_entries,
          .completion_entries = std::max(8192u, power_of_two_at_least(config.ring_entries * 4)),
          .buffers = power_of_two_at_least(config.buffers),
          .buffer_size = config.buffer_size,
          .wait_us = static_cast<uint32_t>(config.batch_wait_ns / kNsPerUs),
          .busy_poll_ns = config.busy_poll_ns,
          .multishot_receive = used("multishot-receive"),
          .multishot_accept = used("multishot-accept"),
          .deferred_work = used("deferred-work"),
          .cooperative_work = used("cooperative-work"),
          .registered_ring = used("registered-ring")};
}

uint32_t usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1u, static_cast<uint32_t>(CPU_COUNT(&set)));
}

uint32_t worker_count(const gateway::Config& config) {
  return config.workers != 0 ? config.workers : usable_cores();
}

Result<> check_machine(const gateway::Config& config) {
  const uint32_t cores = usable_cores();
  const uint32_t limit = std::max(kWorkersAlways, kWorkersForEachCore * cores);
  if (config.workers <= limit) return {};
  return fail(
      "workers is {}, but this process may use {} {}; at most {} are allowed here, and one for each core is best: set "
      "workers (--workers) to 0",
      config.workers, cores, cores == 1 ? "core" : "cores", limit);
}

Result<DescriptorPlan> plan_descriptors(const gateway::Config& config) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return fail("getrlimit: {}", std::strerror(errno));
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  const uint64_t workers = worker_count(config);
  const uint64_t own = kOwnDescriptors + kDescriptorsOfSink * config.sinks.size() +
                       workers * (kDescriptorsOfWorker + config.listeners.size()) +
                       (config.admin.address.empty() ? 0 : Admin::kConnectionsMax + 4);
  DescriptorPlan plan;
  plan.limit = limit.rlim_cur;
  plan.needed = own + 2 * uint64_t{config.limits.connections};
  const uint64_t free = plan.limit > own ? plan.limit - own : 0;
  if (free < 2 * workers) {
    return fail(
        "the limit of {} file descriptors (`ulimit -n`; LimitNOFILE= under systemd) is too low: weir itself needs {}, "
        "and {} more for one connection of each worker",
        plan.limit, own, 2 * workers);
  }
  plan.clients = static_cast<uint32_t>(std::min<uint64_t>(config.limits.connections, free / 2));
  plan.upstreams = static_cast<uint32_t>(std::min(workers * kUpstreamsOfWorkerMax, free - plan.clients));
  return plan;
}

}  // namespace weir::server
