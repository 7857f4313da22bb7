// `[DONE]`, with which a Chat stream ends, and some streams of Responses. Blanks around it count for nothing, and it
// may be the last `data:` line of an event that holds a chunk too (spec section 9): both come from real providers.
#pragma once

#include <string_view>

namespace weir::reader {

inline constexpr std::string_view kDoneMark = "[DONE]";

inline bool is_done_mark(std::string_view data) {
  constexpr std::string_view kBlanks = " \t\r\n";
  if (data.size() < kDoneMark.size() || data.front() == '{') return false;  // most events
  const size_t begin = data.find_first_not_of(kBlanks);
  if (begin == data.npos) return false;
  return data.substr(begin, data.find_last_not_of(kBlanks) + 1 - begin) == kDoneMark;
}

// Takes the mark off an event's data, where it is the last line; false if it is not.
inline bool take_done_mark(std::string_view& data) {
  const size_t line_end = data.rfind('\n');
  if (line_end == data.npos || !is_done_mark(data.substr(line_end + 1))) return false;
  data = data.substr(0, line_end);
  return true;
}

}  // namespace weir::reader
