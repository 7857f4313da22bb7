// Any bytes as a request body. Whether it is JSON must be judged as simdjson judges it, and what is read must be sound.
#pragma once

#include <simdjson.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "reader/json.h"
#include "reader/request.h"
#include "reader/support.h"

namespace weir::reader {

// simdjson refuses three things that we read: lone surrogate escapes, numbers out of range, deep nesting.
inline void check_judgement(std::string_view body, const RequestFacts& facts) {
  if (body.empty()) {  // simdjson would copy from its null pointer
    ASSERT(facts.status == BodyStatus::empty);
    return;
  }
  simdjson::dom::parser parser;
  simdjson::dom::element element;
  const simdjson::error_code error = parser.parse(body.data(), body.size()).get(element);
  const bool by_choice =
      error == simdjson::STRING_ERROR || error == simdjson::NUMBER_ERROR || error == simdjson::DEPTH_ERROR;
  if (facts.status == BodyStatus::invalid_json) {
    ASSERT(error != simdjson::SUCCESS);
    ASSERT(facts.error_offset <= body.size());
    ASSERT(!facts.error.empty());
  } else {
    ASSERT(facts.status != BodyStatus::empty);
    ASSERT(error == simdjson::SUCCESS || by_choice);
  }
  if (error == simdjson::SUCCESS) ASSERT((facts.status == BodyStatus::ok) == element.is_object());
}

// Nobody's parser may see a name more often than the client wrote it: but for a name that was not there at all.
inline size_t times(std::string_view object, std::string_view name, JsonValue& last) {
  JsonReader reader(object);
  if (reader.peek() != JsonKind::object) return 0;
  reader.enter();
  size_t count = 0;
  for (std::string_view key; reader.next_member(key);) {
    const JsonValue value = reader.value();
    if (key != name) continue;
    ++count;
    last = value;
  }
  return count;
}

inline void check_members(std::string_view body, std::string_view edited) {
  JsonValue before, after, ignored;
  const size_t options = times(body, "stream_options", before);
  ASSERT(times(edited, "stream_options", after) == std::max(options, size_t{1}));
  ASSERT(times(after.raw, "include_usage", ignored) == 1);
  ASSERT(ignored.is(JsonKind::boolean_true));
}

inline void check_facts(RequestApi api, std::string_view body, const RequestFacts& facts) {
  for (const std::string* text :
       {&facts.model, &facts.prompt, &facts.correlating_tool_call_id, &facts.metadata_session_id}) {
    ASSERT(text->size() <= kTextMax);
    ASSERT(simdjson::validate_utf8(*text));
  }
  ASSERT(facts.prompt_size >= facts.prompt.size());
  ASSERT(facts.prompt_truncated == (facts.prompt_size > facts.prompt.size()));
  if (!facts.insert_usage) return;
  ASSERT(api == RequestApi::chat_completions);
  ASSERT(facts.streaming);
  ASSERT(facts.insert_offset + facts.replaced_size <= body.size());
  const RequestFacts again = read_request(api, edited(body, facts));
  ASSERT(again.status == BodyStatus::ok);
  ASSERT(!again.insert_usage);
  ASSERT(again.prompt == facts.prompt);
  check_members(body, edited(body, facts));
}

inline int fuzz_request(RequestApi api, const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const RequestFacts facts = read_request(api, body);
  check_judgement(body, facts);
  check_facts(api, body, facts);
  return 0;
}

}  // namespace weir::reader
