#include "wire/sse.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace weir::wire {
namespace {

// A line may be longer than the data in it: the field's name, and a byte order mark before it.
constexpr size_t kLineMax = SseScanner::kEventMax + 16;

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

void SseScanner::reset(MemoryBudget* budget) {
  line_.reset(budget);
  data_.reset(budget);
  skipping_line_ = false;
  at_start_ = true;
  clear_event();
}

void SseScanner::clear_event() {
  data_.clear();
  data_begin_ = 0;
  here_ = {};
  name_size_ = 0;
  has_here_ = has_data_ = in_event_ = given_ = oversized_ = false;
}

// The event is too long, or the budget is used up: nothing is held for what cannot be given out.
void SseScanner::give_up_event() {
  oversized_ = true;
  data_.release();
  data_begin_ = 0;
  here_ = {};
  has_here_ = has_data_ = false;
}

void SseScanner::carry(std::string_view part) {
  if (skipping_line_) return;
  if (part.size() <= kLineMax - line_.size() && line_.append(part)) return;
  line_.release();
  skipping_line_ = true;
  give_up_event();
}

// Makes the data survive the caller's buffer (or the carried line).
void SseScanner::keep_data() {
  if (!has_here_) return;
  if (!data_.append(here_)) return give_up_event();
  has_data_ = true;
  has_here_ = false;
  here_ = {};
}

void SseScanner::add_data(std::string_view value, bool in_carried) {
  const size_t held = has_here_ ? here_.size() : data_.size() - data_begin_;
  const bool first = !has_data_ && !has_here_;
  if (oversized_ || value.size() + (first ? 0 : 1) > kEventMax - held) return give_up_event();
  if (first) {
    if (!in_carried) {
      here_ = value;
      has_here_ = true;
      return;
    }
    // The carried line becomes the data, without a copy.
    data_begin_ = static_cast<size_t>(value.data() - line_.data());
    line_.truncate(data_begin_ + value.size());
    std::swap(line_, data_);
    has_data_ = true;
    return;
  }
  keep_data();
  if (oversized_ || !data_.append("\n") || !data_.append(value)) give_up_event();
}

void SseScanner::take_line(std::string_view line, bool in_carried) {
  const size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == line.npos ? line.substr(line.size()) : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    add_data(value, in_carried);
  } else if (field == "event") {
    name_size_ = std::min(value.size(), name_.size());
    std::copy_n(value.begin(), name_size_, name_.begin());
  }
}

bool SseScanner::end_event(SseEvent& event) {
  if (!has_data_ && !has_here_ && !oversized_) {
    clear_event();
    return false;
  }
  given_ = true;
  in_event_ = false;
  event.name = {name_.data(), name_size_};
  event.oversized = oversized_;
  event.data = oversized_ ? std::string_view() : has_here_ ? here_ : data_.view().substr(data_begin_);
  return true;
}

bool SseScanner::next(std::string_view& bytes, SseEvent& event) {
  if (given_) clear_event();
  while (!bytes.empty()) {
    const auto* const end = static_cast<const char*>(std::memchr(bytes.data(), '\n', bytes.size()));
    if (end == nullptr) {
      carry(bytes);
      bytes = {};
      break;
    }
    std::string_view line = bytes.substr(0, static_cast<size_t>(end - bytes.data()));
    bytes.remove_prefix(line.size() + 1);
    const bool in_carried = in_line();
    if (in_carried) {
      carry(line);
      line = line_.view();
    }
    if (std::exchange(at_start_, false) && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
    if (line.ends_with('\r')) line.remove_suffix(1);
    const bool skipped = std::exchange(skipping_line_, false);
    const bool blank = line.empty() && !skipped;
    if (!blank) {
      in_event_ = true;
      if (!skipped) take_line(line, in_carried);
    }
    line_.clear();
    if (blank && end_event(event)) return true;
  }
  keep_data();
  return false;
}

bool SseScanner::finish(SseEvent& event) {
  if (given_) clear_event();
  if (in_line()) {
    std::string_view rest = "\n";
    if (next(rest, event)) return true;  // the line was a carriage return: a blank line
  }
  return end_event(event);
}

}  // namespace weir::wire
