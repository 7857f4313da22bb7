// Printing of commands: results on standard output, complaints on standard error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::cli {

// Flushed at once: others read our lines as they come. False: nobody reads any more.
bool print_line(std::string_view line);
// As it is, with its own line ends.
bool print_text(std::string_view text);
// "weir: …", each line of the message on its own.
void complain(std::string_view message);

// Columns as wide as their widest cell, two spaces between; the first row is the heading. Columns from `right_from` on
// are numbers and stand at their right. Control bytes are shown as
// '?', so that what a client sent cannot move a terminal's cursor.
class Table {
 public:
  explicit Table(std::vector<std::string> heading, size_t right_from = SIZE_MAX) : right_from_(right_from) {
    add(std::move(heading));
  }
  void add(std::vector<std::string> cells);
  std::string text() const;
  bool empty() const { return rows_.size() == 1; }

 private:
  size_t right_from_;
  std::vector<std::vector<std::string>> rows_;
};

// The text without control bytes.
std::string harmless(std::string_view text);
// How many columns a terminal gives it: code points.
size_t width(std::string_view text);

}  // namespace weir::cli
