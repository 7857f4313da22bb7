// Chat Completions: what is read from a request, and where usage is asked for (spec sections 4, 5 and 8).
#include "reader/request_parts.h"

namespace weir::reader {
namespace {

// The place after the last member of an object that is at the end of `text` (white space may follow), or after its
// brace if it has none; `empty` says which. REQUIRES: checked.
size_t after_last_member(std::string_view text, bool& empty) {
  constexpr std::string_view space = " \t\r\n";
  const size_t brace = text.find_last_of('}');
  const size_t last = text.find_last_not_of(space, brace - 1);
  empty = text[last] == '{';
  return last + 1;
}

// A client that asked for no usage gets one insertion: into the object that is there, or as a new last member. A later
// duplicate of a key wins, so `false` or null need not be taken out.
void ask_for_usage(const RequestMembers& members, std::string_view body, RequestFacts& facts) {
  const JsonValue& options = members.stream_options;
  JsonValue include_usage;
  bool empty;
  switch (options.kind) {
    case JsonKind::object:
      // Options too deep to be read are not edited either.
      if (!read_members(options.raw, {{"include_usage", &include_usage}})) return;
      if (include_usage.is(JsonKind::boolean_true)) return;
      facts.insert_offset =
          static_cast<size_t>(options.raw.data() - body.data()) + after_last_member(options.raw, empty);
      facts.insert_text = empty ? R"("include_usage":true)" : R"(,"include_usage":true)";
      break;
    case JsonKind::none:
    case JsonKind::null:
      facts.insert_offset = after_last_member(body, empty);
      facts.insert_text = R"(,"stream_options":{"include_usage":true})";
      break;
    case JsonKind::array:
    case JsonKind::string:
    case JsonKind::number:
    case JsonKind::boolean_true:
    case JsonKind::boolean_false:
      return;  // the provider refuses it: as it came
  }
  facts.insert_usage = true;
}

}  // namespace

void read_chat_request(const RequestMembers& members, std::string_view body, RequestFacts& facts) {
  if (facts.streaming) ask_for_usage(members, body, facts);
  const Turn& last = members.last;
  if (last.role.is_text("tool") && last.call_id.is_string()) {
    assign_unescaped(last.call_id.raw, facts.correlating_tool_call_id);
  }
  if (!last.role.is_text("user")) return;
  if (last.content.is_string()) PromptWriter(facts).append(last.content);

  JsonValue found, type, text;
  JsonElements parts(last.content);
  while (parts.next_members({{"type", &type}, {"text", &text}})) {
    if (type.is_text("text") && text.is_string()) found = text;
  }
  if (found.is_string()) PromptWriter(facts).append(found);
}

}  // namespace weir::reader
