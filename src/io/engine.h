// The kernel, as operations that complete: the seam of design.md. This header has three implementations, chosen at link
// time: io_uring (engine_uring.cc), the simulator's (tests/sim/engine_sim.cc) and one that costs nothing, to measure
// the rest (bench/instant_engine.cc). Owned by one worker; made and used on that worker's thread.
//
// An operation is started with a Token and yields completions that carry it. Completions are gathered by wait() into
// the caller's array and run by the caller: nothing here calls back. What an operation borrows must stay where it is
// until its last completion (`more` is false); sockets are closed only after that. shutdown() ends the pending
// operations of a socket, close() does not.
//
// Receives without a buffer: a receive that finds the provided buffers empty ends with `no_buffers`. Its owner starts
// it again as after any completion without `more`; the engine holds it until a quarter of the buffers is back (never on
// a timer).
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/address.h"

namespace weir::io {

// Packed into the 64 bits that the kernel hands back: what kind of operation (the owner's own numbering, 0..254; 255 is
// the engine's), whose (a slot's index), and which generation of that slot, so that a late completion is recognised.
struct Token {
  uint8_t op = 0;
  uint32_t index = 0;  // < 2^24
  uint32_t generation = 0;

  uint64_t pack() const {
    return (static_cast<uint64_t>(op) << 56) | (static_cast<uint64_t>(index) << 32) | generation;
  }
  static Token unpack(uint64_t raw) {
    return {static_cast<uint8_t>(raw >> 56), static_cast<uint32_t>(raw >> 32) & 0xFFFFFF, static_cast<uint32_t>(raw)};
  }
};
inline constexpr uint32_t kTokenIndexMax = 0xFFFFFF;

inline constexpr uint16_t kNoBuffer = 0xFFFF;

// What became of an operation, translated once from errno.
enum class Code : uint8_t {
  ok,
  ended,  // end of the stream (a receive of 0 bytes)
  cancelled,
  reset,             // ECONNRESET, EPIPE, ENOTCONN, ECONNABORTED
  refused,           // ECONNREFUSED
  unreachable,       // EHOSTUNREACH, ENETUNREACH, EADDRNOTAVAIL, ENETDOWN, ENOENT (a Unix socket that is not there)
  timed_out,         // ETIMEDOUT
  descriptors_full,  // EMFILE, ENFILE, ENOMEM
  no_buffers,        // a receive found the provided buffers empty: start it again, it waits until a quarter is back
  other,             // `error` has the errno
};
std::string_view text(Code code);
Code code_of(int error);  // of an errno

struct Completion {
  Token token;
  Code code = Code::ok;
  bool more = false;            // the operation goes on (accept, receive)
  int32_t result = 0;           // ok: bytes, or the accepted descriptor
  int32_t error = 0;            // not ok: errno
  uint16_t buffer = kNoBuffer;  // a provided buffer that now belongs to the caller: release_buffer() it
};

struct EngineOptions {
  uint32_t entries = 1024;  // submission queue
  uint32_t completion_entries = 8192;
  uint32_t buffers = 512;  // provided receive buffers, a power of two
  uint32_t buffer_size = 4096;
  // The ring takes only the operations that this engine has, and may not be given more (files, buffers, credentials of
  // others): a seccomp filter does not see what goes through a ring.
  bool restricted = false;
  uint32_t wait_us = 0;  // least time that a turn gathers completions where the kernel can (6.12); 0: none
  // How long a turn looks for completions before it sleeps; 0: sleeps at once. Nobody then pays for waking this thread,
  // and it pays with its core's time. Others on the core still run. Not together with `wait_us`.
  uint64_t busy_poll_ns = 0;
  // What the ring uses where the kernel has it. Off, all works the same at a higher cost: for a kernel whose feature is
  // broken, and to see what each is worth.
  bool multishot_receive = true;  // else each receive ends with its first bytes, without `more`
  bool multishot_accept = true;
  bool deferred_work = true;     // completions are worked off when they are asked for (DEFER_TASKRUN), by one thread
  bool cooperative_work = true;  // without that: at least not by interrupting the thread (COOP_TASKRUN)
  bool registered_ring = true;
};

// What this kernel offers, for --version and the start message.
struct KernelFeatures {
  std::string kernel;  // "6.18.44"
  bool ring = false;   // io_uring can be used at all
  bool single_issuer = false, defer_taskrun = false, multishot_receive = false, registered_ring = false,
       min_wait = false, restrictions = false;
  std::string denied;  // why not, and how to allow it
};
KernelFeatures probe_kernel();

inline constexpr size_t kSlicesMax = 32;  // of one send

// Who counts the references on the memory that loans are made of.
class Lender {
 public:
  virtual void give_back(uint32_t block, const char* memory) = 0;
  virtual bool is_held(uint32_t block) const = 0;  // by anybody

 protected:
  ~Lender() = default;
};

// A reference on a block, and the part of it that an operation writes to. The kernel writes when it likes until the
// operation's last completion, whatever has become of the request by then: so the operation's owner keeps the loan that
// long, and the block is nobody else's before. Only the lender makes one.
class Loan {
 public:
  Loan() = default;
  // Takes one reference of the caller's. `memory` lies in the block and must not move while the loan is out.
  Loan(Lender& lender, uint32_t block, std::span<char> memory) : lender_(&lender), block_(block), memory_(memory) {}
  Loan(Loan&& other) noexcept
      : lender_(std::exchange(other.lender_, nullptr)), block_(other.block_), memory_(other.memory_) {}
  Loan& operator=(Loan&& other) noexcept {
    Loan old(std::move(*this));
    lender_ = std::exchange(other.lender_, nullptr);
    block_ = other.block_;
    memory_ = other.memory_;
    return *this;
  }
  ~Loan() {
    if (lender_ != nullptr) lender_->give_back(block_, memory_.data());
  }

  bool is_out() const { return lender_ != nullptr; }
  const Lender* lender() const { return lender_; }
  uint32_t block() const { return block_; }
  std::span<char> memory() const { return memory_; }

 private:
  Lender* lender_ = nullptr;
  uint32_t block_ = 0;
  std::span<char> memory_;
};

class Engine {
 public:
  static Result<std::unique_ptr<Engine>> create(const EngineOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // --- operations ---
  // Into provided buffers where it receives; a completion for each connection or piece, until one without `more`.
  void accept(int listener, Token token);
  void receive(int socket, Token token);
  void receive_once(int socket, Token token);  // one piece, and no more
  // All of the loan's memory, unless the stream ends, the socket is shut down or the operation is cancelled before; the
  // result says how much came. The caller keeps the loan until the completion.
  void receive_into(int socket, const Loan& loan, Token token);
  // All of the slices, unless the socket fails. Borrows the bytes, not the array: their owner keeps a reference on each
  // until the completion. At most kSlicesMax.
  void send(int socket, std::span<const iovec> slices, Token token);
  void connect(int socket, const Address& address, Token token);
  void read_event(int event_descriptor, uint64_t* value, Token token);  // an eventfd
  // Ends the operation with this token (its last completion follows, `cancelled` unless it was done already). Also a
  // parked receive.
  void cancel(Token token);
  // Ends both directions; the pending operations of the socket complete. No completion of its own.
  void shutdown(int socket);
  void shutdown_send(int socket);     // FIN only
  void shutdown_receive(int socket);  // a pending receive ends as if the peer had; nothing is sent
  void close(int descriptor);         // no completion of its own

  // Submits what was started, waits until something completed or `timeout_ns` is over (0: does not wait), and fills
  // `out`. Reads the clock once.
  size_t wait(std::span<Completion> out, uint64_t timeout_ns);
  // As of the last wait(), CLOCK_MONOTONIC.
  uint64_t now_ns() const;
  // CLOCK_MONOTONIC, read now: some 20 ns, without a system call.
  uint64_t read_clock_ns() const;
  // CLOCK_REALTIME, read now; µs since the epoch.
  int64_t unix_us();

  // --- provided buffers ---
  char* buffer_data(uint16_t buffer);
  uint32_t buffer_size() const;
  void release_buffer(uint16_t buffer);
  uint32_t buffers_free() const;  // with the kernel; approximate only in that completions not yet reaped count as free
  uint32_t buffers_total() const;

  // Counters since the start, for tests and metrics.
  struct Counters {
    uint64_t enters = 0;  // system calls of wait()
    uint64_t submitted = 0;
    uint64_t completed = 0;
    uint64_t receives_starved = 0;
  };
  const Counters& counters() const;

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::io
