// A client's connection: TLS, heads, pipelining, keep-alive, lingering close. One exchange at a time; what comes
// meanwhile waits in the stash, and is answered in order. A slot of the worker's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/slot_pool.h"
#include "gateway/limiter.h"
#include "gateway/refusal.h"
#include "proxy/stream.h"
#include "proxy/timer_wheel.h"
#include "wire/head.h"

namespace weir::proxy {

class Exchange;
class Worker;
struct WorkerListener;

// A connection's place in the limits for its address.
struct AddressEntry {
  uint64_t key = 0;  // 0: not known yet, or not limited
  gateway::LimitTable::Hold hold;
  bool over_limit = false;  // it may only hear that it is one too many
};

// How a client takes what waits for it, looked at while a send is in flight and not before it has been so for a while.
struct SendWatch {
  bool on = false;
  bool looked = false;       // the fields below it are set
  uint64_t progress_ns = 0;  // when it had last taken something
  uint64_t taken = 0;        // Stream::taken_bytes() then
  uint64_t window_ns = 0;    // begin of the time over which its rate is measured
  uint64_t window_taken = 0;
};

class Downstream : public Slot {
 public:
  enum class State : uint8_t {
    closed,       // the slot is free or about to be
    handshaking,  // TLS
    idle,         // between requests: nothing of the next one has come
    head,         // a part of a head has come
    exchange,     // an exchange runs; its request is being received or has been
    discarding,   // refused early: what is left of the request's body is read and thrown away, then the next request
                  // follows
    lingering,    // our side is shut; what the client still sends is thrown away so that no reset destroys our last
                  // answer. Of a cut answer our side is open until the client has it, and a reset follows
    closing,      // terminated; waits for its last completions
  };

  void begin(Worker& worker, const WorkerListener& listener, int descriptor, const AddressEntry& address);
  void on_completion(const io::Completion& completion);
  void on_timer();
  void on_send_timer();
  // From the worker's lists: goes on with what is in the stash; sends what is queued.
  void run();
  void flush();
  bool try_close();

  // --- for the exchange ---
  Stream& stream() { return stream_; }
  const WorkerListener& listener() const { return *listener_; }
  State state() const { return state_; }
  // Everything of the answer was queued. `close`: the connection ends after it. The exchange hears on_answer_sent().
  void answer_queued(bool close) { close_after_ = close_after_ || close; }
  bool must_close() const { return close_after_; }
  // The answer breaks off, and its framing does not show it (HTTP/1.0): the connection ends by a reset.
  void answer_cut() { close_after_ = cut_ = true; }
  // The exchange is over; the connection goes on with the next request, or ends.
  void exchange_over();
  // The rest of the refused request's body is thrown away, if its length is known and small; else the connection ends
  // after the answer (must_close()).
  void discard_rest(wire::BodyFraming framing, uint64_t remaining);
  // The client has left or its connection is broken.
  void client_gone(io::Code code);
  // The connection ends now, its answer unfinished.
  void abort();
  std::string_view client_address();  // without the port
  bool over_address_limit() const { return address_.over_limit; }
  uint64_t address_key();  // 0: not limited
  void set_deadline(uint64_t deadline_ns);
  void clear_deadline();
  // The exchange takes the body's bytes by sized receives from here on: once receiving is idle, it hears
  // on_receive_idle().
  void wait_for_receive_idle();
  // It takes no more of them: what still comes is thrown away, up to the end of the body where discard_rest() was asked
  // for that.
  void stop_receiving_body();
  void close_if_idle();  // drain
  // Receiving pauses or goes on, by what waits.
  void regulate_receive();
  uint32_t request_count() const { return request_count_; }
  // It waits for (the rest of) a request's head: nothing that has begun is lost if it goes.
  bool is_idle() const {
    return state_ == State::handshaking || state_ == State::head || (state_ == State::idle && stash_ == kNoBufferId);
  }
  bool has_served() const { return request_count_ > 0; }
  uint64_t idle_since_ns() const { return idle_since_ns_; }

 private:
  void on_receive(const io::Completion& completion);
  void tls_failed(io::Code code);
  void count_tls_failure();
  void log_tls_failure();
  void take(std::string_view input);
  size_t consume(std::string_view input);
  size_t consume_head(std::string_view input);
  void on_sized_receive(const io::Completion& completion);
  size_t consume_discarded(std::string_view input);
  // `method`: of a request whose head could be read.
  void refuse(gateway::Refusal refusal, std::string_view detail, wire::Method method = wire::Method::other);
  void on_sent();
  void watch_sending();
  void next_request();
  void go_on();
  void drop_stash();
  void linger();
  void check_reset();
  void close();

  Worker* worker_ = nullptr;
  const WorkerListener* listener_ = nullptr;
  Exchange* exchange_ = nullptr;
  State state_ = State::closed;
  Stream stream_;
  Timer timer_;
  Timer send_timer_;  // while bytes wait for the client
  SendWatch watch_;
  BufferId stash_ = kNoBufferId;  // received and not consumed yet, but for its first stash_used_ bytes
  size_t stash_used_ = 0;
  size_t head_seen_ = 0;            // of the stash: already looked at for a head
  uint64_t discard_remaining_ = 0;  // of a refused request's body
  uint64_t linger_end_ns_ = 0;
  uint64_t idle_since_ns_ = 0;
  uint32_t request_count_ = 0;
  bool close_after_ = false;
  bool cut_ = false;
  bool awaiting_receive_idle_ = false;
  bool client_ended_ = false;  // it has shut its side while our answer was still being sent
  std::string client_address_;
  AddressEntry address_;
};

}  // namespace weir::proxy
