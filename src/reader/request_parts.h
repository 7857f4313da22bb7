// What each API's request reader is given and leaves, between request.cc and the files of the APIs. A part reads the
// members of the body's top-level object that are its own; request.cc reads those that all share, and owns the walk.
#pragma once

#include <string>
#include <string_view>

#include "reader/json.h"
#include "reader/request.h"

namespace weir::reader {

// A message or item that may be the last which counts. Values borrow the body.
struct Turn {
  bool seen = false;
  JsonValue type, role, content, call_id;
  bool is_instruction() const { return role.is_text("system") || role.is_text("developer"); }
  // Of a Responses input: no turn at all, such as the settings that Codex puts last (spec section 9, "The last turn").
  bool is_setting() const;
};

// What the walk over the top-level object found; of duplicate keys the last.
struct RequestMembers {
  JsonValue model, stream, metadata, stream_options, prompt_cache_key, input;
  Turn last;  // of `messages` or `input`: the last that is no instruction
};

// Takes the next value of `reader`. Of an array, which holds the conversation, it leaves in `last` the last element
// that is a turn of user or model, with the id by which it correlates; any other value it returns.
JsonValue read_turns(RequestApi api, JsonReader& reader, Turn& last);

// Takes white space off both ends.
void trim(std::string& text);

// Appends a prompt's text; between two parts goes `separator`.
class PromptWriter {
 public:
  explicit PromptWriter(RequestFacts& facts);
  ~PromptWriter();
  PromptWriter(const PromptWriter&) = delete;
  PromptWriter& operator=(const PromptWriter&) = delete;
  void append(const JsonValue& text, std::string_view separator = {});

 private:
  RequestFacts& facts_;
  CappedText text_;
};

// The API's own facts from what was found. REQUIRES: the whole body was checked.
void read_messages_request(const RequestMembers& members, RequestFacts& facts);
void read_chat_request(const RequestMembers& members, std::string_view body, RequestFacts& facts);
void read_responses_request(const RequestMembers& members, RequestFacts& facts);

}  // namespace weir::reader
