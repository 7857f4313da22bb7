// Responses: what is read from an answer (spec sections 5 and 8).
#include "reader/answer_facts.h"

namespace weir::reader {
namespace {

void read_usage(const JsonValue& usage, AnswerFacts& facts) {
  JsonValue input, output, input_details, output_details;
  if (!read_members(usage, {{"input_tokens", &input},
                            {"output_tokens", &output},
                            {"input_tokens_details", &input_details},
                            {"output_tokens_details", &output_details}})) {
    return;
  }
  facts.usage.reported = true;
  JsonValue cached, reasoning;
  read_members(input_details, {{"cached_tokens", &cached}});
  read_members(output_details, {{"reasoning_tokens", &reasoning}});
  set_count(facts.usage.input, input);
  set_count(facts.usage.output, output);
  set_count(facts.usage.cache_read, cached);
  set_count(facts.usage[ExtraCount::reasoning], reasoning);
}

// Each text of an array of parts is a thought.
void read_thoughts(std::string_view source, std::string_view part_type, const JsonValue& parts, uint32_t order,
                   AnswerFacts& facts) {
  JsonElements each_part(parts);
  for (JsonValue part; each_part.next(part);) {
    JsonValue type, text;
    if (!read_members(part, {{"type", &type}, {"text", &text}})) continue;
    if (type.is(JsonKind::none) || type.is_text(part_type)) facts.add_thought(source, text, order);
  }
}

// An output item that is whole. Items of other types (web_search_call, mcp_call and the like) bear nothing.
void read_item(const JsonValue& item, uint32_t order, AnswerFacts& facts) {
  JsonValue type, call_id, name, arguments, input, summary, phase, role, content;
  if (!read_members(item, {{"type", &type},
                           {"call_id", &call_id},
                           {"name", &name},
                           {"arguments", &arguments},
                           {"input", &input},
                           {"summary", &summary},
                           {"phase", &phase},
                           {"role", &role},
                           {"content", &content}})) {
    return;
  }
  const bool is_function = type.is_text("function_call");
  if (is_function || type.is_text("custom_tool_call")) {
    Fact* const fact = facts.add(Fact::Kind::tool);
    if (fact == nullptr) return;
    fact->order = order;
    fact->whole = true;
    facts.assign(fact->id, call_id);
    facts.assign(fact->name, name);
    facts.append(*fact, is_function ? arguments : input);
  } else if (type.is_text("reasoning")) {
    read_thoughts("reasoning_summary", "summary_text", summary, order, facts);
  } else if (type.is_text("message") && phase.is_text("commentary") &&
             (role.is(JsonKind::none) || role.is_text("assistant"))) {
    read_thoughts("commentary", "output_text", content, order, facts);
  }
}

// The response object of a final event, or the body of an answer that is no stream. False: it is no object.
bool read_response(const JsonValue& response, bool final, AnswerFacts& facts) {
  JsonValue id, status, usage, output, error;
  if (!read_members(response,
                    {{"id", &id}, {"status", &status}, {"usage", &usage}, {"output", &output}, {"error", &error}})) {
    return false;
  }
  facts.set_response_id(id);
  if (!final) return true;
  read_usage(usage, facts);
  if (error.is_object() || error.has_text()) facts.set_error(error);
  facts.failed = facts.failed || status.is_text("failed");
  JsonElements items(output);
  bool first = true;
  for (JsonValue item; items.next(item); first = false) {
    if (first) facts.drop_all();
    read_item(item, facts.item_order({}), facts);
  }
  return true;
}

void read_error_event(const JsonValue& error, const JsonValue& code, const JsonValue& message, AnswerFacts& facts) {
  if (error.is_object()) {
    facts.set_error(error);
  } else {
    facts.set_error({}, code, message);
  }
  facts.stream_ended = true;
}

bool is_final(std::string_view type) {
  return type == "response.completed" || type == "response.incomplete" || type == "response.failed";
}

}  // namespace

bool read_responses_event(const wire::SseEvent& event, AnswerFacts& facts, Skeleton& skeleton) {
  if (event.data == "[DONE]") return true;  // some providers end with it after the last event
  JsonValue type_member, response, item, output_index, error, code, message, delta, sequence_number, obfuscation;
  if (!read_members(event.data, {{"type", &type_member},
                                 {"response", &response},
                                 {"item", &item},
                                 {"output_index", &output_index},
                                 {"error", &error},
                                 {"code", &code},
                                 {"message", &message},
                                 {"delta", &delta},
                                 {"sequence_number", &sequence_number},
                                 {"obfuscation", &obfuscation}})) {
    return is_json(event.data);
  }
  char room[64];
  const std::string_view type = type_member.is_string() ? type_member.short_text(room) : event.name;
  if (type == "response.output_item.added") {
    facts.item_order(output_index);
  } else if (type == "response.output_item.done") {
    const uint32_t order = facts.item_order(output_index);
    facts.for_each([order](Fact& fact) { fact.dropped = fact.dropped || fact.order == order; });
    read_item(item, order, facts);
  } else if (type == "error") {
    read_error_event(error, code, message, facts);
  } else if (is_final(type)) {
    read_response(response, true, facts);
    facts.failed = facts.failed || type == "response.failed";
    facts.message_ended = facts.stream_ended = true;
  } else if (response.is_object() && facts.response_id.empty()) {
    // Long events (they repeat the request's tools and instructions), of which the id is all that counts.
    read_response(response, false, facts);
  } else if (type_member.is_string() && type.ends_with(".delta")) {
    skeleton.learn(event.data, {delta, sequence_number, obfuscation});
  }
  return true;
}

void read_unheld_responses_event(std::string_view name, AnswerFacts& facts) {
  if (!is_final(name) && name != "error") return;
  facts.failed = facts.failed || name == "response.failed" || name == "error";
  facts.message_ended = facts.stream_ended = true;
}

bool read_responses_body(std::string_view body, AnswerFacts& facts) {
  return read_response({JsonKind::object, body}, true, facts);
}

}  // namespace weir::reader
