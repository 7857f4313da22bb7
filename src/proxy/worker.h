// One worker: a thread with its own ring, listeners, connections, upstream pools, timers and journal. It shares nothing
// on a request's way; other threads talk to it through post().
//
// A turn: wait for completions, run each (handlers never call handlers of another connection but through the lists
// below), then the ready list, then flush what was queued (one send for everything of this turn), then reap what has
// ended.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/budgeted_buffer.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/seen_keys.h"
#include "base/sliced_work.h"
#include "base/slot_pool.h"
#include "gateway/limiter.h"
#include "io/engine.h"
#include "proxy/authorizer.h"
#include "proxy/buffer_pool.h"
#include "proxy/connecting.h"
#include "proxy/counters.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/origin.h"
#include "proxy/slow_reader.h"
#include "proxy/snapshot.h"
#include "proxy/throttles.h"
#include "proxy/timer_wheel.h"
#include "proxy/upstream.h"
#include "reader/request.h"
#include "record/journal.h"

namespace weir::proxy {

// A listening socket of this worker's. Its place in the list is its place in Snapshot::listener_tls.
struct WorkerListener {
  std::string name;
  int descriptor = -1;  // the worker closes it
  bool tls = false;
  bool trusted = false;
  bool unix_socket = false;
  std::vector<uint32_t> allowed_uids;
};

struct WorkerOptions {
  uint32_t index = 0;
  io::EngineOptions engine;
  uint32_t connections = 20000;  // of this worker
  uint32_t upstreams = 65536;
  uint32_t callouts = 64;     // connections to the authorizer's service
  uint32_t questions = 2048;  // that are asked of it, or wait for a connection
  std::vector<WorkerListener> listeners;
  record::Journal* journal = nullptr;
  gateway::Limiter* limiter = nullptr;  // all workers'; may be null while no limit is set
  std::shared_ptr<LogThrottles> throttles = std::make_shared<LogThrottles>();  // all workers'
};

// A snapshot with the number of exchanges (and of questions to the authorizer) that began with it. It goes when they
// have ended and a newer one is there.
struct HeldSnapshot {
  std::shared_ptr<const Snapshot> snapshot;
  uint32_t exchanges = 0;
};

class Worker {
 public:
  // The ops of a token: streams' ops lie above these bases.
  static constexpr uint8_t kDownstreamOps = 0;
  static constexpr uint8_t kUpstreamOps = kStreamOps;
  static constexpr uint8_t kAcceptOp = 2 * kStreamOps;
  static constexpr uint8_t kMailOp = 2 * kStreamOps + 1;

  Worker(WorkerOptions options, std::unique_ptr<Logger> logger);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // On its own thread, until it has drained. The error is the ring's that could not be set up; `on_ready` is called
  // once listeners accept.
  Result<> run(const std::function<void()>& on_ready);
  // From any thread.
  void post(Message message);
  const WorkerCounters& counters() const { return counters_; }  // any thread may read them

  // --- for the machines; on the worker's thread ---
  const std::vector<WorkerListener>& listeners() const { return options_.listeners; }
  io::Engine& engine() { return *engine_; }
  StreamContext& streams() { return *streams_; }
  BufferPool& buffers() { return *buffers_; }
  TimerWheel& wheel() { return *wheel_; }
  Logger& log() { return *logger_; }
  record::JournalWriter& journal() { return *journal_; }
  reader::RequestReader& request_reader() { return request_reader_; }
  reader::RequestFacts& request_facts() { return request_facts_; }
  // Those of the one who reads slowly.
  reader::RequestReader& slow_request_reader() { return slow_request_reader_; }
  reader::RequestFacts& slow_request_facts() { return slow_request_facts_; }
  wire::RequestHead& request_head() { return request_head_; }
  wire::ResponseHead& response_head() { return response_head_; }
  Authorizer& authorizer() { return *authorizer_; }
  gateway::Limiter& limiter() { return *options_.limiter; }
  UuidGenerator& uuids() { return uuids_; }
  uint64_t now_ns() const { return now_ns_; }
  int64_t now_us() const { return static_cast<int64_t>(now_ns_ / kNsPerUs) + unix_offset_us_; }
  bool draining() const { return draining_; }
  const Snapshot& snapshot() const { return *held_->snapshot; }
  const gateway::Timeouts& timeouts() const { return held_->snapshot->policy->config.timeouts; }
  const gateway::Limits& limits() const { return held_->snapshot->policy->config.limits; }
  HeldSnapshot* hold_snapshot();
  void retain_snapshot(HeldSnapshot& held) { held.exchanges++; }
  void drop_snapshot(HeldSnapshot* held);
  bool is_newest(const HeldSnapshot& held) const { return &held == held_; }
  Origin* origin(uint32_t index) { return index < origins_.size() ? origins_[index].get() : nullptr; }
  MemoryBudget& event_memory() { return event_memory_; }
  // How many there have been, with these.
  uint64_t count_unread_events(uint64_t more) {
    counters_.events_unread.add(more);
    return counters_.events_unread.value();
  }
  // The hash that stands for the peer's address in limits; 0: it is not limited (a Unix socket).
  uint64_t address_key(const WorkerListener& listener, int descriptor) const;
  LogThrottle& throttle(gateway::Refusal refusal) { return options_.throttles->refusals[std::to_underlying(refusal)]; }
  LogThrottle& throttle(Noise noise) { return options_.throttles->noises[std::to_underlying(noise)]; }
  // Whether this initiator is the first time here with a wish for WebSocket: told once.
  bool first_websocket(std::string_view initiator_id) {
    return websocket_clients_.first(options_.limiter->key_of(initiator_id));
  }
  WorkerCounters& count() { return counters_; }
  void count_refusal(gateway::Refusal refusal) { counters_.refusals[std::to_underlying(refusal)].add(); }

  Connecting* acquire_connecting() { return connectings_.acquire(); }
  void release(Connecting& connecting) { connectings_.release(connecting); }
  Upstream* acquire_upstream();
  Exchange* begin_exchange(Downstream& downstream);
  uint32_t callouts_max() const { return options_.callouts; }
  uint32_t questions_max() const { return options_.questions; }
  bool uses_client(const tls::ClientContext& client);

  // Done when the completions at hand have been run.
  void flush_later(Downstream& downstream);
  void flush_later(Upstream& upstream);
  void run_later(Downstream& downstream);
  void reap(Downstream& downstream);
  void reap(Upstream& upstream);
  void release_later(Exchange& exchange);
  void defer_failure(UpstreamUser& user, UpstreamFault fault, std::string why);
  void tell_failure_later(UpstreamUser& user, UpstreamFault fault, std::string why);  // it was counted already
  void count_upstream_fault(UpstreamFault fault);
  // Its turn comes after that of all who wait already: one reads at a time, a slice a turn, so that what decoding takes
  // in memory is taken once.
  void read_later(SlowReader& reader);
  // It must not be called any more.
  void forget_reader(SlowReader& reader);
  // The user, which waits for a connection, must not be called any more.
  void forget_user(UpstreamUser& user);

 private:
  friend struct WorkerProbe;  // tests/sim: counts the slots between two turns

  Result<> set_up();
  void turn();
  void measure_turn();
  void read_a_slice();
  void dispatch(const io::Completion& completion);
  void on_accept(const io::Completion& completion);
  void admit_connection(const WorkerListener& listener, int descriptor);
  bool enter_address(const WorkerListener& listener, int descriptor, AddressEntry& entry);
  void start_accepting(uint32_t listener_index);
  void accept_again();
  void make_room(const WorkerListener& listener);
  void read_mail();
  void take(NewSnapshot& message);
  void take(NewTokens& message);
  void take(NewAddresses& message);
  void take(Drain& message);
  void settle();
  void spare_buffers();
  void fire(Timer& timer);
  void on_tick();
  void publish_gauges();
  bool drained();
  void tear_down();

  static constexpr size_t kBatch = 256;  // completions run between two waits

  WorkerOptions options_;
  std::array<io::Completion, kBatch> completions_;
  std::unique_ptr<Logger> logger_;
  std::unique_ptr<io::Engine> engine_;
  std::unique_ptr<BufferPool> buffers_;
  SegmentPool segments_;
  std::unique_ptr<StreamContext> streams_;
  std::unique_ptr<TimerWheel> wheel_;
  std::unique_ptr<record::JournalWriter> journal_;
  std::unique_ptr<Authorizer> authorizer_;
  MemoryBudget event_memory_{0};  // its limit is the newest snapshot's
  reader::RequestReader request_reader_;
  reader::RequestFacts request_facts_;
  reader::RequestReader slow_request_reader_;
  reader::RequestFacts slow_request_facts_;
  SlicedWork sliced_work_;  // of the first of slow_readers_
  std::vector<SlowReader*> slow_readers_;
  wire::RequestHead request_head_;
  wire::ResponseHead response_head_;
  UuidGenerator uuids_;
  SlotPool<Downstream> downstreams_;
  SlotPool<Connecting> connectings_;  // fewer than upstreams_: each has an attempt
  SlotPool<Upstream> upstreams_;
  SlotPool<Exchange> exchanges_;
  std::vector<std::unique_ptr<Origin>> origins_;
  std::list<HeldSnapshot> snapshots_;
  HeldSnapshot* held_ = nullptr;  // the newest
  WorkerCounters counters_;
  SeenKeys websocket_clients_;
  uint64_t now_ns_ = 0;
  int64_t unix_offset_us_ = 0;  // from CLOCK_MONOTONIC to the epoch, taken once a second

  struct DeferredFailure {
    UpstreamUser* user;
    UpstreamFault fault;
    std::string why;
  };
  std::vector<Downstream*> to_flush_;
  std::vector<Downstream*> to_run_;
  std::vector<Upstream*> requests_to_send_;
  std::vector<Downstream*> dead_downstreams_;
  std::vector<Upstream*> dead_upstreams_;
  std::vector<Exchange*> over_exchanges_;
  std::vector<DeferredFailure> failures_;
  std::vector<DeferredFailure> failures_running_;

  Timer tick_;
  Timer accept_again_;
  uint32_t accepts_in_flight_ = 0;
  std::vector<uint32_t> refused_accepts_;  // listeners whose accept ended for lack of descriptors
  uint64_t last_spare_ns_ = 0;
  bool draining_ = false;
  uint64_t drain_deadline_ns_ = 0;
  bool drain_forced_ = false;
  uint32_t displacing_cursor_ = 0;

  int mail_event_ = -1;
  uint64_t mail_value_ = 0;
  std::mutex mail_mutex_;
  std::vector<Message> mail_;
};

}  // namespace weir::proxy
