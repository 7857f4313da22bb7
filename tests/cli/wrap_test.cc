#include "cli/wrap.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/print.h"

namespace weir::cli {

namespace {

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

// Of the lines with several words: one word stays whole.
size_t widest(const std::string& text) {
  std::istringstream in(text);
  size_t columns = 0;
  for (std::string line; std::getline(in, line);) {
    if (words_of(line).size() > 1) columns = std::max(columns, width(line));
  }
  return columns;
}

}  // namespace

TEST_CASE("wrap: every help fits a terminal of 80 columns, and none is changed for one of 100") {
  for (const char* command :
       {"", "serve", "demo", "mock", "key", "key add", "log", "usage", "journal", "rules", "check", "version"}) {
    INFO(command);
    const std::string text(help_text(command));
    CHECK(wrapped(text, 100) == text);
    for (const size_t columns : {80, 60}) {
      const std::string narrow = wrapped(text, columns);
      INFO(narrow);
      CHECK(widest(narrow) <= columns);
      CHECK(words_of(narrow) == words_of(text));
    }
  }
}

TEST_CASE("wrap: a text goes on where it began, and a second option has a line of its own") {
  CHECK(wrapped("  --one N     some words of an option\n", 26) ==
        "  --one N     some words\n              of an option\n");
  CHECK(wrapped("  --one N     the first   --two N     the second\n", 40) ==
        "  --one N     the first\n  --two N     the second\n");
  CHECK(wrapped("plain text that is long\n\nend", 12) == "plain text\nthat is long\n\nend\n");
}

}  // namespace weir::cli
