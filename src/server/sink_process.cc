#include "server/sink_process.h"

#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "base/clock.h"

namespace weir::server {

namespace {

constexpr uint64_t kPauseNsMin = 500 * kNsPerMs;
constexpr uint64_t kPauseNsMax = 30 * kNsPerSecond;
constexpr uint64_t kSteadyNs = 60 * kNsPerSecond;  // after so long an end is a new one, not the same again

bool is_passed_on(std::string_view variable) {
  constexpr std::string_view kPrefixes[] = {
      "PG", "WEIR_SINK_", "PATH=", "HOME=", "TZ=", "LANG=", "LC_", "KRB5", "SSL_"};
  return std::ranges::any_of(kPrefixes, [&](std::string_view prefix) { return variable.starts_with(prefix); });
}

std::string_view text(LogLevel level) {
  constexpr std::string_view kNames[] = {"debug", "info", "warn", "error"};
  return kNames[static_cast<size_t>(level)];
}

}  // namespace

SinkProcess::SinkProcess(const gateway::Config& config, const gateway::SinkConfig& sink, const std::string& node,
                         Logger& log)
    : name_(sink_name(sink)), log_(log) {
  arguments_ = {program(), "--data-dir", config.data_dir, "--sink", name_, "--node", node};
  const auto add = [&](const char* flag, std::string_view value) {
    arguments_.emplace_back(flag);
    arguments_.emplace_back(value);
  };
  if (!sink.dsn_file.empty()) add("--dsn-file", sink.dsn_file);
  if (!sink.service.empty()) add("--service", sink.service);
  add("--log-format", config.log_format == LogFormat::json ? "json" : "text");
  add("--log-level", text(config.log_level));
  add("--parent", std::to_string(getpid()));
}

std::string SinkProcess::program() {
  std::error_code error;
  const std::filesystem::path own = std::filesystem::read_symlink("/proc/self/exe", error);
  return (own.parent_path() / "weir-sink").string();
}

void SinkProcess::tend(uint64_t now_ns) {
  if (pid_ > 0) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) != pid_) return;
    ended(status, now_ns);
  }
  if (now_ns >= start_again_ns_) start(now_ns);
}

void SinkProcess::start(uint64_t now_ns) {
  std::vector<char*> arguments;
  arguments.reserve(arguments_.size() + 1);
  for (std::string& argument : arguments_) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  std::vector<char*> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (is_passed_on(*variable)) environment.push_back(*variable);
  }
  environment.push_back(nullptr);
  // The supervisor blocks the signals that weir-sink ends by.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t usual;
  sigemptyset(&none);
  sigemptyset(&usual);
  sigaddset(&usual, SIGPIPE);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &usual);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const int error = posix_spawn(&pid_, arguments[0], nullptr, &attributes, arguments.data(), environment.data());
  posix_spawnattr_destroy(&attributes);
  started_ns_ = now_ns;
  if (error != 0) {
    pid_ = -1;
    pause_ns_ = std::clamp(pause_ns_ * 2, kPauseNsMin, kPauseNsMax);
    start_again_ns_ = now_ns + pause_ns_;
    log_.error("cannot start weir-sink; records wait in the journals",
               {{"sink", name_}, {"program", arguments_[0]}, {"reason", std::strerror(error)}});
    return;
  }
  descriptor_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  log_.info("started weir-sink", {{"sink", name_}, {"pid", pid_}});
}

void SinkProcess::ended(int status, uint64_t now_ns) {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  pid_ = -1;
  pause_ns_ = now_ns - started_ns_ >= kSteadyNs ? kPauseNsMin : std::clamp(pause_ns_ * 2, kPauseNsMin, kPauseNsMax);
  start_again_ns_ = now_ns + pause_ns_;
  log_.error("weir-sink ended; it is started again",
             {{"sink", name_},
              {WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)},
              {"after_ms", pause_ns_ / kNsPerMs}});
}

void SinkProcess::stop(uint64_t timeout_ns) {
  if (pid_ <= 0) return;
  kill(pid_, SIGTERM);
  pollfd watched{.fd = descriptor_, .events = POLLIN, .revents = 0};
  const bool over = descriptor_ >= 0 && poll(&watched, 1, static_cast<int>(timeout_ns / kNsPerMs)) > 0;
  if (!over) kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  pid_ = -1;
}

}  // namespace weir::server
