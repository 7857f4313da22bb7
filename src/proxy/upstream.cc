#include "proxy/upstream.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "proxy/connecting.h"
#include "proxy/origin.h"
#include "proxy/worker.h"

namespace weir::proxy {

namespace {

// A kept connection that ends within so many round trips of the request's last byte was being ended before that byte
// came to the provider. Between these bounds: a round trip on one machine is shorter than the work of ending.
constexpr uint64_t kEndRoundTrips = 3;
constexpr uint64_t kEndMinNs = 100 * kNsPerMs;
constexpr uint64_t kEndMaxNs = kNsPerSecond;
// A tenth less to a tenth more.
constexpr uint32_t kAgeMinPermille = 900;
constexpr uint32_t kAgeSpreadPermille = 200;

// Anything that differs from connection to connection.
uint32_t spread(uint64_t value, uint32_t limit) {
  return static_cast<uint32_t>((value * 0x9E3779B97F4A7C15ull >> 32) % (limit + 1));
}

}  // namespace

Result<> Upstream::begin(Worker& worker, Origin& origin, Connecting& connecting, const io::Address& address) {
  worker_ = &worker;
  origin_ = &origin;
  connecting_ = nullptr;
  user_ = nullptr;
  reused_ = false;
  unsent_ = false;
  address_ = address;
  opened_ns_ = worker.now_ns();
  age_permille_ = kAgeMinPermille + spread(opened_ns_ + slot_index, kAgeSpreadPermille);
  timer_.owner = TimerOwner::upstream;
  timer_.object = this;
  state_ = State::connecting;
  client_ = origin.spec().tls ? origin.client() : nullptr;
  if (origin.spec().tls && client_ == nullptr) {
    close();
    return fail("TLS is not set up for this origin");
  }
  const auto descriptor = io::open_stream(address.family());
  if (!descriptor) {
    close();
    return std::unexpected(descriptor.error());
  }
  connecting_ = &connecting;
  std::unique_ptr<tls::Machine> machine;
  if (client_ != nullptr) machine = tls::Machine::client(*client_);
  stream_.open(worker_->streams(), *descriptor,
               {.op = worker_->kUpstreamOps, .index = slot_index, .generation = slot_generation}, std::move(machine));
  stream_.connect(address);
  set_deadline(worker_->now_ns() + worker_->timeouts().connect);
  return {};
}

void Upstream::set_deadline(uint64_t deadline_ns) {
  worker_->wheel().set(timer_, deadline_ns);
}

void Upstream::on_completion(const io::Completion& completion) {
  const auto op = static_cast<StreamOp>(completion.token.op - worker_->kUpstreamOps);
  switch (op) {
    case StreamOp::receive:
      on_receive(completion);
      break;
    case StreamOp::send:
      // A provider may refuse early and close: what it had to say still comes by the receive, or its end does.
      stream_.on_send(completion, worker_->now_ns());
      break;
    case StreamOp::sized_receive:
      stream_.on_done(op, completion);
      break;
    case StreamOp::connect:
      stream_.on_done(op, completion);
      if (!stream_.terminating()) on_connected(completion.code);
      break;
  }
  if (stream_.terminating()) worker_->reap(*this);
}

void Upstream::on_connected(io::Code code) {
  if (code != io::Code::ok) {
    give_up(UpstreamFault::connect, io::text(code));
    return;
  }
  stream_.resume_receive();
  if (stream_.tls() == nullptr) {
    become_ready();
    return;
  }
  state_ = State::handshaking;
  set_deadline(worker_->now_ns() + worker_->timeouts().handshake);
  connecting_->on_connected();
  if (!stream_.start_handshake()) give_up(UpstreamFault::tls, stream_.tls()->error());
}

void Upstream::on_receive(const io::Completion& completion) {
  const Stream::Received received = stream_.on_receive(completion);
  switch (state_) {
    case State::closed:
    case State::closing:
    case State::connecting:
      worker_->buffers().release(received.piece.buffer);
      return;
    case State::handshaking:
      worker_->buffers().release(received.piece.buffer);  // nobody speaks before the request
      if (received.event == Stream::Event::failed || received.event == Stream::Event::ended) {
        const std::string& error = stream_.tls()->error();
        give_up(UpstreamFault::tls,
                error.empty() ? std::string_view("the connection ended during the TLS handshake") : error);
      } else if (stream_.tls()->handshake_done()) {
        become_ready();
      }
      return;
    case State::idle:
      // An idle connection that closes, or says something nobody asked for, is of no use any more.
      worker_->buffers().release(received.piece.buffer);
      if (received.event == Stream::Event::data) worker_->count().upstreams_closed_unasked.add();
      if (received.event != Stream::Event::nothing) abandon();
      return;
    case State::busy:
      break;
  }
  if (unsent_ && received.event == Stream::Event::data) {
    worker_->buffers().release(received.piece.buffer);
    worker_->count().upstreams_closed_unasked.add();
    std::exchange(user_, nullptr)->on_upstream_ended(/*orderly=*/false, "bytes came that nobody had asked for");
    close();
    return;
  }
  switch (received.event) {
    case Stream::Event::nothing:
      return;
    case Stream::Event::data:
      user_->on_upstream_data(received.piece);
      return;
    case Stream::Event::ended:
    case Stream::Event::failed: {
      UpstreamUser* user = std::exchange(user_, nullptr);
      const bool tls_failed = stream_.tls() != nullptr && !stream_.tls()->error().empty();
      const std::string_view why = tls_failed ? std::string_view(stream_.tls()->error()) : io::text(received.code);
      const bool orderly = received.event == Stream::Event::ended && received.code == io::Code::ended;
      user->on_upstream_ended(orderly, why);
      close();
      return;
    }
  }
}

void Upstream::become_ready() {
  TimerWheel::clear(timer_);
  worker_->count().upstreams_opened.add();
  std::exchange(connecting_, nullptr)->on_ready(*this);
}

void Upstream::hand_over(UpstreamUser& user) {
  state_ = State::busy;
  user_ = &user;
  user.on_upstream_ready(*this);
}

// The attempt has failed.
void Upstream::give_up(UpstreamFault fault, std::string_view why) {
  if (fault == UpstreamFault::tls) worker_->count().tls_upstream_failed.add();
  std::exchange(connecting_, nullptr)->on_failed(*this, fault, why);
  close();
}

void Upstream::on_timer() {
  switch (state_) {
    case State::closed:
    case State::closing:
      return;
    case State::connecting:
      worker_->count().timeouts_connect.add();
      give_up(UpstreamFault::timeout, "timed out");
      return;
    case State::handshaking:
      worker_->count().timeouts_upstream_handshake.add();
      give_up(UpstreamFault::timeout, "the TLS handshake took too long");
      return;
    case State::idle:
      if (worker_->now_ns() >= old_at_ns()) worker_->count().upstreams_closed_age.add();
      abandon();
      return;
    case State::busy: {
      UpstreamUser* user = std::exchange(user_, nullptr);
      user->on_upstream_timeout();
      close();
      return;
    }
  }
}

void Upstream::send_request() {
  if (reused_) {
    unsent_ = true;
    worker_->flush_later(*this);
  } else {
    stream_.flush();
  }
}

std::string_view Upstream::why_repeatable() const {
  if (!reused_) return {};
  if (unsent_) return "the kept connection was gone before the request was sent";
  if (!stream_.all_sent()) return "the kept connection ended before all of the request was sent";
  const uint64_t window_ns = std::clamp(kEndRoundTrips * stream_.round_trip_ns(), kEndMinNs, kEndMaxNs);
  if (worker_->now_ns() - stream_.last_sent_ns() > window_ns) return {};
  return "the kept connection ended just as the request was sent";
}

void Upstream::flush() {
  if (std::exchange(unsent_, false) && state_ == State::busy) stream_.flush();
}

void Upstream::release() {
  ASSERT(state_ == State::busy);
  user_ = nullptr;
  if (!stream_.all_sent() || stream_.send_failed() || worker_->draining()) {
    close();
    return;
  }
  if (worker_->now_ns() >= old_at_ns()) {
    worker_->count().upstreams_closed_age.add();
    close();
    return;
  }
  state_ = State::idle;
  stream_.resume_receive();
  origin_->put_idle(*this);
  set_deadline(std::min(worker_->now_ns() + worker_->timeouts().upstream_idle, old_at_ns()));
}

uint64_t Upstream::old_at_ns() const {
  return opened_ns_ + worker_->timeouts().upstream_age / 1000 * age_permille_;
}

void Upstream::abandon() {
  user_ = nullptr;
  connecting_ = nullptr;
  close();
}

void Upstream::reuse(UpstreamUser& user) {
  ASSERT(state_ == State::idle);
  origin_->take_idle(*this);
  state_ = State::busy;
  user_ = &user;
  reused_ = true;
  worker_->count().upstreams_reused.add();
  TimerWheel::clear(timer_);
}

void Upstream::close() {
  if (state_ == State::closing || state_ == State::closed) return;
  unsent_ = false;
  if (state_ == State::idle) origin_->take_idle(*this);
  state_ = State::closing;
  TimerWheel::clear(timer_);
  stream_.terminate();
  worker_->reap(*this);
}

bool Upstream::try_close() {
  if (stream_.is_open() && !stream_.try_close()) return false;
  worker_->wheel().remove(timer_);
  client_ = nullptr;
  state_ = State::closed;
  return true;
}

}  // namespace weir::proxy
