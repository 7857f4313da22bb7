// Printing of commands: results on standard output, complaints on standard error.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace weir::cli {

// Flushed at once: others read our lines as they come. False: nobody reads any more.
bool print_line(std::string_view line);
// "weir: …", each line of the message on its own.
void complain(std::string_view message);

// Columns as wide as their widest cell, two spaces between; the first row is the heading. Control bytes are shown as
// '?', so that what a client sent cannot move a terminal's cursor.
class Table {
 public:
  explicit Table(std::vector<std::string> heading) { add(std::move(heading)); }
  void add(std::vector<std::string> cells);
  std::string text() const;
  bool empty() const { return rows_.size() == 1; }

 private:
  std::vector<std::vector<std::string>> rows_;
};

// The text without control bytes.
std::string harmless(std::string_view text);
// How many columns a terminal gives it: code points.
size_t width(std::string_view text);

}  // namespace weir::cli
