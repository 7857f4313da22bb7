// Anthropic Messages: what is read from a request (spec sections 5 and 8).
#include "reader/request_parts.h"

namespace weir::reader {
namespace {

// Claude Code puts its session into metadata.user_id: as JSON in a string, or, earlier, in
// "user_<hash>_account_<uuid>_session_<uuid>".
void read_session(const JsonValue& metadata, RequestFacts& facts) {
  JsonValue user_id, session_id;
  if (!read_members(metadata, {{"user_id", &user_id}}) || !user_id.is_string()) return;
  std::string& session = facts.metadata_session_id;
  assign_unescaped(user_id.raw, session);
  if (read_members(session, {{"session_id", &session_id}}) && session_id.is_string()) {
    char room[64];
    session.assign(session_id.short_text(room));  // a part of itself, mostly
    return trim(session);
  }
  constexpr std::string_view mark = "_session_";
  const size_t at = session.find(mark);
  if (at == session.npos) return session.clear();
  session.erase(0, at + mark.size());
  trim(session);
}

}  // namespace

void read_messages_request(const RequestMembers& members, RequestFacts& facts) {
  read_session(members.metadata, facts);
  const Turn& last = members.last;
  const bool of_user = last.role.is_text("user");
  if (last.content.is_string() && of_user) PromptWriter(facts).append(last.content);

  JsonValue text_found, result_found, type, text, tool_use_id;
  JsonElements blocks(last.content);
  while (blocks.next_members({{"type", &type}, {"text", &text}, {"tool_use_id", &tool_use_id}})) {
    if (type.is_text("text") && text.is_string()) text_found = text;
    if (type.is_text("tool_result") && tool_use_id.is_string()) result_found = tool_use_id;
  }
  if (text_found.is_string() && of_user) PromptWriter(facts).append(text_found);
  if (result_found.is_string()) assign_unescaped(result_found.raw, facts.correlating_tool_call_id);
}

}  // namespace weir::reader
