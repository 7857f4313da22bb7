#include "cli/print.h"

#include <algorithm>
#include <cstdio>

#include "base/utf8.h"

namespace weir::cli {

bool print_text(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

bool print_line(std::string_view line) {
  return std::fwrite(line.data(), 1, line.size(), stdout) == line.size() && print_text("\n");
}

void complain(std::string_view message) {
  std::string text = "weir: ";
  for (const char byte : message) {
    text += byte;
    if (byte == '\n') text += "weir: ";
  }
  text += '\n';
  std::fwrite(text.data(), 1, text.size(), stderr);
}

std::string harmless(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t size = code_point_size(text);
    const auto first = static_cast<unsigned char>(text.front());
    // C0, DEL, and C1 (U+0080 to U+009F, which some terminals obey).
    const bool control = size == 0 || first < 0x20 || first == 0x7F ||
                         (size == 2 && first == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0);
    if (control) {
      out += '?';
    } else {
      out += text.substr(0, size);
    }
    text.remove_prefix(std::max<size_t>(size, 1));
  }
  return out;
}

size_t width(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }));
}

void Table::add(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = harmless(cell);
  rows_.push_back(std::move(cells));
}

std::string Table::text() const {
  std::vector<size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); i++) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::string out;
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); i++) {
      const size_t padding = widths[i] - width(row[i]);
      if (i >= right_from_) out.append(padding, ' ');
      out += row[i];
      if (i + 1 < row.size()) out.append((i >= right_from_ ? 0 : padding) + 2, ' ');
    }
    out += '\n';
  }
  if (!out.empty()) out.pop_back();
  return out;
}

}  // namespace weir::cli
