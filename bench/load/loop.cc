#include "load/loop.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/clock.h"

namespace weir::load {

namespace {

constexpr uint64_t kStallNs = 60 * kNsPerSecond;
constexpr uint64_t kRetryNs = 10 * kNsPerMs;      // after a connection that failed
constexpr uint64_t kOpenApartNs = 20 * kNsPerUs;  // so that a listener's backlog holds them
constexpr uint64_t kLongestPauseNs = 100 * kNsPerMs;

uint64_t to_ns(double seconds) {
  return static_cast<uint64_t>(seconds * 1e9);
}

// How long the answers of paced streams are, at most.
uint64_t stream_ns(const Scenario& scenario) {
  uint64_t longest = 0;
  for (const RequestKind& kind : scenario.requests) {
    if (kind.stream) longest = std::max(longest, kind.gap_ns * kind.events);
  }
  return longest;
}

}  // namespace

Loop::Loop(io::Engine& engine, const Scenario& scenario, const std::vector<PreparedRequest>& requests,
           const LoopOptions& options, std::function<void(const std::string&)> tell)
    : engine_(engine),
      scenario_(scenario),
      requests_(requests),
      options_(options),
      tell_(std::move(tell)),
      connections_(scenario.connections) {
  std::vector<double> weights;
  weights.reserve(requests.size());
  for (const PreparedRequest& request : requests) weights.push_back(request.kind->weight);
  weights_ = std::discrete_distribution<size_t>(weights.begin(), weights.end());
  if (scenario.open_loop) interval_ns_ = static_cast<uint64_t>(1e9 / scenario.rate);
}

Loop::~Loop() {
  for (const Connection& connection : connections_) {
    if (connection.socket >= 0) ::close(connection.socket);
  }
}

const Results& Loop::run() {
  now_ns_ = monotonic_ns();
  // Streams start evenly over an answer's time, so that they do not end together, but all within the warm-up.
  const uint64_t spread = std::min(stream_ns(scenario_), to_ns(scenario_.warm_up) / 4 * 3);
  const uint64_t apart = std::max(kOpenApartNs, scenario_.open_loop ? 0 : spread / connections_.size());
  for (uint32_t i = 0; i < connections_.size(); i++) to_open_.push_back({now_ns_ + i * apart, i});
  const uint64_t begin_ns = now_ns_ + to_ns(scenario_.warm_up);
  const uint64_t end_ns = begin_ns + to_ns(scenario_.seconds);
  next_due_ns_ = now_ns_ + kRetryNs;
  next_look_ns_ = now_ns_ + kNsPerSecond;
  tell_(phase_line("warm"));
  bool measuring = false;
  std::array<io::Completion, 512> completions;
  while (now_ns_ < end_ns) {
    const size_t count = engine_.wait(completions, pause_ns());
    now_ns_ = monotonic_ns();
    if (!measuring && now_ns_ >= begin_ns) {
      measuring = true;
      results_ = Results();
      results_.open_streams_max = streams_open_;
      tell_(phase_line("begin"));
    }
    for (size_t i = 0; i < count; i++) on_completion(completions[i]);
    run_due();
  }
  results_.seconds = static_cast<double>(now_ns_ - begin_ns) / 1e9;
  return results_;
}

uint64_t Loop::pause_ns() const {
  uint64_t next = now_ns_ + kLongestPauseNs;
  if (!to_open_.empty()) next = std::min(next, to_open_.front().at_ns);
  if (scenario_.open_loop) next = std::min(next, next_due_ns_);
  // A pause of 0 is a look without waiting: with more to do it must not become one.
  return next > now_ns_ ? next - now_ns_ : 0;
}

void Loop::run_due() {
  while (!to_open_.empty() && to_open_.front().at_ns <= now_ns_) {
    const uint32_t index = to_open_.front().index;
    to_open_.pop_front();
    open(index);
  }
  if (scenario_.open_loop) {
    for (; next_due_ns_ <= now_ns_; next_due_ns_ += interval_ns_) {
      if (idle_.empty()) {
        waiting_.push_back(next_due_ns_);
        results_.late_starts++;
        continue;
      }
      const uint32_t index = idle_.back();
      idle_.pop_back();
      ask(index, next_due_ns_);
    }
  }
  if (now_ns_ >= next_look_ns_) look_for_stalls();
}

void Loop::look_for_stalls() {
  next_look_ns_ = now_ns_ + kNsPerSecond;
  for (uint32_t i = 0; i < connections_.size(); i++) {
    const Connection& connection = connections_[i];
    const bool waits = connection.state == State::asking || connection.state == State::connecting ||
                       connection.state == State::handshake;
    if (waits && now_ns_ - connection.progress_ns > kStallNs) wrong(i, Fault::timeout);
  }
}

// --- connections ---

void Loop::open(uint32_t index) {
  Connection& connection = connections_[index];
  auto opened = io::open_stream(options_.target.family());
  if (!opened) {
    results_.faults[static_cast<size_t>(Fault::connect)]++;
    to_open_.push_back({now_ns_ + kRetryNs, index});
    return;
  }
  connection.socket = *opened;
  connection.state = State::connecting;
  connection.connecting = true;
  connection.progress_ns = now_ns_;
  if (options_.sources > 1 && options_.target.family() == AF_INET) {
    sockaddr_in source{};
    source.sin_family = AF_INET;
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + source_++ % options_.sources);
    // The port is chosen at connect(), for this destination alone.
    const int late = 1;
    ::setsockopt(connection.socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &late, sizeof late);
    if (::bind(connection.socket, reinterpret_cast<const sockaddr*>(&source), sizeof source) != 0) {
      connection.connecting = false;
      return wrong(index, Fault::connect);
    }
  }
  engine_.connect(connection.socket, options_.target, token(op_connect, index));
}

void Loop::on_completion(const io::Completion& completion) {
  const uint32_t index = completion.token.index;
  switch (completion.token.op) {
    case op_connect:
      return on_connect(index, completion);
    case op_receive:
      return on_receive(index, completion);
    case op_send:
      return on_send(index, completion);
    default:
      return;
  }
}

void Loop::on_connect(uint32_t index, const io::Completion& completion) {
  Connection& connection = connections_[index];
  connection.connecting = false;
  if (connection.state == State::ending) return close_if_done(index);
  if (completion.code != io::Code::ok) return wrong(index, Fault::connect);
  connection.receiving = true;
  engine_.receive(connection.socket, token(op_receive, index));
  if (options_.tls == nullptr) return ready(index);
  connection.state = State::handshake;
  connection.tls = tls::Machine::client(*options_.tls);
  connection.tls->start();
  send_ciphertext(index);
}

void Loop::on_receive(uint32_t index, const io::Completion& completion) {
  Connection& connection = connections_[index];
  if (!completion.more) connection.receiving = false;
  if (completion.buffer != io::kNoBuffer) {
    const auto size = static_cast<size_t>(std::max(completion.result, 0));
    if (connection.state != State::ending) on_bytes(index, {engine_.buffer_data(completion.buffer), size});
    engine_.release_buffer(completion.buffer);
  }
  if (connection.state == State::ending) return close_if_done(index);
  const bool starved = completion.code == io::Code::no_buffers;
  if (completion.code != io::Code::ok && !starved) return on_end(index, completion.code == io::Code::ended);
  if (!connection.receiving) {
    connection.receiving = true;
    engine_.receive(connection.socket, token(op_receive, index));
  }
}

void Loop::on_send(uint32_t index, const io::Completion& completion) {
  Connection& connection = connections_[index];
  connection.sending = false;
  if (connection.state == State::ending) return close_if_done(index);
  if (completion.code != io::Code::ok) return on_end(index, false);
  if (connection.tls != nullptr) send_ciphertext(index);
}

void Loop::on_bytes(uint32_t index, std::string_view bytes) {
  Connection& connection = connections_[index];
  connection.progress_ns = now_ns_;
  if (connection.tls == nullptr) return on_plaintext(index, bytes);
  plaintext_.clear();
  const tls::Status status = connection.tls->receive(bytes, plaintext_);
  if (connection.state == State::handshake) {
    if (status == tls::Status::failed) return wrong(index, Fault::tls);
    if (connection.tls->handshake_done()) ready(index);
  }
  if (!plaintext_.empty() && connection.state != State::ending) on_plaintext(index, plaintext_.view());
  if (connection.state != State::ending) send_ciphertext(index);
}

void Loop::send_ciphertext(uint32_t index) {
  Connection& connection = connections_[index];
  ByteBuffer& outbox = connection.tls->outbox();
  if (connection.sending || outbox.empty()) return;
  connection.in_flight.clear();
  std::swap(connection.in_flight, outbox);
  const iovec slice{connection.in_flight.data(), connection.in_flight.size()};
  connection.sending = true;
  engine_.send(connection.socket, {&slice, 1}, token(op_send, index));
}

// The peer has ended the connection, or it failed.
void Loop::on_end(uint32_t index, bool in_order) {
  Connection& connection = connections_[index];
  if (connection.state == State::asking && in_order && connection.reader.end() == AnswerReader::Status::complete) {
    answered(index);
    return;
  }
  if (connection.state == State::asking) return wrong(index, in_order ? Fault::truncated : Fault::reset);
  if (connection.state == State::handshake) return wrong(index, Fault::tls);
  std::erase(idle_, index);  // an idle one may be closed
  end(index);
}

// --- requests ---

const PreparedRequest& Loop::choose() {
  return requests_.size() == 1 ? requests_.front() : requests_[weights_(random_)];
}

void Loop::ready(uint32_t index) {
  connections_[index].state = State::idle;
  if (!scenario_.open_loop) return ask(index, now_ns_);
  if (waiting_.empty()) return idle_.push_back(index);
  const uint64_t due_ns = waiting_.front();
  waiting_.pop_front();
  ask(index, due_ns);
}

void Loop::ask(uint32_t index, uint64_t due_ns) {
  Connection& connection = connections_[index];
  connection.state = State::asking;
  connection.request = &choose();
  connection.due_ns = due_ns;
  connection.progress_ns = now_ns_;
  connection.reader.reset();
  if (connection.request->kind->stream) streams_open_++;
  if (connection.tls != nullptr) {
    connection.tls->send(connection.request->bytes);
    return send_ciphertext(index);
  }
  // The engine takes the bytes only to read them.
  const iovec slice{const_cast<char*>(connection.request->bytes.data()), connection.request->bytes.size()};
  connection.sending = true;
  engine_.send(connection.socket, {&slice, 1}, token(op_send, index));
}

void Loop::on_plaintext(uint32_t index, std::string_view bytes) {
  Connection& connection = connections_[index];
  if (connection.state != State::asking) return wrong(index, Fault::malformed);
  const bool first_of_stream = connection.reader.times().first_event_ns == 0;
  const uint64_t events_before = connection.reader.events();
  const auto status = connection.reader.feed(
      bytes, now_ns_, [&](uint64_t ns) { results_.gap.add(ns); }, [&](uint64_t ns) { results_.event.add(ns); });
  // As they come: of long streams few end while it is measured.
  results_.events += connection.reader.events() - events_before;
  if (first_of_stream && connection.request->kind->stream && connection.reader.times().first_event_ns != 0) {
    results_.open_streams_max = std::max(results_.open_streams_max, streams_open_);
    if (!told_open_ && streams_open_ == connections_.size()) {
      told_open_ = true;
      tell_(open_line(streams_open_));
    }
  }
  if (status == AnswerReader::Status::invalid) return wrong(index, Fault::malformed);
  if (status == AnswerReader::Status::complete) answered(index);
}

void Loop::answered(uint32_t index) {
  Connection& connection = connections_[index];
  const AnswerReader& reader = connection.reader;
  const PreparedRequest& request = *connection.request;
  if (request.kind->stream) streams_open_--;
  connection.state = State::idle;
  if (request.status != 0 && reader.status() != request.status) return wrong(index, Fault::status);
  const bool same_hash = request.kind->stamped || reader.body_hash() == request.body_hash;
  const bool same_body = reader.body_size() == request.body_size && same_hash;
  if (request.status != 0 && !request.any_body && !same_body) return wrong(index, Fault::bytes);
  results_.exchanges++;
  results_.bytes += reader.body_size();
  results_.head.add(reader.times().head_ns - connection.due_ns);
  if (reader.times().first_event_ns != 0) results_.first_event.add(reader.times().first_event_ns - connection.due_ns);
  results_.whole.add(now_ns_ - connection.due_ns);
  if (scenario_.new_connections || !reader.keep_alive()) return end(index);
  ready(index);
}

void Loop::wrong(uint32_t index, Fault fault) {
  Connection& connection = connections_[index];
  results_.faults[static_cast<size_t>(fault)]++;
  if (connection.state == State::asking && connection.request->kind->stream) streams_open_--;
  end(index);
}

void Loop::end(uint32_t index) {
  Connection& connection = connections_[index];
  connection.state = State::ending;
  if (connection.receiving || connection.sending || connection.connecting) engine_.shutdown(connection.socket);
  close_if_done(index);
}

void Loop::close_if_done(uint32_t index) {
  Connection& connection = connections_[index];
  if (connection.receiving || connection.sending || connection.connecting) return;
  if (connection.socket >= 0) engine_.close(connection.socket);
  connection.socket = -1;
  connection.tls.reset();
  connection.generation++;
  connection.state = State::closed;
  // At once if that is the scenario; else it failed, or was closed while it was idle.
  to_open_.push_front({scenario_.new_connections ? now_ns_ : now_ns_ + kRetryNs, index});
}

}  // namespace weir::load
