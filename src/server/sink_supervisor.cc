#include "server/sink_supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/clock.h"
#include "server/sandbox.h"
#include "server/sink_process.h"

namespace weir::server {

namespace {

constexpr int kTendMs = 250;
// weir-sink may have a batch under way; what it does not finish is delivered later.
constexpr uint64_t kSinkStopNs = 2 * kNsPerSecond;
constexpr int kEndMs = 5000;

bool is_run(const gateway::SinkConfig& sink) {
  return sink.kind == gateway::SinkKind::postgres && sink.managed;
}

// Until the other end is closed.
void tend(const gateway::Config& config, const std::string& node, int control, Logger& log) {
  char byte;
  if (::read(control, &byte, 1) != 1) return;  // weir has not come that far
  std::vector<std::unique_ptr<SinkProcess>> processes;
  for (const gateway::SinkConfig& sink : config.sinks) {
    if (is_run(sink)) processes.push_back(std::make_unique<SinkProcess>(config, sink, node, log));
  }
  for (pollfd watched{.fd = control, .events = POLLIN, .revents = 0}; watched.revents == 0;) {
    for (const auto& process : processes) process->tend(monotonic_ns());
    ::poll(&watched, 1, kTendMs);
  }
  for (const auto& process : processes) process->stop(kSinkStopNs);
}

[[noreturn]] void run(const gateway::Config& config, const std::string& node, int control) {
  ::setpgid(0, 0);  // Ctrl-C is for weir, which ends this process when it has drained
  ::pthread_setname_np(::pthread_self(), "weir-sinks");
  {
    LogSink sink(2, config.log_format, config.log_level);
    const auto log = sink.make_logger();
    if (auto given = give_up_rights(config); !given) {
      log->error("cannot run weir-sink", {{"reason", std::string_view(given.error().message)}});
    } else {
      tend(config, node, control, *log);
    }
  }
  ::_exit(0);  // none of the parent's destructors
}

}  // namespace

Result<std::unique_ptr<SinkSupervisor>> SinkSupervisor::fork(const gateway::Config& config, const std::string& node,
                                                             Logger& log) {
  if (std::ranges::none_of(config.sinks, is_run)) return nullptr;
  std::array<int, 2> control{};
  std::array<int, 2> life{};
  if (::pipe2(control.data(), O_CLOEXEC) != 0) return fail("pipe: {}", std::strerror(errno));
  if (::pipe2(life.data(), O_CLOEXEC) != 0) {
    for (const int end : control) ::close(end);
    return fail("pipe: {}", std::strerror(errno));
  }
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(control[1]);
    ::close(life[0]);
    run(config, node, control[0]);
  }
  const int cause = errno;
  ::close(control[0]);
  ::close(life[1]);
  std::unique_ptr<SinkSupervisor> supervisor(new SinkSupervisor(control[1], life[0], log));
  if (child < 0) return fail("cannot start a process for weir-sink: {}", std::strerror(cause));
  return supervisor;
}

void SinkSupervisor::begin() {
  const char byte = 'b';
  [[maybe_unused]] const ssize_t written = ::write(control_, &byte, 1);  // if it is gone, look() tells
}

void SinkSupervisor::look() {
  pollfd watched{.fd = life_, .events = POLLIN, .revents = 0};
  if (told_ || ::poll(&watched, 1, 0) <= 0) return;
  told_ = true;
  log_.error("nobody runs weir-sink any more; records wait in the journals until weir is started again");
}

void SinkSupervisor::stop() {
  if (control_ < 0) return;
  ::close(control_);
  control_ = -1;
  pollfd watched{.fd = life_, .events = POLLIN, .revents = 0};
  ::poll(&watched, 1, kEndMs);
  ::close(life_);
  life_ = -1;
}

}  // namespace weir::server
