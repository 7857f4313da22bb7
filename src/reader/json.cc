#include "reader/json.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/assert.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace weir::reader {
namespace {

constexpr const char* kUnexpected = "unexpected character";
constexpr const char* kEndsEarly = "unexpected end";
constexpr const char* kBadEscape = "invalid escape in a string";
constexpr const char* kControl = "control character in a string";
constexpr const char* kBadNumber = "invalid number";
constexpr const char* kBadLiteral = "invalid literal";
constexpr const char* kBadUtf8 = "invalid UTF-8";
constexpr const char* kTrailing = "unexpected bytes after the value";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

JsonKind kind_of(char first) {
  switch (first) {
    case '{':
      return JsonKind::object;
    case '[':
      return JsonKind::array;
    case '"':
      return JsonKind::string;
    case 't':
      return JsonKind::boolean_true;
    case 'f':
      return JsonKind::boolean_false;
    case 'n':
      return JsonKind::null;
    default:
      return first == '-' || is_digit(first) ? JsonKind::number : JsonKind::none;
  }
}

bool ends_run(char c) {
  return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20;
}

// The first byte from `at` on that a string cannot hold as it is (quote, backslash, control), or `end`.
// Scalar sentence: while (at != end && !ends_run(*at)) ++at. With SSE2, 16 bytes a step; of `say "hi"\n....` the
// three comparisons give ....1..11....... (the control and backslash bits joined), whose lowest bit is the place.
inline const char* run_end(const char* at, const char* end, bool& non_ascii) {
#if defined(__SSE2__)
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  const __m128i control_max = _mm_set1_epi8(0x1f);
  while (end - at >= 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i special = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)),
                                         _mm_cmpeq_epi8(_mm_min_epu8(bytes, control_max), bytes));
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(special));
    // May see a byte after the string: then the UTF-8 check is made for nothing, which is harmless.
    non_ascii |= _mm_movemask_epi8(bytes) != 0;
    if (mask != 0) return at + std::countr_zero(mask);
    at += 16;
  }
#endif
  while (at != end && !ends_run(*at)) non_ascii |= static_cast<signed char>(*at++) < 0;
  return at;
}

// The size of the well-formed UTF-8 sequence at the front, 0 if there is none (Unicode 15, table 3-7).
size_t utf8_sequence(const unsigned char* at, size_t room) {
  const unsigned char lead = at[0];
  if (lead < 0x80) return 1;
  const size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || room < size) return 0;
  const unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (at[1] < low || at[1] > high) return 0;
  for (size_t i = 2; i < size; ++i) {
    if ((at[i] & 0xC0) != 0x80) return 0;
  }
  return size;
}

// Writes the escape at `at` (a backslash) as UTF-8 and moves past it. REQUIRES: checked by JsonReader.
size_t unescape_one(const char*& at, const char* end, char* out) {
  const char kind = at[1];
  at += 2;
  if (kind != 'u') {
    constexpr std::string_view from = "bfnrt", to = "\b\f\n\r\t";
    const size_t index = from.find(kind);
    out[0] = index == from.npos ? kind : to[index];
    return 1;
  }
  const auto unit = [](const char* digits) {
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value = value * 16 + static_cast<uint32_t>(hex_digit(digits[i]));
    return value;
  };
  uint32_t point = unit(at);
  at += 4;
  if (point >= 0xD800 && point <= 0xDFFF) {
    const bool pair = point < 0xDC00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u';
    const uint32_t low = pair ? unit(at + 2) : 0;
    if (low >= 0xDC00 && low <= 0xDFFF) {
      point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
      at += 6;
    } else {
      point = 0xFFFD;
    }
  }
  const auto put = [out](size_t index, uint32_t byte) { out[index] = static_cast<char>(byte); };
  if (point < 0x80) return put(0, point), 1;
  if (point < 0x800) return put(0, 0xC0 | point >> 6), put(1, 0x80 | (point & 0x3F)), 2;
  const uint32_t last = 0x80 | (point & 0x3F), middle = 0x80 | (point >> 6 & 0x3F);
  if (point < 0x10000) return put(0, 0xE0 | point >> 12), put(1, middle), put(2, last), 3;
  return put(0, 0xF0 | point >> 18), put(1, 0x80 | (point >> 12 & 0x3F)), put(2, middle), put(3, last), 4;
}

// Calls `append` with each piece of the unescaped text; a piece is whole code points.
template <class Append>
void unescape(std::string_view raw, Append&& append) {
  const char* at = raw.data();
  const char* const end = at + raw.size();
  while (at != end) {
    const auto* backslash = static_cast<const char*>(std::memchr(at, '\\', static_cast<size_t>(end - at)));
    const char* const run = backslash == nullptr ? end : backslash;
    if (run != at) append(std::string_view(at, static_cast<size_t>(run - at)));
    at = run;
    if (at == end) return;
    char bytes[4];
    append(std::string_view(bytes, unescape_one(at, end, bytes)));
  }
}

// Unescapes into `out` what fits whole; true if all of it did.
bool unescape_short(std::string_view raw, char* out, size_t capacity, size_t& size) {
  size = 0;
  bool whole = true;
  unescape(raw, [&](std::string_view piece) {
    whole = whole && piece.size() <= capacity - size;
    if (!whole) return;
    std::memcpy(out + size, piece.data(), piece.size());
    size += piece.size();
  });
  return whole;
}

}  // namespace

std::string_view JsonValue::short_text(std::span<char, 64> room) const {
  if (kind != JsonKind::string) return {};
  if (raw.find('\\') == raw.npos) return raw;
  size_t size;
  const bool whole = unescape_short(raw, room.data(), room.size(), size);
  return {room.data(), whole ? size : 0};
}

bool JsonValue::is_text(std::string_view text) const {
  if (kind != JsonKind::string || raw.size() < text.size()) return false;
  if (raw.size() == text.size()) return raw == text;  // an escape is longer than what it stands for
  char room[64];
  return raw.find('\\') != raw.npos && short_text(room) == text;
}

bool JsonReader::fail(const char* error, const char* at) {
  if (error_ != nullptr) return false;
  error_ = error;
  p_ = at;
  if (non_ascii_) check_utf8();
  return false;
}

bool JsonReader::fail_here() {
  return fail(p_ == end_ ? kEndsEarly : kUnexpected, p_);
}

// Bad UTF-8 before the place of another failure comes first.
void JsonReader::check_utf8() {
  const char* at = begin_;
  while (at < p_) {
    const size_t size = utf8_sequence(reinterpret_cast<const unsigned char*>(at), static_cast<size_t>(end_ - at));
    if (size == 0) {
      error_ = kBadUtf8;
      p_ = at;
      return;
    }
    at += size;
  }
}

// `at` is after a backslash. The place after the escape; null after a failure.
const char* JsonReader::escape(const char* at) {
  if (at == end_) return fail(kEndsEarly, at), nullptr;
  switch (*at) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
      return at + 1;
    case 'u':
      for (const char* digit = at + 1; digit != at + 5; ++digit) {
        if (digit == end_) return fail(kEndsEarly, digit), nullptr;
        if (hex_digit(*digit) < 0) return fail(kBadEscape, digit), nullptr;
      }
      return at + 5;
    default:
      return fail(kBadEscape, at), nullptr;
  }
}

// p_ is at the opening quote.
bool JsonReader::string(std::string_view& raw, bool& escaped) {
  const char* const begin = p_ + 1;
  const char* at = begin;
  escaped = false;
  for (;;) {
    at = run_end(at, end_, non_ascii_);
    if (at == end_) return fail(kEndsEarly, at);
    if (*at == '"') break;
    if (*at != '\\') return fail(kControl, at);
    escaped = true;
    at = escape(at + 1);
    if (at == nullptr) return false;
  }
  raw = {begin, static_cast<size_t>(at - begin)};
  p_ = at + 1;
  return true;
}

bool JsonReader::number() {
  const char* at = p_;
  const auto digits = [&] {
    if (at == end_) return fail(kEndsEarly, at);
    if (!is_digit(*at)) return fail(kBadNumber, at);
    while (at != end_ && is_digit(*at)) ++at;
    return true;
  };
  if (*at == '-') ++at;
  if (at != end_ && *at == '0') {
    ++at;
    if (at != end_ && is_digit(*at)) return fail(kBadNumber, at);
  } else if (!digits()) {
    return false;
  }
  if (at != end_ && *at == '.') {
    ++at;
    if (!digits()) return false;
  }
  if (at != end_ && (*at == 'e' || *at == 'E')) {
    ++at;
    if (at != end_ && (*at == '+' || *at == '-')) ++at;
    if (!digits()) return false;
  }
  p_ = at;
  return true;
}

bool JsonReader::literal(std::string_view word) {
  const std::string_view rest(p_, static_cast<size_t>(end_ - p_));
  if (rest.starts_with(word)) {
    p_ += word.size();
    return true;
  }
  const size_t same =
      static_cast<size_t>(std::mismatch(rest.begin(), rest.end(), word.begin(), word.end()).first - rest.begin());
  return fail(same == rest.size() ? kEndsEarly : kBadLiteral, p_ + same);
}

bool JsonReader::scalar(JsonKind kind) {
  switch (kind) {
    case JsonKind::string: {
      std::string_view raw;
      bool escaped = false;
      return string(raw, escaped);
    }
    case JsonKind::number:
      return number();
    case JsonKind::boolean_true:
      return literal("true");
    case JsonKind::boolean_false:
      return literal("false");
    case JsonKind::null:
      return literal("null");
    case JsonKind::none:
    case JsonKind::object:
    case JsonKind::array:
      break;
  }
  return fail_here();
}

bool JsonReader::key_and_colon(std::string_view& raw, bool& escaped) {
  if (p_ == end_ || *p_ != '"') return fail_here();
  if (!string(raw, escaped)) return false;
  if (p_ != end_ && *p_ == ':') {
    ++p_;
    return true;
  }
  skip_space();
  if (p_ == end_ || *p_ != ':') return fail_here();
  ++p_;
  return true;
}

bool JsonReader::descend() {
  if (++depth_ > kNestingMax) too_deep_ = true;
  return true;
}

// Takes a container whole. What kind each open one is stands in a bit (1 for an object); only a hostile text needs more
// than the words on the stack.
bool JsonReader::skip_container() {
  std::array<uint64_t, 16> near_bits{};
  std::vector<uint64_t> far_bits;
  size_t level = 0;
  const auto word = [&](size_t index) -> uint64_t& {
    if (index < near_bits.size()) return near_bits[index];
    if (index - near_bits.size() >= far_bits.size()) far_bits.resize(far_bits.size() * 2 + 16);
    return far_bits[index - near_bits.size()];
  };
  const size_t depth_outside = depth_;
  bool in_object = false;
  std::string_view raw;
  bool escaped = false;
  for (;;) {
    // At the start of a value.
    skip_space();
    if (p_ == end_) return fail_here();
    const JsonKind kind = kind_of(*p_);
    bool opened = false;
    if (kind == JsonKind::object || kind == JsonKind::array) {
      in_object = kind == JsonKind::object;
      uint64_t& bits = word(level / 64);
      const uint64_t bit = uint64_t{1} << (level % 64);
      bits = in_object ? bits | bit : bits & ~bit;
      ++level;
      ++p_;
      descend();
      opened = true;
    } else if (!scalar(kind)) {
      return false;
    }
    // After a value, or just inside a container: closing brackets, then a comma or the first member or element.
    for (;;) {
      skip_space();
      if (p_ == end_) return fail_here();
      if (*p_ == (in_object ? '}' : ']')) {
        ++p_;
        --depth_;
        if (--level == 0) {
          ASSERT(depth_ == depth_outside);
          return true;
        }
        in_object = (word((level - 1) / 64) >> ((level - 1) % 64) & 1) != 0;
        opened = false;
        continue;
      }
      break;
    }
    if (!opened) {
      if (*p_ != ',') return fail_here();
      ++p_;
      if (in_object) skip_space();
    }
    if (in_object && !key_and_colon(raw, escaped)) return false;
  }
}

JsonKind JsonReader::peek() {
  if (failed()) return JsonKind::none;
  skip_space();
  return p_ == end_ ? JsonKind::none : kind_of(*p_);
}

void JsonReader::enter() {
  skip_space();
  ASSERT(p_ != end_ && (*p_ == '{' || *p_ == '['));
  ++p_;
  descend();
  first_ = true;
}

bool JsonReader::next_member(std::string_view& key) {
  if (failed()) return false;
  skip_space();
  if (p_ == end_) return fail_here();
  const bool first = first_;
  first_ = false;
  if (*p_ == '}') {
    ++p_;
    --depth_;
    return false;
  }
  if (!first) {
    if (*p_ != ',') return fail_here();
    ++p_;
    skip_space();
  }
  bool escaped = false;
  if (!key_and_colon(key, escaped)) return false;
  if (escaped) {
    size_t size;
    const bool whole = unescape_short(key, key_, sizeof(key_), size);
    key = {key_, whole ? size : 0};
  }
  return true;
}

bool JsonReader::next_element() {
  if (failed()) return false;
  skip_space();
  if (p_ == end_) return fail_here();
  const bool first = first_;
  first_ = false;
  if (*p_ == ']') {
    ++p_;
    --depth_;
    return false;
  }
  if (first) return true;
  if (*p_ != ',') return fail_here();
  ++p_;
  return true;
}

JsonValue JsonReader::value() {
  const JsonKind kind = peek();
  if (failed()) return {};
  const char* const begin = p_;
  bool right = false;
  if (kind == JsonKind::string) {
    JsonValue found{kind, {}};
    bool escaped = false;
    if (!string(found.raw, escaped)) return {};
    return found;
  }
  if (kind == JsonKind::object || kind == JsonKind::array) {
    right = skip_container();
  } else {
    right = scalar(kind);
  }
  if (!right) return {};
  return {kind, {begin, static_cast<size_t>(p_ - begin)}};
}

bool JsonReader::finish() {
  if (failed()) return false;
  skip_space();
  if (p_ != end_) return fail(kTrailing, p_);
  if (non_ascii_ && !simdjson::validate_utf8(begin_, static_cast<size_t>(end_ - begin_))) {
    return fail(kBadUtf8, end_);  // which finds the place
  }
  return true;
}

void CappedText::append(std::string_view bytes) {
  size += bytes.size();
  if (truncated) return;
  const size_t room = kTextMax - text.size();
  if (bytes.size() > room) {
    truncated = true;
    size_t cut = room;
    while (cut > 0 && (static_cast<unsigned char>(bytes[cut]) & 0xC0) == 0x80) --cut;
    bytes = bytes.substr(0, cut);
  }
  text.append(bytes);
}

void append_unescaped(std::string_view raw, CappedText& out) {
  unescape(raw, [&out](std::string_view piece) { out.append(piece); });
}

void assign_unescaped(std::string_view raw, std::string& out) {
  CappedText text;
  text.text.swap(out);
  text.clear();
  append_unescaped(raw, text);
  out.swap(text.text);
}

uint64_t count_of(const JsonValue& value) {
  if (value.kind != JsonKind::number) return 0;
  const char* const begin = value.raw.data();
  const char* const end = begin + value.raw.size();
  uint64_t whole = 0;
  const auto [rest, error] = std::from_chars(begin, end, whole);
  if (error == std::errc() && rest == end) return std::min(whole, uint64_t{INT64_MAX});
  double real = 0;
  if (std::from_chars(begin, end, real).ec != std::errc() || !(real > 0)) return 0;
  // Counts over 2^63 are nobody's usage; the database holds signed 64 bits.
  return real >= 9.2e18 ? uint64_t{INT64_MAX} : static_cast<uint64_t>(real);
}

bool read_members(std::string_view object, std::initializer_list<Member> members) {
  JsonReader reader(object);
  if (reader.peek() != JsonKind::object) return false;
  reader.enter();
  std::string_view key;
  while (reader.next_member(key)) {
    JsonValue* wanted = nullptr;
    for (const Member& member : members) {
      if (member.key == key) wanted = member.value;
    }
    const JsonValue value = reader.value();
    if (wanted != nullptr) *wanted = value;
  }
  return reader.finish() && !reader.too_deep();
}

bool read_members(const JsonValue& object, std::initializer_list<Member> members) {
  return object.is_object() && read_members(object.raw, members);
}

bool has_members(const JsonValue& object) {
  if (!object.is_object()) return false;
  JsonReader reader(object.raw);
  std::string_view key;
  reader.enter();
  return reader.next_member(key);
}

bool is_json(std::string_view text) {
  JsonReader reader(text);
  reader.value();
  return reader.finish() && !reader.too_deep();
}

const char* skip_string(const char* at, const char* end, bool& non_ascii) {
  for (;;) {
    at = run_end(at, end, non_ascii);
    if (at == end) return nullptr;
    if (*at == '"') return at + 1;
    if (*at != '\\' || end - at < 2) return nullptr;
    constexpr std::string_view simple = "\"\\/bfnrt";
    if (simple.find(at[1]) != simple.npos) {
      at += 2;
      continue;
    }
    if (at[1] != 'u' || end - at < 6) return nullptr;
    for (int i = 2; i < 6; ++i) {
      if (hex_digit(at[i]) < 0) return nullptr;
    }
    at += 6;
  }
}

}  // namespace weir::reader
