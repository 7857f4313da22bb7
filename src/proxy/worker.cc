#include "proxy/worker.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/clock.h"
#include "proxy/address_key.h"

namespace weir::proxy {

namespace {

constexpr uint64_t kTickNs = kNsPerSecond;  // the wall clock's offset is taken anew, and a worker that waits wakes
constexpr uint64_t kAcceptPauseNs = 100 * kNsPerMs;
constexpr uint64_t kSparePauseNs = 20 * kNsPerMs;
constexpr uint64_t kStalledNs = 50 * kNsPerMs;
// How many slots are looked at to make room for one connection, and how long that one must have waited for a request. A
// client that has sent one before is given longer, or a flood of strangers, all of them young, would push it out.
constexpr uint32_t kDisplaceScan = 64;
constexpr uint64_t kDisplaceAgeNs = kNsPerSecond;
constexpr uint64_t kDisplaceServedAgeNs = 10 * kNsPerSecond;

// From here on slots are made free before the last is taken. Few slots have none to spare.
uint32_t headroom(uint32_t slots) {
  return std::min(64u, slots / 8);
}

}  // namespace

Worker::Worker(WorkerOptions options, std::unique_ptr<Logger> logger)
    : options_(std::move(options)),
      logger_(std::move(logger)),
      authorizer_(std::make_unique<Authorizer>(*this)),
      downstreams_(options_.connections),
      connectings_(options_.upstreams),
      upstreams_(options_.upstreams),
      exchanges_(options_.connections),
      mail_event_(::eventfd(0, EFD_CLOEXEC)) {}

Worker::~Worker() {
  if (mail_event_ >= 0) ::close(mail_event_);
}

void Worker::post(Message message) {
  {
    const std::lock_guard lock(mail_mutex_);
    mail_.push_back(std::move(message));
  }
  const uint64_t one = 1;
  // An eventfd's write fails only when its counter is full: then the worker is being woken anyway.
  [[maybe_unused]] const ssize_t written = ::write(mail_event_, &one, sizeof one);
}

Result<> Worker::set_up() {
  auto engine = io::Engine::create(options_.engine);
  if (!engine) return std::unexpected(engine.error());
  engine_ = std::move(*engine);
  now_ns_ = engine_->now_ns();
  unix_offset_us_ = engine_->unix_us() - static_cast<int64_t>(now_ns_ / kNsPerUs);
  buffers_ = std::make_unique<BufferPool>(*engine_);
  // What the completions of one turn can put on a list: how full it gets is chance, and nothing is to be allocated
  // then.
  to_flush_.reserve(kBatch);
  to_run_.reserve(kBatch);
  requests_to_send_.reserve(kBatch);
  dead_downstreams_.reserve(kBatch);
  dead_upstreams_.reserve(kBatch);
  over_exchanges_.reserve(kBatch);
  slow_readers_.reserve(kBatch);
  streams_ = std::make_unique<StreamContext>(
      StreamContext{.engine = *engine_,
                    .buffers = *buffers_,
                    .segments = segments_,
                    .received = {&counters_.client_bytes_received, &counters_.upstream_bytes_received},
                    .sent = {&counters_.client_bytes_sent, &counters_.upstream_bytes_sent}});
  wheel_ = std::make_unique<TimerWheel>(now_ns_);
  journal_ = std::make_unique<record::JournalWriter>(*options_.journal);
  read_mail();
  ASSERT(held_ != nullptr);  // the server posts the first snapshot before it starts the thread
  engine_->read_event(mail_event_, &mail_value_, {.op = kMailOp});
  for (uint32_t i = 0; i < options_.listeners.size(); i++) start_accepting(i);
  wheel_->set(tick_, now_ns_ + kTickNs);
  return {};
}

Result<> Worker::run(const std::function<void()>& on_ready) {
  if (auto done = set_up(); !done) return done;
  engine_->wait({}, 0);  // the accepts are with the kernel
  on_ready();
  while (!drained()) turn();
  tear_down();
  return {};
}

void Worker::turn() {
  const uint64_t wait_ns = slow_readers_.empty() ? wheel_->next_wait_ns(now_ns_, kTickNs) : 0;
  const size_t count = engine_->wait(completions_, wait_ns);
  now_ns_ = engine_->now_ns();
  for (size_t i = 0; i < count; i++) dispatch(completions_[i]);
  wheel_->advance(now_ns_, [this](Timer& timer) { fire(timer); });
  read_a_slice();
  settle();
  if (engine_->buffers_free() < engine_->buffers_total() / 4) spare_buffers();
  publish_gauges();
  measure_turn();
}

// What everybody else had to wait for.
void Worker::measure_turn() {
  const uint64_t spent_ns = engine_->read_clock_ns() - now_ns_;
  counters_.turn.add_ns(spent_ns);
  if (spent_ns / kNsPerUs > counters_.longest_turn_us.value()) counters_.longest_turn_us.set(spent_ns / kNsPerUs);
}

void Worker::read_later(SlowReader& reader) {
  slow_readers_.push_back(&reader);
}

void Worker::forget_reader(SlowReader& reader) {
  const auto found = std::ranges::find(slow_readers_, &reader);
  if (found == slow_readers_.end()) return;
  if (found == slow_readers_.begin() && sliced_work_.running()) sliced_work_.give_up();
  slow_readers_.erase(found);
}

void Worker::read_a_slice() {
  if (slow_readers_.empty()) [[likely]]
    return;
  SlowReader& first = *slow_readers_.front();
  const auto read = [](void* reader) { static_cast<SlowReader*>(reader)->read_slowly(); };
  if (!(sliced_work_.running() ? sliced_work_.go_on() : sliced_work_.begin(read, &first))) return;
  slow_readers_.erase(slow_readers_.begin());
  first.on_read();
}

// What others may read of what only this thread may ask.
void Worker::publish_gauges() {
  counters_.connections_open.set(downstreams_.used_count());
  counters_.exchanges_open.set(exchanges_.used_count());
  counters_.upstreams_open.set(upstreams_.used_count());
  counters_.receive_buffers_free.set(engine_->buffers_free());
  counters_.receives_starved.set(engine_->counters().receives_starved);
  counters_.journal_records.set(journal_->written_count());
  counters_.journal_backlog.set(journal_->backlog_count());
  counters_.event_memory.set(event_memory_.held());
  counters_.body_memory.set(buffers_->body_bytes());
}

void Worker::dispatch(const io::Completion& completion) {
  const io::Token token = completion.token;
  if (token.op < kUpstreamOps) {
    if (Downstream* downstream = downstreams_.find(token.index, token.generation); downstream != nullptr) {
      downstream->on_completion(completion);
      return;
    }
  } else if (token.op < kAcceptOp) {
    if (Upstream* upstream = upstreams_.find(token.index, token.generation); upstream != nullptr) {
      upstream->on_completion(completion);
      return;
    }
  } else if (token.op == kAcceptOp) {
    on_accept(completion);
    return;
  } else {
    read_mail();
    engine_->read_event(mail_event_, &mail_value_, {.op = kMailOp});
    return;
  }
  // A slot is released only when nothing of it is in flight; so this is a bug of ours or the kernel's, and harmless.
  counters_.stale_completions.add();
  if (completion.buffer != io::kNoBuffer) engine_->release_buffer(completion.buffer);
}

// --- accepting ---

void Worker::accept_again() {
  for (const uint32_t index : std::exchange(refused_accepts_, {})) {
    if (!draining_) start_accepting(index);
  }
}

void Worker::start_accepting(uint32_t listener_index) {
  accepts_in_flight_++;
  engine_->accept(options_.listeners[listener_index].descriptor, {.op = kAcceptOp, .index = listener_index});
}

void Worker::on_accept(const io::Completion& completion) {
  const uint32_t index = completion.token.index;
  if (!completion.more) accepts_in_flight_--;
  if (completion.code == io::Code::ok) {
    admit_connection(options_.listeners[index], completion.result);
  } else if (completion.code == io::Code::descriptors_full) {
    counters_.refused_descriptors.add();
    // This worker's next descriptor that is closed, or the clock: others may have given theirs back.
    if (const auto held_back = throttle(Noise::descriptors).pass(now_ns_)) {
      logger_->error("cannot accept: out of file descriptors or memory; raise `ulimit -n` (LimitNOFILE= under systemd)",
                     {{"source", options_.listeners[index].name}, {"held_back", *held_back}});
    }
    refused_accepts_.push_back(index);
    wheel_->set(accept_again_, now_ns_ + kAcceptPauseNs);
    return;
  }
  if (!completion.more && !draining_) start_accepting(index);
}

void Worker::admit_connection(const WorkerListener& listener, int descriptor) {
  if (draining_) {
    counters_.refused_draining.add();
    engine_->close(descriptor);
    return;
  }
  if (listener.unix_socket && !listener.allowed_uids.empty()) {
    const auto uid = io::peer_uid(descriptor);
    if (!uid || std::ranges::find(listener.allowed_uids, *uid) == listener.allowed_uids.end()) {
      counters_.refused_uid.add();
      if (const auto held_back = throttle(Noise::peer_uid).pass(now_ns_)) {
        logger_->warn("connection refused: the peer's user is not in allowed_uids",
                      {{"source", listener.name},
                       {"uid", uid ? static_cast<int64_t>(*uid) : int64_t{-1}},
                       {"held_back", *held_back}});
      }
      engine_->close(descriptor);
      return;
    }
  }
  AddressEntry entry;
  if (limits().address_connections != 0 && !enter_address(listener, descriptor, entry)) [[unlikely]] {
    counters_.refused_address.add();
    if (const auto held_back = throttle(Noise::address_limit).pass(now_ns_)) {
      logger_->warn("connection refused: too many of this address (--address-connections)",
                    {{"source", listener.name}, {"held_back", *held_back}});
    }
    engine_->close(descriptor);
    return;
  }
  Downstream* downstream = downstreams_.acquire();
  if (downstream == nullptr) {
    if (entry.hold.holds()) options_.limiter->addresses.leave(entry.hold);
    counters_.refused_at_limit.add();
    if (const auto held_back = throttle(Noise::connection_limit).pass(now_ns_)) {
      logger_->warn("connection refused: the limit of connections is reached (--connections)",
                    {{"source", listener.name}, {"held_back", *held_back}});
    }
    engine_->close(descriptor);
    make_room(listener);  // for the next
    return;
  }
  counters_.connections_accepted.add();
  downstream->begin(*this, listener, descriptor, entry);
  if (downstreams_.used_count() > options_.connections - headroom(options_.connections)) make_room(listener);
}

// Nearly all slots are in use: of some of the connections that wait for a request the one that has waited longest goes,
// before others those that never sent one. So strangers who only connect cannot keep everybody else out.
void Worker::make_room(const WorkerListener& listener) {
  Downstream* chosen = nullptr;
  downstreams_.for_some_used(displacing_cursor_, kDisplaceScan, [&](Downstream& downstream) {
    const uint64_t age_ns = downstream.has_served() ? kDisplaceServedAgeNs : kDisplaceAgeNs;
    if (!downstream.is_idle() || now_ns_ - downstream.idle_since_ns() < age_ns) return;
    if (chosen == nullptr || (chosen->has_served() && !downstream.has_served()) ||
        (chosen->has_served() == downstream.has_served() && downstream.idle_since_ns() < chosen->idle_since_ns())) {
      chosen = &downstream;
    }
  });
  if (chosen == nullptr) return;
  counters_.connections_displaced.add();
  if (const auto held_back = throttle(Noise::displaced).pass(now_ns_)) {
    logger_->warn("idle client connections are closed to make room for new ones (--connections, `ulimit -n`)",
                  {{"source", listener.name}, {"connections", options_.connections}, {"held_back", *held_back}});
  }
  chosen->abort();
}

uint64_t Worker::address_key(const WorkerListener& listener, int descriptor) const {
  if (listener.unix_socket) return 0;
  const auto address = io::peer_address(descriptor);
  std::array<char, 8> room;
  const std::string_view part = address ? limited_part(*address, room) : std::string_view();
  return part.empty() ? 0 : options_.limiter->key_of(part);
}

// False: refused. Up to twice the limit a connection gets to hear why, as the answer to its request; above it is closed
// at once, so that a flood of one address takes few slots.
bool Worker::enter_address(const WorkerListener& listener, int descriptor, AddressEntry& entry) {
  entry.key = address_key(listener, descriptor);
  if (entry.key == 0) return true;
  const uint32_t limit = limits().address_connections;
  const gateway::LimitTable::Entered entered = options_.limiter->addresses.enter(entry.key, 2 * limit, now_ns_);
  entry.hold = entered.hold;
  entry.over_limit = entered.count > limit;
  return !entered.refused;
}

// --- mail ---

void Worker::read_mail() {
  std::vector<Message> mail;
  {
    const std::lock_guard lock(mail_mutex_);
    mail.swap(mail_);
  }
  for (Message& message : mail) {
    std::visit([this](auto& content) { take(content); }, message);
  }
}

void Worker::take(NewSnapshot& message) {
  snapshots_.push_back({.snapshot = std::move(message.snapshot)});
  HeldSnapshot* previous = std::exchange(held_, &snapshots_.back());
  for (size_t i = 0; i < message.origins.size(); i++) {
    if (i == origins_.size()) origins_.push_back(std::make_unique<Origin>(*this, message.origins[i]));
    if (i < message.clients.size() && message.clients[i]) origins_[i]->set_client(std::move(message.clients[i]));
  }
  event_memory_.set_limit(limits().event_memory);
  buffers_->set_body_memory(limits().body_memory);
  for (const WorkerListener& listener : options_.listeners) {
    if (listener.descriptor >= 0 && !listener.unix_socket) io::set_user_timeout(listener.descriptor, timeouts().send);
  }
  if (previous != nullptr && previous->exchanges == 0) {
    snapshots_.remove_if([&](const HeldSnapshot& held) { return &held == previous; });
  }
  authorizer_->on_new_snapshot();
}

void Worker::take(NewTokens& message) {
  authorizer_->set_tokens(std::move(message.tokens));
}

void Worker::take(NewAddresses& message) {
  if (Origin* place = origin(message.origin); place != nullptr) place->set_addresses(std::move(message.list));
}

void Worker::take(Drain& message) {
  drain_deadline_ns_ = message.deadline_ns;
  if (std::exchange(draining_, true)) return;
  for (uint32_t i = 0; i < options_.listeners.size(); i++) {
    engine_->cancel({.op = kAcceptOp, .index = i});
    engine_->close(std::exchange(options_.listeners[i].descriptor, -1));
  }
  for (const auto& place : origins_) place->close_idle();
  authorizer_->on_drain();
  downstreams_.for_each_used([](Downstream& downstream) { downstream.close_if_idle(); });
}

// --- snapshots ---

HeldSnapshot* Worker::hold_snapshot() {
  held_->exchanges++;
  return held_;
}

void Worker::drop_snapshot(HeldSnapshot* held) {
  if (--held->exchanges > 0 || held == held_) return;
  snapshots_.remove_if([&](const HeldSnapshot& other) { return &other == held; });
}

// --- slots ---

// Kept connections must not take what a request needs now, be they this place's or another's.
Upstream* Worker::acquire_upstream() {
  if (upstreams_.used_count() >= options_.upstreams - headroom(options_.upstreams)) {
    for (const auto& place : origins_) place->close_idle();
  }
  return upstreams_.acquire();
}

Exchange* Worker::begin_exchange(Downstream& downstream) {
  Exchange* exchange = exchanges_.acquire();
  if (exchange == nullptr) return nullptr;
  counters_.requests.add();
  exchange->begin(*this, downstream);
  return exchange;
}

bool Worker::uses_client(const tls::ClientContext& client) {
  bool used = false;
  upstreams_.for_each_used([&](Upstream& upstream) { used = used || upstream.client() == &client; });
  return used;
}

void Worker::flush_later(Downstream& downstream) {
  to_flush_.push_back(&downstream);
}
void Worker::flush_later(Upstream& upstream) {
  requests_to_send_.push_back(&upstream);
}
void Worker::run_later(Downstream& downstream) {
  to_run_.push_back(&downstream);
}
void Worker::reap(Downstream& downstream) {
  dead_downstreams_.push_back(&downstream);
}
void Worker::reap(Upstream& upstream) {
  dead_upstreams_.push_back(&upstream);
}
void Worker::release_later(Exchange& exchange) {
  over_exchanges_.push_back(&exchange);
}

void Worker::defer_failure(UpstreamUser& user, UpstreamFault fault, std::string why) {
  count_upstream_fault(fault);
  tell_failure_later(user, fault, std::move(why));
}

void Worker::tell_failure_later(UpstreamUser& user, UpstreamFault fault, std::string why) {
  failures_.push_back({&user, fault, std::move(why)});
}

void Worker::count_upstream_fault(UpstreamFault fault) {
  switch (fault) {
    case UpstreamFault::no_address:
      counters_.upstreams_failed_address.add();
      return;
    case UpstreamFault::connect:
      counters_.upstreams_failed_connect.add();
      return;
    case UpstreamFault::tls:
      counters_.upstreams_failed_tls.add();
      return;
    case UpstreamFault::timeout:
      counters_.upstreams_failed_timeout.add();
      return;
  }
}

void Worker::forget_user(UpstreamUser& user) {
  for (auto* list : {&failures_, &failures_running_}) {
    for (DeferredFailure& failure : *list) {
      if (failure.user == &user) failure.user = nullptr;
    }
  }
  for (const auto& place : origins_) place->forget(user);
  connectings_.for_each_used([&](Connecting& connecting) { connecting.forget_user(user); });
}

// Works off what the completions have put into the lists. Each may put more into the others; the order keeps a slot's
// end last.
void Worker::settle() {
  while (!failures_.empty() || !to_run_.empty() || !to_flush_.empty() || !requests_to_send_.empty() ||
         !dead_downstreams_.empty() || !dead_upstreams_.empty() || !over_exchanges_.empty()) {
    bool released = false;
    failures_running_.swap(failures_);
    for (DeferredFailure& failure : failures_running_) {
      if (failure.user != nullptr) std::exchange(failure.user, nullptr)->on_upstream_failed(failure.fault, failure.why);
    }
    failures_running_.clear();
    for (size_t i = 0; i < to_run_.size(); i++) {
      if (to_run_[i]->slot_used) to_run_[i]->run();
    }
    to_run_.clear();
    for (size_t i = 0; i < to_flush_.size(); i++) {
      Downstream& downstream = *to_flush_[i];
      if (!downstream.slot_used) continue;
      downstream.flush();
    }
    to_flush_.clear();
    for (size_t i = 0; i < requests_to_send_.size(); i++) {
      if (requests_to_send_[i]->slot_used) requests_to_send_[i]->flush();
    }
    requests_to_send_.clear();
    for (Exchange* exchange : over_exchanges_) {
      exchange->reset();
      exchanges_.release(*exchange);
    }
    over_exchanges_.clear();
    for (size_t i = 0; i < dead_downstreams_.size(); i++) {
      Downstream& downstream = *dead_downstreams_[i];
      if (downstream.slot_used && downstream.stream().terminating() && downstream.try_close()) {
        downstreams_.release(downstream);
        released = true;
      }
    }
    dead_downstreams_.clear();
    for (size_t i = 0; i < dead_upstreams_.size(); i++) {
      Upstream& upstream = *dead_upstreams_[i];
      if (upstream.slot_used && upstream.state() == Upstream::State::closing && upstream.try_close()) {
        upstreams_.release(upstream);
        released = true;
      }
    }
    dead_upstreams_.clear();
    if (released && !refused_accepts_.empty()) wheel_->set(accept_again_, now_ns_);
  }
}

// --- time ---

void Worker::fire(Timer& timer) {
  switch (timer.owner) {
    case TimerOwner::downstream:
      static_cast<Downstream*>(timer.object)->on_timer();
      break;
    case TimerOwner::downstream_send:
      static_cast<Downstream*>(timer.object)->on_send_timer();
      break;
    case TimerOwner::upstream:
      static_cast<Upstream*>(timer.object)->on_timer();
      break;
    case TimerOwner::connecting:
      static_cast<Connecting*>(timer.object)->on_timer();
      break;
    case TimerOwner::question:
      authorizer_->on_timer(*static_cast<Question*>(timer.object));
      break;
    case TimerOwner::authorizer:
      authorizer_->on_timer();
      break;
    case TimerOwner::worker:
      if (&timer == &tick_) {
        on_tick();
      } else {
        accept_again();
      }
      break;
  }
}

void Worker::on_tick() {
  unix_offset_us_ = engine_->unix_us() - static_cast<int64_t>(now_ns_ / kNsPerUs);
  journal_->retry();
  const bool soon = !journal_->backlog_empty() || engine_->buffers_free() < engine_->buffers_total() / 4;
  wheel_->set(tick_, now_ns_ + (soon ? kSparePauseNs : kTickNs));
}

// Receive buffers are scarce: what slow clients leave waiting moves to blocks, so that the others can go on.
void Worker::spare_buffers() {
  if (now_ns_ - last_spare_ns_ < kSparePauseNs) return;
  last_spare_ns_ = now_ns_;
  downstreams_.for_each_used(
      [this](Downstream& downstream) { downstream.stream().spare_receive_buffers(now_ns_ - kStalledNs); });
  wheel_->set(tick_, now_ns_ + kSparePauseNs);
}

bool Worker::drained() {
  if (!draining_) return false;
  if (now_ns_ >= drain_deadline_ns_ && !std::exchange(drain_forced_, true)) {
    exchanges_.for_each_used([](Exchange& exchange) { exchange.on_drain_deadline(); });
    downstreams_.for_each_used([](Downstream& downstream) { downstream.abort(); });
    settle();
  }
  // A connection that was accepted just before the listener closed is still to be closed.
  return accepts_in_flight_ == 0 && downstreams_.used_count() == 0 && upstreams_.used_count() == 0 &&
         exchanges_.used_count() == 0;
}

void Worker::tear_down() {
  journal_->retry();
  engine_->wait({}, 0);  // closes that were only queued
  ASSERT(buffers_->body_bytes() == 0);
  origins_.clear();
  journal_.reset();
}

}  // namespace weir::proxy
