// The mock provider's event loop: accepts, reads requests, writes answers at their pace. Lives on provider.cc's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "io/engine.h"
#include "mock/connection.h"
#include "mock/provider.h"

namespace weir::mock {

class Loop {
 public:
  // Borrows the options; takes neither descriptor.
  Loop(io::Engine& engine, int listener, int stop_event, const ProviderOptions& options);
  ~Loop();  // closes every connection's descriptor
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void run();  // until the stop event

 private:
  enum Op : uint8_t { op_accept, op_receive, op_send, op_stop };
  // One timer at most for each connection; one that outlived it is known by its generation.
  struct Due {
    uint64_t at_ns;
    uint32_t index;
    uint32_t generation;
    bool operator>(const Due& other) const { return at_ns > other.at_ns; }
  };

  void on_completion(const io::Completion& completion);
  void on_accept(const io::Completion& completion);
  void on_receive(uint32_t index, const io::Completion& completion);
  void on_send(uint32_t index, const io::Completion& completion);
  void run_due();
  uint64_t pause_ns() const;

  // loop_requests.cc
  void read_requests(uint32_t index);
  void on_head(uint32_t index);
  void on_request(uint32_t index);
  void answer_admin(uint32_t index);
  void write_state(std::string& out) const;
  void let_steps_go();

  void begin_answer(uint32_t index);
  void write_answer_head(uint32_t index, uint64_t length);
  void write_whole(uint32_t index, std::string_view body);
  void pump(uint32_t index);
  void write_piece(uint32_t index, std::string_view piece);
  void finish(uint32_t index);
  void flush(uint32_t index);
  void sent_all(uint32_t index);
  void wait_until(uint32_t index, uint64_t at_ns);

  void close_gently(uint32_t index);
  void close_now(uint32_t index);
  void reset(uint32_t index);
  void release_if_done(uint32_t index);
  void release_ended();

  Connection& at(uint32_t index) { return *connections_[index]; }
  io::Token token(Op op, uint32_t index) { return {op, index, at(index).generation}; }

  io::Engine& engine_;
  const int listener_;
  const int stop_event_;
  const ProviderOptions& options_;
  bool stopped_ = false;
  uint64_t stop_value_ = 0;

  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<uint32_t> free_;
  std::vector<uint32_t> ended_;  // nothing is in flight any more: released at the end of the turn
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  std::string event_;  // scratch

  std::deque<Seen> seen_;
  std::deque<Plan> script_;
  std::deque<Due> step_waiters_;
  uint64_t step_credits_ = 0;
  uint64_t requests_ = 0, broken_off_ = 0;
  uint32_t open_count_ = 0, active_count_ = 0;  // of connections and answers that are not for /__mock
};

}  // namespace weir::mock
