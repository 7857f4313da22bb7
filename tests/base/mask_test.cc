#include "base/mask.h"

#include <doctest/doctest.h>

#include <array>

namespace {

TEST_CASE("mask: the table of spec 1") {
  struct Row {
    const char* secret;
    const char* hint;
  };
  constexpr Row kRows[] = {
      {"", ""},
      {"x", "..."},
      {"ab", "..."},
      {"abcd", "..."},
      {"short", "s...t"},
      {"veryshort", "v...t"},
      {"thisisquitelong", "th...ng"},
      {"sk-ant-api03-abcdefgh", "sk-a...efgh"},
      {"hélloworld🌍!", "hé...🌍!"},
      {"ghp_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefgh", "ghp_...efgh"},
  };
  for (const Row& row : kRows) CHECK(weir::mask(row.secret) == row.hint);
}

TEST_CASE("mask: the counts change at 5, 10 and 20 code points") {
  CHECK(weir::mask("1234") == "...");
  CHECK(weir::mask("12345") == "1...5");
  CHECK(weir::mask("123456789") == "1...9");
  CHECK(weir::mask("1234567890") == "12...90");
  CHECK(weir::mask("1234567890123456789") == "12...89");
  CHECK(weir::mask("12345678901234567890") == "1234...7890");
}

TEST_CASE("mask: code points count, not bytes") {
  CHECK(weir::mask("éééé") == "...");
  CHECK(weir::mask("ééééé") == "é...é");
}

TEST_CASE("mask: each byte of invalid UTF-8 is one code point, shown as a question mark") {
  CHECK(weir::mask("\xFF\xFE\xFD\xFC") == "...");
  CHECK(weir::mask("\xFF\xFE\xFD\xFC\xFB") == "?...?");
  CHECK(weir::mask("\xE2\x82"
                   "abc") == "?...c");
  CHECK(weir::mask("abc\xF0\x9F\x8C") == "a...?");  // six: the truncated code point is three
  CHECK(weir::mask("\xC0\xAFzz\xED\xA0\x80yyy") == "??...yy");
}

TEST_CASE("mask: the longest hint fits kHintSizeMax") {
  std::string secret;
  for (int i = 0; i < 20; ++i) secret += "🌍";
  std::array<char, weir::kHintSizeMax> out;
  CHECK(weir::mask(secret, out.data()) == weir::kHintSizeMax);
}

TEST_CASE("mask: the hint does not tell the length") {
  CHECK(weir::mask(std::string(20, 'a')) == weir::mask(std::string(4000, 'a')));
}

}  // namespace
