#include "proxy/downstream.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/clock.h"
#include "gateway/refusal.h"
#include "io/address.h"
#include "proxy/exchange.h"
#include "proxy/worker.h"

namespace weir::proxy {

namespace {

// A refused request's body up to this length is read and thrown away so that the connection can go on. Behind a longer
// one, or one in chunks, which may be as long as it likes, the connection ends, and the answer says so.
constexpr uint64_t kDiscardMax = 256u << 10;
// Pipelined bytes that wait behind a running exchange; then receiving pauses.
constexpr size_t kStashMax = 64u << 10;
// Lingering (RFC 9112 section 9.6): how long without a byte, and how long at all.
constexpr uint64_t kLingerGapNs = 2 * kNsPerSecond;
constexpr uint64_t kLingerMaxNs = 30 * kNsPerSecond;
// Before a reset: how often it is asked whether the client has acknowledged everything.
constexpr uint64_t kResetCheckNs = 20 * kNsPerMs;

// How often a client that takes its answer slowly is looked at.
uint64_t send_interval_ns(uint64_t send_timeout_ns) {
  return std::min(kNsPerSecond, send_timeout_ns / 4);
}

gateway::Refusal refusal_of(wire::HeadFault fault) {
  switch (fault) {
    case wire::HeadFault::head_too_large:
    case wire::HeadFault::too_many_headers:
      return gateway::Refusal::head_too_large;
    case wire::HeadFault::unsupported_version:
      return gateway::Refusal::version_not_supported;
    default:
      return gateway::Refusal::malformed_http;
  }
}

}  // namespace

void Downstream::begin(Worker& worker, const WorkerListener& listener, int descriptor, const AddressEntry& address) {
  worker_ = &worker;
  listener_ = &listener;
  exchange_ = nullptr;
  head_seen_ = 0;
  discard_remaining_ = 0;
  client_ended_ = false;
  request_count_ = 0;
  idle_since_ns_ = worker.now_ns();
  close_after_ = false;
  cut_ = false;
  awaiting_receive_idle_ = false;
  client_address_.clear();
  address_ = address;
  timer_.owner = TimerOwner::downstream;
  timer_.object = this;
  send_timer_.owner = TimerOwner::downstream_send;
  send_timer_.object = this;
  watch_ = {};
  std::unique_ptr<tls::Machine> machine;
  if (listener.tls) {
    const size_t index = static_cast<size_t>(&listener - worker.listeners().data());
    machine = tls::Machine::server(*worker.snapshot().listener_tls[index]);
  }
  stream_.open(worker.streams(), descriptor,
               {.op = Worker::kDownstreamOps, .index = slot_index, .generation = slot_generation}, std::move(machine));
  state_ = listener.tls ? State::handshaking : State::idle;
  set_deadline(worker.now_ns() + (listener.tls ? worker.timeouts().handshake : worker.timeouts().head));
  stream_.resume_receive();
}

void Downstream::set_deadline(uint64_t deadline_ns) {
  worker_->wheel().set(timer_, deadline_ns);
}
void Downstream::clear_deadline() {
  TimerWheel::clear(timer_);
}

void Downstream::on_completion(const io::Completion& completion) {
  const auto op = static_cast<StreamOp>(completion.token.op - Worker::kDownstreamOps);
  switch (op) {
    case StreamOp::receive:
      on_receive(completion);
      if (awaiting_receive_idle_ && stream_.receive_idle() && state_ == State::exchange) {
        awaiting_receive_idle_ = false;
        exchange_->on_receive_idle();
      }
      break;
    case StreamOp::send:
      if (!stream_.on_send(completion, worker_->now_ns())) {
        client_gone(completion.code);
      } else if (!stream_.terminating()) {
        on_sent();
      }
      break;
    case StreamOp::sized_receive:
      on_sized_receive(completion);
      break;
    case StreamOp::connect:
      break;
  }
  if (stream_.terminating()) worker_->reap(*this);
}

void Downstream::on_receive(const io::Completion& completion) {
  const Stream::Received received = stream_.on_receive(completion);
  switch (received.event) {
    case Stream::Event::nothing:
      break;
    case Stream::Event::data:
      if (state_ == State::handshaking) state_ = State::idle;
      take(received.piece.bytes);
      worker_->buffers().release(received.piece.buffer);
      break;
    case Stream::Event::ended:
      if (state_ == State::handshaking) worker_->count().tls_handshakes_failed.add();
      client_gone(io::Code::ended);
      return;
    case Stream::Event::failed:
      count_tls_failure();
      if (stream_.tls() != nullptr && stream_.tls()->failed()) {
        tls_failed(received.code);
      } else {
        client_gone(received.code);
      }
      return;
  }
  if (state_ == State::handshaking && stream_.ready()) {
    state_ = State::idle;
    set_deadline(worker_->now_ns() + worker_->timeouts().head);
  }
}

// The client hears why: by the alert that is on its way, or in its own words if it speaks HTTP without TLS.
void Downstream::tls_failed(io::Code code) {
  if (state_ == State::lingering || stream_.terminating()) return;
  if (stream_.tls()->met_plain_http()) {
    stream_.continue_in_plain();
    refuse(gateway::Refusal::plain_http, {});
    return;
  }
  log_tls_failure();
  if (stream_.all_sent()) {  // no alert
    client_gone(code);
    return;
  }
  if (state_ == State::exchange) std::exchange(exchange_, nullptr)->on_client_gone(code);
  linger();
}

// A connection that ends inside its handshake counts as a failed one, whoever ended it.
void Downstream::count_tls_failure() {
  if (state_ == State::handshaking) {
    worker_->count().tls_handshakes_failed.add();
  } else if (stream_.tls() != nullptr && !stream_.tls()->error().empty()) {
    worker_->count().tls_connections_failed.add();
  }
}

void Downstream::log_tls_failure() {
  if (stream_.tls() == nullptr || stream_.tls()->error().empty() || !worker_->log().enabled(LogLevel::info)) return;
  const auto held_back = worker_->throttle(Noise::client_tls).pass(worker_->now_ns());
  if (!held_back) return;
  worker_->log().info("TLS with a client failed", {{"source", listener_->name},
                                                   {"client", client_address()},
                                                   {"reason", std::string_view(stream_.tls()->error())},
                                                   {"held_back", *held_back}});
}

void Downstream::take(std::string_view input) {
  BufferPool& buffers = worker_->buffers();
  if (stash_ == kNoBufferId) {
    const size_t consumed = consume(input);
    if (stream_.terminating()) return;
    if (consumed == input.size()) {
      if (state_ == State::exchange) exchange_->on_input_consumed();
      regulate_receive();
      return;
    }
    input.remove_prefix(consumed);
    stash_ = buffers.acquire(input.size());
    stash_used_ = 0;
    buffers.block(stash_).append(input);
    regulate_receive();
  } else {
    buffers.block(stash_).append(input);
    run();
  }
}

void Downstream::drop_stash() {
  worker_->buffers().release(std::exchange(stash_, kNoBufferId));
  stash_used_ = 0;
}

// After everything that can be consumed was: whoever pipelines more than kStashMax behind a running exchange is not
// read from until that has shrunk; otherwise receiving goes on, at least to see the client leave.
void Downstream::regulate_receive() {
  if (stream_.terminating()) return;
  if (state_ == State::exchange) {
    const size_t waiting = stash_ == kNoBufferId ? 0 : worker_->buffers().block(stash_).size() - stash_used_;
    if (waiting > kStashMax) {
      stream_.pause_receive();
      return;
    }
    if (exchange_->receives_directly()) return;
  }
  if (!stream_.receive_wanted() && !client_ended_) stream_.resume_receive();
}

void Downstream::run() {
  if (stash_ == kNoBufferId || stream_.terminating()) return;
  BufferPool& buffers = worker_->buffers();
  ByteBuffer& stash = buffers.block(stash_);
  stash_used_ += consume(stash.view().substr(stash_used_));
  if (stream_.terminating() || stash_ == kNoBufferId) return;  // it was given back meanwhile
  if (stash_used_ == stash.size()) {
    drop_stash();
    if (state_ == State::exchange) exchange_->on_input_consumed();
  } else if (stash_used_ >= stash.size() / 2) {
    // Not at each request: a thousand of them in a row would each move all that follow.
    const size_t rest = stash.size() - stash_used_;
    std::memmove(stash.data(), stash.data() + stash_used_, rest);
    stash.truncate(rest);
    stash_used_ = 0;
  }
  regulate_receive();
}

size_t Downstream::consume(std::string_view input) {
  size_t total = 0;
  while (total < input.size() && !stream_.terminating()) {
    const std::string_view rest = input.substr(total);
    size_t consumed = 0;
    switch (state_) {
      case State::idle:
      case State::head:
        consumed = consume_head(rest);
        break;
      case State::exchange:
        consumed = exchange_->on_request_bytes(rest);
        break;
      case State::discarding:
        consumed = consume_discarded(rest);
        break;
      case State::lingering:
        if (!cut_) set_deadline(std::min(worker_->now_ns() + kLingerGapNs, linger_end_ns_));
        return input.size();
      case State::handshaking:
      case State::closed:
      case State::closing:
        return input.size();
    }
    if (consumed == 0) break;
    total += consumed;
  }
  return total;
}

size_t Downstream::consume_head(std::string_view input) {
  wire::RequestHead& head = worker_->request_head();
  const size_t head_size_max = worker_->limits().max_head;
  const wire::HeadResult result =
      wire::parse_request_head(input, std::min(head_seen_, input.size()), head_size_max, head);
  switch (result.status) {
    case wire::HeadStatus::need_more:
      if (state_ == State::idle) {
        state_ = State::head;
        set_deadline(worker_->now_ns() + worker_->timeouts().head);
      }
      head_seen_ = input.size();
      return 0;
    case wire::HeadStatus::invalid:
      refuse(refusal_of(result.fault), wire::describe(result.fault));
      return input.size();
    case wire::HeadStatus::complete:
      break;
  }
  head_seen_ = 0;
  request_count_++;
  exchange_ = worker_->begin_exchange(*this);
  if (exchange_ == nullptr) {
    refuse(gateway::Refusal::overloaded, "too many exchanges", head.method);
    return input.size();
  }
  state_ = State::exchange;
  clear_deadline();
  return result.size + exchange_->on_head(head, input.substr(0, result.size), input.substr(result.size));
}

// A request that is no HTTP has no exchange and no route: it is refused here, and the connection ends.
void Downstream::refuse(gateway::Refusal refusal, std::string_view detail, wire::Method method) {
  BufferPool& buffers = worker_->buffers();
  const BufferId id = buffers.acquire(1024);
  ByteBuffer& answer = buffers.block(id);
  ASSERT(gateway::row(refusal).ending == gateway::Ending::close);  // it lingers, whatever came
  gateway::RefusalAnswer said;
  said.refusal = refusal;
  said.detail = detail;
  said.head_request = method == wire::Method::head;
  said.close = true;
  gateway::write_refusal(said, answer);
  stream_.queue({answer.view(), id});
  worker_->count_refusal(refusal);
  if (const auto held_back = worker_->throttle(refusal).pass(worker_->now_ns())) {
    worker_->log().warn("request refused", {{"reason", gateway::row(refusal).symbol},
                                            {"status", gateway::row(refusal).status},
                                            {"detail", detail},
                                            {"source", listener_->name},
                                            {"client", client_address()},
                                            {"held_back", *held_back}});
  }
  worker_->flush_later(*this);
  linger();
}

size_t Downstream::consume_discarded(std::string_view input) {
  const size_t taken = static_cast<size_t>(std::min<uint64_t>(input.size(), discard_remaining_));
  discard_remaining_ -= taken;
  if (discard_remaining_ == 0) next_request();
  return taken;
}

// Of the exchange's body; or of one that was refused while the receive was in flight.
void Downstream::on_sized_receive(const io::Completion& completion) {
  stream_.on_done(StreamOp::sized_receive, completion);
  if (stream_.terminating()) return;
  if (state_ == State::exchange && exchange_->receives_directly()) {
    exchange_->on_sized_receive(completion);
    return;
  }
  // Its end or its failure shows at the next receive.
  const auto received = static_cast<uint64_t>(std::max(completion.result, 0));
  discard_remaining_ -= std::min(received, discard_remaining_);
  if (state_ == State::discarding && discard_remaining_ == 0) next_request();
  regulate_receive();
}

void Downstream::stop_receiving_body() {
  awaiting_receive_idle_ = false;
  stream_.stop_sized_receive();
}

void Downstream::discard_rest(wire::BodyFraming framing, uint64_t remaining) {
  if (framing != wire::BodyFraming::length || remaining > kDiscardMax) {
    close_after_ = true;
    return;
  }
  discard_remaining_ = remaining;
}

// --- the answer is on its way ---

void Downstream::flush() {
  if (stream_.terminating()) return;
  stream_.flush();
  if (stream_.send_failed()) {
    client_gone(io::Code::other);  // TLS could not encrypt
    return;
  }
  watch_sending();
  // An answer may end without another byte to send: then no completion comes to say so.
  if (state_ == State::exchange && exchange_->answer_complete() && stream_.all_sent()) exchange_->on_answer_sent();
}

// Only bytes that wait for the client count: when the provider is quiet nothing is in flight.
void Downstream::watch_sending() {
  if (stream_.send_in_flight() == watch_.on) return;
  watch_ = {.on = !watch_.on, .progress_ns = worker_->now_ns()};
  if (watch_.on) {
    worker_->wheel().set(send_timer_, watch_.progress_ns + send_interval_ns(worker_->timeouts().send));
  } else {
    TimerWheel::clear(send_timer_);
  }
}

// Within each send timeout the client must take something, and after the first as much as the rate asks for.
void Downstream::on_send_timer() {
  if (state_ != State::exchange || !stream_.send_in_flight()) {
    watch_.on = false;
    return;
  }
  const uint64_t now_ns = worker_->now_ns();
  const uint64_t timeout_ns = worker_->timeouts().send;
  const uint64_t taken = stream_.taken_bytes();
  if (!std::exchange(watch_.looked, true)) {
    watch_.taken = watch_.window_taken = taken;
    watch_.window_ns = now_ns;
  }
  if (taken != std::exchange(watch_.taken, taken)) watch_.progress_ns = now_ns;
  if (now_ns - watch_.progress_ns >= timeout_ns) {
    worker_->count().timeouts_send.add();
    exchange_->on_client_stalled("the client stopped reading");
    return;
  }
  if (now_ns - watch_.window_ns >= timeout_ns) {
    const uint64_t window_ms = (now_ns - watch_.window_ns) / kNsPerMs;
    if (taken - watch_.window_taken < worker_->limits().send_rate * window_ms / 1000) {
      worker_->count().timeouts_send_rate.add();
      exchange_->on_client_stalled("the client reads too slowly");
      return;
    }
    watch_.window_ns = now_ns;
    watch_.window_taken = taken;
  }
  worker_->wheel().set(send_timer_, now_ns + send_interval_ns(timeout_ns));
}

void Downstream::on_sent() {
  if (state_ == State::exchange) {
    if (stream_.all_sent()) {
      if (exchange_->answer_complete()) {
        exchange_->on_answer_sent();
        return;
      }
    }
    watch_sending();
    if (stream_.under_low_mark()) exchange_->on_room();
  }
}

void Downstream::exchange_over() {
  exchange_ = nullptr;
  if (stream_.terminating()) return;
  if (close_after_ || worker_->draining() || client_ended_) {
    linger();
  } else if (discard_remaining_ > 0) {
    state_ = State::discarding;
    set_deadline(worker_->now_ns() + worker_->timeouts().body);
    go_on();
  } else {
    next_request();
    go_on();
  }
}

void Downstream::next_request() {
  head_seen_ = 0;
  idle_since_ns_ = worker_->now_ns();
  state_ = State::idle;
  set_deadline(worker_->now_ns() + worker_->timeouts().idle);
}

// With what waits, or with what comes.
void Downstream::go_on() {
  if (stash_ != kNoBufferId) {
    worker_->run_later(*this);
  } else {
    regulate_receive();
  }
}

void Downstream::linger() {
  if (state_ == State::lingering || stream_.terminating()) return;
  if (client_ended_ && stream_.all_sent()) {
    close();
    return;
  }
  state_ = State::lingering;
  drop_stash();
  stream_.flush();
  if (cut_) {
    linger_end_ns_ = worker_->now_ns() + kLingerGapNs;
    check_reset();
    return;
  }
  linger_end_ns_ = worker_->now_ns() + kLingerMaxNs;
  set_deadline(worker_->now_ns() + kLingerGapNs);
  stream_.shutdown_send();
  if (!stream_.receive_wanted() && !client_ended_) stream_.resume_receive();
}

// What the client has not acknowledged a reset would take from it, an error event among it.
void Downstream::check_reset() {
  if (worker_->now_ns() >= linger_end_ns_ || stream_.all_acknowledged()) {
    close();
  } else {
    set_deadline(worker_->now_ns() + kResetCheckNs);
  }
}

// --- ends ---

void Downstream::client_gone(io::Code code) {
  if (stream_.terminating()) return;
  // Our answer is complete and only being sent: a client that has shut its side can still read it.
  const bool may_still_read = code == io::Code::ended && !stream_.send_failed();
  if (may_still_read && !stream_.all_sent() &&
      (state_ == State::lingering || (state_ == State::exchange && exchange_->answer_complete()))) {
    client_ended_ = true;
    return;
  }
  if (state_ == State::exchange) exchange_->on_client_gone(code);
  close();
}

void Downstream::abort() {
  exchange_ = nullptr;
  close();
}

void Downstream::close() {
  if (stream_.terminating()) return;
  state_ = State::closing;
  clear_deadline();
  if (cut_) {
    stream_.reset();
  } else {
    stream_.terminate();
  }
  worker_->reap(*this);
}

bool Downstream::try_close() {
  if (!stream_.try_close()) return false;
  drop_stash();
  if (address_.hold.holds()) worker_->limiter().addresses.leave(address_.hold);
  worker_->wheel().remove(timer_);
  worker_->wheel().remove(send_timer_);
  client_ended_ = false;
  state_ = State::closed;
  return true;
}

void Downstream::close_if_idle() {
  if (state_ == State::idle || state_ == State::handshaking) linger();
}

void Downstream::on_timer() {
  switch (state_) {
    case State::closed:
    case State::closing:
      return;
    case State::head:
      worker_->count().timeouts_head.add();
      refuse(gateway::Refusal::request_timeout, "the head was not complete");
      return;
    case State::exchange:
      exchange_->on_request_timeout();
      return;
    case State::handshaking:
      worker_->count().timeouts_handshake.add();
      break;
    case State::idle:
      // Until the first request the head's deadline watches.
      (request_count_ == 0 ? worker_->count().timeouts_head : worker_->count().timeouts_idle).add();
      break;
    case State::discarding:
      worker_->count().timeouts_body.add();
      break;
    case State::lingering:
      if (!cut_) break;
      check_reset();
      return;
  }
  close();
}

void Downstream::wait_for_receive_idle() {
  stream_.pause_receive();
  // It may still be set by an exchange before, whose body came whole while its receive was being cancelled.
  awaiting_receive_idle_ = !stream_.receive_idle();
  if (!awaiting_receive_idle_) exchange_->on_receive_idle();
}

uint64_t Downstream::address_key() {
  if (address_.key == 0) address_.key = worker_->address_key(*listener_, stream_.descriptor());
  return address_.key;
}

std::string_view Downstream::client_address() {
  if (client_address_.empty()) {
    const auto address = io::peer_address(stream_.descriptor());
    client_address_ = address ? address->host_text() : std::string("unknown");
  }
  return client_address_;
}

}  // namespace weir::proxy
