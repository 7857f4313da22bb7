// A strict JSON reader that pulls: the caller asks for members, elements and values in the order of the text, and every
// byte that it passes is checked (grammar, numbers, escapes, control characters, UTF-8), so that one pass both reads
// and validates. It is no parser into a tree, copies nothing and needs no padding: it works on slices of receive
// buffers. simdjson's On-Demand is not used here because it leaves skipped values unchecked, needs padding, and does
// not say at which byte a text goes wrong; of simdjson we use the UTF-8 check.
//
// A long text that is read in sliced work (base/sliced_work.h) is looked at a window at a time: whoever comes to the
// window's end asks for more, and may be put aside there.
//
// The invariants: (1) after a failure every call returns false or `none`, so loops end by themselves; (2) the text is
// JSON only if finish() returned true: what was read before may still be refused.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/sliced_work.h"

namespace weir::reader {

// Nesting is read to this depth (spec section 8); deeper is still checked, and told by too_deep().
inline constexpr size_t kNestingMax = 1000;
// Prompts, arguments and thoughts are cut here (spec section 6).
inline constexpr size_t kTextMax = size_t{64} * 1024;

enum class JsonKind : uint8_t { none, object, array, string, number, boolean_true, boolean_false, null };

// A value and its bytes in the text: of a string what stands between its quotes, still escaped. Borrows the text.
struct JsonValue {
  JsonKind kind = JsonKind::none;
  std::string_view raw;

  bool is(JsonKind wanted) const { return kind == wanted; }
  bool is_string() const { return kind == JsonKind::string; }
  bool is_object() const { return kind == JsonKind::object; }
  bool is_array() const { return kind == JsonKind::array; }
  // The text of a short string: a slice, or unescaped into `room`. Empty for what is no string or does not fit.
  std::string_view short_text(std::span<char, 64> room) const;
  // Whether this is the string `text` (less than 64 bytes, without backslash), however it is escaped.
  bool is_text(std::string_view text) const;
  // A non-empty string.
  bool has_text() const { return is_string() && !raw.empty(); }
};

class JsonReader {
 public:
  // Borrows `text`.
  explicit JsonReader(std::string_view text)
      : begin_(text.data()),
        p_(text.data()),
        end_(text.data() + (SlicedWork::inside() ? std::min(text.size(), kWindow) : text.size())),
        text_end_(text.data() + text.size()),
        utf8_end_(text.data()) {}

  // The kind of the next value; nothing is taken.
  JsonKind peek();
  // REQUIRES: peek() said object (array). Takes the opening bracket; then next_member (next_element) until it is false.
  void enter();
  // Takes the key and the colon of the next member; false once the closing brace was taken, or at a failure. The key is
  // unescaped, and valid until the next call (an escaped one that is too long to be known to us is given as empty).
  bool next_member(std::string_view& key);
  // Moves to the next element; false once the closing bracket was taken, or at a failure.
  bool next_element();
  // Takes the next value whole, and checks it.
  JsonValue value();
  // Takes white space; true if nothing else is left and the whole text was right.
  bool finish();

  bool failed() const { return error_ != nullptr; }
  // After a failure: what is wrong, and the offset of the first wrong byte (the size of the text if it ends early).
  const char* error() const { return error_; }
  size_t error_offset() const { return static_cast<size_t>(p_ - begin_); }
  bool too_deep() const { return too_deep_; }
  // Where the next byte is taken.
  size_t offset() const { return static_cast<size_t>(p_ - begin_); }
  const char* place() const { return p_; }

 private:
  static constexpr size_t kWindow = size_t{16} * 1024;

  // Each takes a place in the text and returns the place after what it passed; null after a failure. The place goes
  // from hand to hand in a register, and into p_ only between the caller's calls.
  const char* pass_space(const char* at);
  const char* pass_digits(const char* at);
  const char* pass_string(const char* at);
  const char* pass_long_string(const char* at);
  const char* pass_number(const char* at);
  const char* pass_literal(const char* at, std::string_view word);
  const char* pass_scalar(const char* at, JsonKind kind);
  const char* pass_colon(const char* at);
  const char* pass_container(const char* at);

  // Both are null, for the caller to return.
  const char* fail(const char* error, const char* at);
  const char* fail_at(const char* at);
  // At the window's end: whether there is more of the text, which can be looked at now. False: nothing, or a failure.
  bool more() { return end_ != text_end_ && extend(); }
  bool extend();
  bool check_utf8(const char* to);
  void find_bad_utf8(const char* to);

  const char* begin_;
  const char* p_;
  const char* end_;       // of the window
  const char* text_end_;  // of all
  const char* utf8_end_;  // what is before it is well-formed UTF-8
  const char* error_ = nullptr;
  size_t depth_ = 0;
  bool first_ = false;  // the container was just entered
  bool too_deep_ = false;
  bool non_ascii_ = false;  // then finish() checks the UTF-8 of the whole text, or of what no window's end has checked
  char key_[64];            // an escaped key, unescaped
};

// A text of at most kTextMax bytes, cut at a whole code point, and the size that it would have had.
struct CappedText {
  std::string text;
  uint64_t size = 0;
  bool truncated = false;

  void clear() {
    text.clear();
    size = 0;
    truncated = false;
  }
  // REQUIRES: valid UTF-8.
  void append(std::string_view bytes);
};

// Unescapes the raw bytes of a JSON string. REQUIRES: JsonReader has checked them. A lone surrogate becomes U+FFFD.
void append_unescaped(std::string_view raw, CappedText& out);
// At most kTextMax bytes of it.
void assign_unescaped(std::string_view raw, std::string& out);

// A number as a count: 0 for negative ones and for what is no number; a fraction is dropped.
uint64_t count_of(const JsonValue& value);

// One member that read_members looks for.
struct Member {
  std::string_view key;
  JsonValue* value;
};
// Takes an object, of duplicate keys the last. REQUIRES: reader.peek() said object.
void read_object(JsonReader& reader, std::initializer_list<Member> members);
// Reads the members of `object`, of duplicate keys the last. False if the text is not exactly one JSON object, or is
// nested too deep; the values are then not to be used.
bool read_members(std::string_view object, std::initializer_list<Member> members);

// The same for a value, which must be an object.
bool read_members(const JsonValue& object, std::initializer_list<Member> members);
// Whether this is an object with at least one member.
bool has_members(const JsonValue& object);

// Whether `text` is JSON that is read: well formed, and not nested too deep.
bool is_json(std::string_view text);

// A member of a tree of values that is read in one walk: into `value` of a struct, and, if `inside` is given, with it
// the members of the object that it is, or, if it is an array, of the object that is its first element; `several` then
// tells whether there are more elements. Tables of them are constants.
template <class Found>
struct Field {
  std::string_view key;
  JsonValue Found::* value;
  std::span<const Field> inside = {};
  bool Found::* several = nullptr;
};

template <class Found>
void forget_fields(std::span<const Field<Found>> fields, Found& found) {
  for (const Field<Found>& field : fields) {
    found.*field.value = {};
    if (field.several != nullptr) found.*field.several = false;
    if (!field.inside.empty()) forget_fields(field.inside, found);
  }
}

// Takes an object, of duplicate keys the last. REQUIRES: reader.peek() said object; what `fields` lead to is empty.
template <class Found>
void read_object(JsonReader& reader, std::span<const Field<Found>> fields, Found& found);

template <class Found>
void read_field(JsonReader& reader, const Field<Found>& field, Found& found) {
  JsonValue& value = found.*field.value;
  if (field.inside.empty()) {
    value = reader.value();
    return;
  }
  if (!value.is(JsonKind::none)) forget_fields(std::span(&field, 1), found);  // a duplicate: this one counts
  const JsonKind kind = reader.peek();
  const bool first_inside = kind == JsonKind::array && field.several != nullptr;
  if (kind != JsonKind::object && !first_inside) {
    value = reader.value();
    return;
  }
  const char* const begin = reader.place();
  if (kind == JsonKind::object) {
    read_object(reader, field.inside, found);
  } else {
    reader.enter();
    for (size_t count = 0; reader.next_element(); ++count) {
      if (count == 0 && reader.peek() == JsonKind::object) {
        read_object(reader, field.inside, found);
      } else {
        reader.value();
        found.*field.several = count > 0;
      }
    }
  }
  if (!reader.failed()) value = {kind, {begin, reader.place()}};
}

template <class Found>
void read_object(JsonReader& reader, std::span<const Field<Found>> fields, Found& found) {
  reader.enter();
  std::string_view key;
  while (reader.next_member(key)) {
    const Field<Found>* wanted = nullptr;
    for (const Field<Found>& field : fields) {
      if (field.key == key) wanted = &field;
    }
    if (wanted != nullptr) {
      read_field(reader, *wanted, found);
    } else {
      reader.value();
    }
  }
}

// False if the text is not exactly one JSON object, or is nested too deep; what was found is then not to be used.
template <class Found, size_t kCount>
bool read_fields(std::string_view object, const Field<Found> (&fields)[kCount], Found& found) {
  JsonReader reader(object);
  if (reader.peek() != JsonKind::object) return false;
  read_object(reader, std::span<const Field<Found>>(fields), found);
  return reader.finish() && !reader.too_deep();
}

// Walks the elements of an array that was read (and so checked) before.
class JsonElements {
 public:
  explicit JsonElements(const JsonValue& array) : reader_(array.raw) {
    if (array.is_array()) reader_.enter();
    done_ = !array.is_array();
  }
  bool next(JsonValue& element) {
    if (done_ || !reader_.next_element()) return false;
    element = reader_.value();
    return true;
  }
  // The next element, of which only these members are wanted: one walk instead of two. Those that it lacks are `none`,
  // as all are if it is no object.
  bool next_members(std::initializer_list<Member> members) {
    if (done_ || !reader_.next_element()) return false;
    for (const Member& member : members) *member.value = {};
    if (reader_.peek() == JsonKind::object) {
      read_object(reader_, members);
    } else {
      reader_.value();
    }
    return true;
  }
  // The same for a tree of them; `found` is to be empty.
  template <class Found, size_t kCount>
  bool next_fields(const Field<Found> (&fields)[kCount], Found& found) {
    if (done_ || !reader_.next_element()) return false;
    if (reader_.peek() == JsonKind::object) {
      read_object(reader_, std::span<const Field<Found>>(fields), found);
    } else {
      reader_.value();
    }
    return true;
  }

 private:
  JsonReader reader_;
  bool done_;
};

// Scans a JSON string strictly: `at` is just after the opening quote; returns the place just after the closing one, or
// null if the bytes up to `end` do not hold a whole, well-formed string. UTF-8 is not looked at: `non_ascii` is set.
const char* skip_string(const char* at, const char* end, bool& non_ascii);

}  // namespace weir::reader
