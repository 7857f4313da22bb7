#include "mock/json_text.h"

#include "base/utf8.h"

namespace weir::mock {

void append_json(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text.front());
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += text.front();
    } else if (byte == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7F) {
      put(out, {"\\u00", std::string_view(&kHex[byte >> 4], 1), std::string_view(&kHex[byte & 15], 1)});
    } else if (byte < 0x80) {
      out += text.front();
    } else {
      const size_t size = code_point_size(text);
      out += size == 0 ? "\xEF\xBF\xBD" : text.substr(0, size);
      text.remove_prefix(size == 0 ? 1 : size);
      continue;
    }
    text.remove_prefix(1);
  }
  out += '"';
}

}  // namespace weir::mock
