// Chat Completions: what is read from an answer (spec sections 5 and 8).
#include "reader/answer_facts.h"

namespace weir::reader {
namespace {

void read_usage(const JsonValue& usage, AnswerFacts& facts) {
  JsonValue input, output, input_details, output_details;
  if (!read_members(usage, {{"prompt_tokens", &input},
                            {"completion_tokens", &output},
                            {"prompt_tokens_details", &input_details},
                            {"completion_tokens_details", &output_details}})) {
    return;
  }
  facts.usage.reported = true;
  set_count(facts.usage.input, input);
  set_count(facts.usage.output, output);
  JsonValue cached, input_audio, reasoning, output_audio, accepted, rejected;
  read_members(input_details, {{"cached_tokens", &cached}, {"audio_tokens", &input_audio}});
  read_members(output_details, {{"reasoning_tokens", &reasoning},
                                {"audio_tokens", &output_audio},
                                {"accepted_prediction_tokens", &accepted},
                                {"rejected_prediction_tokens", &rejected}});
  set_count(facts.usage.cache_read, cached);
  set_count(facts.usage[ExtraCount::input_audio], input_audio);
  set_count(facts.usage[ExtraCount::reasoning], reasoning);
  set_count(facts.usage[ExtraCount::output_audio], output_audio);
  set_count(facts.usage[ExtraCount::accepted_prediction], accepted);
  set_count(facts.usage[ExtraCount::rejected_prediction], rejected);
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

struct ChoiceFound {
  JsonValue content;
  bool bears = false;  // something that is recorded
};

ChoiceFound read_choice(const JsonValue& choice, AnswerFacts& facts) {
  JsonValue index, delta, message, finish_reason;
  ChoiceFound found;
  if (!read_members(choice,
                    {{"index", &index}, {"delta", &delta}, {"message", &message}, {"finish_reason", &finish_reason}})) {
    return found;
  }
  const uint64_t number = count_of(index);
  JsonValue reasoning, calls;
  read_members(delta.is_object() ? delta : message,
               {{"content", &found.content}, {"reasoning_content", &reasoning}, {"tool_calls", &calls}});
  read_reasoning(number, reasoning, facts);
  JsonElements each_call(calls);
  uint64_t position = 0;
  for (JsonValue call; each_call.next(call); ++position) read_tool_call(number, call, position, facts);
  if (finish_reason.is_string()) {
    end_choice(number, true, facts);
  } else if (found.content.has_text() || position > 0) {
    end_choice(number, false, facts);
  }
  found.bears = reasoning.has_text() || position > 0 || finish_reason.is_string();
  return found;
}

// The API's own errors are an object under `error`; an event that is named so may be the object itself.
bool read_error_event(std::string_view data, AnswerFacts& facts) {
  facts.failed = facts.stream_ended = true;
  JsonValue error;
  if (!read_members(data, {{"error", &error}})) return is_json(data);
  facts.set_error(error.is(JsonKind::none) ? JsonValue{JsonKind::object, data} : error);
  return true;
}

}  // namespace

bool read_chat_event(const wire::SseEvent& event, AnswerFacts& facts, Skeleton& skeleton) {
  if (event.data == "[DONE]") {
    facts.message_ended = facts.stream_ended = true;
    return true;
  }
  if (event.name == "error") return read_error_event(event.data, facts);
  JsonValue id, created, choices, usage, error, obfuscation;
  if (!read_members(event.data, {{"id", &id},
                                 {"created", &created},
                                 {"choices", &choices},
                                 {"usage", &usage},
                                 {"error", &error},
                                 {"obfuscation", &obfuscation}})) {
    return is_json(event.data);
  }
  facts.set_response_id(id);
  read_usage(usage, facts);
  if (error.is_object() || error.has_text()) {
    facts.set_error(error);
    facts.stream_ended = true;
    return true;
  }
  ChoiceFound first;
  size_t count = 0;
  JsonElements each_choice(choices);
  for (JsonValue choice; each_choice.next(choice); ++count) {
    const ChoiceFound found = read_choice(choice, facts);
    if (count == 0) first = found;
  }
  if (count == 1 && !first.bears && first.content.has_text() && !usage.is_object()) {
    skeleton.learn(event.data, {created, first.content, obfuscation});
  }
  return true;
}

bool read_chat_body(std::string_view body, AnswerFacts& facts) {
  JsonValue id, choices, usage, error;
  if (!read_members(body, {{"id", &id}, {"choices", &choices}, {"usage", &usage}, {"error", &error}})) return false;
  if (error.is_object() || error.has_text()) facts.set_error(error);
  facts.set_response_id(id);
  read_usage(usage, facts);
  JsonElements each_choice(choices);
  for (JsonValue choice; each_choice.next(choice);) read_choice(choice, facts);
  return true;
}

}  // namespace weir::reader
