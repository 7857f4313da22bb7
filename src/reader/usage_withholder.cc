// The usage-only chunk is withheld whole, with its blank line (spec sections 4, 8 and 9, "What is held back").
#include <algorithm>
#include <cstring>

#include "reader/answer.h"
#include "reader/done_mark.h"
#include "reader/json.h"
#include "wire/sse.h"

namespace weir::reader {
namespace {

// A line end, and the carriage return after it: what may stand before the line end that makes a line blank.
constexpr size_t kContext = 2;

constexpr std::string_view kRetry = "retry:";

// No chunk of usage alone is nearly so long. To look at all of a longer event would hold up everybody else.
constexpr size_t kLookedAtMax = size_t{64} * 1024;

bool is_empty(const JsonValue& array) {
  JsonElements elements(array);
  JsonValue element;
  return array.is_array() && !elements.next(element);
}

// How much of `bytes` belongs to the event that `before` (its last bytes so far) begins, with its blank line; 0 if the
// event is not whole.
size_t event_rest(std::string_view before, std::string_view bytes) {
  // The byte so many places before `end`: 0 is the one just before it. The begin of an event is like a line end.
  const auto byte_before = [&](size_t end, size_t back) {
    if (back < end) return bytes[end - 1 - back];
    back -= end;
    return back < before.size() ? before[before.size() - 1 - back] : '\n';
  };
  for (size_t from = 0; from < bytes.size();) {
    const auto* const found = static_cast<const char*>(std::memchr(bytes.data() + from, '\n', bytes.size() - from));
    if (found == nullptr) return 0;
    const auto end = static_cast<size_t>(found - bytes.data());
    // The line that ends here is blank if another ended, or the event began, just before it.
    if (byte_before(end, byte_before(end, 0) == '\r' ? 1 : 0) == '\n') return end + 1;
    from = end + 1;
  }
  return 0;
}

// What a line between two events is, as far as its first bytes tell.
enum class LineKind : uint8_t {
  undecided,
  at_rest,   // blank, a comment, or `retry:`: it never waits
  of_event,  // the next event begins with it
};

LineKind kind_of_line(std::string_view begin) {
  switch (begin.front()) {
    case '\n':
    case ':':
      return LineKind::at_rest;
    case '\r':
      if (begin.size() == 1) return LineKind::undecided;
      return begin[1] == '\n' ? LineKind::at_rest : LineKind::of_event;
    case 'r':
      if (begin.starts_with(kRetry)) return LineKind::at_rest;
      return kRetry.starts_with(begin) ? LineKind::undecided : LineKind::of_event;
    default:
      return LineKind::of_event;
  }
}

bool is_usage_alone(const JsonValue& choices, const JsonValue& usage) {
  return usage.is_object() && is_empty(choices);
}

// Of an event whose last `data:` line is the end mark, the bytes from that line on; empty if it is not found.
std::string_view from_done_mark(std::string_view event_bytes) {
  const size_t mark = event_bytes.rfind(kDoneMark);
  const size_t line_end = mark == event_bytes.npos ? mark : event_bytes.rfind('\n', mark);
  if (line_end == event_bytes.npos) return {};
  const std::string_view line = event_bytes.substr(line_end + 1);
  return line.starts_with("data:") ? line : std::string_view();
}

}  // namespace

void UsageWithholder::reset(MemoryBudget* budget) {
  pending_.reset(budget);
  in_event_ = passing_line_ = given_up_ = false;
  passed_.reset();
}

// What of a whole event, or of what is left of one at the end, is to go out. Empty: it is the chunk to withhold. Where
// the end mark shares its event, the mark goes on alone.
std::string_view UsageWithholder::judge(std::string_view event_bytes) {
  if (event_bytes.size() > kLookedAtMax || passed_.matches(event_bytes)) return event_bytes;
  wire::SseScanner scanner;
  wire::SseEvent event;
  std::string_view rest = event_bytes;
  if (!scanner.next(rest, event) && !scanner.finish(event)) return event_bytes;
  given_up_ = event.oversized;
  if (event.oversized || event.data.find_first_not_of(" \t\r\n") == event.data.npos || is_done_mark(event.data)) {
    return event_bytes;
  }
  JsonValue choices, usage, obfuscation;
  std::string_view data = event.data;
  const auto read = [&] {
    return read_members(data, {{"choices", &choices}, {"usage", &usage}, {"obfuscation", &obfuscation}});
  };
  if (!read()) {
    if (is_json(data)) return event_bytes;
    given_up_ = true;
    if (!take_done_mark(data) || !read() || !is_usage_alone(choices, usage)) return event_bytes;
    const std::string_view mark = from_done_mark(event_bytes);
    return mark.empty() ? event_bytes : mark;
  }
  if (is_usage_alone(choices, usage)) return {};
  if (usage.is_object()) return event_bytes;
  // What decides is the kind of two members: the texts in the first choice may be what they like.
  JsonValue choice, delta, content;
  JsonElements elements(choices);
  const bool in_place = data.data() >= event_bytes.data() && data.data() < event_bytes.data() + event_bytes.size();
  if (in_place && elements.next(choice) && read_members(choice, {{"delta", &delta}}) &&
      read_members(delta, {{"content", &content}}) && content.is_string()) {
    passed_.learn(event_bytes, {content, obfuscation});
  }
  return event_bytes;
}

// Takes what never waits from the front of `bytes`, and passes it on. True once an event begins: with what is pending,
// or with the next byte.
bool UsageWithholder::begin_event(std::string_view& bytes, ByteBuffer& out) {
  while (!bytes.empty()) {
    if (passing_line_) {
      const size_t end = bytes.find('\n');
      passing_line_ = end == bytes.npos;
      const std::string_view line = bytes.substr(0, passing_line_ ? end : end + 1);
      out.append(line);
      bytes.remove_prefix(line.size());
      continue;
    }
    const bool in_place = pending_.empty();
    if (!in_place && !hold(bytes.substr(0, 1))) return false;
    if (!in_place) bytes.remove_prefix(1);
    switch (kind_of_line(in_place ? bytes : pending_.view())) {
      case LineKind::of_event:
        return true;
      case LineKind::at_rest:
        passing_line_ = in_place || !pending_.view().ends_with('\n');
        out.append(pending_.view());
        pending_.clear();
        continue;
      case LineKind::undecided:  // all that is here
        if (!in_place) continue;
        if (hold(bytes)) bytes = {};
        return false;
    }
  }
  return false;
}

// Holds a part of an event, or of a line that may begin one. False: it cannot be held, and so not be read.
bool UsageWithholder::hold(std::string_view part) {
  if (part.size() <= wire::SseScanner::kEventMax - pending_.size() && pending_.append(part)) return true;
  given_up_ = true;
  return false;
}

// Takes the rest of an event from the front of `bytes`. Empty: it is not whole, or given up.
std::string_view UsageWithholder::take_event(std::string_view& bytes) {
  const std::string_view held = pending_.view();
  const size_t size = event_rest(held.substr(held.size() - std::min(held.size(), kContext)), bytes);
  const std::string_view part = size == 0 ? bytes : bytes.substr(0, size);
  // An event that began in an earlier buffer is looked at as a whole.
  const bool in_place = size != 0 && size <= wire::SseScanner::kEventMax && held.empty();
  if (!in_place && !hold(part)) return {};
  bytes.remove_prefix(part.size());
  if (size == 0) return {};
  return in_place ? part : pending_.view();
}

void UsageWithholder::feed(std::string_view bytes, ByteBuffer& out) {
  while (!bytes.empty() && !given_up_) {
    if (!in_event_) in_event_ = begin_event(bytes, out);
    if (!in_event_) continue;
    const std::string_view event = take_event(bytes);
    if (event.empty()) continue;
    out.append(judge(event));
    pending_.clear();
    in_event_ = false;
  }
  if (!given_up_) return;
  out.append(pending_.view());
  pending_.release();
  out.append(bytes);
}

void UsageWithholder::finish(ByteBuffer& out) {
  if (!pending_.empty()) out.append(judge(pending_.view()));
  reset();
}

}  // namespace weir::reader
