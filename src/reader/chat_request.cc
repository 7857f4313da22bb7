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

struct Edit {
  size_t offset = 0, replaced_size = 0;
  std::string_view text;
};

void set_edit(const Edit& edit, RequestFacts& facts) {
  facts.insert_usage = true;
  facts.insert_offset = edit.offset;
  facts.replaced_size = edit.replaced_size;
  facts.insert_text = edit.text;
}

// Sets `include_usage` in the object `options`, which stands at `place` of the body: its value is replaced where it
// stands, further members of the name give way, and without any it is added.
void edit_options(std::string_view options, size_t place, RequestFacts& facts) {
  JsonReader reader(options);
  reader.peek();
  reader.enter();
  size_t count = 0, begin = 0, end = 0;
  std::string text = "true";
  std::string_view key;
  for (size_t member_end = reader.offset(); reader.next_member(key); member_end = reader.offset()) {
    const bool wanted = key == "include_usage";
    reader.peek();
    const size_t value_offset = reader.offset();
    reader.value();
    if (wanted && count++ == 0) {
      begin = value_offset;
      end = reader.offset();
    } else if (wanted) {
      // What is between the first and this one stays, and this one goes with its comma.
      text += options.substr(end, member_end - end);
      end = reader.offset();
    }
  }
  if (count > 0) return set_edit({.offset = place + begin, .replaced_size = end - begin, .text = text}, facts);
  bool empty;
  const size_t offset = place + after_last_member(options, empty);
  set_edit({.offset = offset, .text = empty ? R"("include_usage":true)" : R"(,"include_usage":true)"}, facts);
}

// A client that asked for no usage gets one edit: of the value that is there, or a new last member. No member is
// written twice: strict parsers refuse that.
void ask_for_usage(const RequestMembers& members, std::string_view body, RequestFacts& facts) {
  const JsonValue& options = members.stream_options;
  const size_t place = options.is(JsonKind::none) ? 0 : static_cast<size_t>(options.raw.data() - body.data());
  JsonValue include_usage;
  bool empty;
  switch (options.kind) {
    case JsonKind::object:
      // Options too deep to be read are not edited either.
      if (!read_members(options.raw, {{"include_usage", &include_usage}})) return;
      if (!include_usage.is(JsonKind::boolean_true)) edit_options(options.raw, place, facts);
      return;
    case JsonKind::null:
      set_edit({.offset = place, .replaced_size = options.raw.size(), .text = R"({"include_usage":true})"}, facts);
      return;
    case JsonKind::none:
      set_edit({.offset = after_last_member(body, empty), .text = R"(,"stream_options":{"include_usage":true})"},
               facts);
      return;
    case JsonKind::array:
    case JsonKind::string:
    case JsonKind::number:
    case JsonKind::boolean_true:
    case JsonKind::boolean_false:
      return;  // the provider refuses it: as it came
  }
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
