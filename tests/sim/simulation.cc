#include "sim/simulation.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/instrumented.h"
#include "record/codec.h"

namespace weir::proxy {

// The slots of a worker, which are nobody else's business.
struct WorkerProbe {
  static uint32_t downstreams(const Worker& worker) { return worker.downstreams_.used_count(); }
  static uint32_t upstreams(const Worker& worker) { return worker.upstreams_.used_count(); }
  static uint32_t connectings(const Worker& worker) { return worker.connectings_.used_count(); }
  static uint32_t exchanges(const Worker& worker) { return worker.exchanges_.used_count(); }
  static uint32_t questions(const Worker& worker) { return worker.authorizer_->question_count(); }
  static uint32_t blocks(const Worker& worker) { return worker.buffers_->blocks_in_use(); }
  static void watch_released_blocks(Worker& worker) { worker.buffers_->watch_released_blocks(); }
  static bool released_blocks_untouched(const Worker& worker) {
    return kInstrumented || worker.buffers_->released_blocks_untouched();
  }
  static uint64_t event_memory(const Worker& worker) { return worker.event_memory_.held(); }
  static uint64_t body_memory(const Worker& worker) { return worker.buffers_->body_bytes(); }
  static size_t snapshots(const Worker& worker) { return worker.snapshots_.size(); }
  static std::string_view first_key(const Worker& worker) { return worker.snapshot().policy->providers[0]->key.view(); }
  static bool owns(Worker& worker, io::Token token) {
    if (token.op < Worker::kUpstreamOps) return worker.downstreams_.find(token.index, token.generation) != nullptr;
    if (token.op < Worker::kAcceptOp) return worker.upstreams_.find(token.index, token.generation) != nullptr;
    return true;
  }
};

}  // namespace weir::proxy

namespace weir::sim {

namespace {

using proxy::WorkerProbe;

constexpr uint64_t kQuietNs = 200 * kNsPerSecond;  // longer than any timeout of the configuration below
constexpr uint64_t kEndNs = 3600 * kNsPerSecond;

}  // namespace

Simulation::Simulation(uint64_t seed, LogSink& log, const std::string& folder)
    : seed_(seed),
      random_(seed),
      weather_random_(random_.next()),
      kernel_(weather_random_, Weather()),
      log_(log),
      journal_path_(folder + "/simulated.journal") {
  draw_shape();
  draw_weather(kernel_.weather());
  make_people();
  make_worker();
  serve();
  make_clients();
}

Simulation::~Simulation() {
  worker_.reset();
  journal_.reset();
}

// --- what happens in its course ---

void Simulation::reload() {
  if (!running_) return;
  key_version_++;
  trace("reload: the operator's keys are now of version {}", key_version_);
  post_snapshot();
}

void Simulation::drain(uint64_t within_ns) {
  if (!running_) return;
  trace("drain within {} ms", within_ns / kNsPerMs);
  draining_ = true;
  post(proxy::Drain{kernel_.now_ns() + within_ns});
}

// The recorder is away, and an earlier worker's records have taken the room; it comes back after a while.
void Simulation::fill_journal() {
  record::JournalWriter earlier(*journal_);
  record::Start start;
  const std::string text(2000, 'x');
  start.model = text;
  start.request_id = "earlier";
  while (earlier.begin(start)) {
  }
  journal_held_ = true;
  kernel_.after(random_.skewed(6 * kNsPerSecond), [this] { journal_held_ = false; });
}

Plan* Simulation::plan_of(std::string_view marker) {
  const auto found = by_marker_.find(std::string(marker));
  return found == by_marker_.end() ? nullptr : found->second;
}

const Person* Simulation::person_of(std::string_view token) {
  const auto found = std::ranges::find(people_, token, &Person::token);
  return found == people_.end() ? nullptr : &*found;
}

const Person* Simulation::person_of_key(std::string_view key_id) {
  const auto found = std::ranges::find_if(
      people_, [&](const Person& person) { return fmt::format("key-{}", person.number) == key_id; });
  return found == people_.end() ? nullptr : &*found;
}

std::string_view Simulation::username_of(const Plan& plan) {
  return shape_.authorizer == gateway::AuthorizerKind::none ? worker_->snapshot().policy->config.authorizer.username
                                                            : std::string_view(plan.person->username);
}

bool Simulation::excuses(const Plan& plan, uint16_t status) {
  const Kernel::Faults& faults = kernel_.faults();
  const bool bad_gateway = status == 502 || status == 504;
  if (draining_ && (status == 0 || status == 503)) return true;
  if (shape_.small_pools && (status == 0 || status == 502 || status == 503)) return true;
  if (faults.long_jumps > 0 && (status == 0 || status == 408 || status == 503 || bad_gateway)) return true;
  if (faults.connects + faults.descriptors > 0 && bad_gateway) return true;
  const bool authorizer_may_fail = shape_.authorizer_faulty || faults.connects + faults.descriptors > 0;
  if (shape_.authorizer == gateway::AuthorizerKind::http && authorizer_may_fail && status == 503) return true;
  if (shape_.limits && (status == 0 || status == 429)) return true;
  return shape_.journal_full && plan.api != gateway::Api::none && status == 503;
}

void Simulation::client_finished() {
  if (++finished_count_ < clients_.size()) return;
  trace("every client has finished");
  kernel_.after(kQuietNs, [this] {
    if (!running_ || draining_) return;
    check_idle("when every client has left");
    drain(5 * kNsPerSecond);
  });
}

// --- what is checked ---

void Simulation::on_turn() {
  read_journal();
  if (!running_) return;
  WorkerProbe::watch_released_blocks(*worker_);
  check_slots();
  while (WorkerProbe::first_key(*worker_) != operator_key(0, known_key_version_)) known_key_version_++;
  require(kernel_.now_ns() - Kernel::kStartNs < kEndNs,
          "no end after {} s: {} downstreams, {} upstreams, {} exchanges, {} questions", kEndNs / kNsPerSecond,
          WorkerProbe::downstreams(*worker_), WorkerProbe::upstreams(*worker_), WorkerProbe::exchanges(*worker_),
          WorkerProbe::questions(*worker_));
}

void Simulation::check_slots() {
  kernel_.for_each_operation([this](const Operation& operation) {
    require(WorkerProbe::owns(*worker_, operation.token), "operation {} of slot {} outlives it", operation.token.op,
            operation.token.index);
    require(operation.lender == nullptr || operation.finished || operation.lender->is_held(operation.block),
            "operation {} of slot {} writes into a block that nobody holds", operation.token.op, operation.token.index);
  });
  require(worker_->counters().stale_completions.value() == 0, "a completion came for a slot's earlier user");
}

void Simulation::read_journal() {
  const uint64_t head = journal_->head();
  while (journal_read_ < head) {
    const auto record = journal_->view().record_at(journal_read_, head);
    require(record.has_value(), "the journal has no record at {}", journal_read_);
    const auto event = record::decode(record->type, record->payload);
    require(event.has_value(), "the journal's record at {} cannot be read", journal_read_);
    if (const auto* start = std::get_if<record::Start>(&*event)) take(*start);
    if (const auto* usage = std::get_if<record::TokenUsage>(&*event)) take(*usage);
    if (const auto* end = std::get_if<record::End>(&*event)) take(*end);
    journal_read_ = record->end;
  }
  if (!journal_held_) journal_->release_to(journal_read_);
}

void Simulation::take(const record::Start& start) {
  Plan* plan = plan_of(start.request_id);
  if (plan == nullptr) {
    require(start.request_id == "earlier", "an interception of no request: {}", start.request_id);
    return;
  }
  trace("journal: {} begins", plan->marker);
  require(++plan->starts == 1, "request {} begins twice in the journal", plan->marker);
  require(plan->refusal == 0, "request {} is to be refused, and begins in the journal", plan->marker);
  by_interception_[start.id.text()] = plan;
  if (shape_.authorizer == gateway::AuthorizerKind::http) {
    uint32_t version = plan->key_version;
    while (version < key_version_ && start.initiator_id != plan->person->id_of(version)) version++;
    plan->verdict_version = version;
    require(start.initiator_id == plan->person->id_of(version), "request {} is recorded as {}'s instead of {}'s",
            plan->marker, start.initiator_id, plan->person->id_of(version));
  } else if (shape_.authorizer == gateway::AuthorizerKind::store) {
    require(start.initiator_id == plan->person->id, "request {} is recorded as {}'s instead of {}'s", plan->marker,
            start.initiator_id, plan->person->id);
  }
  require(start.auth_delegated == plan->delegated, "request {}: delegation is recorded wrong", plan->marker);
  require(start.provider == kProviders[plan->provider].name, "request {} is recorded for {}", plan->marker,
          start.provider);
  require(start.credential_kind == plan->credential_kind, "request {}: the credential is recorded as {}", plan->marker,
          start.credential_kind);
  require(start.streaming == plan->streaming, "request {}: streaming is recorded wrong", plan->marker);
  require(start.request_bytes == plan->body.size() + plan->inserted.size(), "request {}: {} bytes are recorded",
          plan->marker, start.request_bytes);
}

void Simulation::take(const record::TokenUsage& usage) {
  const auto found = by_interception_.find(usage.id.text());
  require(found != by_interception_.end(), "a usage of no interception");
  Plan& plan = *found->second;
  require(plan.ends == 0, "request {}: a usage behind its end", plan.marker);
  plan.usages++;
}

void Simulation::take(const record::End& end) {
  const auto found = by_interception_.find(end.id.text());
  require(found != by_interception_.end(), "an end without a start");
  Plan& plan = *found->second;
  const AnswerPlan& answer = plan.answer;
  trace("journal: {} ends: {} {} {}", plan.marker, record::text(end.outcome), record::text(end.error_type),
        end.error_message);
  require(++plan.ends == 1, "request {} ends twice in the journal", plan.marker);
  require(end.attempts <= 2 && end.attempts >= plan.attempts, "request {}: {} attempts are recorded, {} came",
          plan.marker, end.attempts, plan.attempts);
  require(end.upstream_status == 0 || end.upstream_status == answer.status, "request {}: status {} is recorded",
          plan.marker, end.upstream_status);
  require(end.outcome != record::Outcome::interrupted, "request {} is recorded as interrupted", plan.marker);
  plan.completed = end.outcome == record::Outcome::completed;
  if (!plan.completed) return;
  // A stream whose connection breaks behind its last event is complete; the event's blank line may be missing.
  const bool all_but_its_end = answer.stream && end.response_bytes + 2 >= answer.seen.size();
  require((plan.answer_done || all_but_its_end) && answer.status < 400 && answer.last_event,
          "request {} is recorded as completed and was not", plan.marker);
  require(end.upstream_status == answer.status, "request {} is recorded as completed without its status", plan.marker);
  require(end.response_bytes == answer.seen.size() || (!plan.answer_done && end.response_bytes < answer.seen.size()),
          "request {}: {} bytes of an answer of {} are recorded", plan.marker, end.response_bytes, answer.seen.size());
  require(plan.usages == (answer.input_tokens > 0 ? 1u : 0u), "request {}: {} usages are recorded", plan.marker,
          plan.usages);
}

void Simulation::check_idle(const char* when) {
  require(WorkerProbe::downstreams(*worker_) == 0, "{} connections are left {}", WorkerProbe::downstreams(*worker_),
          when);
  require(WorkerProbe::exchanges(*worker_) == 0, "{} exchanges are left {}", WorkerProbe::exchanges(*worker_), when);
  require(WorkerProbe::questions(*worker_) == 0, "{} questions to the authorizer are left {}",
          WorkerProbe::questions(*worker_), when);
  require(WorkerProbe::connectings(*worker_) == 0, "{} connections are being made {}",
          WorkerProbe::connectings(*worker_), when);
  require(WorkerProbe::upstreams(*worker_) == 0, "{} upstream connections are left {}",
          WorkerProbe::upstreams(*worker_), when);
  require(WorkerProbe::blocks(*worker_) == 0, "{} blocks are in use {}", WorkerProbe::blocks(*worker_), when);
  const uint64_t holds = limiter_ ? limiter_->holds() : 0;
  require(holds == 0, "{} places are held in the limits {}", holds, when);
  require(WorkerProbe::released_blocks_untouched(*worker_), "a block was written to that nobody held, seen {}", when);
  require(WorkerProbe::event_memory(*worker_) == 0, "{} bytes of events are held {}",
          WorkerProbe::event_memory(*worker_), when);
  require(WorkerProbe::body_memory(*worker_) == 0, "{} bytes of bodies are held {}", WorkerProbe::body_memory(*worker_),
          when);
  require(WorkerProbe::snapshots(*worker_) == 1, "{} snapshots are held {}", WorkerProbe::snapshots(*worker_), when);
  require(kernel_.buffers_free() == kernel_.buffers_total(), "{} of {} receive buffers are free {}",
          kernel_.buffers_free(), kernel_.buffers_total(), when);
}

void Simulation::check_plans(Totals& totals) {
  for (const Plan& plan : plans_) {
    require(plan.starts == plan.ends, "request {} has {} starts and {} ends in the journal", plan.marker, plan.starts,
            plan.ends);
    require(!plan.client_has_all || plan.refusal == 0, "request {} was answered", plan.marker);
    totals.answered_whole += plan.client_has_all;
    totals.interceptions += plan.starts;
    totals.completed += plan.completed;
    totals.retried += plan.attempts > 1;
  }
  totals.requests += plans_.size();
  totals.questions_shared += worker_->counters().authorizer_shared.value();
  totals.authorizer_spoilt += worker_->counters().authorizer_unsolicited.value();
  for (const Counter& refusals : worker_->counters().refusals) totals.refused += refusals.value();
}

void Simulation::run(Totals& totals) {
  running_ = true;
  auto done = worker_->run([] {});
  require(done.has_value(), "the worker: {}", done ? "" : done.error().message);
  running_ = false;
  read_journal();
  check_idle("after the worker's end");
  kernel_.check_quiet();
  // The clients hear of it.
  kernel_.run_out();
  for (const auto& client : clients_) require(client->finished(), "at the end: {}", client->describe());
  check_plans(totals);
  totals.seeds++;
  totals.turns += kernel_.turns();
  totals.simulated_ns += kernel_.now_ns() - Kernel::kStartNs;
}

}  // namespace weir::sim
