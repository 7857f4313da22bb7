// Responses: what is read from an answer (spec sections 5 and 8).
#include "reader/answer_facts.h"
#include "reader/done_mark.h"

namespace weir::reader {
namespace {

// What one walk over the response object finds.
struct ResponseFound {
  JsonValue id, status, usage, output, error;
  JsonValue input_tokens, output_tokens, input_details, output_details, cached, reasoning;
};
using ResponseField = Field<ResponseFound>;
constexpr ResponseField kInputDetails[] = {{"cached_tokens", &ResponseFound::cached}};
constexpr ResponseField kOutputDetails[] = {{"reasoning_tokens", &ResponseFound::reasoning}};
constexpr ResponseField kUsage[] = {{"input_tokens", &ResponseFound::input_tokens},
                                    {"output_tokens", &ResponseFound::output_tokens},
                                    {"input_tokens_details", &ResponseFound::input_details, kInputDetails},
                                    {"output_tokens_details", &ResponseFound::output_details, kOutputDetails}};
constexpr ResponseField kResponse[] = {{"id", &ResponseFound::id},
                                       {"status", &ResponseFound::status},
                                       {"usage", &ResponseFound::usage, kUsage},
                                       {"output", &ResponseFound::output},
                                       {"error", &ResponseFound::error}};

void take_usage(const ResponseFound& found, AnswerFacts& facts) {
  if (!found.usage.is_object()) return;
  facts.usage.reported = true;
  set_count(facts.usage.cache_read, found.cached);
  set_count(facts.usage.input, found.input_tokens);
  set_count(facts.usage.output, found.output_tokens);
  set_count(facts.usage[ExtraCount::reasoning], found.reasoning);
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

struct ItemFound {
  JsonValue type, call_id, name, arguments, input, summary, phase, role, content;
};
constexpr Field<ItemFound> kItem[] = {
    {"type", &ItemFound::type},           {"call_id", &ItemFound::call_id}, {"name", &ItemFound::name},
    {"arguments", &ItemFound::arguments}, {"input", &ItemFound::input},     {"summary", &ItemFound::summary},
    {"phase", &ItemFound::phase},         {"role", &ItemFound::role},       {"content", &ItemFound::content}};

// An output item that is whole. Items of other types (web_search_call, mcp_call and the like) bear nothing.
void take_item(const ItemFound& item, uint32_t order, AnswerFacts& facts) {
  const bool is_function = item.type.is_text("function_call");
  if (is_function || item.type.is_text("custom_tool_call")) {
    Fact* const fact = facts.add(Fact::Kind::tool);
    if (fact == nullptr) return;
    fact->order = order;
    fact->whole = true;
    facts.assign(fact->id, item.call_id);
    facts.assign(fact->name, item.name);
    facts.append(*fact, is_function ? item.arguments : item.input);
  } else if (item.type.is_text("reasoning")) {
    read_thoughts("reasoning_summary", "summary_text", item.summary, order, facts);
  } else if (item.type.is_text("message") && item.phase.is_text("commentary") &&
             (item.role.is(JsonKind::none) || item.role.is_text("assistant"))) {
    read_thoughts("commentary", "output_text", item.content, order, facts);
  }
}

// The response object of a final event, or the body of an answer that is no stream. False: it is no object.
bool read_response(const JsonValue& response, bool final, AnswerFacts& facts) {
  ResponseFound found;
  if (!response.is_object() || !read_fields(response.raw, kResponse, found)) return false;
  facts.set_response_id(found.id);
  if (!final) return true;
  take_usage(found, facts);
  if (found.error.is_object() || found.error.has_text()) facts.set_error(found.error);
  facts.failed = facts.failed || found.status.is_text("failed");
  JsonElements items(found.output);
  bool first = true;
  for (ItemFound item; items.next_fields(kItem, item); item = {}, first = false) {
    if (first) facts.drop_all();
    take_item(item, facts.item_order({}), facts);
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
  if (is_done_mark(event.data)) return true;  // some providers end with it after the last event
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
    ItemFound found;
    if (item.is_object() && read_fields(item.raw, kItem, found)) take_item(found, order, facts);
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
