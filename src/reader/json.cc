#include "reader/json.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "reader/json_scan.h"

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

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr std::array<JsonKind, 256> make_kinds() {
  std::array<JsonKind, 256> kinds{};
  kinds['{'] = JsonKind::object;
  kinds['['] = JsonKind::array;
  kinds['"'] = JsonKind::string;
  kinds['t'] = JsonKind::boolean_true;
  kinds['f'] = JsonKind::boolean_false;
  kinds['n'] = JsonKind::null;
  kinds['-'] = JsonKind::number;
  for (unsigned char digit = '0'; digit <= '9'; ++digit) kinds[digit] = JsonKind::number;
  return kinds;
}
constexpr std::array<JsonKind, 256> kKinds = make_kinds();

JsonKind kind_of(char first) {
  return kKinds[static_cast<unsigned char>(first)];
}

const SkipContent skip_content = best_skip_content();

// The place after the escape whose backslash is at `at`; null if it is wrong, at `wrong` (`end` if it ends early).
const char* escape_end(const char* at, const char* end, const char*& wrong) {
  wrong = at + 1;
  if (wrong == end) return nullptr;
  if (is_simple_escape(*wrong)) return at + 2;
  if (*wrong != 'u') return nullptr;
  for (++wrong; wrong != at + 6; ++wrong) {
    if (wrong == end || hex_digit(*wrong) < 0) return nullptr;
  }
  return wrong;
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

// What an escape of one letter stands for; of `u` and of what is no escape, 0.
constexpr std::array<char, 256> make_unescaped() {
  std::array<char, 256> letters{};
  for (const char letter : {'"', '\\', '/'}) letters[static_cast<unsigned char>(letter)] = letter;
  letters['b'] = '\b';
  letters['f'] = '\f';
  letters['n'] = '\n';
  letters['r'] = '\r';
  letters['t'] = '\t';
  return letters;
}
constexpr std::array<char, 256> kUnescaped = make_unescaped();

char unescaped_letter(char letter) {
  return kUnescaped[static_cast<unsigned char>(letter)];
}

uint32_t code_unit(const char* digits) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value * 16 + static_cast<uint32_t>(hex_digit(digits[i]));
  return value;
}

// Moves past the \u escape at `at`, and its second half if it is a pair. A lone half becomes U+FFFD.
uint32_t unescape_point(const char*& at, const char* end) {
  const uint32_t point = code_unit(at + 2);
  at += 6;
  if (point < 0xD800 || point > 0xDFFF) return point;
  const bool may_pair = point < 0xDC00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u';
  const uint32_t low = may_pair ? code_unit(at + 2) : 0;
  if (low < 0xDC00 || low > 0xDFFF) return 0xFFFD;
  at += 6;
  return 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
}

// Writes the escape at `at` (a backslash) as at most 4 bytes of UTF-8, and moves past it.
size_t unescape_one(const char*& at, const char* end, char* out) {
  if (at[1] != 'u') {
    out[0] = unescaped_letter(at[1]);
    at += 2;
    return 1;
  }
  const uint32_t point = unescape_point(at, end);
  const auto put = [out](size_t index, uint32_t byte) { out[index] = static_cast<char>(byte); };
  if (point < 0x80) return put(0, point), 1;
  if (point < 0x800) return put(0, 0xC0 | point >> 6), put(1, 0x80 | (point & 0x3F)), 2;
  const uint32_t last = 0x80 | (point & 0x3F), middle = 0x80 | (point >> 6 & 0x3F);
  if (point < 0x10000) return put(0, 0xE0 | point >> 12), put(1, middle), put(2, last), 3;
  return put(0, 0xF0 | point >> 18), put(1, 0x80 | (point >> 12 & 0x3F)), put(2, middle), put(3, last), 4;
}

// Unescapes from `from` on until `end`, or until less than 4 bytes of room are left; returns where the output ends. A
// code point may then stand in it in part. REQUIRES: checked by JsonReader.
// 16 bytes a step: they are copied whole, and what follows a backslash is then written over.
char* unescape_into(const char*& from, const char* end, char* out, char* out_end) {
  const char* at = from;  // a register: what is written through `out` could be `from` itself
#if defined(__SSE2__)
  while (end - at >= 17 && out_end - out >= 20) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bytes);
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'))));
    if (mask == 0) {
      at += 16;
      out += 16;
      continue;
    }
    const auto plain = static_cast<size_t>(std::countr_zero(mask));
    at += plain;
    out += plain;
    // An escape has a byte after its backslash, and 17 were there.
    if (const char letter = unescaped_letter(at[1]); letter != 0) [[likely]] {
      *out++ = letter;
      at += 2;
    } else {
      out += unescape_one(at, end, out);
    }
  }
#endif
  while (at != end && out_end - out >= 4) {
    if (*at == '\\') {
      out += unescape_one(at, end, out);
    } else {
      *out++ = *at++;
    }
  }
  from = at;
  return out;
}

// Unescapes into `out` if it fits; true if all of it did.
bool unescape_short(std::string_view raw, std::span<char, 64> out, size_t& size) {
  const char* at = raw.data();
  const char* const end = at + raw.size();
  size = static_cast<size_t>(unescape_into(at, end, out.data(), out.data() + out.size()) - out.data());
  return at == end;
}

// Takes off the last code point if it is not whole. REQUIRES: UTF-8 before that.
void drop_partial_point(std::string& text) {
  size_t lead = text.size();
  while (lead > 0 && (static_cast<unsigned char>(text[lead - 1]) & 0xC0) == 0x80) --lead;
  if (lead == 0) return;
  --lead;
  const auto* const bytes = reinterpret_cast<const unsigned char*>(text.data());
  if (utf8_sequence(bytes + lead, text.size() - lead) == 0) text.resize(lead);
}

// What kind each open container is, one bit for each. Only a hostile text needs more than what is inside.
class ContainerStack {
 public:
  bool empty() const { return level_ == 0; }
  size_t level() const { return level_; }
  void push(bool is_object) {
    uint64_t& bits = word(level_ / 64);
    const uint64_t bit = uint64_t{1} << (level_ % 64);
    bits = is_object ? bits | bit : bits & ~bit;
    ++level_;
  }
  void pop() { --level_; }
  bool top_is_object() { return (word((level_ - 1) / 64) >> ((level_ - 1) % 64) & 1) != 0; }

 private:
  uint64_t& word(size_t index) {
    if (index < near_.size()) [[likely]]
      return near_[index];
    index -= near_.size();
    if (index >= far_.size()) far_.resize(far_.size() * 2 + near_.size());
    return far_[index];
  }

  size_t level_ = 0;
  std::array<uint64_t, 16> near_;  // written before it is read
  std::vector<uint64_t> far_;
};

}  // namespace

std::string_view JsonValue::short_text(std::span<char, 64> room) const {
  if (kind != JsonKind::string) return {};
  if (raw.find('\\') == raw.npos) return raw;
  size_t size;
  const bool whole = unescape_short(raw, room, size);
  return {room.data(), whole ? size : 0};
}

bool JsonValue::is_text(std::string_view text) const {
  if (kind != JsonKind::string || raw.size() < text.size()) return false;
  if (raw.size() == text.size()) return raw == text;  // an escape is longer than what it stands for
  char room[64];
  return raw.find('\\') != raw.npos && short_text(room) == text;
}

const char* JsonReader::fail(const char* error, const char* at) {
  if (error_ != nullptr) return nullptr;
  error_ = error;
  p_ = at;
  if (non_ascii_) find_bad_utf8(at);
  return nullptr;
}

const char* JsonReader::fail_at(const char* at) {
  return fail(at == end_ ? kEndsEarly : kUnexpected, at);
}

// Everything in the window was looked at. Its UTF-8 is checked now: that of the whole text at the end would be a step
// that nothing bounds.
bool JsonReader::extend() {
  if (error_ != nullptr) return false;
  const char* to = end_;
  // A code point that the window's end has cut is checked with the next window.
  for (int i = 0; i < 3 && to != utf8_end_ && (static_cast<unsigned char>(to[-1]) & 0xC0) == 0x80; ++i) --to;
  if (to != utf8_end_ && static_cast<unsigned char>(to[-1]) >= 0xC0) --to;
  if (!check_utf8(to)) return false;
  if (!SlicedWork::spend(kWindow)) {
    fail("given up", end_);
    return false;
  }
  end_ += std::min(static_cast<size_t>(text_end_ - end_), kWindow);
  return true;
}

bool JsonReader::check_utf8(const char* to) {
  if (non_ascii_ && !simdjson::validate_utf8(utf8_end_, static_cast<size_t>(to - utf8_end_))) {
    error_ = kBadUtf8;
    find_bad_utf8(to);
    return false;
  }
  utf8_end_ = to;
  return true;
}

// Bad UTF-8 before the place of another failure comes first.
void JsonReader::find_bad_utf8(const char* to) {
  const char* at = utf8_end_;
  while (at < to) {
    const size_t size = utf8_sequence(reinterpret_cast<const unsigned char*>(at), static_cast<size_t>(text_end_ - at));
    if (size == 0) {
      error_ = kBadUtf8;
      p_ = at;
      return;
    }
    at += size;
  }
}

inline const char* JsonReader::pass_space(const char* at) {
  do {
    while (at != end_ && is_space(*at)) ++at;
  } while (at == end_ && more());
  return at;
}

// `at` is at the opening quote.
inline const char* JsonReader::pass_string(const char* at) {
  bool non_ascii = false;
  const char* const close = short_string_end(at + 1, end_, non_ascii);
  if (close == nullptr) return pass_long_string(at);
  if (non_ascii) [[unlikely]]
    non_ascii_ = true;
  return close + 1;
}

const char* JsonReader::pass_long_string(const char* at) {
  bool non_ascii = false;
  for (++at;;) {
    at = skip_content(at, end_, non_ascii);
    non_ascii_ |= non_ascii;
    if (at == end_) {
      if (more()) continue;
      return fail(kEndsEarly, at);
    }
    if (*at == '"') return at + 1;
    if (*at != '\\') return fail(kControl, at);
    // Escapes of code points come in runs.
    while (at != end_ && *at == '\\') {
      const char* wrong;
      const char* const escape = at;
      at = escape_end(escape, end_, wrong);
      if (at != nullptr) continue;
      if (wrong != end_) return fail(kBadEscape, wrong);
      if (!more()) return fail(kEndsEarly, wrong);
      at = escape;
    }
  }
}

// At least one digit, and what follows it.
const char* JsonReader::pass_digits(const char* at) {
  if (at == end_ && !more()) return fail(kEndsEarly, at);
  if (!is_digit(*at)) return fail(kBadNumber, at);
  do {
    while (at != end_ && is_digit(*at)) ++at;
  } while (at == end_ && more());
  return at;
}

const char* JsonReader::pass_number(const char* at) {
  // Whether there is a byte at `at`.
  const auto here = [&] { return at != end_ || more(); };
  if (*at == '-') ++at;
  if (here() && *at == '0') {
    ++at;
    if (here() && is_digit(*at)) return fail(kBadNumber, at);
  } else {
    at = pass_digits(at);
  }
  if (at != nullptr && here() && *at == '.') at = pass_digits(at + 1);
  if (at != nullptr && here() && (*at == 'e' || *at == 'E')) {
    ++at;
    if (here() && (*at == '+' || *at == '-')) ++at;
    at = pass_digits(at);
  }
  return at;
}

const char* JsonReader::pass_literal(const char* at, std::string_view word) {
  if (static_cast<size_t>(end_ - at) < word.size()) more();  // a window is longer than a word
  const std::string_view rest(at, static_cast<size_t>(end_ - at));
  if (rest.starts_with(word)) return at + word.size();
  while (at != end_ && *at == word[static_cast<size_t>(at - rest.data())]) ++at;
  return fail(at == end_ ? kEndsEarly : kBadLiteral, at);
}

inline const char* JsonReader::pass_scalar(const char* at, JsonKind kind) {
  switch (kind) {
    case JsonKind::string:
      return pass_string(at);
    case JsonKind::number:
      return pass_number(at);
    case JsonKind::boolean_true:
      return pass_literal(at, "true");
    case JsonKind::boolean_false:
      return pass_literal(at, "false");
    case JsonKind::null:
      return pass_literal(at, "null");
    case JsonKind::none:
    case JsonKind::object:
    case JsonKind::array:
      break;
  }
  return fail_at(at);
}

inline const char* JsonReader::pass_colon(const char* at) {
  at = pass_space(at);
  return at != end_ && *at == ':' ? at + 1 : fail_at(at);
}

// `at` is at the opening bracket.
const char* JsonReader::pass_container(const char* at) {
  ContainerStack open;
  bool in_object = false;
  for (;;) {
    // At the start of a value.
    at = pass_space(at);
    if (at == end_) return fail_at(at);
    const JsonKind kind = kind_of(*at);
    const bool opened = kind == JsonKind::object || kind == JsonKind::array;
    if (opened) {
      in_object = kind == JsonKind::object;
      open.push(in_object);
      if (depth_ + open.level() > kNestingMax) too_deep_ = true;
      at = pass_space(at + 1);
    } else {
      at = pass_scalar(at, kind);
      if (at == nullptr) return nullptr;
      at = pass_space(at);
    }
    // Just inside a container, or after a value: closing brackets, then a comma.
    bool after_value = !opened;
    while (at != end_ && *at == (in_object ? '}' : ']')) {
      ++at;
      open.pop();
      if (open.empty()) return at;
      in_object = open.top_is_object();
      at = pass_space(at);
      after_value = true;
    }
    if (after_value) {
      if (at == end_ || *at != ',') return fail_at(at);
      at = pass_space(at + 1);
    }
    if (in_object) {
      if (at == end_ || *at != '"') return fail_at(at);
      at = pass_string(at);
      if (at != nullptr) at = pass_colon(at);
      if (at == nullptr) return nullptr;
    }
  }
}

JsonKind JsonReader::peek() {
  if (failed()) return JsonKind::none;
  const char* const at = pass_space(p_);
  if (failed()) return JsonKind::none;
  p_ = at;
  return p_ == end_ ? JsonKind::none : kind_of(*p_);
}

void JsonReader::enter() {
  p_ = pass_space(p_);  // no further than peek() has looked
  ASSERT(p_ != end_ && (*p_ == '{' || *p_ == '['));
  ++p_;
  if (++depth_ > kNestingMax) too_deep_ = true;
  first_ = true;
}

bool JsonReader::next_member(std::string_view& key) {
  if (failed()) return false;
  const char* at = pass_space(p_);
  const bool first = std::exchange(first_, false);
  if (at != end_ && *at == '}') {
    p_ = at + 1;
    --depth_;
    return false;
  }
  if (!first) {
    if (at == end_ || *at != ',') return fail_at(at) != nullptr;
    at = pass_space(at + 1);
  }
  if (at == end_ || *at != '"') return fail_at(at) != nullptr;
  const char* const begin = at + 1;
  bool non_ascii = false;
  const char* const close = short_string_end(begin, end_, non_ascii);
  at = close != nullptr ? close + 1 : pass_long_string(at);
  if (at == nullptr) return false;
  non_ascii_ |= non_ascii;
  key = {begin, static_cast<size_t>(at - begin - 1)};
  if (close == nullptr && key.find('\\') != key.npos) {
    size_t size;
    const bool whole = unescape_short(key, key_, size);
    key = {key_, whole ? size : 0};
  }
  at = pass_colon(at);
  if (at == nullptr) return false;
  p_ = at;
  return true;
}

bool JsonReader::next_element() {
  if (failed()) return false;
  const char* const at = pass_space(p_);
  if (failed()) return false;
  const bool first = std::exchange(first_, false);
  if (at != end_ && *at == ']') {
    p_ = at + 1;
    --depth_;
    return false;
  }
  if (!first && (at == end_ || *at != ',')) return fail_at(at) != nullptr;
  p_ = first ? at : at + 1;
  return true;
}

JsonValue JsonReader::value() {
  if (failed()) return {};
  const char* const begin = pass_space(p_);
  if (begin == end_) return fail_at(begin), JsonValue{};
  const JsonKind kind = kind_of(*begin);
  const char* const at =
      kind == JsonKind::object || kind == JsonKind::array ? pass_container(begin) : pass_scalar(begin, kind);
  if (failed()) return {};
  p_ = at;
  const size_t size = static_cast<size_t>(at - begin);
  if (kind == JsonKind::string) return {kind, {begin + 1, size - 2}};
  return {kind, {begin, size}};
}

bool JsonReader::finish() {
  if (failed()) return false;
  const char* const at = pass_space(p_);
  if (failed()) return false;
  p_ = at;
  return p_ != end_ ? fail(kTrailing, p_) != nullptr : check_utf8(end_);
}

void CappedText::append(std::string_view bytes) {
  size += bytes.size();
  if (truncated) return;
  const size_t room = kTextMax - text.size();
  truncated = bytes.size() > room;
  text.append(bytes.substr(0, room));
  if (truncated) drop_partial_point(text);
}

namespace {

// Appends what there is room for; returns the place up to which it got.
const char* append_front(std::string_view raw, CappedText& out) {
  const char* at = raw.data();
  const char* const end = at + raw.size();
  if (!out.truncated) {
    std::string& text = out.text;
    const size_t before = text.size();
    // What is unescaped is never longer.
    const size_t room = std::min(raw.size(), kTextMax - before);
    text.resize_and_overwrite(before + room, [&](char* bytes, size_t) {
      return static_cast<size_t>(unescape_into(at, end, bytes + before, bytes + before + room) - bytes);
    });
    size_t lost = 0;
    while (at != end && !out.truncated) {
      char bytes[4] = {*at};
      const size_t size = *at == '\\' ? unescape_one(at, end, bytes) : (++at, size_t{1});
      out.truncated = size > kTextMax - text.size();
      if (out.truncated) {
        lost = size;
      } else {
        text.append(bytes, size);
      }
    }
    out.size += text.size() - before + lost;
    if (out.truncated) drop_partial_point(text);
  }
  return at;
}

}  // namespace

void append_unescaped(std::string_view raw, CappedText& out) {
  const char* at = append_front(raw, out);
  const char* const end = raw.data() + raw.size();
  // Only the size of the rest is wanted.
  char scratch[1024];
  while (at != end && SlicedWork::spend(sizeof(scratch))) {
    out.size += static_cast<size_t>(unescape_into(at, end, scratch, scratch + sizeof(scratch)) - scratch);
  }
}

void assign_unescaped(std::string_view raw, std::string& out) {
  CappedText text;
  text.text.swap(out);
  text.clear();
  append_front(raw, text);
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

void read_object(JsonReader& reader, std::initializer_list<Member> members) {
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
}

bool read_members(std::string_view object, std::initializer_list<Member> members) {
  JsonReader reader(object);
  if (reader.peek() != JsonKind::object) return false;
  read_object(reader, members);
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
  if (const char* const close = short_string_end(at, end, non_ascii)) return close + 1;
  for (;;) {
    at = skip_content(at, end, non_ascii);
    if (at == end) return nullptr;
    if (*at == '"') return at + 1;
    if (*at != '\\') return nullptr;
    const char* wrong;
    at = escape_end(at, end, wrong);
    if (at == nullptr) return nullptr;
  }
}

}  // namespace weir::reader
