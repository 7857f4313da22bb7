// One connection to a provider (or to the authorizer's service): an attempt at one address (for a Connecting), TLS, one
// request at a time, idle in its origin's pool. It moves bytes; what they mean is its user's (an Exchange or a
// Callout). A slot of the worker's.
#pragma once

#include <cstdint>
#include <string>

#include "base/slot_pool.h"
#include "proxy/snapshot.h"
#include "proxy/stream.h"
#include "proxy/timer_wheel.h"

namespace weir::proxy {

class Connecting;
class Origin;
class Upstream;
class Worker;

enum class UpstreamFault : uint8_t { no_address, connect, tls, timeout };

// Calls come in this order: ready (or failed), data*, ended (or timeout). After ended, timeout and failed the
// connection is gone. `ended` comes too where a kept connection turns out to be of no use before the request is sent.
class UpstreamUser {
 public:
  virtual void on_upstream_ready(Upstream& upstream) = 0;
  // No connection could be made. `why` is for the log and the client: "connection refused (127.0.0.1:9900)".
  virtual void on_upstream_failed(UpstreamFault fault, std::string_view why) = 0;
  // Takes the piece's reference.
  virtual void on_upstream_data(const Piece& piece) = 0;
  // `orderly`: the peer ended the stream (FIN or close_notify); else it was reset or TLS failed.
  virtual void on_upstream_ended(bool orderly, std::string_view why) = 0;
  virtual void on_upstream_timeout() = 0;

 protected:
  ~UpstreamUser() = default;
};

class Upstream : public Slot {
 public:
  enum class State : uint8_t {
    closed,       // no connection; the slot is free or about to be
    connecting,   // a connect is in flight
    handshaking,  // TLS
    busy,         // belongs to its user
    idle,         // in the origin's pool; a receive is in flight to see it close
    closing,      // terminated; waits for its last completions
  };

  // An attempt at this address. On an error nothing was begun, and the slot is given back.
  Result<> begin(Worker& worker, Origin& origin, Connecting& connecting, const io::Address& address);
  // It is ready, and now this user's.
  void hand_over(UpstreamUser& user);
  void on_completion(const io::Completion& completion);
  void on_timer();

  State state() const { return state_; }
  bool reused() const { return reused_; }
  Stream& stream() { return stream_; }
  Origin& origin() { return *origin_; }
  const io::Address& address() const { return address_; }
  // Until then something must have come; set again by its user at each sign of life.
  void set_deadline(uint64_t deadline_ns);
  void clear_deadline() { TimerWheel::clear(timer_); }

  // Sends what its user has queued: all of the request. On a kept connection at the end of the worker's turn: what has
  // come until then was there before the request, and cannot be its answer.
  void send_request();
  void flush();  // the worker's, then
  // For on_upstream_ended(), before one byte of an answer: why the request may be sent once more, in words for the log.
  // Empty: the provider may have begun to work on it, and must not be paid twice.
  std::string_view why_repeatable() const;

  // The user lets go: back to the pool, or (abandon) closed at once.
  void release();
  void abandon();
  // Takes an idle connection out of the pool for `user`; on_upstream_ready() is the caller's to call.
  void reuse(UpstreamUser& user);
  // Closes when nothing is in flight any more; true once the slot is free.
  bool try_close();
  const tls::ClientContext* client() const { return client_; }

 private:
  friend class Origin;
  void on_connected(io::Code code);
  void give_up(UpstreamFault fault, std::string_view why);
  void become_ready();
  void on_receive(const io::Completion& completion);
  uint64_t old_at_ns() const;
  void close();

  Worker* worker_ = nullptr;
  Origin* origin_ = nullptr;
  Connecting* connecting_ = nullptr;  // until it is ready
  UpstreamUser* user_ = nullptr;      // from then on, while it is busy
  State state_ = State::closed;
  Stream stream_;
  tls::ClientContext* client_ = nullptr;  // what the connection's TLS was made from
  Timer timer_;
  io::Address address_;
  uint64_t opened_ns_ = 0;
  uint32_t age_permille_ = 0;  // of timeouts.upstream_age: connections that began together do not end together
  bool reused_ = false;
  bool unsent_ = false;
  Upstream* idle_next_ = nullptr;
  Upstream* idle_previous_ = nullptr;
};

}  // namespace weir::proxy
