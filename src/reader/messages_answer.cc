// Anthropic Messages: what is read from an answer (spec sections 5 and 8).
#include "reader/answer_facts.h"

namespace weir::reader {
namespace {

struct UsageFound {
  JsonValue input, output, cache_read, cache_write, by_age, server_tools;
  JsonValue five_minutes, one_hour, searches;
};
constexpr Field<UsageFound> kByAge[] = {{"ephemeral_5m_input_tokens", &UsageFound::five_minutes},
                                        {"ephemeral_1h_input_tokens", &UsageFound::one_hour}};
constexpr Field<UsageFound> kServerTools[] = {{"web_search_requests", &UsageFound::searches}};
constexpr Field<UsageFound> kUsage[] = {{"input_tokens", &UsageFound::input},
                                        {"output_tokens", &UsageFound::output},
                                        {"cache_read_input_tokens", &UsageFound::cache_read},
                                        {"cache_creation_input_tokens", &UsageFound::cache_write},
                                        {"cache_creation", &UsageFound::by_age, kByAge},
                                        {"server_tool_use", &UsageFound::server_tools, kServerTools}};

void read_usage(const JsonValue& usage, AnswerFacts& facts) {
  UsageFound found;
  if (!usage.is_object() || !read_fields(usage.raw, kUsage, found)) return;
  facts.usage.reported = true;
  set_count(facts.usage.input, found.input);
  set_count(facts.usage.output, found.output);
  set_count(facts.usage.cache_read, found.cache_read);
  set_count(facts.usage.cache_write, found.cache_write);
  set_count(facts.usage[ExtraCount::cache_write_5m], found.five_minutes);
  set_count(facts.usage[ExtraCount::cache_write_1h], found.one_hour);
  set_count(facts.usage[ExtraCount::web_search_requests], found.searches);
}

struct BlockFound {
  JsonValue type, id, name, input, thinking;
};
constexpr Field<BlockFound> kBlock[] = {{"type", &BlockFound::type},
                                        {"id", &BlockFound::id},
                                        {"name", &BlockFound::name},
                                        {"input", &BlockFound::input},
                                        {"thinking", &BlockFound::thinking}};

// A block as it starts in a stream, or whole. Blocks of other types (text, server_tool_use, mcp_tool_use, redacted
// thinking) bear nothing.
Fact* start_block(const BlockFound& block, AnswerFacts& facts) {
  Fact* fact = nullptr;
  if (block.type.is_text("tool_use")) {
    fact = facts.add(Fact::Kind::tool);
    if (fact == nullptr) return nullptr;
    facts.assign(fact->id, block.id);
    facts.assign(fact->name, block.name);
    if (has_members(block.input)) facts.append(*fact, block.input);
    fact->provisional = true;
  } else if (block.type.is_text("thinking")) {
    fact = facts.add(Fact::Kind::thought);
    if (fact == nullptr) return nullptr;
    fact->source = "thinking";
    if (block.thinking.is_string()) facts.append(*fact, block.thinking);
  }
  return fact;
}

void read_block_start(const JsonValue& index, const JsonValue& block, AnswerFacts& facts) {
  const uint64_t at = count_of(index);
  // A block that starts under the index of another has ended it.
  if (Fact* const earlier = facts.newest([at](const Fact& fact) { return fact.index == at; })) earlier->whole = true;
  BlockFound found;
  if (!block.is_object() || !read_fields(block.raw, kBlock, found)) return;
  if (Fact* const fact = start_block(found, facts)) fact->index = at;
}

// What one walk over an event finds. Usage and blocks come rarely, and are walked again.
struct EventFound {
  JsonValue type, index, message, block, delta, usage, error;
  JsonValue delta_type, text, partial_json, thinking;
};
constexpr Field<EventFound> kDelta[] = {{"type", &EventFound::delta_type},
                                        {"text", &EventFound::text},
                                        {"partial_json", &EventFound::partial_json},
                                        {"thinking", &EventFound::thinking}};
constexpr Field<EventFound> kEvent[] = {{"type", &EventFound::type},           {"index", &EventFound::index},
                                        {"message", &EventFound::message},     {"content_block", &EventFound::block},
                                        {"delta", &EventFound::delta, kDelta}, {"usage", &EventFound::usage},
                                        {"error", &EventFound::error}};

void take_block_delta(std::string_view data, const EventFound& event, AnswerFacts& facts, Skeleton* skeleton) {
  if (!event.delta.is_object()) return;
  if (event.delta_type.is_text("text_delta")) {
    if (skeleton != nullptr) skeleton->learn(data, {event.text});
    return;
  }
  const bool of_tool = event.delta_type.is_text("input_json_delta");
  const JsonValue& more = of_tool ? event.partial_json : event.thinking;
  if ((!of_tool && !event.delta_type.is_text("thinking_delta")) || !more.has_text()) return;
  const uint64_t at = count_of(event.index);
  Fact* const fact = facts.newest([at](const Fact& one) { return one.index == at && !one.whole; });
  if (fact == nullptr || (fact->kind == Fact::Kind::tool) != of_tool) return;
  if (fact->provisional) fact->text.clear();
  fact->provisional = false;
  facts.append(*fact, more);
}

}  // namespace

bool read_messages_event(const wire::SseEvent& event, AnswerFacts& facts, Skeleton& skeleton) {
  EventFound found;
  if (!read_fields(event.data, kEvent, found)) return is_json(event.data);
  char room[64];
  const std::string_view type = found.type.is_string() ? found.type.short_text(room) : event.name;
  if (type == "content_block_delta") {
    // Without a type of its own the event is told by its name, which a skeleton does not see.
    take_block_delta(event.data, found, facts, found.type.is_string() ? &skeleton : nullptr);
  } else if (type == "content_block_start") {
    read_block_start(found.index, found.block, facts);
  } else if (type == "content_block_stop") {
    const uint64_t at = count_of(found.index);
    if (Fact* const fact = facts.newest([at](const Fact& one) { return one.index == at; })) fact->whole = true;
  } else if (type == "message_start") {
    JsonValue id, first_usage;
    if (!read_members(found.message, {{"id", &id}, {"usage", &first_usage}})) return true;
    facts.set_response_id(id);
    read_usage(first_usage, facts);
  } else if (type == "message_delta") {
    read_usage(found.usage, facts);
  } else if (type == "message_stop") {
    facts.message_ended = facts.stream_ended = true;
  } else if (type == "error") {
    facts.set_error(found.error);
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
  for (BlockFound block; blocks.next_fields(kBlock, block); block = {}) start_block(block, facts);
  return true;
}

}  // namespace weir::reader
