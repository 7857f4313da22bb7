// Responses: what is read from a request (spec sections 5 and 8).
#include <optional>

#include "reader/request_parts.h"

namespace weir::reader {

void read_responses_request(const RequestMembers& members, RequestFacts& facts) {
  if (members.input.is_string()) return PromptWriter(facts).append(members.input);
  const Turn& last = members.last;
  if ((last.type.is_text("function_call_output") || last.type.is_text("custom_tool_call_output")) &&
      last.call_id.is_string()) {
    assign_unescaped(last.call_id.raw, facts.correlating_tool_call_id);
  }
  const bool is_message = last.type.is(JsonKind::none) || last.type.is_text("message");
  if (!is_message || !last.role.is_text("user")) return;
  if (last.content.is_string()) return PromptWriter(facts).append(last.content);

  std::optional<PromptWriter> prompt;
  JsonElements parts(last.content);
  JsonValue type, text;
  while (parts.next_members({{"type", &type}, {"text", &text}})) {
    if (!type.is_text("input_text") || !text.is_string()) continue;
    const bool first = !prompt.has_value();
    if (first) prompt.emplace(facts);
    prompt->append(text, first ? "" : "\n");
  }
}

}  // namespace weir::reader
