#include "base/mask.h"

#include <doctest/doctest.h>

#include <array>
#include <random>
#include <string>
#include <vector>

#include "base/utf8.h"

namespace {

// The definition, without the short cut for long secrets.
std::string plain_mask(std::string_view secret) {
  std::vector<std::string> points;
  for (size_t at = 0; at < secret.size();) {
    const size_t size = weir::code_point_size(secret.substr(at));
    points.push_back(size == 0 ? "?" : std::string(secret.substr(at, size)));
    at += std::max<size_t>(size, 1);
  }
  if (points.empty()) return "";
  const size_t shown = points.size() >= 20 ? 4 : points.size() >= 10 ? 2 : points.size() >= 5 ? 1 : 0;
  std::string front, back;
  for (size_t i = 0; i < shown; ++i) {
    front += points[i];
    back += points[points.size() - shown + i];
  }
  return front + "..." + back;
}

TEST_CASE("mask: of any bytes and any length, it is what the definition says") {
  constexpr std::string_view kPieces[] = {"a",        "z",    "-",   "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x8C\x8D",
                                          "\xF0\x9F", "\xE2", "\x80"};
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string secret;
    const size_t pieces = random() % 40;
    // Mostly ASCII, else few secrets would end in it.
    for (size_t j = 0; j < pieces; ++j)
      secret += kPieces[random() % 3 == 0 ? random() % std::size(kPieces) : random() % 3];
    CAPTURE(secret);
    REQUIRE(weir::mask(secret) == plain_mask(secret));
  }
}

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
  CHECK(weir::mask("123456789012345678901") == "1234...8901");
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
