#include "cli/wrap.h"

#include <sys/ioctl.h>

#include <algorithm>

#include "cli/print.h"

namespace weir::cli {

namespace {

constexpr size_t kUsualColumns = 100;
constexpr size_t kIndentMax = 30;  // texts that begin further right go on at the left

// Where the text of a line begins, behind an option or a command: after the first run of blanks inside it.
size_t text_column(std::string_view line) {
  const size_t first = std::min(line.find_first_not_of(' '), line.size());
  const size_t gap = line.find("  ", first);
  if (gap == std::string_view::npos) return first;
  const size_t text = line.find_first_not_of(' ', gap);
  return text == std::string_view::npos || text > kIndentMax ? first : text;
}

void wrap_line(std::string_view line, size_t columns, std::string& out) {
  // "  --head-timeout TIME  …    --body-timeout TIME  …"
  const size_t second = line.find("  --", std::min(line.find_first_not_of(' '), line.size()));
  if (width(line) > columns && second != std::string_view::npos) {
    const size_t end = line.find_last_not_of(' ', second) + 1;
    wrap_line(line.substr(0, end), columns, out);
    const size_t option = line.find_first_not_of(' ', second);
    return wrap_line(std::string(2, ' ').append(line.substr(option)), columns, out);
  }
  const size_t indent = text_column(line);
  std::string_view rest = line;
  bool broken = false;
  while (width(rest) + (broken ? indent : 0) > columns) {
    const size_t room = columns - (broken ? indent : 0);
    size_t cut = 0;
    for (size_t at = rest.find(' ', broken ? 0 : indent); at != std::string_view::npos; at = rest.find(' ', at + 1)) {
      if (width(rest.substr(0, at)) > room) break;
      cut = at;
    }
    if (cut == 0) break;
    out.append(broken ? indent : 0, ' ').append(rest.substr(0, cut)) += '\n';
    rest.remove_prefix(std::min(rest.find_first_not_of(' ', cut), rest.size()));
    broken = true;
  }
  out.append(broken ? indent : 0, ' ').append(rest) += '\n';
}

}  // namespace

size_t terminal_columns(int descriptor) {
  winsize size{};
  return ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40 ? size.ws_col : kUsualColumns;
}

std::string wrapped(std::string_view text, size_t columns) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    wrap_line(text.substr(0, end), columns, out);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

}  // namespace weir::cli
