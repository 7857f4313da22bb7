// Any bytes as a request body. Whether it is JSON must be judged as simdjson judges it, and what is read must be sound.
#pragma once

#include <simdjson.h>

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
  std::string edited(body);
  edited.insert(facts.insert_offset, facts.insert_text);
  const RequestFacts again = read_request(api, edited);
  ASSERT(again.status == BodyStatus::ok);
  ASSERT(!again.insert_usage);
  ASSERT(again.prompt == facts.prompt);
}

inline int fuzz_request(RequestApi api, const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const RequestFacts facts = read_request(api, body);
  check_judgement(body, facts);
  check_facts(api, body, facts);
  return 0;
}

}  // namespace weir::reader
