// The usage-only chunk is withheld whole, with its blank line (spec sections 4 and 8, "Chat usage insertion").
#include <cstring>

#include "reader/answer.h"
#include "reader/json.h"
#include "wire/sse.h"

namespace weir::reader {
namespace {

// What is kept of a stream's memory when another follows.
constexpr size_t kPendingKept = size_t{16} * 1024;
// A line end, and the carriage return after it: what may stand before the line end that makes a line blank.
constexpr size_t kContext = 2;

bool is_empty(const JsonValue& array) {
  JsonElements elements(array);
  JsonValue element;
  return array.is_array() && !elements.next(element);
}

// The size of the first event of `bytes` with its blank line, or 0 if it is not whole. Line ends before `from` were
// looked at already.
size_t event_size(std::string_view bytes, size_t from) {
  while (from < bytes.size()) {
    const auto* const found = static_cast<const char*>(std::memchr(bytes.data() + from, '\n', bytes.size() - from));
    if (found == nullptr) return 0;
    const auto end = static_cast<size_t>(found - bytes.data());
    // The line that ends here is blank if another ended, or the event began, just before it.
    const size_t before = end > 0 && bytes[end - 1] == '\r' ? end - 1 : end;
    if (before == 0 || bytes[before - 1] == '\n') return end + 1;
    from = end + 1;
  }
  return 0;
}

}  // namespace

void UsageWithholder::reset() {
  if (pending_.capacity() > kPendingKept) pending_.release();
  pending_.clear();
  scanned_ = 0;
  passing_ = false;
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

// Gives out what is held of an event that is too long, but for the bytes that tell whether its next line is blank.
void UsageWithholder::pass_on(ByteBuffer& out) {
  out.append(pending_.view().substr(passing_ ? kContext : 0));
  std::memmove(pending_.data(), pending_.data() + pending_.size() - kContext, kContext);
  pending_.truncate(kContext);
  scanned_ = kContext;
  passing_ = true;
}

void UsageWithholder::feed(std::string_view bytes, ByteBuffer& out) {
  while (!bytes.empty()) {
    if (pending_.empty()) {
      const size_t size = event_size(bytes, 0);
      if (size == 0) break;
      if (!is_withheld(bytes.substr(0, size))) out.append(bytes.substr(0, size));
      bytes.remove_prefix(size);
      continue;
    }
    // An event began in an earlier buffer. Its blank line is looked for across both.
    const size_t held = pending_.size();
    pending_.append(bytes);
    const size_t size = event_size(pending_.view(), scanned_);
    if (size == 0) {
      scanned_ = pending_.size();
      if (passing_ || pending_.size() > wire::SseScanner::kEventMax) pass_on(out);
      return;
    }
    const std::string_view event = pending_.view().substr(0, size);
    if (passing_) {
      out.append(event.substr(kContext));
    } else if (!is_withheld(event)) {
      out.append(event);
    }
    bytes.remove_prefix(size - held);
    pending_.clear();
    scanned_ = 0;
    passing_ = false;
  }
  pending_.append(bytes);
  scanned_ = pending_.size();
}

void UsageWithholder::finish(ByteBuffer& out) {
  if (passing_) {
    out.append(pending_.view().substr(kContext));
  } else if (!pending_.empty() && !is_withheld(pending_.view())) {
    out.append(pending_.view());
  }
  reset();
}

}  // namespace weir::reader
