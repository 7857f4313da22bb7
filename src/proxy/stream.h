// One connected socket, with TLS or without: receiving with pause and resume, sending from a queue with one send in
// flight, and the one path to its end: terminate → last completions → close. It knows no HTTP. A member of Downstream
// and Upstream; owned by one worker.
//
// Invariants: (1) at most one send and one receive (multishot, or one sized receive) are in flight; (2) bytes in flight
// stay where they are until the send's completion, and what a sized receive writes to is held until its own; (3) the
// descriptor is closed only when nothing is in flight; (4) everything queued is released at the end.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/counter.h"
#include "io/engine.h"
#include "proxy/buffer_pool.h"
#include "proxy/segment_queue.h"
#include "tls/tls.h"

namespace weir::proxy {

// What every stream of a worker shares.
struct StreamContext {
  io::Engine& engine;
  BufferPool& buffers;
  SegmentPool& segments;
  // Bytes of sockets, by side: clients', providers'.
  std::array<Counter*, 2> received{};
  std::array<Counter*, 2> sent{};
};

// The operations of a token: a stream's base (which side it is) plus one of these.
enum class StreamOp : uint8_t { receive = 0, send = 1, sized_receive = 2, connect = 3 };
inline constexpr uint8_t kStreamOps = 4;

class Stream {
 public:
  // Above this many bytes or segments waiting for the peer, whoever feeds the stream pauses; below the low marks it
  // goes on.
  static constexpr uint64_t kHighBytes = 64u << 10;
  static constexpr uint32_t kHighSegments = 24;
  static constexpr uint64_t kLowBytes = 16u << 10;
  static constexpr uint32_t kLowSegments = 8;

  Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Takes the descriptor. `token`: op is the base of this side. `machine` null: plaintext.
  void open(StreamContext& context, int descriptor, io::Token token, std::unique_ptr<tls::Machine> machine);
  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }

  // --- connecting ---
  void connect(const io::Address& address);
  // After the connect's completion: starts a TLS handshake if there is one to do.
  bool start_handshake();
  bool ready() const { return !tls_ || tls_->handshake_done(); }
  tls::Machine* tls() { return tls_.get(); }
  bool secure() const { return tls_ != nullptr; }
  // The peer has never spoken TLS (tls()->met_plain_http()): what is queued from here on goes as it is.
  void continue_in_plain();

  // --- receiving ---
  void resume_receive();
  void pause_receive();
  // From the next resume_receive() on: a receive ends with its first piece, and its owner resumes it. A large body is
  // to follow that receive_sized() shall take: a receive that goes on would have copied most of it meanwhile. Plaintext
  // only.
  void receive_piecewise(bool piecewise) { piecewise_ = piecewise && !tls_; }
  bool receive_wanted() const { return receive_wanted_; }
  // The loan's memory is filled by one operation; the loan goes back with its completion, or at once where the stream
  // is ending. Plaintext only. REQUIRES: receive_idle().
  void receive_sized(io::Loan loan);
  // Ends a sized receive that is in flight. Its completion follows, and may still bring bytes.
  void stop_sized_receive();
  bool receive_idle() const { return !receive_in_flight_ && !sized_loan_.is_out(); }

  enum class Event : uint8_t { nothing, data, ended, failed };
  struct Received {
    Event event = Event::nothing;
    Piece piece;  // data: with one reference, the caller's
    io::Code code = io::Code::ok;
  };
  // For completions of StreamOp::receive. A TLS failure is `failed` with tls()->error(), once; the alert that tells the
  // peer is on its way then, and what still comes is thrown away.
  Received on_receive(const io::Completion& completion);
  // For StreamOp::sized_receive and connect: notes that the operation is over.
  void on_done(StreamOp op, const io::Completion& completion);

  // --- sending ---
  void queue(const Piece& piece);            // takes one reference
  void queue_copy(std::string_view bytes);   // copies
  void queue_block(BufferId block);          // takes one reference; small pieces that follow are copied behind it
  void queue_small(std::string_view bytes);  // copies; at most Segment::kSmallMax
  void flush();
  // For completions of StreamOp::send. False: the connection is broken.
  bool on_send(const io::Completion& completion, uint64_t now_ns);
  uint64_t waiting_bytes() const { return queue_.bytes() + wire_bytes_; }
  bool over_high_mark() const { return waiting_bytes() > kHighBytes || queue_.count() > kHighSegments; }
  bool under_low_mark() const { return waiting_bytes() < kLowBytes && queue_.count() < kLowSegments; }
  bool all_sent() const { return queue_.empty() && !send_in_flight_ && wire_ == kNoBufferId; }
  bool send_in_flight() const { return send_in_flight_; }
  // What has reached the peer: by its acknowledgements; of a Unix socket, by the sends that are done. Only differences
  // count. A system call: inside one large send there is no other sign of progress.
  uint64_t taken_bytes() const {
    const auto state = io::tcp_state(descriptor_);
    return state ? state->acknowledged_bytes : sent_bytes_;
  }
  // What has come and no receive has told yet: inside one large receive there is no other sign of progress. A system
  // call; nothing of a Unix socket.
  std::optional<uint64_t> untold_bytes() const {
    const auto state = io::tcp_state(descriptor_);
    if (!state) return std::nullopt;
    return state->received_bytes - std::min(state->received_bytes, received_bytes_);
  }
  // When the last send was done. REQUIRES: all_sent().
  uint64_t last_sent_ns() const { return send_started_ns_; }
  // System calls. A Unix socket has no round trips, and whatever was sent is at its peer's.
  uint64_t round_trip_ns() const {
    const auto state = io::tcp_state(descriptor_);
    return state ? state->round_trip_ns : 0;
  }
  bool all_acknowledged() const {
    const auto state = io::tcp_state(descriptor_);
    return all_sent() && (!state || state->all_acknowledged);
  }
  bool send_failed() const { return send_failed_; }
  void shutdown_send();  // close_notify and FIN, after what is queued was sent

  // Receive buffers are scarce: what waits here is copied to blocks; a send that has made no progress since
  // `stalled_before_ns` is taken back first.
  void spare_receive_buffers(uint64_t stalled_before_ns);

  // --- the end ---
  void terminate();
  // Ends it so that the peer sees a reset, and over TLS no close_notify: what it has got is not all.
  void reset();
  bool terminating() const { return terminating_; }
  // True once nothing is in flight: the descriptor is closed and everything released. The slot may be reused.
  bool try_close();

 private:
  io::Token token(StreamOp op) const {
    return {static_cast<uint8_t>(token_.op + static_cast<uint8_t>(op)), token_.index, token_.generation};
  }
  size_t side() const { return token_.op / kStreamOps; }
  void arm_receive();
  bool encrypt();
  void drop_queue();
  void move_waiting_to_block();
  bool fits_behind(size_t size) const;
  Received decrypt(Piece cipher);

  StreamContext* context_ = nullptr;
  int descriptor_ = -1;
  io::Token token_;
  std::unique_ptr<tls::Machine> tls_;
  SegmentQueue queue_;           // plaintext, or what goes out as it is
  BufferId wire_ = kNoBufferId;  // TLS: the block of ciphertext in flight
  uint64_t wire_offset_ = 0;
  uint64_t wire_bytes_ = 0;      // what is left of it
  BufferId tail_ = kNoBufferId;  // the block that small pieces are copied behind each other into
  io::Loan sized_loan_;          // of the sized receive in flight
  uint64_t sent_bytes_in_flight_ = 0;
  uint64_t sent_bytes_ = 0;       // of sends that are done
  uint64_t received_bytes_ = 0;   // of receives that have told
  uint64_t send_started_ns_ = 0;  // of the one in flight; else when the last was done
  bool receive_in_flight_ = false;
  bool receive_cancelling_ = false;
  bool receive_wanted_ = false;
  bool piecewise_ = false;
  bool receive_is_piecewise_ = false;  // the one in flight
  bool sized_cancelling_ = false;
  bool connect_in_flight_ = false;
  bool send_in_flight_ = false;
  bool send_failed_ = false;
  bool send_taken_back_ = false;
  bool terminating_ = false;
  bool fin_wanted_ = false;      // after what is queued
  bool tls_failed_ = false;      // behind bytes that were still good
  bool tls_over_ = false;        // the failure was reported: what still comes is thrown away
  bool close_notified_ = false;  // TLS: the peer has said that it ends
};

}  // namespace weir::proxy
