// Writing JSON by hand, for the few shapes that the mock and the command line print.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace weir::mock {

// Appends `text` as a JSON string with its quotes. Bytes that are not valid UTF-8 become U+FFFD, so that the result is
// always valid JSON.
void append_json(std::string& out, std::string_view text);

// Appends the pieces one after the other.
inline void put(std::string& out, std::initializer_list<std::string_view> pieces) {
  for (const std::string_view piece : pieces) out.append(piece);
}

}  // namespace weir::mock
