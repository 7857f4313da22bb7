// What is read from an answer while it is forwarded (spec section 5): usage, tools, thoughts, errors, and whether a
// stream came to its end. Pure: body bytes in (any split), facts out; the bytes are lent for the call and never changed
// or delayed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/budgeted_buffer.h"
#include "reader/request.h"
#include "reader/skeleton.h"

namespace weir::reader {

struct Usage {
  std::string_view response_id;
  uint64_t input = 0, output = 0, cache_read = 0, cache_write = 0;
  std::string_view extra;  // JSON object, "{}" if nothing
};
struct Tool {
  std::string_view response_id, tool_call_id, name, arguments;  // arguments cut to 64 KiB
  bool truncated = false;
  uint64_t arguments_size = 0;  // before the cut
};
struct Thought {
  std::string_view source;   // "thinking", "reasoning_summary", "commentary"
  std::string_view content;  // cut to 64 KiB
  bool truncated = false;
  uint64_t content_size = 0;
};

// Where facts go, in the order of spec section 8 ("Rows are in the order in which things start"). Views are valid
// during the call.
class FactSink {
 public:
  virtual void on_usage(const Usage& usage) = 0;
  virtual void on_tool(const Tool& tool) = 0;
  virtual void on_thought(const Thought& thought) = 0;

 protected:
  ~FactSink() = default;
};

struct AnswerSettings {
  RequestApi api = RequestApi::messages;
  bool stream = false;  // the answer's Content-Type is text/event-stream
  uint16_t status = 200;
  std::string_view content_encoding = {};
  bool want_tools = true;  // [record] off: not collected at all
  bool want_thoughts = true;
  // What is held of the answer is taken of it; borrowed until the next reset. Null: only the bounds of one answer hold.
  MemoryBudget* budget = nullptr;
};

struct AnswerEnd {
  bool stream_ended =
      false;  // the API's last event was seen (message_stop, [DONE], response.completed …); true for what is no stream
  // A part of the stream could not be read: what was not seen may have been in it, the last event too.
  bool missed = false;
  bool unreadable = false;
  bool failed = false;          // an error event in the stream, response.failed, or an error body with status ≥ 400
  std::string_view error_type;  // the provider's own: "overloaded_error". Valid until the reader is reset
  std::string_view error_message;
  uint16_t error_status = 0;  // the status that the API gives that type (overloaded_error → 529); 0: unknown
  uint32_t unheld = 0;        // events, bodies and texts that were too long, or for which the budget had no room
};

// One for each running exchange, recycled: reset() keeps its memory (up to a bound).
class AnswerReader {
 public:
  AnswerReader();
  ~AnswerReader();
  AnswerReader(const AnswerReader&) = delete;
  AnswerReader& operator=(const AnswerReader&) = delete;

  void reset(const AnswerSettings& settings);
  // The next body bytes, as they come. What takes longer than a step may (an encoded answer, a large event) waits, of
  // the budget's memory, until catch_up() reads it: lags() says so. What finds no memory makes the rest unreadable.
  void feed(std::string_view bytes);
  // The last byte has come. What is left to read may take time too: then catch_up() comes before finish(true).
  void end_of_body();
  bool lags() const;
  // For sliced work (base/sliced_work.h), while feed() may go on between two slices: reads until nothing waits.
  void catch_up();
  // The body has ended (`complete`), or was cut; what still waits is read now, or then not. Emits the facts to `sink`,
  // gives their memory back, and says how it stood.
  AnswerEnd finish(bool complete, FactSink& sink);

  // The API's last event has been fed, or an error event; false for what is no stream.
  bool stream_ended() const;
  // Zeroes the texts of the error that finish() gave: a provider's message may repeat the credential.
  void forget_error();
  // For the final error event of a cut stream: how many "\n" close the partial event: 0 at an event boundary, 1 at the
  // start of a line inside an event, 2 inside a line.
  unsigned open_line_ends() const;
  // Bytes held at this moment, for the worker's budget.
  size_t memory() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Withholds the usage-only chunk that a Chat client did not ask for (spec sections 4, 8 and 9): bytes in, bytes out,
// all bytes but the withheld event's unchanged. Between events, blank lines, comments and `retry:` pass as they come;
// an event is passed on once it is whole. From the first event on that cannot be read (no JSON, too deep; too long to
// be held: over 32 MiB, or over what the budget has left) everything is passed on as it comes.
class UsageWithholder {
 public:
  // Borrows `budget` until the next reset; null: none.
  void reset(MemoryBudget* budget = nullptr);
  // Appends what may go to the client now to `out`.
  void feed(std::string_view bytes, ByteBuffer& out);
  // The stream has ended: what is left goes out, unless it is a whole usage chunk without its blank line.
  void finish(ByteBuffer& out);
  // Bytes held at this moment, for the worker's budget.
  size_t memory() const { return pending_.capacity() + passed_.memory(); }

 private:
  bool begin_event(std::string_view& bytes, ByteBuffer& out);
  std::string_view take_event(std::string_view& bytes);
  std::string_view judge(std::string_view event_bytes);
  bool hold(std::string_view part);

  Skeleton passed_;            // what most events look like, with their framing
  BudgetedBuffer pending_;     // an event that is not whole, or the first bytes of a line that may begin one
  bool in_event_ = false;      // what is pending, or comes, is of an event
  bool passing_line_ = false;  // a line that never waits has begun; what was there of it has gone
  bool given_up_ = false;      // an event could not be read: nothing is withheld any more
};

}  // namespace weir::reader
