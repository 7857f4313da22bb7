// The simulated kernel and network: time, sockets, and the operations of io/engine.h (engine_sim.cc calls in here). One
// seed decides every delay, every split, every fault and the order of completions.
//
// Time moves in wait() alone, from event to event. Operations are started when the worker waits, as io_uring submits
// them; shutdown() acts at once, as the system call does. What io_uring promises is kept, and nothing more:
// completions of different operations come in any order, those of one operation in its own; a cancelled operation may
// still complete as if it had not been; a send that fails half-way says how far it came.
//
// Checked here, after each step: an operation's memory does not change while it is borrowed, and what is written to is
// held by somebody until the operation's end; one token has one operation, a descriptor is not used after close() nor
// closed with operations in flight, a receive buffer is given back once, by its holder.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/engine.h"
#include "sim/random.h"
#include "sim/report.h"

namespace weir::sim {

class Kernel;
class Link;

// The far end of a connection: a client, a provider, an authorizer's service.
class Actor {
 public:
  virtual ~Actor() = default;
  virtual void on_open() {}
  virtual void on_bytes(std::string_view bytes) = 0;
  // The worker has ended its direction, or (reset) all of the connection. Nothing follows.
  virtual void on_end(bool reset) = 0;
};

// What goes wrong, and how often; drawn for each seed.
struct Weather {
  uint64_t delay_max_ns = 0;      // of bytes on their way
  uint64_t late_max_ns = 0;       // of a completion
  uint64_t turn_late_max_ns = 0;  // the worker comes late to its completions
  uint64_t split_percent = 0;     // bytes arrive, are received or leave in pieces
  uint64_t multishot_end_percent = 0;
  uint64_t few_completions_percent = 0;  // a wait gives only some of what is there
  uint64_t cancel_late_percent = 0;
  uint64_t connect_fail_percent = 0;
  uint64_t accept_fail_percent = 0;
  uint64_t descriptor_fail_percent = 0;
  uint64_t clock_jump_per_10000 = 0;  // of turns
  uint64_t clock_jump_max_ns = 0;
  uint64_t wall_step_percent = 0;  // of readings of the wall clock
};

enum class OpKind : uint8_t { accept, receive, sized_receive, send, connect, read_event };

struct Operation {
  uint64_t id = 0;
  OpKind kind = OpKind::receive;
  io::Token token;
  int descriptor = -1;
  Link* link = nullptr;
  std::vector<iovec> borrowed;  // send
  std::string bytes;            // send: as they were when it was started
  char* data = nullptr;         // sized receive
  const io::Lender* lender = nullptr;
  uint32_t block = 0;  // of the lender's
  size_t size = 0;
  size_t done = 0;
  uint64_t* value = nullptr;  // read_event
  std::string address;        // connect
  bool once = false;          // receive
  bool submitted = false;
  bool finished = false;  // its last completion is made, not yet taken
  bool cancelled = false;
  uint32_t unreaped = 0;
  uint64_t last_due_ns = 0;
};

// One connection. Its worker's end is a descriptor; the other end is the actor's, who uses the first part of this.
class Link {
 public:
  Link(Kernel& kernel, uint32_t id) : kernel_(kernel), id_(id) {}
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // --- the actor's ---
  void set_actor(Actor* actor) { actor_ = actor; }
  void write(std::string bytes);
  void finish();  // FIN: what was written goes first
  void reset();
  void close();  // both directions: a reset if something is unread, or comes later
  bool closed() const { return actor_ == nullptr; }
  // How much the actor's end takes before it is read, and how it is read: `chunk` bytes (0: all) each `pause`.
  void read_slowly(size_t window, size_t chunk, uint64_t pause_ns);
  void hold_reading(uint64_t until_ns);
  uint32_t id() const { return id_; }
  uint64_t written_bytes() const { return written_; }
  uint64_t taken_bytes() const { return inbox_read_; }  // of them, by the worker's receives

 private:
  friend class Kernel;
  void arrive(std::string_view bytes);
  void deliver(std::string bytes);
  void read();
  void reset_arrives();
  void end_delivered();

  Kernel& kernel_;
  uint32_t id_;
  uint32_t peer_ = 0;
  bool unix_socket_ = false;
  int descriptor_ = -1;
  Actor* actor_ = nullptr;
  // towards the worker
  uint64_t written_ = 0;
  std::string inbox_;
  size_t inbox_read_ = 0;
  uint64_t to_worker_due_ = 0;
  bool finished_ = false;     // the actor has ended its direction
  bool end_arrived_ = false;  // and the worker's socket knows
  bool reset_arrived_ = false;
  // towards the actor
  uint64_t read_bytes_ = 0;  // by the actor, of what the worker sent
  std::string unread_;
  size_t on_the_way_ = 0;
  size_t window_ = 1u << 20;
  size_t read_chunk_ = 0;
  uint64_t read_pause_ns_ = 0;
  uint64_t hold_until_ns_ = 0;
  bool read_planned_ = false;
  uint64_t to_actor_due_ = 0;
  bool end_pending_ = false;  // the worker's FIN is there; told once all is read
  // the worker's end
  bool shut_send_ = false;
  bool shut_receive_ = false;
  bool worker_closed_ = false;
  bool reset_on_close_ = false;
  Operation* receive_ = nullptr;  // multishot or sized
  Operation* send_ = nullptr;
};

class Kernel {
 public:
  Kernel(Random& random, const Weather& weather);
  ~Kernel();
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  static Kernel& current();

  static constexpr int kFirstDescriptor = 100'000;  // none of the process's own

  // --- time ---
  static constexpr uint64_t kStartNs = 1000ull * 1000 * 1000 * 1000;
  uint64_t now_ns() const { return now_ns_; }
  int64_t unix_us();
  void after(uint64_t delay_ns, std::function<void()> what);

  // --- the far ends ---
  using Answerer = std::function<Actor*(Link&)>;
  void serve(const std::string& address, Answerer answerer) { services_[address] = std::move(answerer); }
  // Nothing answers at `hole`, a name's first address; `other` is its second. Checked: after the delay of RFC 8305 the
  // other is tried, and once it has worked it comes first.
  void swallow(const std::string& hole, const std::string& other) { holes_[hole] = other; }
  enum class Family : uint8_t { internet, unix_socket };
  int add_listener(Family family);
  // `peer`: of an internet connection the address that it comes from, of a Unix socket the user's id.
  Link& dial(int listener, Actor& actor, uint32_t peer);
  void mail_posted();
  void set_on_turn(std::function<void()> on_turn) { on_turn_ = std::move(on_turn); }
  Weather& weather() { return weather_; }
  uint64_t turns() const { return turns_; }
  // What went wrong by the weather's hand; an answer may be excused by it.
  struct Faults {
    uint64_t connects = 0, accepts = 0, descriptors = 0, long_jumps = 0;
  };
  const Faults& faults() const { return faults_; }

  // --- engine_sim.cc ---
  void set_up(const io::EngineOptions& options);
  void start(Operation operation);
  void receive(int socket, io::Token token, bool once);
  void cancel(io::Token token);
  void shutdown(int socket, bool receive, bool send);
  void close(int descriptor);
  size_t wait(std::span<io::Completion> out, uint64_t timeout_ns);
  char* buffer_data(uint16_t buffer) { return buffers_.data() + static_cast<size_t>(buffer) * options_.buffer_size; }
  uint32_t buffer_size() const { return options_.buffer_size; }
  void release_buffer(uint16_t buffer);
  uint32_t buffers_free() const { return options_.buffers - buffers_held_; }
  uint32_t buffers_total() const { return options_.buffers; }
  const io::Engine::Counters& counters() const { return counters_; }
  int open_stream();                                  // -1: out of descriptors
  std::optional<std::string> peer_of(int socket);     // none of a Unix socket
  std::optional<uint32_t> uid_of(int socket);         // of a Unix socket
  std::optional<io::TcpState> tcp_state(int socket);  // none of a Unix socket
  void reset_on_close(int socket);                    // of no effect on a Unix socket

  // --- at the end ---
  void run_out();            // what the far ends still do when the worker is gone
  void check_quiet() const;  // nothing in flight, every descriptor closed, every buffer back
  template <class Use>
  void for_each_operation(Use&& use) const {
    for (const auto& [key, operation] : operations_) use(operation);
  }

 private:
  friend class Link;
  struct Event {
    uint64_t due_ns;
    uint64_t sequence;
    std::function<void()> what;
    bool operator>(const Event& other) const {
      return due_ns != other.due_ns ? due_ns > other.due_ns : sequence > other.sequence;
    }
  };
  struct Ready {
    uint64_t due_ns;
    uint64_t sequence;
    uint64_t operation;  // its id; 0: none (a parked receive)
    io::Completion completion;
    bool operator>(const Ready& other) const {
      return due_ns != other.due_ns ? due_ns > other.due_ns : sequence > other.sequence;
    }
  };
  struct Descriptor {
    Link* link = nullptr;
    bool listener = false;
    bool unix_socket = false;
    bool closed = false;  // close() was called
    std::deque<Link*> backlog;
    Operation* accept = nullptr;
  };
  enum class Holder : uint8_t { kernel, completion, worker };

  Descriptor& descriptor(int number, const char* use);
  Operation* find(uint64_t id);
  void submit();
  void submit_one(Operation& operation);
  void do_close(int descriptor);
  void do_cancel(io::Token token);
  void unpark();
  void run_until(uint64_t until_ns);
  bool run_next(uint64_t limit_ns);
  size_t gather(std::span<io::Completion> out);
  bool anything_ready() const;

  void post(Operation& operation, io::Completion completion, bool last);
  void finish(Operation& operation, int result_or_error, uint16_t buffer = io::kNoBuffer);
  void pump_receive(Link& link);
  void pump_sized(Link& link, Operation& operation);
  void pump_send(Link& link);
  void fail_send(Operation& operation, int error);
  void pump_accept(Descriptor& descriptor);
  void do_connect(Operation& operation);
  void connect_to_hole(const Operation& operation, const std::string& other);
  void check_borrowed(const Operation& operation, size_t from, size_t size) const;
  uint64_t delay() { return random_.skewed(weather_.delay_max_ns); }
  size_t piece(size_t size) { return random_.percent(weather_.split_percent) ? random_.size(1, size) : size; }

  Random& random_;
  Weather weather_;
  uint64_t now_ns_ = kStartNs;
  int64_t wall_offset_us_ = 1'795'312'620'000'000;
  uint64_t sequence_ = 0;
  uint64_t next_id_ = 1;
  uint64_t turns_ = 0;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::priority_queue<Ready, std::vector<Ready>, std::greater<>> ready_;
  std::deque<Ready> left_over_;
  std::vector<std::function<void()>> submissions_;
  std::unordered_map<uint64_t, Operation> operations_;  // by packed token
  std::unordered_map<uint64_t, uint64_t> tokens_;       // of operations by id
  std::deque<Link> links_;
  std::deque<Descriptor> descriptors_;  // from kFirstDescriptor on; never reused: a number of the past is a mistake
  std::map<std::string, Answerer> services_;
  std::map<std::string, std::string> holes_;
  std::map<std::string, uint64_t> connect_counts_;
  std::map<std::string, uint64_t> first_connected_ns_;
  std::function<void()> on_turn_;
  Faults faults_;

  io::EngineOptions options_;
  io::Engine::Counters counters_;
  std::vector<char> buffers_;
  std::vector<Holder> holders_;
  std::deque<uint16_t> free_buffers_;
  std::vector<uint16_t> given_back_;  // not yet told to the kernel
  uint32_t buffers_held_ = 0;         // by the worker
  bool starved_ = false;
  struct Parked {
    int socket;
    io::Token token;
    bool once;
  };
  std::vector<Parked> parked_;
  bool mail_ = false;
  Operation* mail_read_ = nullptr;
};

}  // namespace weir::sim
