#include "base/utf8.h"

#include <doctest/doctest.h>

#include <string>

namespace {

using weir::code_point_size;
using weir::cut_at_code_point;

// Encodes as the definition says, surrogates and values over U+10FFFF too.
std::string encode(uint32_t value) {
  const auto byte = [](uint32_t bits) { return static_cast<char>(bits); };
  if (value < 0x80) return {byte(value)};
  if (value < 0x800) return {byte(0xC0 | value >> 6), byte(0x80 | (value & 0x3F))};
  if (value < 0x10000) return {byte(0xE0 | value >> 12), byte(0x80 | (value >> 6 & 0x3F)), byte(0x80 | (value & 0x3F))};
  return {byte(0xF0 | value >> 18), byte(0x80 | (value >> 12 & 0x3F)), byte(0x80 | (value >> 6 & 0x3F)),
          byte(0x80 | (value & 0x3F))};
}

TEST_CASE("utf8: every code point has its size, and surrogates and values over U+10FFFF have none") {
  size_t wrong = 0;
  for (uint32_t value = 0; value < 0x120000; ++value) {
    const std::string bytes = encode(value);
    const bool is_valid = value <= 0x10FFFF && (value < 0xD800 || value > 0xDFFF);
    if (code_point_size(bytes) != (is_valid ? bytes.size() : 0)) ++wrong;
    if (code_point_size(std::string_view(bytes).substr(0, bytes.size() - 1)) != 0) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("utf8: overlong forms, stray continuations and bad second bytes are invalid") {
  for (const std::string_view bytes :
       {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF",
        "\xF5\x80\x80\x80", "\xFE", "\xFF", "\xC3(", "\xE2(\x80", "\xE2\x82(", "\xF0\x9F\x8C("}) {
    CHECK(code_point_size(bytes) == 0);
  }
  CHECK(code_point_size("") == 0);
}

TEST_CASE("utf8: only the code point at the front counts") {
  CHECK(code_point_size("a\xFF") == 1);
  CHECK(code_point_size("é\xFF") == 2);
}

TEST_CASE("utf8: a text within the limit is not cut") {
  CHECK(cut_at_code_point("abc", 3) == "abc");
  CHECK(cut_at_code_point("", 0).empty());
}

TEST_CASE("utf8: a cut inside a code point moves before it") {
  CHECK(cut_at_code_point("aé", 2) == "a");
  CHECK(cut_at_code_point("a🌍b", 2) == "a");
  CHECK(cut_at_code_point("a🌍b", 3) == "a");
  CHECK(cut_at_code_point("a🌍b", 4) == "a");
  CHECK(cut_at_code_point("a🌍b", 5) == "a🌍");
  CHECK(cut_at_code_point("🌍", 3).empty());
  CHECK(cut_at_code_point("🌍", 0).empty());
}

TEST_CASE("utf8: bytes that are no code points are cut anywhere") {
  CHECK(cut_at_code_point("\x80\x80\x80\x80", 2).size() == 2);
  CHECK(cut_at_code_point("\xF0\xF0\xF0\xF0", 3).size() == 3);
}

}  // namespace
