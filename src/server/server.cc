#include "server/server.h"

#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <poll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <future>
#include <thread>
#include <utility>

#include <fmt/ranges.h>

#include "base/clock.h"
#include "base/units.h"
#include "proxy/worker.h"
#include "record/journal_file.h"
#include "record/store.h"
#include "server/admin.h"
#include "server/machine.h"
#include "server/metrics.h"
#include "server/origins.h"
#include "server/privileges.h"
#include "server/resolver.h"
#include "server/sandbox.h"
#include "server/sink_supervisor.h"

namespace weir::server {

namespace {

// How often the token table is compared with the database: revoking takes effect within a second (spec section 2).
constexpr int kTokenPollMs = 250;

std::vector<record::SinkSpec> sink_specs(const gateway::Config& config) {
  using Kind = record::SinkSpec::Kind;
  std::vector<record::SinkSpec> specs;
  for (const gateway::SinkConfig& sink : config.sinks) {
    record::SinkSpec& spec = specs.emplace_back();
    spec.name = gateway::sink_name(sink);
    switch (sink.kind) {
      case gateway::SinkKind::sqlite:
        spec.path = gateway::database_path(config);
        break;
      case gateway::SinkKind::jsonl:
        spec.kind = Kind::jsonl;
        spec.path = sink.path;
        spec.state_path = fmt::format("{}/sink-{}.db", config.data_dir, spec.name);
        spec.rotate_size = sink.rotate_size;
        spec.keep = sink.keep;
        break;
      case gateway::SinkKind::postgres:
        spec.kind = Kind::outside;
        break;
    }
  }
  return specs;
}

Result<std::shared_ptr<const gateway::TokenTable>> load_tokens(record::Store& store) {
  auto keys = store.list_keys();
  if (!keys) return std::unexpected(keys.error());
  std::vector<gateway::TokenRow> rows;
  for (const record::GatewayKey& key : *keys) {
    if (key.revoked_at != 0) continue;
    rows.push_back({.key_id = key.id,
                    .token_sha256 = key.token_sha256,
                    .initiator_id = key.initiator_id,
                    .username = key.username,
                    .expires_at_us = key.expires_at});
  }
  return std::make_shared<const gateway::TokenTable>(rows);
}

}  // namespace

struct Server::Impl {
  ServerOptions options;
  LogSink& sink;
  std::unique_ptr<Logger> log;
  std::unique_ptr<Logger> resolver_log;
  std::unique_ptr<record::Store> store;
  std::unique_ptr<record::Recorder> recorder;
  std::unique_ptr<SinkSupervisor> sink_supervisor;  // null: no program to run
  std::unique_ptr<Resolver> resolver;
  std::unique_ptr<gateway::Limiter> limiter;  // outlives the workers
  OriginList origins;
  std::shared_ptr<const proxy::Snapshot> snapshot;
  std::vector<std::unique_ptr<proxy::Worker>> workers;
  std::vector<std::thread> threads;
  std::vector<Listening> listening;
  Confinement confinement;
  uint64_t started_ns = monotonic_ns();
  std::atomic<bool> draining{false};
  std::string no_admin;
  std::unique_ptr<Admin> admin;  // reads the workers and the recorder: goes before them
  DescriptorPlan descriptors;
  uint32_t worker_count = 1;
  int64_t token_version = -1;
  bool store_failing = false;
  int stop_event = -1;
  int signal_event = -1;

  Impl(ServerOptions given, LogSink& log_sink) : options(std::move(given)), sink(log_sink) {}
  ~Impl() {
    drain(0);
    admin.reset();
    resolver.reset();
    if (stop_event >= 0) ::close(stop_event);
    if (signal_event >= 0) ::close(signal_event);
  }

  const gateway::Config& config() const { return options.config; }

  Result<> set_up();
  Result<> prepare_workers(std::vector<proxy::WorkerOptions>& per_worker);
  Result<> block_signals();
  static bool stop_asked();
  Result<> open_store();
  Result<std::vector<std::shared_ptr<tls::ServerContext>>> load_certificates(const gateway::Config& from) const;
  Result<> bind(std::vector<proxy::WorkerOptions>& per_worker);
  Result<> start_workers();
  void tell_confinement();
  Result<> bind_admin();
  MetricsView metrics_view() const;
  std::string not_ready() const;
  void post_all(const std::function<proxy::Message()>& make);
  Result<> publish(std::unique_ptr<const gateway::Policy> policy,
                   std::vector<std::shared_ptr<tls::ServerContext>> certificates);
  void refresh_tokens();
  void reload();
  void drain(uint64_t timeout_ns);
};

// --- start ---

Result<> Server::Impl::block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  // Before any thread starts: all of them inherit it, and the signals come by signal_event alone.
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  signal_event = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  stop_event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (signal_event < 0 || stop_event < 0) return fail("cannot watch signals: {}", std::strerror(errno));
  return {};
}

// While starting nobody reads the signals' descriptor; they wait as pending.
bool Server::Impl::stop_asked() {
  sigset_t pending;
  return ::sigpending(&pending) == 0 && (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

Result<> Server::Impl::open_store() {
  std::error_code error;
  std::filesystem::create_directories(config().data_dir, error);
  if (error) {
    return fail("cannot make the data folder {}: {}; choose another with --data-dir", config().data_dir,
                error.message());
  }
  for (const gateway::SinkConfig& into : config().sinks) {
    // As the sandbox does, where there is none. What fails here, the sink tells.
    const std::filesystem::path folder = std::filesystem::path(into.path).parent_path();
    if (into.kind != gateway::SinkKind::jsonl || folder.empty() ||
        !std::filesystem::create_directories(folder, error)) {
      continue;
    }
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  }
  const std::string path = gateway::database_path(config());
  auto opened = record::Store::open(path);
  if (!opened) return std::unexpected(opened.error());
  store = std::move(*opened);

  uint64_t sync_ns = 0;
  if (config().journal.sync != "off") {
    auto parsed = parse_duration(config().journal.sync);
    if (!parsed) return std::unexpected(parsed.error());
    sync_ns = *parsed;
  }
  auto started = record::Recorder::start({.journal_directory = config().data_dir + "/journal",
                                          .journal_size = config().journal.size,
                                          .worker_count = worker_count,
                                          .sinks = sink_specs(config()),
                                          .node = node_name(config()),
                                          .sync_interval_ns = sync_ns,
                                          .on_ended = options.on_ended,
                                          .stop_asked = stop_asked},
                                         &sink);
  if (!started) return std::unexpected(started.error());
  recorder = std::move(*started);
  if (recorder == nullptr) return {};
  if (sink_supervisor != nullptr) sink_supervisor->begin();
  return {};
}

Result<> Server::Impl::bind(std::vector<proxy::WorkerOptions>& per_worker) {
  for (const gateway::ListenerConfig& listener : config().listeners) {
    auto address = io::parse_address(listener.address);
    if (!address) return std::unexpected(address.error());
    const bool unix_socket = address->family() == AF_UNIX;
    int shared = -1;
    for (proxy::WorkerOptions& worker : per_worker) {
      int descriptor = -1;
      if (shared >= 0) {
        descriptor = ::dup(shared);  // a Unix socket has one queue; all workers accept from it
      } else {
        const bool first = &worker == &per_worker.front();
        auto bound = io::listen_on(
            *address, {.sharing = first ? io::PortSharing::first : io::PortSharing::joins, .v6only = listener.v6only});
        if (!bound) return std::unexpected(bound.error());
        descriptor = *bound;
        if (unix_socket) {
          shared = descriptor;
        } else if (address->port() == 0) {
          auto resolved = io::local_address(descriptor);  // the other workers share the port that this one got
          if (!resolved) return std::unexpected(resolved.error());
          address = *resolved;
        }
      }
      worker.listeners.push_back({.name = listener.name,
                                  .descriptor = descriptor,
                                  .tls = !listener.certificate.empty(),
                                  .trusted = listener.trusted,
                                  .unix_socket = unix_socket,
                                  .allowed_uids = listener.allowed_uids});
    }
    listening.push_back({listener.name, address->text()});
  }
  return {};
}

Result<> Server::Impl::start_workers() {
  std::vector<std::future<Result<>>> ready;
  for (uint32_t i = 0; i < worker_count; i++) {
    const auto promise = std::make_shared<std::promise<Result<>>>();
    ready.push_back(promise->get_future());
    threads.emplace_back([this, i, promise] {
      ::pthread_setname_np(::pthread_self(), fmt::format("weir-{}", i).c_str());
      if (!config().cpus.empty()) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(config().cpus[i % config().cpus.size()], &set);
        if (::pthread_setaffinity_np(::pthread_self(), sizeof set, &set) != 0) {
          promise->set_value(fail("cannot pin worker {} to core {}: {}; see --cpus", i,
                                  config().cpus[i % config().cpus.size()], std::strerror(errno)));
          return;
        }
      }
      bool told = false;
      const Result<> result = workers[i]->run([&] {
        told = true;
        promise->set_value({});
      });
      if (!told) promise->set_value(result);
    });
  }
  Result<> outcome;
  for (auto& future : ready) {
    Result<> result = future.get();
    if (!result) outcome = result;
  }
  return outcome;
}

Result<> Server::Impl::set_up() {
  // Before any secret is read.
  if (options.confined) allow_core_dumps(config().core_dumps);
  if (auto done = block_signals(); !done) return done;
  log = sink.make_logger();
  // Before the rights are gone that starting programs takes, before there are threads, and before keys are read.
  auto supervised = SinkSupervisor::fork(config(), node_name(config()), *log);
  if (!supervised) return std::unexpected(supervised.error());
  sink_supervisor = std::move(*supervised);
  resolver_log = sink.make_logger();
  if (const io::KernelFeatures kernel = io::probe_kernel(); kernel.ring && !kernel.defer_taskrun) {
    log->warn("this kernel has no deferred task work (Linux 6.1 has); weir runs without it, at some cost",
              {{"kernel", std::string_view(kernel.kernel)}});
  }
  if (!config().ring_without.empty()) {
    const std::string without = fmt::format("{}", fmt::join(config().ring_without, ","));
    log->warn("features of io_uring are switched off, at some cost", {{"ring_without", std::string_view(without)}});
  }
  worker_count = server::worker_count(config());
  auto policy = gateway::build_policy(config());
  if (!policy) return std::unexpected(policy.error());
  limiter = std::make_unique<gateway::Limiter>(config().limits.connections);
  std::vector<proxy::WorkerOptions> per_worker(worker_count);
  if (auto done = prepare_workers(per_worker); !done) return done;
  if (auto done = bind(per_worker); !done) return done;
  if (auto done = bind_admin(); !done) return done;
  auto certificates = load_certificates(config());
  if (!certificates) return std::unexpected(certificates.error());
  if (options.confined) {
    auto confined = confine_process(config());
    if (!confined) return std::unexpected(confined.error());
    confinement = std::move(*confined);
  }
  sink.start();
  if (auto done = open_store(); !done) return done;
  if (stop_asked()) return {};
  for (uint32_t i = 0; i < worker_count; i++) {
    per_worker[i].journal = &recorder->journal(i);
    per_worker[i].limiter = limiter.get();
    per_worker[i].engine.restricted = confinement.rings;
    workers.push_back(std::make_unique<proxy::Worker>(std::move(per_worker[i]), sink.make_logger()));
  }
  resolver = std::make_unique<Resolver>(config().dns_ttl_ns, *resolver_log);
  if (auto done = publish(std::move(*policy), std::move(*certificates)); !done) return done;
  refresh_tokens();
  resolver->subscribe([this](size_t index, const std::shared_ptr<const Addresses>& addresses) {
    auto list = std::make_shared<const proxy::AddressList>(proxy::AddressList{addresses->list, addresses->error});
    for (const uint32_t origin : origins.keep_addresses(index, list)) {
      post_all([&] { return proxy::NewAddresses{origin, list}; });
    }
  });
  if (auto done = start_workers(); !done) return done;
  if (admin) {
    admin->serve({.metrics = [this] { return render_metrics(metrics_view()); },
                  .not_ready = [this] { return not_ready(); },
                  .hosts = config().admin.hosts,
                  .addresses = config().admin.allow_remote ? gateway::Addresses::any : gateway::Addresses::loopback});
  }
  if (options.confined) {
    if (auto done = confine_threads(config(), confinement); !done) return done;
    tell_confinement();
  }
  return {};
}

Result<> Server::Impl::prepare_workers(std::vector<proxy::WorkerOptions>& per_worker) {
  auto plan = plan_descriptors(config());
  if (!plan) return std::unexpected(plan.error());
  descriptors = *plan;
  if (descriptors.clients < config().limits.connections) {
    log->warn("the limit of file descriptors allows fewer client connections than --connections",
              {{"ulimit_n", descriptors.limit},
               {"connections", config().limits.connections},
               {"allowed", descriptors.clients},
               {"advice", std::string_view(fmt::format("raise the hard limit (`ulimit -Hn`; LimitNOFILE= under "
                                                       "systemd) to {}, or lower --connections",
                                                       descriptors.needed))}});
  }
  if (const uint32_t cores = usable_cores(); worker_count > 2 * cores) {
    log->warn("there are many more workers than cores; they only take turns",
              {{"workers", worker_count}, {"cores", cores}});
  }
  const auto throttles = std::make_shared<proxy::LogThrottles>();
  for (uint32_t i = 0; i < worker_count; i++) {
    per_worker[i].index = i;
    per_worker[i].engine = engine_options(config());
    per_worker[i].throttles = throttles;
    per_worker[i].connections = std::max(1u, descriptors.clients / worker_count);
    per_worker[i].upstreams = std::max(1u, descriptors.upstreams / worker_count);
  }
  return {};
}

void Server::Impl::tell_confinement() {
  for (const std::string& what : confinement.missing) {
    log->warn("the sandbox is incomplete", {{"reason", std::string_view(what)}});
  }
  if (::geteuid() == 0) {
    log->warn("weir runs as root; --user NAME makes it another user once its listeners and keys are open", {});
  }
  log->info("confined", {{"uid", ::geteuid()},
                         {"landlock", confinement.landlock},
                         {"seccomp", confinement.system_calls ? "on" : "off"},
                         {"ring_restrictions", confinement.rings ? "on" : "off"}});
}

// --- the admin endpoint; what it reads is called on its thread ---

Result<> Server::Impl::bind_admin() {
  if (config().admin.address.empty()) return {};
  auto bound = Admin::bind(config().admin.address);
  if (!bound) return fail("admin: {}", bound.error().message);
  admin = std::move(*bound);
  return {};
}

MetricsView Server::Impl::metrics_view() const {
  MetricsView view;
  for (uint32_t i = 0; i < worker_count; i++) {
    view.workers.push_back(&workers[i]->counters());
    const record::Journal& journal = recorder->journal(i);
    const uint64_t tail = journal.tail();  // first: the head only grows
    view.journals.push_back({.size = journal.size(), .used = journal.head() - tail});
  }
  view.database = recorder->database_state();
  view.sinks = recorder->sinks();
  view.records_delivered = recorder->delivered_count();
  view.descriptor_limit = descriptors.limit;
  view.connection_limit = descriptors.clients;
  view.limit_table_full = limiter->addresses.full_count() + limiter->initiators.full_count();
  view.draining = draining.load(std::memory_order_relaxed);
  view.uptime_ns = monotonic_ns() - started_ns;
  view.version = options.version;
  return view;
}

std::string Server::Impl::not_ready() const {
  if (draining.load(std::memory_order_relaxed)) return "draining";
  for (uint32_t i = 0; i < worker_count; i++) {
    if (!is_full(recorder->journal(i), workers[i]->counters().exchanges_open.value())) continue;
    const auto sinks = recorder->sinks();
    const auto slowest = std::ranges::max_element(sinks, {}, &record::SinkProgress::behind_bytes);
    if (slowest == sinks.end()) return "the journal is full";
    return fmt::format("the journal is full; it waits for the sink {}", slowest->name);
  }
  return {};
}

// --- what workers are given ---

void Server::Impl::post_all(const std::function<proxy::Message()>& make) {
  for (const auto& worker : workers) worker->post(make());
}

// One for each listener; null where it has none.
Result<std::vector<std::shared_ptr<tls::ServerContext>>> Server::Impl::load_certificates(
    const gateway::Config& from) const {
  std::vector<std::shared_ptr<tls::ServerContext>> certificates;
  for (const gateway::ListenerConfig& listener : from.listeners) {
    std::shared_ptr<tls::ServerContext> context;
    if (!listener.certificate.empty()) {
      auto loaded = tls::ServerContext::load(listener.certificate, listener.key);
      if (!loaded)
        return fail("{}: {}", describe_place(listener.place, "listener " + listener.name), loaded.error().message);
      context = std::move(*loaded);
      if (!context->warning().empty()) {
        log->warn("a listener's certificate",
                  {{"source", listener.name}, {"reason", std::string_view(context->warning())}});
      }
    }
    certificates.push_back(std::move(context));
  }
  return certificates;
}

// Builds what follows from the policy, or fails and changes nothing.
Result<> Server::Impl::publish(std::unique_ptr<const gateway::Policy> policy,
                               std::vector<std::shared_ptr<tls::ServerContext>> certificates) {
  auto made = std::make_shared<proxy::Snapshot>();
  made->listener_tls = std::move(certificates);
  for (const auto& provider : policy->providers) {
    made->provider_origins.push_back(origins.add({.tls = provider->base_url.tls,
                                                  .host = provider->base_url.host,
                                                  .port = provider->base_url.port,
                                                  .ca_file = provider->ca_file},
                                                 *resolver));
  }
  if (policy->config.authorizer.kind == gateway::AuthorizerKind::http) {
    auto url = wire::parse_base_url(policy->config.authorizer.url);
    if (!url) return std::unexpected(url.error());
    made->authorizer_origin = origins.add(
        {.tls = url->tls, .host = url->host, .port = url->port, .ca_file = policy->config.authorizer.ca_file},
        *resolver);
    made->authorizer_url = std::move(*url);
  }
  // Every worker has TLS contexts of its own: they hold its sessions. Made anew at each reload, so that CA files are
  // read again.
  std::vector<std::vector<std::unique_ptr<tls::ClientContext>>> clients(workers.size());
  for (auto& of_worker : clients) {
    for (const proxy::OriginSpec& spec : origins.specs()) {
      std::unique_ptr<tls::ClientContext> client;
      if (spec.tls) {
        auto context = tls::ClientContext::make(spec.ca_file, spec.host);
        if (!context) return std::unexpected(context.error());
        client = std::move(*context);
      }
      of_worker.push_back(std::move(client));
    }
  }
  made->policy = std::move(policy);
  snapshot = made;
  for (size_t i = 0; i < workers.size(); i++) {
    workers[i]->post(proxy::NewSnapshot{made, origins.specs(), std::move(clients[i])});
    // A new origin's addresses may have come before the worker knew of the origin.
    for (uint32_t origin = 0; origin < origins.specs().size(); origin++) {
      if (auto list = origins.addresses(origin)) workers[i]->post(proxy::NewAddresses{origin, std::move(list)});
    }
  }
  return {};
}

void Server::Impl::refresh_tokens() {
  const auto version = store->version();
  if (version && *version == token_version) return;
  auto tokens = version ? load_tokens(*store) : std::unexpected(version.error());
  if (!tokens) {
    // The tokens that are known stay in force; the recorder reports the database's state as well.
    if (!std::exchange(store_failing, true)) {
      log->error("cannot read gateway keys; those known stay in force",
                 {{"reason", std::string_view(tokens.error().message)}});
    }
    return;
  }
  if (std::exchange(store_failing, false)) log->info("gateway keys can be read again", {});
  token_version = *version;
  post_all([&] { return proxy::NewTokens{*tokens}; });
}

void Server::Impl::reload() {
  if (!options.reload) return;
  const auto refuse = [&](const std::string& why) {
    // Landlock and a user's rights refuse alike; both were chosen at start.
    const bool denied = why.find(std::strerror(EACCES)) != std::string::npos;
    log->error(
        "reload refused; the configuration in force stays",
        {{"reason", std::string_view(why)},
         {"advice", denied && options.confined
                        ? "weir may read only what its user may, in folders that the configuration named at start "
                          "(--sandbox, --user): move the file there, or restart weir"
                        : ""}});
  };
  auto config_read = options.reload();
  if (!config_read) return refuse(config_read.error().message);
  for (const std::string& part : parts_that_need_a_restart(config(), *config_read)) {
    log->warn("this change takes effect at the next start", {{"setting", std::string_view(part)}});
  }
  keep_parts_that_need_a_restart(config(), *config_read);
  auto policy = gateway::build_policy(*config_read);
  if (!policy) return refuse(policy.error().message);
  auto certificates = load_certificates(*config_read);
  if (!certificates) return refuse(certificates.error().message);
  const Result<> published = publish(std::move(*policy), std::move(*certificates));
  if (!published) return refuse(published.error().message);
  options.config = std::move(*config_read);
  token_version = -1;
  refresh_tokens();
  log->info("configuration reloaded", {});
}

// --- the end ---

void Server::Impl::drain(uint64_t timeout_ns) {
  if (threads.empty()) {
    if (recorder) recorder->stop(5 * kNsPerSecond);
    return;
  }
  const uint64_t deadline = monotonic_ns() + timeout_ns;
  post_all([&] { return proxy::Drain{deadline}; });
  for (std::thread& thread : threads) thread.join();
  threads.clear();
  const bool whole = recorder->stop(5 * kNsPerSecond);
  if (sink_supervisor != nullptr) sink_supervisor->stop();
  if (!whole) log->warn("records are left in the journal; the next start delivers them", {});
  log->info("stopped", {});
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::start(ServerOptions options, LogSink& log) {
  auto impl = std::make_unique<Impl>(std::move(options), log);
  if (auto done = impl->set_up(); !done) return std::unexpected(done.error());
  if (impl->threads.empty()) {
    impl->log->info("stopped while starting", {});
    return nullptr;
  }
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

std::vector<Server::Listening> Server::listening() const {
  return impl_->listening;
}

const std::string& Server::admin_address() const {
  return impl_->admin ? impl_->admin->address() : impl_->no_admin;
}

std::string Server::memory_summary() const {
  const gateway::Config& config = impl_->config();
  const uint64_t workers = impl_->worker_count;
  const uint64_t buffers = workers * engine_options(config).buffers * config.buffer_size;
  const uint64_t journal = workers * config.journal.size;
  // Both sides' queues of a client that does not read.
  const uint64_t waiting = proxy::Stream::kHighBytes + config.buffer_size;
  return fmt::format(
      "receive buffers {}, journal {} (file mapping), events being read up to {}, request bodies up to {}; at most {} "
      "connections, each up to {} waiting for a slow client",
      format_size(buffers), format_size(journal), format_size(workers * config.limits.event_memory),
      format_size(workers * std::max(config.limits.body_memory, config.limits.max_body)), config.limits.connections,
      format_size(waiting));
}

int Server::run() {
  Impl& self = *impl_;
  bool stopping = false;
  while (!stopping) {
    std::array<pollfd, 2> watched{{{self.signal_event, POLLIN, 0}, {self.stop_event, POLLIN, 0}}};
    ::poll(watched.data(), watched.size(), kTokenPollMs);
    signalfd_siginfo signal{};
    while (::read(self.signal_event, &signal, sizeof signal) == static_cast<ssize_t>(sizeof signal)) {
      if (signal.ssi_signo == SIGHUP) {
        self.reload();
      } else {
        stopping = true;
      }
    }
    if ((watched[1].revents & POLLIN) != 0) stopping = true;
    if (!stopping) self.refresh_tokens();
    if (self.sink_supervisor != nullptr) self.sink_supervisor->look();
  }
  self.draining.store(true, std::memory_order_relaxed);
  if (self.options.on_draining) self.options.on_draining();
  self.log->info("draining: no new exchanges; running ones may finish",
                 {{"timeout", std::string_view(format_duration(self.config().timeouts.drain))}});
  self.drain(self.config().timeouts.drain);
  return 0;
}

void Server::stop() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(impl_->stop_event, &one, sizeof one);
}

}  // namespace weir::server
