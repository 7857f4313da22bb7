// How the mock treats one request: what it answers, at which pace, and where it misbehaves. Comes from the provider's
// defaults, then from a scripted answer if one waits, then from the request's own `x-mock-*` headers. One setter reads
// all three, so that a header, a member of a script and a flag mean the same.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "mock/answer.h"

namespace weir::mock {

enum class Framing : uint8_t { usual, chunked, length, close };  // usual: chunked for a stream, else length
// What becomes of the connection instead of an orderly end.
enum class Ending : uint8_t {
  keep,
  drop,   // closed before any answer
  reset,  // TCP reset instead of (or, with `cut`, inside) the answer
  hang,   // nothing more is sent, the connection stays
};

struct Plan {
  uint16_t status = 200;
  std::vector<std::pair<std::string, std::string>> headers;  // instead of the usual ones, if there are any
  std::optional<std::string> body;                           // instead of the API's, byte for byte
  Shape shape;
  std::string id;         // of the answer; empty: another one each time
  uint64_t delay_ns = 0;  // before the answer's head
  uint64_t gap_ns = 0;    // between two events
  bool separate = false;  // each event is a send of its own, also without a gap
  Framing framing = Framing::usual;
  Ending ending = Ending::keep;
  std::optional<uint64_t> cut;  // the connection ends after so many bytes of the body
  bool step = false;            // each event waits for POST /__mock/next
  bool interim = false;         // a 103 before the answer
  std::string complaint;        // about a control that is not understood: a 400 that says so
};

// "status" "503", "delay" "100ms", "gap", "events", "bytes" (of text in each event), "id", "stamped", "separate",
// "thinking", "tool", "framing", "ending", "cut", "step", "interim", "body". Errors name the key and what it takes.
Result<> apply(Plan& plan, std::string_view key, std::string_view value);

// One JSON object or an array of them, each an answer on top of `defaults`: the keys of apply(), and "headers" as a
// list of [name, value].
Result<std::vector<Plan>> parse_script(std::string_view json, const Plan& defaults);

}  // namespace weir::mock
