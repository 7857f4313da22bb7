// The usage-only chunk is withheld whole, with its blank line (spec sections 4 and 8, "Chat usage insertion").
#include <algorithm>
#include <cstring>

#include "reader/answer.h"
#include "reader/json.h"
#include "wire/sse.h"

namespace weir::reader {
namespace {

// A line end, and the carriage return after it: what may stand before the line end that makes a line blank.
constexpr size_t kContext = 2;

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

}  // namespace

void UsageWithholder::reset(MemoryBudget* budget) {
  pending_.reset(budget);
  passing_ = false;
  passed_end_size_ = 0;
  passed_.reset();
}

// Whether a whole event, or what is left of one at the end, is the chunk to withhold.
bool UsageWithholder::is_withheld(std::string_view event_bytes) {
  if (passed_.matches(event_bytes)) return false;
  wire::SseScanner scanner;
  wire::SseEvent event;
  std::string_view rest = event_bytes;
  if (!scanner.next(rest, event) && !scanner.finish(event)) return false;
  JsonValue choices, usage, obfuscation;
  if (event.oversized ||
      !read_members(event.data, {{"choices", &choices}, {"usage", &usage}, {"obfuscation", &obfuscation}})) {
    return false;
  }
  if (usage.is_object()) return is_empty(choices);
  // What decides is the kind of two members: the texts in the first choice may be what they like.
  JsonValue choice, delta, content;
  JsonElements elements(choices);
  const bool in_place =
      event.data.data() >= event_bytes.data() && event.data.data() < event_bytes.data() + event_bytes.size();
  if (in_place && elements.next(choice) && read_members(choice, {{"delta", &delta}}) &&
      read_members(delta, {{"content", &content}}) && content.is_string()) {
    passed_.learn(event_bytes, {content, obfuscation});
  }
  return false;
}

// The last bytes of the event so far.
std::string_view UsageWithholder::context() const {
  if (passing_) return {passed_end_.data(), passed_end_size_};
  const std::string_view held = pending_.view();
  return held.substr(held.size() - std::min(held.size(), kContext));
}

void UsageWithholder::pass_on(std::string_view part, ByteBuffer& out) {
  out.append(part);
  const std::string_view end = part.substr(part.size() - std::min(part.size(), kContext));
  // Of a part of one byte, the byte before it stays.
  const size_t stays = std::min(kContext - end.size(), passed_end_size_);
  std::copy_n(passed_end_.begin() + static_cast<ptrdiff_t>(passed_end_size_ - stays), stays, passed_end_.begin());
  std::copy(end.begin(), end.end(), passed_end_.begin() + static_cast<ptrdiff_t>(stays));
  passed_end_size_ = stays + end.size();
}

// Holds a part of the event that is not its end; or, if it cannot be held, passes on what there is of it.
void UsageWithholder::take_part(std::string_view part, ByteBuffer& out) {
  if (!passing_) {
    if (part.size() <= wire::SseScanner::kEventMax - pending_.size() && pending_.append(part)) return;
    pass_on(pending_.view(), out);
    pending_.release();
    passing_ = true;
  }
  pass_on(part, out);
}

void UsageWithholder::end_event() {
  pending_.clear();
  passing_ = false;
  passed_end_size_ = 0;
}

void UsageWithholder::feed(std::string_view bytes, ByteBuffer& out) {
  while (!bytes.empty()) {
    const size_t size = event_rest(context(), bytes);
    if (size == 0) return take_part(bytes, out);
    std::string_view event = bytes.substr(0, size);
    bytes.remove_prefix(size);
    // An event that began in an earlier buffer is looked at as a whole.
    if (passing_ || !pending_.empty()) {
      take_part(event, out);
      event = pending_.view();
    }
    if (!passing_ && !is_withheld(event)) out.append(event);
    end_event();
  }
}

void UsageWithholder::finish(ByteBuffer& out) {
  if (!pending_.empty() && !is_withheld(pending_.view())) out.append(pending_.view());
  reset();
}

}  // namespace weir::reader
