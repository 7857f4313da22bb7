// Chat Completions: what is read from an answer (spec sections 5 and 8).
#include "reader/answer_facts.h"
#include "reader/done_mark.h"

namespace weir::reader {
namespace {

// What one walk over an event or a body finds. What is inside of choices is of the first, and nearly always only, one.
struct ChatFound {
  JsonValue id, created, choices, usage, error, obfuscation;
  bool several_choices = false;
  JsonValue index, delta, message, finish_reason;
  JsonValue delta_content, delta_reasoning, delta_calls;
  JsonValue message_content, message_reasoning, message_calls;
  JsonValue input, output, input_details, output_details;
  JsonValue cached, input_audio, reasoning_tokens, output_audio, accepted, rejected;
};
using ChatField = Field<ChatFound>;

constexpr ChatField kDelta[] = {{"content", &ChatFound::delta_content},
                                {"reasoning_content", &ChatFound::delta_reasoning},
                                {"tool_calls", &ChatFound::delta_calls}};
constexpr ChatField kMessage[] = {{"content", &ChatFound::message_content},
                                  {"reasoning_content", &ChatFound::message_reasoning},
                                  {"tool_calls", &ChatFound::message_calls}};
constexpr ChatField kChoice[] = {{"index", &ChatFound::index},
                                 {"delta", &ChatFound::delta, kDelta},
                                 {"message", &ChatFound::message, kMessage},
                                 {"finish_reason", &ChatFound::finish_reason}};
constexpr ChatField kInputDetails[] = {{"cached_tokens", &ChatFound::cached},
                                       {"audio_tokens", &ChatFound::input_audio}};
constexpr ChatField kOutputDetails[] = {{"reasoning_tokens", &ChatFound::reasoning_tokens},
                                        {"audio_tokens", &ChatFound::output_audio},
                                        {"accepted_prediction_tokens", &ChatFound::accepted},
                                        {"rejected_prediction_tokens", &ChatFound::rejected}};
constexpr ChatField kUsage[] = {{"prompt_tokens", &ChatFound::input},
                                {"completion_tokens", &ChatFound::output},
                                {"prompt_tokens_details", &ChatFound::input_details, kInputDetails},
                                {"completion_tokens_details", &ChatFound::output_details, kOutputDetails}};
constexpr ChatField kAnswer[] = {{"id", &ChatFound::id},
                                 {"created", &ChatFound::created},
                                 {"choices", &ChatFound::choices, kChoice, &ChatFound::several_choices},
                                 {"usage", &ChatFound::usage, kUsage},
                                 {"error", &ChatFound::error},
                                 {"obfuscation", &ChatFound::obfuscation}};

void take_usage(const ChatFound& found, AnswerFacts& facts) {
  if (!found.usage.is_object()) return;
  facts.usage.reported = true;
  set_count(facts.usage.input, found.input);
  set_count(facts.usage.output, found.output);
  set_count(facts.usage.cache_read, found.cached);
  set_count(facts.usage[ExtraCount::input_audio], found.input_audio);
  set_count(facts.usage[ExtraCount::reasoning], found.reasoning_tokens);
  set_count(facts.usage[ExtraCount::output_audio], found.output_audio);
  set_count(facts.usage[ExtraCount::accepted_prediction], found.accepted);
  set_count(facts.usage[ExtraCount::rejected_prediction], found.rejected);
}

// Whether a call that goes on at an index is another one: some providers give every call the index 0, and only the id
// tells them apart.
bool is_other_call(const Fact& fact, const JsonValue& id) {
  if (fact.id.empty() || !id.has_text()) return false;
  std::string given;
  assign_unescaped(id.raw, given);
  return given != fact.id;
}

void read_tool_call(uint64_t choice, const JsonValue& call, uint64_t position, AnswerFacts& facts) {
  JsonValue index, id, function, custom;
  if (!read_members(call, {{"index", &index}, {"id", &id}, {"function", &function}, {"custom", &custom}})) {
    return;
  }
  const uint64_t at = index.is(JsonKind::number) ? count_of(index) : position;
  Fact* fact = facts.newest(
      [&](const Fact& one) { return one.kind == Fact::Kind::tool && one.choice == choice && one.index == at; });
  if (fact == nullptr || is_other_call(*fact, id)) {
    fact = facts.add(Fact::Kind::tool);
    if (fact == nullptr) return;
    fact->choice = choice;
    fact->index = at;
  }
  JsonValue name, arguments;
  if (function.is_object()) {
    read_members(function, {{"name", &name}, {"arguments", &arguments}});
  } else if (custom.is_object()) {
    read_members(custom, {{"name", &name}, {"input", &arguments}});
  }
  if (fact->id.empty()) facts.assign(fact->id, id);
  if (fact->name.empty()) facts.assign(fact->name, name);
  facts.append(*fact, arguments);
}

void read_reasoning(uint64_t choice, const JsonValue& text, AnswerFacts& facts) {
  if (!text.has_text()) return;
  Fact* fact =
      facts.newest([choice](const Fact& one) { return one.kind == Fact::Kind::thought && one.choice == choice; });
  if (fact == nullptr) fact = facts.add(Fact::Kind::thought);
  if (fact == nullptr) return;
  fact->choice = choice;
  fact->source = "thinking";
  facts.append(*fact, text);
}

// The reasoning of a choice has ended when its answer begins; its tool calls end with it.
void end_choice(uint64_t choice, bool tools_too, AnswerFacts& facts) {
  facts.for_each([&](Fact& fact) {
    if (fact.choice == choice && (tools_too || fact.kind == Fact::Kind::thought)) fact.whole = true;
  });
}

struct ChoiceTaken {
  JsonValue content;
  bool bears = false;  // something that is recorded
};

ChoiceTaken take_choice(const ChatFound& found, AnswerFacts& facts) {
  const uint64_t number = count_of(found.index);
  const bool is_delta = found.delta.is_object();
  const JsonValue& content = is_delta ? found.delta_content : found.message_content;
  const JsonValue& reasoning = is_delta ? found.delta_reasoning : found.message_reasoning;
  read_reasoning(number, reasoning, facts);
  JsonElements each_call(is_delta ? found.delta_calls : found.message_calls);
  uint64_t position = 0;
  for (JsonValue call; each_call.next(call); ++position) read_tool_call(number, call, position, facts);
  // Some providers say "" of a choice that goes on.
  const bool finished = found.finish_reason.has_text();
  if (finished) {
    facts.choices.end(number);
    end_choice(number, true, facts);
  } else if (content.has_text() || position > 0) {
    end_choice(number, false, facts);
  }
  if (is_delta || found.message.is_object()) facts.choices.begin(number);
  return {.content = content, .bears = reasoning.has_text() || position > 0 || finished};
}

// How many choices there are; `first` is what the first one said.
size_t take_choices(const ChatFound& found, AnswerFacts& facts, ChoiceTaken& first) {
  if (!found.choices.is_array()) return 0;
  if (!found.several_choices) {
    first = take_choice(found, facts);
    return 1;
  }
  JsonElements each_choice(found.choices);
  size_t count = 0;
  for (ChatFound one; each_choice.next_fields(kChoice, one); ++count, one = {}) {
    const ChoiceTaken taken = take_choice(one, facts);
    if (count == 0) first = taken;
  }
  return count;
}

// The API's own errors are an object under `error`; an event that is named so may be the object itself.
bool read_error_event(std::string_view data, AnswerFacts& facts) {
  facts.failed = facts.stream_ended = true;
  JsonValue error;
  if (!read_members(data, {{"error", &error}})) return is_json(data);
  facts.set_error(error.is(JsonKind::none) ? JsonValue{JsonKind::object, data} : error);
  return true;
}

// False: it is not JSON that can be read.
bool read_chunk(std::string_view data, AnswerFacts& facts, Skeleton& skeleton) {
  ChatFound found;
  if (!read_fields(data, kAnswer, found)) return is_json(data);
  facts.set_response_id(found.id);
  take_usage(found, facts);
  if (found.error.is_object() || found.error.has_text()) {
    facts.set_error(found.error);
    facts.stream_ended = true;
    return true;
  }
  ChoiceTaken first;
  const size_t count = take_choices(found, facts, first);
  if (count == 1 && !first.bears && first.content.has_text() && !found.usage.is_object()) {
    skeleton.learn(data, {found.created, first.content, found.obfuscation});
  }
  return true;
}

void end_message(AnswerFacts& facts) {
  facts.message_ended = facts.stream_ended = true;
}

}  // namespace

bool read_chat_event(const wire::SseEvent& event, AnswerFacts& facts, Skeleton& skeleton) {
  if (is_done_mark(event.data)) {
    end_message(facts);
    return true;
  }
  if (event.name == "error") return read_error_event(event.data, facts);
  if (read_chunk(event.data, facts, skeleton)) return true;
  std::string_view chunk = event.data;
  if (!take_done_mark(chunk)) return false;
  const bool right = read_chunk(chunk, facts, skeleton);
  end_message(facts);
  return right;
}

bool read_chat_body(std::string_view body, AnswerFacts& facts) {
  ChatFound found;
  if (!read_fields(body, kAnswer, found)) return false;
  if (found.error.is_object() || found.error.has_text()) facts.set_error(found.error);
  facts.set_response_id(found.id);
  take_usage(found, facts);
  ChoiceTaken first;
  take_choices(found, facts, first);
  return true;
}

}  // namespace weir::reader
