// Anthropic Messages: what is read from an answer (spec sections 5 and 8).
#include "reader/answer_facts.h"

namespace weir::reader {
namespace {

void read_usage(const JsonValue& usage, AnswerFacts& facts) {
  JsonValue input, output, cache_read, cache_write, by_age, server_tools;
  if (!read_members(usage, {{"input_tokens", &input},
                            {"output_tokens", &output},
                            {"cache_read_input_tokens", &cache_read},
                            {"cache_creation_input_tokens", &cache_write},
                            {"cache_creation", &by_age},
                            {"server_tool_use", &server_tools}})) {
    return;
  }
  facts.usage.reported = true;
  set_count(facts.usage.input, input);
  set_count(facts.usage.output, output);
  set_count(facts.usage.cache_read, cache_read);
  set_count(facts.usage.cache_write, cache_write);
  JsonValue five_minutes, one_hour, searches;
  read_members(by_age, {{"ephemeral_5m_input_tokens", &five_minutes}, {"ephemeral_1h_input_tokens", &one_hour}});
  set_count(facts.usage[ExtraCount::cache_write_5m], five_minutes);
  set_count(facts.usage[ExtraCount::cache_write_1h], one_hour);
  read_members(server_tools, {{"web_search_requests", &searches}});
  set_count(facts.usage[ExtraCount::web_search_requests], searches);
}

// A block as it starts in a stream, or whole. Blocks of other types (text, server_tool_use, mcp_tool_use, redacted
// thinking) bear nothing.
Fact* start_block(const JsonValue& block, AnswerFacts& facts) {
  JsonValue type, id, name, input, thinking;
  if (!read_members(block,
                    {{"type", &type}, {"id", &id}, {"name", &name}, {"input", &input}, {"thinking", &thinking}})) {
    return nullptr;
  }
  Fact* fact = nullptr;
  if (type.is_text("tool_use")) {
    fact = facts.add(Fact::Kind::tool);
    if (fact == nullptr) return nullptr;
    facts.assign(fact->id, id);
    facts.assign(fact->name, name);
    if (has_members(input)) facts.append(*fact, input);
    fact->provisional = true;
  } else if (type.is_text("thinking")) {
    fact = facts.add(Fact::Kind::thought);
    if (fact == nullptr) return nullptr;
    fact->source = "thinking";
    if (thinking.is_string()) facts.append(*fact, thinking);
  }
  return fact;
}

void read_block_start(const JsonValue& index, const JsonValue& block, AnswerFacts& facts) {
  const uint64_t at = count_of(index);
  // A block that starts under the index of another has ended it.
  if (Fact* const earlier = facts.newest([at](const Fact& fact) { return fact.index == at; })) earlier->whole = true;
  if (Fact* const fact = start_block(block, facts)) fact->index = at;
}

void read_block_delta(std::string_view data, const JsonValue& index, const JsonValue& delta, AnswerFacts& facts,
                      Skeleton* skeleton) {
  JsonValue type, text, partial_json, thinking;
  if (!read_members(delta,
                    {{"type", &type}, {"text", &text}, {"partial_json", &partial_json}, {"thinking", &thinking}})) {
    return;
  }
  if (type.is_text("text_delta")) {
    if (skeleton != nullptr) skeleton->learn(data, {text});
    return;
  }
  const bool of_tool = type.is_text("input_json_delta");
  const JsonValue& more = of_tool ? partial_json : thinking;
  if ((!of_tool && !type.is_text("thinking_delta")) || !more.has_text()) return;
  const uint64_t at = count_of(index);
  Fact* const fact = facts.newest([at](const Fact& one) { return one.index == at && !one.whole; });
  if (fact == nullptr || (fact->kind == Fact::Kind::tool) != of_tool) return;
  if (fact->provisional) fact->text.clear();
  fact->provisional = false;
  facts.append(*fact, more);
}

}  // namespace

bool read_messages_event(const wire::SseEvent& event, AnswerFacts& facts, Skeleton& skeleton) {
  JsonValue type_member, index, message, block, delta, usage, error;
  if (!read_members(event.data, {{"type", &type_member},
                                 {"index", &index},
                                 {"message", &message},
                                 {"content_block", &block},
                                 {"delta", &delta},
                                 {"usage", &usage},
                                 {"error", &error}})) {
    return is_json(event.data);
  }
  char room[64];
  const std::string_view type = type_member.is_string() ? type_member.short_text(room) : event.name;
  if (type == "content_block_delta") {
    // Without a type of its own the event is told by its name, which a skeleton does not see.
    read_block_delta(event.data, index, delta, facts, type_member.is_string() ? &skeleton : nullptr);
  } else if (type == "content_block_start") {
    read_block_start(index, block, facts);
  } else if (type == "content_block_stop") {
    const uint64_t at = count_of(index);
    if (Fact* const fact = facts.newest([at](const Fact& one) { return one.index == at; })) fact->whole = true;
  } else if (type == "message_start") {
    JsonValue id, first_usage;
    if (!read_members(message, {{"id", &id}, {"usage", &first_usage}})) return true;
    facts.set_response_id(id);
    read_usage(first_usage, facts);
  } else if (type == "message_delta") {
    read_usage(usage, facts);
  } else if (type == "message_stop") {
    facts.message_ended = facts.stream_ended = true;
  } else if (type == "error") {
    facts.set_error(error);
    facts.stream_ended = true;
  }
  return true;
}

bool read_messages_body(std::string_view body, AnswerFacts& facts) {
  JsonValue type, id, content, usage, error;
  if (!read_members(body,
                    {{"type", &type}, {"id", &id}, {"content", &content}, {"usage", &usage}, {"error", &error}})) {
    return false;
  }
  if (type.is_text("error")) {
    facts.set_error(error);
    return true;
  }
  facts.set_response_id(id);
  read_usage(usage, facts);
  JsonElements blocks(content);
  for (JsonValue block; blocks.next(block);) start_block(block, facts);
  return true;
}

}  // namespace weir::reader
