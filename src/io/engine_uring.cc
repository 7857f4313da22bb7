// The engine on io_uring. Flags and their measured worth: ../shared figures quoted in src/ARCHITECTURE.md, "The ring".
#include <liburing.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "base/clock.h"
#include "io/engine.h"

namespace weir::io {

namespace {

constexpr uint8_t kOwnOp = 255;  // operations whose completions nobody waits for
constexpr uint16_t kBufferGroup = 0;
constexpr unsigned kBatchMax = 256;      // completions that end a least wait before its time
constexpr uint64_t kBuffersMin = 128;    // with the kernel, if there are so many
constexpr uint64_t kBuffersPerUsed = 4;  // with the kernel, for each that a turn used
constexpr uint64_t kPeakUnit = 1u << 20;
constexpr uint64_t kPeakTurns = 1u << 14;  // in which a peak falls to a third: a second or so, for bursts come again

// Constants newer than liburing 2.3; their values are the kernel's ABI (linux/io_uring.h).
constexpr unsigned kFeatMinTimeout = 1U << 15;  // 6.12

std::string setup_advice(int error) {
  switch (error) {
    case EPERM:
      return "io_uring is denied: check `sysctl kernel.io_uring_disabled` (0 allows it); in a container its seccomp "
             "profile must allow "
             "io_uring_setup, io_uring_enter and io_uring_register";
    case ENOSYS:
      return "this kernel has no io_uring, or seccomp hides it; Linux 6.1 or newer is needed";
    case ENOMEM:
      return "locked memory is exhausted: raise `ulimit -l` (LimitMEMLOCK= under systemd), or lower --ring-entries and "
             "--buffers";
    default:
      return std::strerror(error);
  }
}

// What a ring may be asked for. Whoever adds an operation to the engine adds it here, and finds out by EACCES.
constexpr uint8_t kOperations[] = {IORING_OP_ACCEPT,  IORING_OP_RECV, IORING_OP_SEND,         IORING_OP_SENDMSG,
                                   IORING_OP_CONNECT, IORING_OP_READ, IORING_OP_ASYNC_CANCEL, IORING_OP_CLOSE};
constexpr uint8_t kRegistrations[] = {IORING_REGISTER_ENABLE_RINGS, IORING_UNREGISTER_PBUF_RING,
                                      IORING_UNREGISTER_RING_FDS};
constexpr uint8_t kFlags = IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS;

// liburing 2.3 declares functions for these two and does not export them. 0 or -errno.
int do_register(const io_uring& ring, unsigned what, const void* argument, unsigned count) {
  const long done = ::syscall(SYS_io_uring_register, ring.ring_fd, what, argument, count);
  return done < 0 ? -errno : 0;
}

// 0 or -errno.
int set_up_ring(const EngineOptions& options, bool deferred, io_uring& ring, io_uring_params& params) {
  params = {};
  params.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL;
  if (deferred) {
    // Completions are worked off when we ask for them and never interrupt us (6.8 µs a request instead of 10.9).
    params.flags |= IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  } else if (options.cooperative_work) {
    params.flags |= IORING_SETUP_COOP_TASKRUN;
  }
  // Tells in memory that there is work to be asked for.
  const bool asks = deferred || options.cooperative_work;
  if (asks && options.busy_poll_ns > 0) params.flags |= IORING_SETUP_TASKRUN_FLAG;
  // Restrictions can only be set before the ring works. The thread that then enables it becomes the one that may
  // submit.
  if (options.restricted) params.flags |= IORING_SETUP_R_DISABLED;
  params.cq_entries = options.completion_entries;
  return io_uring_queue_init_params(options.entries, &ring, &params);
}

// 0 or -errno. REQUIRES: the ring was made with IORING_SETUP_R_DISABLED.
int restrict_operations(io_uring& ring) {
  std::array<io_uring_restriction, std::size(kOperations) + std::size(kRegistrations) + 1> rules{};
  size_t count = 0;
  for (const uint8_t operation : kOperations) {
    rules[count].opcode = IORING_RESTRICTION_SQE_OP;
    rules[count++].sqe_op = operation;
  }
  for (const uint8_t registration : kRegistrations) {
    rules[count].opcode = IORING_RESTRICTION_REGISTER_OP;
    rules[count++].register_op = registration;
  }
  rules[count].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
  rules[count++].sqe_flags = kFlags;
  return do_register(ring, IORING_REGISTER_RESTRICTIONS, rules.data(), static_cast<unsigned>(count));
}

__kernel_timespec timespec_of(uint64_t ns) {
  return {.tv_sec = static_cast<int64_t>(ns / kNsPerSecond), .tv_nsec = static_cast<long long>(ns % kNsPerSecond)};
}

struct Parked {
  int socket;
  Token token;
  bool once;
};

}  // namespace

struct Engine::Impl {
  io_uring ring{};
  bool ring_ready = false;
  bool ring_registered = false;
  bool gathers = false;  // options.wait_us, where the kernel can
  EngineOptions options;
  io_uring_buf_ring* buffer_ring = nullptr;
  size_t buffer_ring_size = 0;
  char* buffers = nullptr;
  size_t buffers_size = 0;
  uint32_t buffers_free = 0;
  // The kernel takes buffers in the order in which it got them: with all of them it would go round through more memory
  // than a core's cache holds. So it gets a few times what one turn has lately used, and of the others the last used.
  std::vector<uint16_t> spare;  // free and not with the kernel
  uint32_t buffers_with_kernel = 0;
  uint32_t used_in_turn = 0;
  uint64_t used_peak = 0;  // of a turn, times kPeakUnit; falls slowly
  bool starved = false;    // a receive found no buffer, and a quarter of them is not back yet
  std::vector<Parked> parked;
  std::vector<Completion> synthetic;  // of cancelled parked receives
  uint64_t now = 0;
  Counters counters;
  // The kernel has consumed a message header and its slices when the submission returns (IORING_FEAT_SUBMIT_STABLE), so
  // one array serves all sends of a turn.
  struct Message {
    msghdr header{};
    std::array<iovec, kSlicesMax> slices{};
  };
  std::vector<Message> messages;
  size_t messages_used = 0;
  std::vector<Address> addresses;  // of connects, likewise
  size_t addresses_used = 0;

  ~Impl() {
    if (buffer_ring != nullptr) {
      if (ring_ready) io_uring_unregister_buf_ring(&ring, kBufferGroup);
      ::munmap(buffer_ring, buffer_ring_size);
    }
    if (ring_ready) io_uring_queue_exit(&ring);
    if (buffers != nullptr) ::munmap(buffers, buffers_size);
  }

  // Waits until `kBatchMax` completions are there or `wait_us` is over, then on for the first one until the timeout.
  // liburing 2.3 does not know the least wait, so the submission is a system call of its own.
  int submit_and_gather(__kernel_timespec& timeout) {
    submit();
    // struct io_uring_getevents_arg as of Linux 6.12: `pad` is the least wait, in microseconds.
    io_uring_getevents_arg argument{};
    argument.pad = options.wait_us;
    argument.ts = reinterpret_cast<uint64_t>(&timeout);
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    if (ring_registered) flags |= IORING_ENTER_REGISTERED_RING;
    const int result = io_uring_enter2(static_cast<unsigned>(ring_registered ? ring.enter_ring_fd : ring.ring_fd), 0,
                                       kBatchMax, flags, reinterpret_cast<sigset_t*>(&argument), sizeof argument);
    return result < 0 ? result : 0;
  }

  // Looks for completions without sleeping, for `busy_poll_ns` or the timeout, and sleeps for the rest of it.
  int submit_and_poll(uint64_t timeout_ns) {
    const int submitted = io_uring_submit_and_get_events(&ring);
    const uint64_t begun = monotonic_ns();
    uint64_t passed = 0;
    while (io_uring_cq_ready(&ring) == 0 && passed < timeout_ns) {
      if (passed >= options.busy_poll_ns) {
        __kernel_timespec rest = timespec_of(timeout_ns - passed);
        io_uring_cqe* first = nullptr;
        const int waited = io_uring_wait_cqes(&ring, &first, 1, &rest, nullptr);
        return waited < 0 && submitted <= 0 ? waited : submitted;
      }
      // Whoever shares the core may be the one who is waited for.
      ::sched_yield();
      if ((IO_URING_READ_ONCE(*ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0) {
        io_uring_get_events(&ring);
        counters.enters++;
      }
      passed = monotonic_ns() - begun;
    }
    return submitted;
  }

  void submit() {
    for (;;) {
      const int submitted = io_uring_submit(&ring);
      counters.enters++;
      if (submitted >= 0) {
        counters.submitted += static_cast<uint64_t>(submitted);
        break;
      }
      // The completion queue is full: what is there must be reaped first, which the kernel does into its own overflow
      // list when asked to get events.
      if (submitted == -EBUSY || submitted == -EAGAIN) {
        io_uring_get_events(&ring);
        continue;
      }
      ASSERT(submitted == -EINTR);
    }
    forget_submitted();
  }

  // What the kernel has consumed may be used again; after a partial submission nothing is known to be.
  void forget_submitted() {
    if (io_uring_sq_ready(&ring) != 0) return;
    messages_used = 0;
    addresses_used = 0;
  }

  io_uring_sqe* operation(Token token) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    while (sqe == nullptr) [[unlikely]] {
      submit();
      sqe = io_uring_get_sqe(&ring);
    }
    sqe->user_data = token.pack();
    return sqe;
  }
  io_uring_sqe* own_operation() { return operation({.op = kOwnOp}); }

  Message& message() {
    while (messages_used == messages.size()) submit();
    return messages[messages_used++];
  }
  Address& address() {
    while (addresses_used == addresses.size()) submit();
    return addresses[addresses_used++];
  }

  void start_receive(int socket, Token token, bool once) {
    // A multishot receive on an empty buffer ring ends at once, even with nothing to read: starting it now would spin.
    if (starved) {
      parked.push_back({socket, token, once});
      return;
    }
    io_uring_sqe* sqe = operation(token);
    if (options.multishot_receive && !once) {
      io_uring_prep_recv_multishot(sqe, socket, nullptr, 0, 0);
    } else {
      io_uring_prep_recv(sqe, socket, nullptr, options.buffer_size, 0);
    }
    sqe->user_data = token.pack();
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = kBufferGroup;
  }

  void unpark() {
    if (!starved || buffers_free < options.buffers / 4) return;
    starved = false;
    publish_buffers();
    for (const Parked& receive : parked) start_receive(receive.socket, receive.token, receive.once);
    parked.clear();
  }

  void publish_buffers() {
    used_peak = std::max(std::exchange(used_in_turn, 0) * kPeakUnit, used_peak - used_peak / kPeakTurns);
    const uint64_t wanted = std::max(kBuffersMin, kBuffersPerUsed * used_peak / kPeakUnit);
    uint32_t added = 0;
    for (; buffers_with_kernel < wanted && !spare.empty(); buffers_with_kernel++) {
      const uint16_t buffer = spare.back();
      spare.pop_back();
      io_uring_buf_ring_add(buffer_ring, buffers + static_cast<size_t>(buffer) * options.buffer_size,
                            options.buffer_size, buffer, io_uring_buf_ring_mask(options.buffers),
                            static_cast<int>(added++));
    }
    if (added > 0) io_uring_buf_ring_advance(buffer_ring, static_cast<int>(added));
  }

  Result<> set_up_buffers();
  bool take(const io_uring_cqe& cqe, Completion& out);
};

Result<> Engine::Impl::set_up_buffers() {
  buffers_size = static_cast<size_t>(options.buffers) * options.buffer_size;
  void* memory = ::mmap(nullptr, buffers_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return fail("cannot map {} bytes of receive buffers: {}", buffers_size, std::strerror(errno));
  buffers = static_cast<char*>(memory);
  // Receive buffers hold tokens and prompts in passing: not in a core dump.
  ::madvise(buffers, buffers_size, MADV_DONTDUMP);

  buffer_ring_size = options.buffers * sizeof(io_uring_buf);
  memory = ::mmap(nullptr, buffer_ring_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail("cannot map the buffer ring: {}", std::strerror(errno));
  buffer_ring = static_cast<io_uring_buf_ring*>(memory);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(buffer_ring);
  registration.ring_entries = options.buffers;
  registration.bgid = kBufferGroup;
  if (const int error = io_uring_register_buf_ring(&ring, &registration, 0); error != 0) {
    return fail("cannot register the receive buffers: {}; Linux 6.1 or newer is needed", std::strerror(-error));
  }
  io_uring_buf_ring_init(buffer_ring);
  spare.reserve(options.buffers);
  for (uint32_t i = options.buffers; i > 0; i--) spare.push_back(static_cast<uint16_t>(i - 1));
  buffers_free = options.buffers;
  publish_buffers();
  return {};
}

// False: a completion that its owner must not see.
bool Engine::Impl::take(const io_uring_cqe& cqe, Completion& out) {
  out = Completion{};
  out.token = Token::unpack(cqe.user_data);
  out.more = (cqe.flags & IORING_CQE_F_MORE) != 0;
  if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) {
    out.buffer = static_cast<uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
    ASSERT(buffers_free > 0 && buffers_with_kernel > 0);
    buffers_free--;
    buffers_with_kernel--;
    used_in_turn++;
  }
  if (out.token.op == kOwnOp) return false;
  if (cqe.res < 0) {
    out.error = -cqe.res;
    out.code = code_of(out.error);
    if (out.code == Code::no_buffers) {
      starved = true;
      if (spare.empty()) {
        counters.receives_starved++;
      } else {
        used_in_turn = options.buffers;  // more at once than expected: from the next turn on the kernel has all
      }
    }
  } else {
    out.result = cqe.res;
  }
  return true;
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::create(const EngineOptions& options) {
  ASSERT((options.buffers & (options.buffers - 1)) == 0 && options.buffers <= 32768);
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  io_uring_params params{};
  int error = set_up_ring(options, options.deferred_work, impl->ring, params);
  if (error == -EINVAL && options.deferred_work) error = set_up_ring(options, false, impl->ring, params);  // before 6.1
  if (error != 0) return fail("cannot set up io_uring: {}", setup_advice(-error));
  impl->ring_ready = true;
  impl->gathers = options.wait_us > 0 && (params.features & kFeatMinTimeout) != 0;
  // 2 % less for each enter; without it everything works the same.
  impl->ring_registered = options.registered_ring && io_uring_register_ring_fd(&impl->ring) == 1;
  if (auto set_up = impl->set_up_buffers(); !set_up) return std::unexpected(set_up.error());
  if (options.restricted) {
    error = restrict_operations(impl->ring);
    if (error == 0) error = do_register(impl->ring, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
    if (error != 0) return fail("cannot restrict io_uring's operations: {}; see --sandbox", std::strerror(-error));
  }
  impl->messages.resize(256);
  impl->addresses.resize(64);
  impl->now = monotonic_ns();
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

void Engine::accept(int listener, Token token) {
  io_uring_sqe* sqe = impl_->operation(token);
  if (impl_->options.multishot_accept) {
    io_uring_prep_multishot_accept(sqe, listener, nullptr, nullptr, SOCK_CLOEXEC);
  } else {
    io_uring_prep_accept(sqe, listener, nullptr, nullptr, SOCK_CLOEXEC);
  }
  sqe->user_data = token.pack();
}

void Engine::receive(int socket, Token token) {
  impl_->start_receive(socket, token, false);
}
void Engine::receive_once(int socket, Token token) {
  impl_->start_receive(socket, token, true);
}

void Engine::receive_into(int socket, const Loan& loan, Token token) {
  ASSERT(loan.is_out());
  io_uring_sqe* sqe = impl_->operation(token);
  io_uring_prep_recv(sqe, socket, loan.memory().data(), loan.memory().size(), MSG_WAITALL);
  sqe->user_data = token.pack();
}

void Engine::send(int socket, std::span<const iovec> slices, Token token) {
  ASSERT(!slices.empty() && slices.size() <= kSlicesMax);
  // WAITALL: the kernel goes on by itself when the socket's buffer has room again; without it sends come back short.
  constexpr unsigned kSendFlags = MSG_WAITALL | MSG_NOSIGNAL;
  if (slices.size() == 1) {
    io_uring_sqe* sqe = impl_->operation(token);
    io_uring_prep_send(sqe, socket, slices[0].iov_base, slices[0].iov_len, kSendFlags);
    sqe->user_data = token.pack();
    return;
  }
  // Room first: operation() must not submit between here and there, which would give the message away before it is
  // used.
  if (io_uring_sq_space_left(&impl_->ring) == 0) impl_->submit();
  Impl::Message& message = impl_->message();
  std::copy(slices.begin(), slices.end(), message.slices.begin());
  message.header.msg_iov = message.slices.data();
  message.header.msg_iovlen = slices.size();
  io_uring_sqe* sqe = impl_->operation(token);
  io_uring_prep_sendmsg(sqe, socket, &message.header, kSendFlags);
  sqe->user_data = token.pack();
}

void Engine::connect(int socket, const Address& address, Token token) {
  if (io_uring_sq_space_left(&impl_->ring) == 0) impl_->submit();
  Address& stable = impl_->address();
  stable = address;
  io_uring_sqe* sqe = impl_->operation(token);
  io_uring_prep_connect(sqe, socket, reinterpret_cast<const sockaddr*>(&stable.storage), stable.size);
  sqe->user_data = token.pack();
}

void Engine::read_event(int event_descriptor, uint64_t* value, Token token) {
  io_uring_sqe* sqe = impl_->operation(token);
  io_uring_prep_read(sqe, event_descriptor, value, sizeof *value, 0);
  sqe->user_data = token.pack();
}

void Engine::cancel(Token token) {
  auto& parked = impl_->parked;
  const auto found =
      std::find_if(parked.begin(), parked.end(), [&](const Parked& p) { return p.token.pack() == token.pack(); });
  if (found != parked.end()) {
    parked.erase(found);
    impl_->synthetic.push_back({.token = token, .code = Code::cancelled, .error = ECANCELED});
    return;
  }
  io_uring_sqe* sqe = impl_->own_operation();
  io_uring_prep_cancel64(sqe, token.pack(), 0);
  sqe->user_data = Token{.op = kOwnOp}.pack();
}

namespace {

// By a system call, not through the ring: there a shutdown always goes to a kernel thread, which looks the descriptor
// up only when it runs. By then the socket may be closed and the number another connection's, which would be shut
// instead. It does not block, and happens once in a connection's life.
void shut(int socket, int how) {
  ::shutdown(socket, how);  // ENOTCONN: the peer was first
}

}  // namespace

void Engine::shutdown(int socket) {
  // A parked receive has no operation that a shutdown could end.
  for (size_t i = 0; i < impl_->parked.size();) {
    if (impl_->parked[i].socket == socket) {
      cancel(impl_->parked[i].token);
    } else {
      i++;
    }
  }
  shut(socket, SHUT_RDWR);
}

void Engine::shutdown_send(int socket) {
  shut(socket, SHUT_WR);
}
void Engine::shutdown_receive(int socket) {
  shut(socket, SHUT_RD);
}

void Engine::close(int descriptor) {
  io_uring_sqe* sqe = impl_->own_operation();
  io_uring_prep_close(sqe, descriptor);
  sqe->user_data = Token{.op = kOwnOp}.pack();
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

size_t Engine::wait(std::span<Completion> out, uint64_t timeout_ns) {
  Impl& self = *impl_;
  self.unpark();
  self.publish_buffers();
  size_t count = 0;
  while (!self.synthetic.empty() && count < out.size()) {
    out[count++] = self.synthetic.back();
    self.synthetic.pop_back();
  }
  const bool may_block = count == 0 && timeout_ns > 0 && io_uring_cq_ready(&self.ring) == 0;
  __kernel_timespec timeout = timespec_of(timeout_ns);
  io_uring_cqe* first = nullptr;
  int submitted = 0;
  if (may_block && self.options.busy_poll_ns > 0) {
    submitted = self.submit_and_poll(timeout_ns);
  } else if (may_block && self.gathers) {
    submitted = self.submit_and_gather(timeout);
  } else if (may_block) {
    submitted = io_uring_submit_and_wait_timeout(&self.ring, &first, 1, &timeout, nullptr);
  } else {
    submitted = io_uring_submit_and_get_events(&self.ring);
  }
  self.counters.enters++;
  if (submitted > 0) self.counters.submitted += static_cast<uint64_t>(submitted);
  // EBUSY: the completion queue overflows; what is in it is reaped below, the rest is submitted in the next turn.
  ASSERT(submitted >= 0 || submitted == -ETIME || submitted == -EINTR || submitted == -EBUSY || submitted == -EAGAIN);
  self.forget_submitted();
  self.now = monotonic_ns();

  unsigned head = 0;
  unsigned seen = 0;
  io_uring_cqe* cqe = nullptr;
  io_uring_for_each_cqe(&self.ring, head, cqe) {
    if (count == out.size()) break;
    seen++;
    if (self.take(*cqe, out[count])) count++;
  }
  io_uring_cq_advance(&self.ring, seen);
  self.counters.completed += count;
  return count;
}

uint64_t Engine::now_ns() const {
  return impl_->now;
}
uint64_t Engine::read_clock_ns() const {
  return monotonic_ns();
}
int64_t Engine::unix_us() {
  return weir::unix_us();
}

char* Engine::buffer_data(uint16_t buffer) {
  return impl_->buffers + static_cast<size_t>(buffer) * impl_->options.buffer_size;
}
uint32_t Engine::buffer_size() const {
  return impl_->options.buffer_size;
}

void Engine::release_buffer(uint16_t buffer) {
  ASSERT(buffer < impl_->options.buffers && impl_->buffers_free < impl_->options.buffers);
  impl_->spare.push_back(buffer);
  impl_->buffers_free++;
}

uint32_t Engine::buffers_free() const {
  return impl_->buffers_free;
}
uint32_t Engine::buffers_total() const {
  return impl_->options.buffers;
}
const Engine::Counters& Engine::counters() const {
  return impl_->counters;
}

KernelFeatures probe_kernel() {
  KernelFeatures features;
  utsname name{};
  if (::uname(&name) == 0) features.kernel = name.release;
  io_uring ring{};
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  int error = io_uring_queue_init_params(8, &ring, &params);
  features.single_issuer = features.defer_taskrun = error == 0;
  if (error == -EINVAL) {
    params = {};
    error = io_uring_queue_init_params(8, &ring, &params);
  }
  if (error != 0) {
    features.denied = setup_advice(-error);
    return features;
  }
  features.ring = true;
  features.min_wait = (params.features & kFeatMinTimeout) != 0;
  features.multishot_receive =
      features.defer_taskrun;  // both came with 6.0 and 6.1; a receive is the real probe at start
  features.registered_ring = io_uring_register_ring_fd(&ring) == 1;
  io_uring_queue_exit(&ring);
  params = {};
  params.flags = IORING_SETUP_R_DISABLED;
  if (io_uring_queue_init_params(8, &ring, &params) == 0) {
    features.restrictions = restrict_operations(ring) == 0;
    io_uring_queue_exit(&ring);
  }
  return features;
}

}  // namespace weir::io
