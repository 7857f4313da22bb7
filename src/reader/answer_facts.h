// What was found in an answer so far, between answer.cc and the files of the APIs: the parts write, answer.cc gives it
// to the sink when the answer has ended. Recycled: reset() keeps the memory of ordinary answers, and what a hostile one
// can make it hold is bounded.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "reader/answer.h"
#include "reader/json.h"
#include "reader/skeleton.h"
#include "wire/sse.h"

namespace weir::reader {

// The counts that go into `extra`, named in answer_facts.cc.
enum class ExtraCount : uint8_t {
  cache_write_5m,
  cache_write_1h,
  web_search_requests,
  reasoning,
  input_audio,
  output_audio,
  accepted_prediction,
  rejected_prediction,
};
inline constexpr size_t kExtraCountMax = 8;

// Of each count the last reported value.
struct UsageCounts {
  bool reported = false;
  uint64_t input = 0, output = 0, cache_read = 0, cache_write = 0;
  std::array<uint64_t, kExtraCountMax> extra{};

  uint64_t& operator[](ExtraCount which) { return extra[static_cast<size_t>(which)]; }
};

// Sets `count` if a number was reported: null and absent leave what was known.
inline void set_count(uint64_t& count, const JsonValue& reported) {
  if (reported.is(JsonKind::number)) count = count_of(reported);
}

// A tool use or a thought that has started.
struct Fact {
  enum class Kind : uint8_t { tool, thought };
  Kind kind = Kind::tool;
  bool whole = false;        // its block or item has ended
  bool dropped = false;      // replaced by a later report
  bool provisional = false;  // the text is from the block's start, and gives way to deltas
  uint32_t order = 0;        // Responses: the place of its item
  uint64_t choice = 0;       // Chat
  uint64_t index = 0;        // of the block, or of the tool call
  std::string_view source;   // a thought's
  std::string id, name;      // a tool's
  CappedText text;           // arguments or content
};

// Which choices of a Chat stream have begun, and whether each has said why it finished.
class ChoiceSet {
 public:
  void clear() { *this = {}; }
  void begin(uint64_t number) {
    if (number >= kChoicesMax) {
      beyond_ = true;
    } else {
      begun_.set(number);
    }
  }
  void end(uint64_t number) {
    begin(number);
    if (number < kChoicesMax) ended_.set(number);
  }
  bool all_ended() const { return begun_.any() && !beyond_ && begun_ == ended_; }

 private:
  static constexpr uint64_t kChoicesMax = 128;  // as many as the API gives
  std::bitset<kChoicesMax> begun_, ended_;
  bool beyond_ = false;  // a number that the API does not give: it is not known to have ended
};

class AnswerFacts {
 public:
  AnswerFacts() = default;
  ~AnswerFacts() { give_back(); }
  AnswerFacts(const AnswerFacts&) = delete;
  AnswerFacts& operator=(const AnswerFacts&) = delete;

  void reset(const AnswerSettings& settings);
  // Gives the memory of tools and thoughts back; the rest stays until reset().
  void forget();

  // The next event, or the body. In each so many facts may be looked at: it can name a million of them by a few bytes
  // each, and every one is sought among all.
  void begin_part() { visits_ = 0; }
  // A new fact at the end; null if there is no room, or nobody wants its kind. Valid until the next add.
  Fact* add(Fact::Kind kind);
  // The newest fact for which `matches` is true, or null.
  template <class Matches>
  Fact* newest(Matches&& matches) {
    if (!may_visit()) return nullptr;
    for (size_t i = fact_count_; i-- > 0;) {
      if (!facts_[i].dropped && matches(facts_[i])) return &facts_[i];
    }
    return nullptr;
  }
  template <class Visit>
  void for_each(Visit&& visit) {
    if (!may_visit()) return;
    for (size_t i = 0; i < fact_count_; ++i) visit(facts_[i]);
  }
  // Appends what a string value holds, or the raw JSON of another kind.
  void append(Fact& fact, const JsonValue& value);
  // Sets an id or a name, if this is a string.
  void assign(std::string& text, const JsonValue& value);
  void drop_all();
  // A whole thought of `text`, if there is any.
  void add_thought(std::string_view source, const JsonValue& text, uint32_t order);
  // The place of the Responses item with this output index; a new one if it was not seen (or is no number).
  uint32_t item_order(const JsonValue& output_index);

  void set_response_id(const JsonValue& id);
  // An error object (or text): failed, with its type, message and the status that its API gives it.
  void set_error(const JsonValue& error);
  void set_error(const JsonValue& type, const JsonValue& code, const JsonValue& message);

  // Gives out usage, tools and thoughts. `subtract_cached`: the reported input contains the cached tokens.
  void emit(RequestApi api, FactSink& sink);
  size_t memory() const;
  MemoryBudget* budget() const { return budget_; }

  UsageCounts usage;
  ChoiceSet choices;
  bool message_ended = false;  // as the API says; an error event does not
  bool stream_ended = false;   // the API's last event was seen, or an error event
  bool unreadable = false;
  bool failed = false;
  uint16_t error_status = 0;
  uint32_t unheld = 0;  // what was too long, or for which there was no memory
  std::string response_id, error_type, error_message;

 private:
  void emit_usage(RequestApi api, FactSink& sink);
  void emit_fact(RequestApi api, const Fact& fact, FactSink& sink);
  // Beyond the bound the answer is not read whole.
  bool may_visit() {
    visits_ += fact_count_;
    unreadable = unreadable || visits_ > kVisitsMax;
    return visits_ <= kVisitsMax;
  }
  bool hold(size_t more);
  void give_back();

  static constexpr size_t kVisitsMax = size_t{1} << 20;

  std::vector<Fact> facts_;  // the first fact_count_ are in use; the others keep their memory
  size_t fact_count_ = 0;
  size_t visits_ = 0;
  size_t text_held_ = 0;  // bytes of ids, names and texts, or a little more; taken of the budget but for the first few
  MemoryBudget* budget_ = nullptr;
  std::vector<uint64_t> items_;  // output indexes in the order in which the items started
  std::vector<uint32_t> sorted_;
  bool want_tools_ = true;
  bool want_thoughts_ = true;
};

// The parts of the APIs. Each reads one event, and is false if its data is not JSON; it teaches `skeleton` the events
// that bear nothing.
bool read_messages_event(const wire::SseEvent& event, AnswerFacts& facts, Skeleton& skeleton);
bool read_chat_event(const wire::SseEvent& event, AnswerFacts& facts, Skeleton& skeleton);
bool read_responses_event(const wire::SseEvent& event, AnswerFacts& facts, Skeleton& skeleton);
// Of an event that was too long only its name is known: that of a last event still ends the stream.
void read_unheld_responses_event(std::string_view name, AnswerFacts& facts);
// A whole body that is no stream. False: it is not one right JSON object; nothing of it was taken.
bool read_messages_body(std::string_view body, AnswerFacts& facts);
bool read_chat_body(std::string_view body, AnswerFacts& facts);
bool read_responses_body(std::string_view body, AnswerFacts& facts);

}  // namespace weir::reader
