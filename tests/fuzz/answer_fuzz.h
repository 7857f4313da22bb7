// Any bytes as an answer: the facts are the same however the bytes are cut, are UTF-8, and a recycled reader says what
// a new one says. The first byte says of what kind the answer is and how it is cut.
#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>

#include "base/assert.h"
#include "reader/answer.h"
#include "reader/support.h"

namespace weir::reader {

inline std::string passed_on(std::string_view stream, size_t step) {
  UsageWithholder withholder;
  ByteBuffer out;
  withholder.reset();
  for (size_t at = 0; at < stream.size(); at += step) withholder.feed(stream.substr(at, step), out);
  withholder.finish(out);
  return std::string(out.view());
}

inline int fuzz_answer(RequestApi api, const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  AnswerSettings settings;
  settings.api = api;
  settings.stream = (data[0] & 1) == 0;
  settings.status = (data[0] & 6) == 6 ? 529 : 200;
  const bool complete = (data[0] & 8) == 0;
  const size_t step = 1 + (data[0] >> 4) * 5u;

  static AnswerReader recycled;
  const std::string want = read_answer(recycled, settings, body, {}, complete);
  ASSERT(simdjson::validate_utf8(want));
  ASSERT(read_answer(recycled, settings, body, cuts_every(body.size(), step), complete) == want);
  AnswerReader fresh;
  ASSERT(read_answer(fresh, settings, body, {}, complete) == want);

  if (api != RequestApi::chat_completions) return 0;
  const std::string passed = passed_on(body, size);
  ASSERT(passed.size() <= body.size());
  ASSERT(passed_on(body, step) == passed);
  // What was passed on holds nothing more to withhold: but for the end of one event and the start of another, it is
  // whole events. An event at the end without its blank line may be taken with it, so the end is made whole.
  const std::string closed = passed + "\n\n";
  ASSERT(passed_on(closed, closed.size()) == closed);
  return 0;
}

}  // namespace weir::reader
