// Finds the events of a server-sent event stream (WHATWG HTML, section 9.2) in body bytes that come in any split. It is
// not a relay: the bytes are forwarded by others, as they come. What it copies is only an event's part in an earlier
// buffer; an event whole in one buffer with one `data:` line is given as a slice of it.
//
// Where the providers differ from the standard we follow them (spec section 8): LF or CRLF ends a line, a bare CR does
// not; an event at the end of the stream counts without its blank line. Comments, `id`, `retry` and unknown fields are
// passed over; so are events without `data`.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "base/budgeted_buffer.h"

namespace weir::wire {

struct SseEvent {
  std::string_view name;   // the last `event:` value, cut to 63 bytes; often absent
  std::string_view data;   // the `data:` values, joined by LF
  bool oversized = false;  // over SseScanner::kEventMax, or over the budget: `data` is empty
};

class SseScanner {
 public:
  static constexpr size_t kEventMax = size_t{32} << 20;

  // Forgets the stream, and keeps the memory up to a bound. What it carries is taken of `budget`, which it borrows
  // until the next reset; null: only kEventMax bounds it.
  void reset(MemoryBudget* budget = nullptr);
  // Takes bytes from the front of `bytes` until an event is whole (true) or they are used up (false). The event is
  // valid until the next call, and while the bytes are.
  bool next(std::string_view& bytes, SseEvent& event);
  // The stream has ended: true if an event was left without its blank line.
  bool finish(SseEvent& event);
  // How many line ends close what was begun: 0 between events, 1 at the start of a line in an event, 2 in a line.
  unsigned open_line_ends() const { return in_line() ? 2 : in_event_ ? 1 : 0; }
  size_t memory() const { return line_.capacity() + data_.capacity(); }

 private:
  bool in_line() const { return !line_.empty() || skipping_line_; }
  void carry(std::string_view part);
  void take_line(std::string_view line, bool in_carried);
  void add_data(std::string_view value, bool in_carried);
  void keep_data();
  bool end_event(SseEvent& event);
  void give_up_event();
  void clear_event();

  BudgetedBuffer line_;  // the part of a line that came in earlier buffers
  BudgetedBuffer data_;  // the data of the event so far, from data_begin_ on, unless it is all in here_
  size_t data_begin_ = 0;
  std::string_view here_;  // the only data line so far, still in the caller's buffer; empty between calls
  std::array<char, 63> name_{};
  size_t name_size_ = 0;
  bool has_here_ = false;
  bool has_data_ = false;  // data_ holds a line (which may be empty)
  bool in_event_ = false;  // a line of this event was seen
  bool given_ = false;     // the event was given out and must be cleared first
  bool oversized_ = false;
  bool skipping_line_ = false;  // the line is not carried: it is too long, or the budget is used up
  bool at_start_ = true;        // no line of the stream was seen: it may start with a byte order mark
};

}  // namespace weir::wire
