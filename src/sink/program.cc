#include "sink/program.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>

#include <fmt/core.h>

#include "record/consumer.h"
#include "sink/journal_folder.h"
#include "sink/postgres_sink.h"

namespace weir::sink {

namespace {

constexpr int kFailure = 1;
constexpr size_t kIdentitySize = 16;
constexpr uint64_t kLockPollNs = 100 * kNsPerMs;

// Only one weir-sink serves a sink of a data_dir: it holds a lock on this file, which also has the identity by which
// its sessions know each other.
class Identity {
 public:
  ~Identity() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Identity() = default;
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;

  // False: another weir-sink has it.
  Result<bool> lock(const std::string& path) {
    if (descriptor_ < 0) descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor_ < 0) return fail("cannot open {}: {}; is this weir's data_dir?", path, std::strerror(errno));
    if (flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno == EWOULDBLOCK) return false;
    return fail("cannot lock {}: {}", path, std::strerror(errno));
  }

  // REQUIRES: lock() gave true.
  Result<std::string> read(const std::string& path) {
    std::string identity(kIdentitySize, '\0');
    if (pread(descriptor_, identity.data(), kIdentitySize, 0) == static_cast<ssize_t>(kIdentitySize)) return identity;
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, 0) != sizeof random) return fail("getrandom: {}", std::strerror(errno));
    identity = fmt::format("{:016x}", random);
    if (pwrite(descriptor_, identity.data(), kIdentitySize, 0) != static_cast<ssize_t>(kIdentitySize)) {
      return fail("cannot write {}: {}", path, std::strerror(errno));
    }
    return identity;
  }

 private:
  int descriptor_ = -1;
};

class Program {
 public:
  Program(const Options& options, LogSink& log_sink)
      : options_(options), logger_(log_sink.make_logger()), folder_(options.data_dir + "/journal", options.sink) {}
  ~Program() {
    if (signals_ >= 0) ::close(signals_);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  Result<> run(const sigset_t& stop_signals) {
    signals_ = ::signalfd(-1, &stop_signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals_ < 0) return fail("cannot watch signals: {}", std::strerror(errno));
    if (auto tied = tie_to_parent(); !tied) return tied;
    auto dsn = read_dsn(options_);
    if (!dsn) return std::unexpected(dsn.error());
    auto identity = take_identity(fmt::format("{}/sink-{}.lock", options_.data_dir, options_.sink));
    if (!identity) return std::unexpected(identity.error());
    if (identity->empty()) return {};
    PostgresSink sink({.dsn = std::move(*dsn),
                       .service = options_.service,
                       .node = options_.node,
                       .identity = *identity + "-" + boot(),
                       .stop_descriptor = signals_});
    logger_->info("weir-sink runs", {{"sink", options_.sink}, {"node", options_.node}});
    while (!stopped(0)) {
      auto found = folder_.look();
      if (!found) return std::unexpected(found.error());
      if (auto fed = feed(sink, *found); !fed) return fed;
    }
    logger_->info("weir-sink stopped", {{"sink", options_.sink}});
    return {};
  }

 private:
  Result<> tie_to_parent() const {
    if (options_.parent == 0) return {};
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) return fail("prctl: {}", std::strerror(errno));
    if (getppid() != options_.parent) return fail("the process {} that started this one is gone", options_.parent);
    return {};
  }

  // A copy of this data_dir on another machine is another node.
  static std::string boot() {
    char boot_id[36];
    record::read_boot_id(boot_id);
    return {boot_id, 8};
  }

  // Waits for an earlier weir-sink to end. Empty: told to stop meanwhile.
  Result<std::string> take_identity(const std::string& path) {
    for (bool told = false;; told = true) {
      auto locked = identity_.lock(path);
      if (!locked) return std::unexpected(locked.error());
      if (*locked) return identity_.read(path);
      if (!told) logger_->warn("another weir-sink serves this sink; waiting for its end", {{"path", path}});
      if (stopped(kLockPollNs)) return "";
    }
  }

  // Waits for at most that long. The signal is not taken: everything that waits sees it.
  bool stopped(uint64_t wait_ns) const {
    pollfd watched{.fd = signals_, .events = POLLIN, .revents = 0};
    return poll(&watched, 1, static_cast<int>(wait_ns / kNsPerMs)) > 0;
  }

  // weir shows it in its metrics.
  static void tell_state(Found& found, record::DatabaseState state) {
    for (record::JournalPort& port : found.ports) {
      port.page.set_pulse(port.index, {.state = static_cast<uint8_t>(state), .at_ms = monotonic_ns() / kNsPerMs});
    }
  }

  // Until other journals are live, or the end.
  Result<> feed(PostgresSink& sink, Found& found) {
    record::Consumer consumer(sink, logger_.get(),
                              {.name = options_.sink,
                               .dead = std::move(found.dead),
                               .dead_ids = std::move(found.dead_ids),
                               .live = found.ports,
                               .committed = {}});
    for (;;) {
      auto turned = consumer.turn();
      if (!turned && turned.error().code == kStoppedCode) return {};
      const auto works = consumer.recovered() ? record::DatabaseState::ok : record::DatabaseState::recovering;
      tell_state(found, turned ? works : state_of(turned.error()));
      if (!turned && turned.error().permanent) return fail("{}", turned.error().message);
      if (turned) {
        consumer.works();
      } else {
        consumer.failed(turned.error());
      }
      const bool more = turned.has_value() && *turned;
      if (stopped(more ? 0 : consumer.pause_ns()) || folder_.changed()) return {};
    }
  }

  const Options& options_;
  std::unique_ptr<Logger> logger_;
  JournalFolder folder_;
  Identity identity_;
  int signals_ = -1;
};

}  // namespace

int run(const Options& options) {
  // Before the log's thread, which inherits this: the signals come by a descriptor alone.
  sigset_t stop_signals;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  sigprocmask(SIG_BLOCK, &stop_signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  LogSink log(2, options.log_format, options.log_level);
  Program program(options, log);
  if (auto done = program.run(stop_signals); !done) {
    log.make_logger()->error("weir-sink ends", {{"sink", options.sink}, {"reason", done.error().message}});
    log.flush();
    return kFailure;
  }
  return 0;
}

}  // namespace weir::sink
