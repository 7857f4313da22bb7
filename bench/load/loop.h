// The load's event loop: connections that ask, answers that are checked and timed. One thread with one engine.
//
// Closed loop: each connection asks again when it has its answer; paced streams begin spread over their length, so that
// they do not march in step. Open loop: requests are due by the clock, and one that finds no idle connection waits for
// one, its times counted from when it was due (no coordinated omission).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/byte_buffer.h"
#include "io/address.h"
#include "io/engine.h"
#include "load/answer.h"
#include "load/request.h"
#include "load/results.h"
#include "load/scenario.h"
#include "tls/tls.h"

namespace weir::load {

struct LoopOptions {
  io::Address target;
  uint32_t sources = 1;               // loopback addresses to connect from: 127.0.0.1, 127.0.0.2 …
  tls::ClientContext* tls = nullptr;  // null: plaintext
};

class Loop {
 public:
  Loop(io::Engine& engine, const Scenario& scenario, const std::vector<PreparedRequest>& requests,
       const LoopOptions& options, std::function<void(const std::string&)> tell);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Warms up, measures, and returns what it measured; what is still open is cut off.
  const Results& run();

 private:
  enum Op : uint8_t { op_connect, op_receive, op_send };
  enum class State : uint8_t { closed, connecting, handshake, idle, asking, ending };
  struct Connection {
    State state = State::closed;
    int socket = -1;
    uint32_t generation = 0;
    bool receiving = false, sending = false, connecting = false;
    const PreparedRequest* request = nullptr;
    uint64_t due_ns = 0;       // of the request under way
    uint64_t progress_ns = 0;  // when something last came
    AnswerReader reader;
    std::unique_ptr<tls::Machine> tls;
    ByteBuffer in_flight;  // ciphertext that is being sent
  };

  void open(uint32_t index);
  void on_completion(const io::Completion& completion);
  void on_connect(uint32_t index, const io::Completion& completion);
  void on_receive(uint32_t index, const io::Completion& completion);
  void on_send(uint32_t index, const io::Completion& completion);
  void on_bytes(uint32_t index, std::string_view bytes);
  void on_plaintext(uint32_t index, std::string_view bytes);
  void on_end(uint32_t index, bool in_order);
  void ready(uint32_t index);
  void ask(uint32_t index, uint64_t due_ns);
  void send_ciphertext(uint32_t index);
  void answered(uint32_t index);
  void wrong(uint32_t index, Fault fault);
  void end(uint32_t index);
  void close_if_done(uint32_t index);
  void run_due();
  void look_for_stalls();
  uint64_t pause_ns() const;
  const PreparedRequest& choose();
  io::Token token(Op op, uint32_t index) const { return {op, index, connections_[index].generation}; }

  io::Engine& engine_;
  const Scenario& scenario_;
  const std::vector<PreparedRequest>& requests_;
  const LoopOptions& options_;
  std::function<void(const std::string&)> tell_;
  std::vector<Connection> connections_;
  std::vector<uint32_t> idle_;
  struct Opening {
    uint64_t at_ns;
    uint32_t index;
  };
  std::deque<Opening> to_open_;   // by time
  std::deque<uint64_t> waiting_;  // open loop: due times of requests that wait for a connection
  uint64_t next_due_ns_ = 0, interval_ns_ = 0;
  uint64_t now_ns_ = 0, next_look_ns_ = 0;
  uint64_t streams_open_ = 0;
  bool told_open_ = false;
  uint32_t source_ = 0;
  std::minstd_rand random_{1};
  std::discrete_distribution<size_t> weights_;
  ByteBuffer plaintext_;
  Results results_;
};

}  // namespace weir::load
