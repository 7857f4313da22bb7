// The first useful header of each well-known name, found in one pass over a head, so that a request with many questions
// is not scanned once for each. A blank value counts as none. Borrows the head.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "wire/head.h"

namespace weir::gateway {

constexpr bool is_blank(char byte) {
  return byte == ' ' || byte == '\t';
}

constexpr std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

class HeadIndex {
 public:
  explicit HeadIndex(const wire::RequestHead& head) : head_(head) {
    for (uint32_t i = 0; i < head.header_count; ++i) {
      const wire::Header& header = head.headers[i];
      if (header.id == wire::HeaderName::other || header.value.empty()) continue;
      seen_ |= uint64_t{1} << std::to_underlying(header.id);
      uint8_t& place = places_[std::to_underlying(header.id)];
      if (place == 0) place = static_cast<uint8_t>(i + 1);
    }
  }

  // One bit for each name that is there and not blank.
  uint64_t seen() const { return seen_; }
  // Null if there is none that is not blank.
  const wire::Header* find(wire::HeaderName name) const {
    const uint8_t place = places_[std::to_underlying(name)];
    return place == 0 ? nullptr : &head_.headers[place - 1u];
  }
  // Empty if there is none.
  std::string_view value(wire::HeaderName name) const {
    const wire::Header* header = find(name);
    return header == nullptr ? std::string_view() : header->value;
  }

 private:
  static_assert(wire::kHeaderCountMax < 256);
  static_assert(static_cast<unsigned>(wire::HeaderName::count) <= 64);
  const wire::RequestHead& head_;
  uint64_t seen_ = 0;
  std::array<uint8_t, static_cast<size_t>(wire::HeaderName::count)> places_{};  // index + 1; 0: none
};

}  // namespace weir::gateway
