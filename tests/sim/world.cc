// What a seed's world is made of: shape, weather, people, the configuration, the worker, clients and their scripts.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/clock.h"
#include "sim/simulation.h"

namespace weir::sim {

namespace {

std::string origin_address(uint32_t origin) {
  return fmt::format("10.1.0.{}:80", origin + 1);
}
constexpr uint32_t kAllowedUid = 998;
constexpr uint32_t kOtherUid = 7;
constexpr const char* kDeadAddress = "10.1.9.9:80";
std::string hole_address(uint32_t origin) {
  return fmt::format("10.1.8.{}:80", origin + 1);
}

uint64_t pick(Random& random, std::initializer_list<uint64_t> values) {
  return values.begin()[random.below(values.size())];
}

}  // namespace

// --- the world ---

void Simulation::draw_shape() {
  shape_.authorizer = random_.percent(40)   ? gateway::AuthorizerKind::http
                      : random_.percent(80) ? gateway::AuthorizerKind::store
                                            : gateway::AuthorizerKind::none;
  shape_.authorizer_doubles = random_.percent(50);
  shape_.late_addresses = random_.percent(20);
  shape_.odd_requests = random_.percent(50);
  shape_.rules = random_.percent(30);
  shape_.unix_socket = random_.percent(30);
  shape_.holes = random_.percent(20);
  // A third of the seeds have only weather: there every request must be answered whole.
  if (random_.percent(33)) return;
  shape_.authorizer_faulty = random_.percent(25);
  shape_.provider_faults = random_.percent(60);
  shape_.clients_leave = random_.percent(50);
  shape_.small_pools = !shape_.holes && random_.percent(15);  // a second attempt needs a second connection
  shape_.journal_full = random_.percent(10);
  shape_.reloads = random_.percent(25);
  shape_.drains_early = random_.percent(20);
  shape_.limits = random_.percent(20);
}

void Simulation::draw_weather(Weather& weather) {
  weather.delay_max_ns = pick(random_, {0, 100 * kNsPerUs, 5 * kNsPerMs, 50 * kNsPerMs});
  weather.late_max_ns = pick(random_, {0, 50 * kNsPerUs, 3 * kNsPerMs});
  weather.turn_late_max_ns = pick(random_, {0, 0, 200 * kNsPerUs, 10 * kNsPerMs});
  weather.split_percent = pick(random_, {0, 10, 60, 95});
  weather.multishot_end_percent = pick(random_, {0, 0, 3, 20});
  weather.few_completions_percent = pick(random_, {0, 0, 10, 70});
  weather.cancel_late_percent = pick(random_, {0, 30, 90});
  weather.wall_step_percent = pick(random_, {0, 0, 20});
  if (random_.percent(30)) {
    weather.clock_jump_per_10000 = pick(random_, {2, 20});
    weather.clock_jump_max_ns = 400 * kNsPerMs;
  }
  const bool harsh = shape_.provider_faults || shape_.clients_leave || shape_.small_pools;
  if (!harsh) return;
  if (random_.percent(15)) weather.clock_jump_max_ns = 30 * kNsPerSecond;
  if (random_.percent(25)) weather.connect_fail_percent = pick(random_, {5, 40});
  if (random_.percent(20)) weather.accept_fail_percent = pick(random_, {5, 40});
  if (!shape_.holes && random_.percent(15)) weather.descriptor_fail_percent = pick(random_, {5, 30});
}

void Simulation::make_people() {
  // With many of them there are questions that wait for each other's connection.
  const size_t count = random_.size(1, shape_.authorizer == gateway::AuthorizerKind::http ? 12 : 4);
  for (uint32_t i = 0; i < count; i++) {
    Person person;
    person.number = i;
    person.token = fmt::format("gw-token-{}-{}", i, random_.letters(20));
    person.id = fmt::format("{:08x}-0000-4000-8000-{:012x}", i + 1, random_.below(1u << 30));
    person.username = fmt::format("user{}", i);
    people_.push_back(std::move(person));
  }
  if (shape_.odd_requests) people_.back().known = count == 1;
}

std::string Simulation::operator_key(uint32_t provider, uint32_t version) {
  return fmt::format("operator-{}-v{}-0123456789", kProviders[provider].name, version);
}

std::string Simulation::configuration() const {
  std::string text = "[limits]\nmax_body = \"256KiB\"\n";
  if (shape_.limits) {
    text +=
        "address_connections = 2\naddress_requests = \"3/s\"\naddress_burst = 4\n"
        "initiator_requests = \"200/m\"\ninitiator_burst = 3\ninitiator_exchanges = 2\n";
  }
  text += R"(
[timeouts]
head = "5s"
body = "6s"
idle = "15s"
handshake = "5s"
connect = "2s"
answer = "20s"
stream = "10s"
send = "8s"
upstream_idle = "10s"
upstream_age = "6s"
[[listener]]
name = "public"
address = "127.0.0.1:4001"
)";
  if (shape_.unix_socket) {
    text += fmt::format(
        "[[listener]]\nname = \"agents\"\naddress = \"unix:/run/weir-sim.sock\"\ntrusted = true\n"
        "allowed_uids = [{}]\n",
        kAllowedUid);
  }
  if (shape_.rules) {
    text +=
        "[[rule]]\nname = \"team\"\nwhen = { route = \"bridged\" }\nstrip = [\"x-internal-*\"]\n"
        "set = { \"x-team\" = \"{initiator.username}\" }\n";
  }
  switch (shape_.authorizer) {
    case gateway::AuthorizerKind::store:
      break;
    case gateway::AuthorizerKind::none:
      text += "[authorizer]\nkind = \"none\"\n";
      break;
    case gateway::AuthorizerKind::http:
      text += fmt::format("[authorizer]\nkind = \"http\"\nurl = \"http://authorizer.test/who/v{}\"\ntimeout = \"5s\"\n",
                          key_version_);
      break;
  }
  for (uint32_t i = 0; i < kProviderCount; i++) {
    const ProviderSpec& provider = kProviders[i];
    text += fmt::format("[[provider]]\nname = \"{}\"\ntype = \"{}\"\nbase_url = \"http://origin{}.test{}\"\n",
                        provider.name, provider.type, provider.origin, provider.base_path);
    if (i != 2) text += fmt::format("key = {{ env = \"WEIR_SIM_KEY_{}_{}\" }}\n", i, key_version_);
  }
  return text;
}

std::shared_ptr<const proxy::Snapshot> Simulation::snapshot() const {
  for (uint32_t i = 0; i < kProviderCount; i++) {
    const std::string key = const_cast<Simulation*>(this)->operator_key(i, key_version_);
    ::setenv(fmt::format("WEIR_SIM_KEY_{}_{}", i, key_version_).c_str(), key.c_str(), 1);
  }
  auto config = gateway::parse_config(configuration(), "simulation");
  require(config.has_value(), "the configuration: {}", config ? "" : config.error().message);
  auto policy = gateway::build_policy(std::move(*config));
  require(policy.has_value(), "the policy: {}", policy ? "" : policy.error().message);
  auto made = std::make_shared<proxy::Snapshot>();
  for (const ProviderSpec& provider : kProviders) made->provider_origins.push_back(provider.origin);
  made->listener_tls.resize(shape_.unix_socket ? 2 : 1);
  if (shape_.authorizer == gateway::AuthorizerKind::http) {
    made->authorizer_origin = kOriginCount;
    made->authorizer_url = *wire::parse_base_url((*policy)->config.authorizer.url);
  }
  made->policy = std::move(*policy);
  return made;
}

std::shared_ptr<const gateway::TokenTable> Simulation::tokens() const {
  std::vector<gateway::TokenRow> rows;
  for (const Person& person : people_) {
    if (!person.known) continue;
    rows.push_back({.key_id = fmt::format("key-{}", person.number),
                    .token_sha256 = sha256(person.token),
                    .initiator_id = person.id,
                    .username = person.username});
  }
  return std::make_shared<const gateway::TokenTable>(rows);
}

void Simulation::make_worker() {
  auto made = record::Journal::create(journal_path_, record::kRingSizeMin, 0);
  require(made.has_value(), "the journal: {}", made ? "" : made.error().message);
  journal_ = std::move(*made);
  ::unlink(journal_path_.c_str());  // the mapping is enough
  if (shape_.journal_full) fill_journal();

  proxy::WorkerOptions options;
  options.engine.entries = static_cast<uint32_t>(pick(random_, {8, 64, 1024}));
  options.engine.buffers = static_cast<uint32_t>(pick(random_, {16, 16, 32, 256}));
  options.engine.buffer_size = static_cast<uint32_t>(pick(random_, {1024, 1024, 4096}));
  options.connections = shape_.small_pools ? static_cast<uint32_t>(pick(random_, {1, 2, 64})) : 64;
  options.upstreams = shape_.small_pools ? static_cast<uint32_t>(pick(random_, {1, 2, 64})) : 64;
  options.callouts = static_cast<uint32_t>(pick(random_, {1, 2, 64}));
  options.questions = shape_.small_pools ? static_cast<uint32_t>(pick(random_, {1, 64})) : 64;
  if (shape_.limits) limiter_ = std::make_unique<gateway::Limiter>(options.connections);
  options.limiter = limiter_.get();
  listener_ = kernel_.add_listener(Kernel::Family::internet);
  proxy::WorkerListener listener;
  listener.name = "public";
  listener.descriptor = listener_;
  options.listeners.push_back(std::move(listener));
  if (shape_.unix_socket) {
    unix_listener_ = kernel_.add_listener(Kernel::Family::unix_socket);
    proxy::WorkerListener agents;
    agents.name = "agents";
    agents.descriptor = unix_listener_;
    agents.unix_socket = agents.trusted = true;
    agents.allowed_uids = {kAllowedUid};
    options.listeners.push_back(std::move(agents));
  }
  options.journal = journal_.get();
  worker_ = std::make_unique<proxy::Worker>(std::move(options), log_.make_logger());
  kernel_.set_on_turn([this] { on_turn(); });
  post_snapshot();
}

void Simulation::post(proxy::Message message) {
  worker_->post(std::move(message));
  kernel_.mail_posted();
}

void Simulation::post_snapshot() {
  std::vector<proxy::OriginSpec> origins;
  for (uint32_t i = 0; i < kOriginCount; i++)
    origins.push_back({.tls = false, .host = fmt::format("origin{}.test", i), .port = 80, .ca_file = {}});
  if (shape_.authorizer == gateway::AuthorizerKind::http)
    origins.push_back({.tls = false, .host = "authorizer.test", .port = 80, .ca_file = {}});
  const size_t count = origins.size();
  post(proxy::NewSnapshot{snapshot(), std::move(origins), std::vector<std::unique_ptr<tls::ClientContext>>(count)});
  if (shape_.authorizer == gateway::AuthorizerKind::store) post(proxy::NewTokens{tokens()});
  for (uint32_t i = 0; i < count; i++) {
    if (shape_.late_addresses && !running_) {
      kernel_.after(random_.below(3 * kNsPerSecond), [this, i] { post_addresses(i); });
    } else {
      post_addresses(i);
    }
  }
}

void Simulation::post_addresses(uint32_t origin) {
  auto list = std::make_shared<proxy::AddressList>();
  if (random_.percent(20)) list->addresses.push_back(*io::parse_address(kDeadAddress));  // the next one is tried
  if (shape_.holes) list->addresses.push_back(*io::parse_address(hole_address(origin)));
  list->addresses.push_back(*io::parse_address(origin_address(origin)));
  post(proxy::NewAddresses{origin, std::move(list)});
}

void Simulation::serve() {
  for (uint32_t i = 0; i <= kOriginCount; i++) kernel_.swallow(hole_address(i), origin_address(i));
  for (uint32_t i = 0; i < kOriginCount; i++) {
    kernel_.serve(origin_address(i),
                  [this, i](Link& link) -> Actor* { return &providers_.emplace_back(*this, link, i); });
  }
  kernel_.serve(origin_address(kOriginCount),
                [this](Link& link) -> Actor* { return &services_.emplace_back(*this, link); });
}

ClientScript Simulation::draw_client(uint32_t number) {
  ClientScript script;
  script.number = number;
  script.listener = listener_;
  // Where addresses are limited, some clients share one.
  script.peer = shape_.limits ? static_cast<uint32_t>(random_.below(3)) : number;
  if (shape_.unix_socket && random_.percent(40)) {
    script.listener = unix_listener_;
    script.over_unix = true;
    script.peer = random_.percent(90) ? kAllowedUid : kOtherUid;
  }
  script.pipelined = random_.percent(20);
  script.start_ns = random_.skewed(3 * kNsPerSecond);
  script.think_max_ns = pick(random_, {0, 10 * kNsPerMs, 5 * kNsPerSecond});
  if (random_.percent(40)) {
    script.piece_max = random_.size(1, 400);
    script.piece_pause_ns = pick(random_, {0, kNsPerMs, 20 * kNsPerMs});
  }
  // Of 60 to some 120 pieces: longer than timeouts.body, and above 1 KiB/s.
  const bool may_be_refused = shape_.authorizer_faulty || kernel_.weather().connect_fail_percent > 0 ||
                              kernel_.weather().descriptor_fail_percent > 0;  // and then there is less time
  if (!script.pipelined && !may_be_refused && random_.percent(10)) {
    script.piece_max = std::max<size_t>(script.piece_max, 1);
    script.body_pause_ns = 250 * kNsPerMs;
  }
  if (random_.percent(30)) {
    script.window = random_.size(200, 20'000);
    script.read_chunk = random_.size(100, 2000);
    script.read_pause_ns = pick(random_, {0, kNsPerMs, 4 * kNsPerMs});
  }
  if (random_.percent(10)) script.hold_ns = random_.below(4 * kNsPerSecond);
  script.waits_for_end = random_.percent(20);
  if (shape_.clients_leave && random_.percent(50)) {
    using Leave = ClientScript::Leave;
    script.leave = static_cast<Leave>(random_.between(1, 5));
    script.leave_after_ns = random_.skewed(300 * kNsPerMs);
    script.leave_write = static_cast<size_t>(random_.skewed(1000));
    if (random_.percent(15)) script.hold_ns = 30 * kNsPerSecond;
  }
  return script;
}

void Simulation::make_clients() {
  Scripts scripts(random_, {.authorizer_knows = shape_.authorizer != gateway::AuthorizerKind::none,
                            .provider_faults = shape_.provider_faults,
                            .odd_requests = shape_.odd_requests,
                            .max_body = 256u << 10,
                            .stream_timeout_ns = 10 * kNsPerSecond});
  const size_t count = random_.size(1, 8);
  for (uint32_t i = 0; i < count; i++) {
    ClientScript script = draw_client(i);
    const size_t requests = random_.size(1, 6);
    for (size_t k = 0; k < requests; k++) {
      Plan& plan = plans_.emplace_back();
      const bool trusted = script.listener == unix_listener_;
      scripts.fill(plan, static_cast<uint32_t>(plans_.size()), people_[random_.below(people_.size())], trusted);
      // Not this user: its connection is closed.
      if (trusted && script.peer == kOtherUid) plan.excused = plan.forbidden = true;
      by_marker_[plan.marker] = &plan;
      // A client that does not read for longer than the send timeout is cut off.
      if (script.hold_ns > 5 * kNsPerSecond) plan.excused = true;
      script.plans.push_back(&plan);
    }
    script.leave_plan = random_.below(requests);
    const bool silent = script.leave == ClientScript::Leave::falls_silent && random_.percent(50);
    if (silent || script.leave == ClientScript::Leave::sends_late) {
      // Of its requests the largest: the rest of a large body is received by operations of its own.
      const auto largest =
          std::ranges::max_element(script.plans, {}, [](const Plan* plan) { return plan->wire.size(); });
      script.leave_plan = static_cast<size_t>(largest - script.plans.begin());
      script.leave_write = random_.size((*largest)->head_size, (*largest)->wire.size()) - 1;
    }
    clients_.push_back(std::make_unique<Client>(*this, std::move(script)));
  }
  for (const auto& client : clients_) client->begin();
  if (shape_.reloads) {
    for (uint64_t i = random_.between(1, 3); i > 0; i--)
      kernel_.after(random_.skewed(4 * kNsPerSecond), [this] { reload(); });
  }
  if (shape_.drains_early)
    kernel_.after(random_.skewed(6 * kNsPerSecond), [this] { drain(random_.skewed(12 * kNsPerSecond)); });
}

}  // namespace weir::sim
