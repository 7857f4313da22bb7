#include "reader/skeleton.h"

#include <simdjson.h>

#include <algorithm>
#include <cstring>

namespace weir::reader {
namespace {

constexpr size_t kTextKeptMax = 1024;
// A longer one takes time, and may be put aside where it is read whole.
constexpr size_t kMatchedMax = size_t{64} * 1024;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// The end of a whole number without sign at `at`, or null.
const char* skip_whole_number(const char* at, const char* end) {
  const char* const begin = at;
  while (at != end && is_digit(*at)) ++at;
  const bool right = at != begin && (*begin != '0' || at - begin == 1);
  return right ? at : nullptr;
}

}  // namespace

void Skeleton::learn(std::string_view data, std::initializer_list<JsonValue> free) {
  text_.clear();
  if (data.size() > kTextKeptMax) return;
  gap_count_ = 0;
  for (const JsonValue& value : free) {
    const auto begin = static_cast<uint16_t>(value.raw.data() - data.data());
    if (value.is_string()) {
      gaps_[gap_count_++] = {begin, static_cast<uint16_t>(begin + value.raw.size() + 1), true};
    } else if (value.is(JsonKind::number) && std::all_of(value.raw.begin(), value.raw.end(), is_digit)) {
      gaps_[gap_count_++] = {begin, static_cast<uint16_t>(begin + value.raw.size()), false};
    }
  }
  std::sort(gaps_.begin(), gaps_.begin() + gap_count_, [](const Gap& a, const Gap& b) { return a.begin < b.begin; });
  text_.assign(data);
}

bool Skeleton::matches(std::string_view data) const {
  if (text_.empty() || data.size() > kMatchedMax) return false;
  const char* own = text_.data();
  const char* at = data.data();
  const char* const end = at + data.size();
  const auto same = [&](size_t size) {
    if (static_cast<size_t>(end - at) < size || std::memcmp(own, at, size) != 0) return false;
    own += size;
    at += size;
    return true;
  };
  for (size_t i = 0; i < gap_count_; ++i) {
    const Gap& gap = gaps_[i];
    if (!same(static_cast<size_t>(text_.data() + gap.begin - own))) return false;
    const char* const begin = at;
    bool non_ascii = false;
    at = gap.is_string ? skip_string(at, end, non_ascii) : skip_whole_number(at, end);
    if (at == nullptr) return false;
    if (non_ascii && !simdjson::validate_utf8(begin, static_cast<size_t>(at - begin))) return false;
    own = text_.data() + gap.end;
  }
  const size_t left = static_cast<size_t>(text_.data() + text_.size() - own);
  return static_cast<size_t>(end - at) == left && same(left);
}

}  // namespace weir::reader
