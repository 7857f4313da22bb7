#include "base/utf8.h"

#include <array>
#include <cstring>

namespace weir {

namespace {

template <size_t size>
bool is_ascii(const char* bytes) {
  std::array<uint64_t, size / 8> words;
  std::memcpy(words.data(), bytes, size);
  uint64_t all = 0;
  for (const uint64_t word : words) all |= word;
  return (all & 0x8080808080808080) == 0;
}

}  // namespace

// Unicode 15, table 3-7: what the first byte says about the size, and which second bytes it allows.
size_t code_point_size(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte_at = [text](size_t index) { return static_cast<uint8_t>(text[index]); };
  const auto is_continuation = [&](size_t index) { return (byte_at(index) & 0xC0) == 0x80; };
  const uint8_t first = byte_at(0);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return 0;  // a continuation, an overlong form, over U+10FFFF
  if (text.size() < 2) return 0;
  const uint8_t second = byte_at(1);
  if (first < 0xE0) return is_continuation(1) ? 2 : 0;
  uint8_t second_min = 0x80;
  uint8_t second_max = 0xBF;
  if (first == 0xE0) second_min = 0xA0;  // overlong
  if (first == 0xED) second_max = 0x9F;  // surrogates
  if (first == 0xF0) second_min = 0x90;  // overlong
  if (first == 0xF4) second_max = 0x8F;  // over U+10FFFF
  if (second < second_min || second > second_max || text.size() < 3 || !is_continuation(2)) return 0;
  if (first < 0xF0) return 3;
  return text.size() >= 4 && is_continuation(3) ? 4 : 0;
}

std::string_view cut_at_code_point(std::string_view text, size_t size_max) {
  if (text.size() <= size_max) return text;
  // Only a code point that begins at most three bytes before the limit can reach over it.
  for (size_t back = 1; back <= 3 && back <= size_max; ++back) {
    if (code_point_size(text.substr(size_max - back)) > back) return text.substr(0, size_max - back);
  }
  return text.substr(0, size_max);
}

bool is_valid_utf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    // Nearly all texts are ASCII: many bytes at a time, and the last few together with some that were seen before.
    if (text.size() - at >= 64 && is_ascii<64>(text.data() + at)) {
      at += 64;
      continue;
    }
    if (text.size() - at >= 8 && is_ascii<8>(text.data() + at)) {
      at += 8;
      continue;
    }
    if (at >= 8 && text.size() - at < 8 && is_ascii<8>(text.data() + text.size() - 8)) return true;
    const size_t size = code_point_size(text.substr(at));
    if (size == 0) return false;
    at += size;
  }
  return true;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  while (!text.empty()) {
    const size_t size = code_point_size(text);
    out += size == 0 ? std::string_view("\xEF\xBF\xBD") : text.substr(0, size);
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return out;
}

}  // namespace weir
