// One connection of the mock provider: the request that is read, the answer that is written, what is in flight. State
// only; provider.cc moves it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "mock/answer.h"
#include "mock/plan.h"
#include "mock/request_reader.h"

namespace weir::mock {

// A request as /__mock/requests shows it.
struct Seen {
  uint64_t number = 0;
  std::string line;  // "POST /v1/messages?beta=true"
  std::vector<std::pair<std::string, std::string>> headers;
  uint64_t body_size = 0;
  std::string body_sha256;
  std::string body_start;

  void write(std::string& out) const;
};

// The answer under way.
struct Answer {
  Plan plan;
  Ask ask;
  bool active = false;
  bool admin = false;
  bool head_only = false;  // of a HEAD request
  bool chunked = false;
  bool close_after = false;
  bool cut_off = false;  // `plan.cut` was reached
  std::string path;
  std::string query;
  std::optional<EventStream> stream;
  size_t next_event = 0;
  uint64_t due_ns = 0;      // when the next event may go
  uint64_t body_bytes = 0;  // written so far
};

struct Connection {
  // idle: between requests, or reading one. delayed: the answer waits for its time. writing: `answer` is being made
  // or sent. hanging: nothing more will be sent. lingering: our side is shut, the peer's end is awaited. closing: shut
  // down, in-flight operations are awaited.
  enum class State : uint8_t { free, idle, delayed, writing, hanging, lingering, closing };

  State state = State::free;
  int socket = -1;
  uint32_t generation = 0;
  bool receiving = false;  // a receive is in flight
  bool sending = false;    // a send is in flight: it borrows in_flight_bytes
  bool timed = false;      // a timer is set
  bool waits_for_step = false;
  bool ended = false;    // nothing in flight: about to be released
  bool counted = false;  // has carried a request that was not for /__mock
  RequestReader reader;
  std::optional<Seen> seen;
  Answer answer;
  std::string out;
  std::string in_flight_bytes;
};

}  // namespace weir::mock
