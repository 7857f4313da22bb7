// Recognises an event that differs from an earlier one only in scalars that nobody reads: the text of a delta, its
// obfuscation, its sequence number. Such an event is well formed and bears nothing, exactly because the earlier one was
// and did, and because the scalars are checked as strictly as any. Most events of a stream are of this kind, and a few
// comparisons of memory are several times cheaper than walking the JSON.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "reader/json.h"

namespace weir::reader {

class Skeleton {
 public:
  void reset() { text_.clear(); }
  // `data` was read whole, is JSON, and bears nothing whatever the values in `free` are: strings, or whole numbers,
  // that stand in `data` (others are passed over). Longer events are not kept.
  void learn(std::string_view data, std::initializer_list<JsonValue> free);
  bool matches(std::string_view data) const;
  size_t memory() const { return text_.capacity(); }

 private:
  struct Gap {
    uint16_t begin, end;  // in text_; of a string without its opening quote, but with the closing one
    bool is_string;
  };
  std::string text_;
  std::array<Gap, 4> gaps_{};
  size_t gap_count_ = 0;
};

}  // namespace weir::reader
