#include "mock/loop.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/clock.h"

namespace weir::mock {

namespace {

// After our last byte the peer has this long to close; longer, and it is cut off.
constexpr uint64_t kLingerNs = 2 * kNsPerSecond;

}  // namespace

Loop::Loop(io::Engine& engine, int listener, int stop_event, const ProviderOptions& options)
    : engine_(engine), listener_(listener), stop_event_(stop_event), options_(options) {
  engine_.accept(listener_, {op_accept, 0, 0});
  engine_.read_event(stop_event_, &stop_value_, {op_stop, 0, 0});
}

Loop::~Loop() {
  for (const auto& connection : connections_) {
    if (connection->socket >= 0) ::close(connection->socket);
  }
}

void Loop::run() {
  std::array<io::Completion, 256> completions;
  while (!stopped_) {
    const size_t count = engine_.wait(completions, pause_ns());
    for (size_t i = 0; i < count; i++) on_completion(completions[i]);
    run_due();
    release_ended();
  }
}

uint64_t Loop::pause_ns() const {
  constexpr uint64_t kLongest = 10 * kNsPerSecond;
  if (due_.empty()) return kLongest;
  const uint64_t now = monotonic_ns();
  return due_.top().at_ns <= now ? 0 : std::min(kLongest, due_.top().at_ns - now);
}

void Loop::on_completion(const io::Completion& completion) {
  const uint32_t index = completion.token.index;
  switch (completion.token.op) {
    case op_accept:
      return on_accept(completion);
    case op_receive:
      return on_receive(index, completion);
    case op_send:
      return on_send(index, completion);
    case op_stop:
      stopped_ = true;
      return;
    default:
      return;
  }
}

void Loop::on_accept(const io::Completion& completion) {
  if (!completion.more) engine_.accept(listener_, {op_accept, 0, 0});
  if (completion.code != io::Code::ok) return;
  if (free_.empty()) {
    if (connections_.size() == options_.connections_max) return engine_.close(completion.result);
    free_.push_back(static_cast<uint32_t>(connections_.size()));
    connections_.push_back(std::make_unique<Connection>());
  }
  const uint32_t index = free_.back();
  free_.pop_back();
  Connection& connection = at(index);
  connection.state = Connection::State::idle;
  connection.socket = completion.result;
  connection.receiving = true;
  engine_.receive(connection.socket, token(op_receive, index));
}

void Loop::on_receive(uint32_t index, const io::Completion& completion) {
  Connection& connection = at(index);
  if (completion.token.generation != connection.generation) {
    if (completion.buffer != io::kNoBuffer) engine_.release_buffer(completion.buffer);
    return;
  }
  if (!completion.more) connection.receiving = false;
  const bool ended = completion.code == io::Code::ok ? completion.result == 0 : completion.code != io::Code::no_buffers;
  if (completion.buffer != io::kNoBuffer) {
    if (connection.state != Connection::State::closing && connection.state != Connection::State::lingering) {
      const auto size = static_cast<size_t>(std::max(completion.result, 0));
      connection.reader.feed({engine_.buffer_data(completion.buffer), size});
      if (connection.reader.buffered() > kBodyMax) close_now(index);  // pipelined without end
    }
    engine_.release_buffer(completion.buffer);
  }
  if (connection.state == Connection::State::closing) return release_if_done(index);
  if (ended) return close_now(index);
  if (!connection.receiving) {
    connection.receiving = true;
    engine_.receive(connection.socket, token(op_receive, index));
  }
  if (connection.state == Connection::State::idle) read_requests(index);
}

void Loop::on_send(uint32_t index, const io::Completion& completion) {
  Connection& connection = at(index);
  if (completion.token.generation != connection.generation) return;
  connection.sending = false;
  connection.in_flight_bytes.clear();
  if (connection.state == Connection::State::closing) return release_if_done(index);
  if (completion.code != io::Code::ok) return close_now(index);
  if (connection.state == Connection::State::writing) pump(index);
  if (connection.state == Connection::State::closing) return;
  if (!connection.out.empty()) return flush(index);
  if (!connection.sending) sent_all(index);
}

void Loop::flush(uint32_t index) {
  Connection& connection = at(index);
  if (connection.sending || connection.out.empty()) return;
  std::swap(connection.out, connection.in_flight_bytes);
  connection.sending = true;
  const iovec slice{connection.in_flight_bytes.data(), connection.in_flight_bytes.size()};
  engine_.send(connection.socket, {&slice, 1}, token(op_send, index));
}

void Loop::wait_until(uint32_t index, uint64_t at_ns) {
  Connection& connection = at(index);
  // One timer at a time: a stream is looked at again on every send, and must not gather timers by that.
  if (connection.timed) return;
  connection.timed = true;
  due_.push({at_ns, index, connection.generation});
}

void Loop::run_due() {
  // As of now, so that a timer that is set meanwhile waits for the next turn.
  const uint64_t now = monotonic_ns();
  while (!due_.empty() && due_.top().at_ns <= now) {
    const Due due = due_.top();
    due_.pop();
    Connection& connection = at(due.index);
    if (connection.generation != due.generation) continue;
    connection.timed = false;
    switch (connection.state) {
      case Connection::State::delayed:
        begin_answer(due.index);
        break;
      case Connection::State::writing:
        pump(due.index);
        flush(due.index);
        break;
      case Connection::State::lingering:
        close_now(due.index);
        break;
      case Connection::State::free:
      case Connection::State::idle:
      case Connection::State::hanging:
      case Connection::State::closing:
        break;
    }
  }
}

void Loop::close_gently(uint32_t index) {
  Connection& connection = at(index);
  connection.state = Connection::State::lingering;
  engine_.shutdown_send(connection.socket);
  wait_until(index, monotonic_ns() + kLingerNs);
}

void Loop::close_now(uint32_t index) {
  Connection& connection = at(index);
  if (connection.state == Connection::State::closing) return;
  if (connection.answer.active) {
    connection.answer.active = false;
    if (!connection.answer.admin) active_count_--, broken_off_++;
  }
  connection.state = Connection::State::closing;
  if (connection.receiving || connection.sending) engine_.shutdown(connection.socket);
  release_if_done(index);
}

void Loop::reset(uint32_t index) {
  Connection& connection = at(index);
  if (connection.answer.active && !connection.answer.admin) active_count_--;
  connection.answer.active = false;
  connection.state = Connection::State::closing;
  // A linger time of zero makes close() send RST instead of FIN; so the socket must not be shut down before.
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(connection.socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  if (connection.receiving) engine_.cancel(token(op_receive, index));
  if (connection.sending) engine_.cancel(token(op_send, index));
  release_if_done(index);
}

void Loop::release_if_done(uint32_t index) {
  Connection& connection = at(index);
  if (connection.receiving || connection.sending || connection.ended) return;
  connection.ended = true;
  ended_.push_back(index);
}

// At the end of a turn, when nobody up the stack still holds the connection.
void Loop::release_ended() {
  for (const uint32_t index : ended_) {
    engine_.close(at(index).socket);
    if (at(index).counted) open_count_--;
    const uint32_t generation = at(index).generation + 1;
    connections_[index] = std::make_unique<Connection>();
    at(index).generation = generation;
    free_.push_back(index);
  }
  ended_.clear();
}

}  // namespace weir::mock
