// What the load is: a file of bench/scenarios (TOML), and flags laid over it. Keys: description, api, stream,
// prompt_bytes, events, event_bytes, gap, delay, status, stamped, separate; connections, mode, rate, new_connections,
// tls, seconds, warm_up; [[request]] tables with `weight` and any of the first line's, for a mixture.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace weir::load {

enum class Api : uint8_t { messages, chat, responses };

// One kind of request, and what the mock is told to answer.
struct RequestKind {
  uint32_t weight = 1;
  Api api = Api::chat;
  bool stream = false;
  uint64_t prompt_bytes = 700;
  uint32_t events = 24;
  uint32_t event_bytes = 16;
  uint64_t gap_ns = 0;
  uint64_t delay_ns = 0;
  uint16_t status = 200;
  bool separate = false;  // each event is a send of the provider's, also without a gap
  bool stamped = false;   // events hold the time at which they were written, which measures their latency
};

struct Scenario {
  std::string name;  // the file's, without extension
  std::string description;
  std::vector<RequestKind> requests;  // at least one
  uint32_t connections = 64;
  bool open_loop = false;  // `rate` requests per second, whether earlier ones are answered or not
  double rate = 0;
  bool new_connections = false;  // one for each request
  bool tls = false;
  double seconds = 5;
  double warm_up = 1;
};

// `overrides` are KEY=VALUE of the file's top level. Errors name the file, the key and what it takes.
Result<Scenario> read_scenario(const std::string& path, const std::vector<std::string>& overrides);

}  // namespace weir::load
