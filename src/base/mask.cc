#include "base/mask.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/utf8.h"

namespace weir {
namespace {

constexpr size_t kRevealedMax = 4;
constexpr size_t kCountedMax = 20;  // how many more code points there are changes nothing

// The size of the code point at the front; an invalid byte is one of its own.
size_t unit_size(std::string_view text) {
  const size_t size = code_point_size(text);
  return size == 0 ? 1 : size;
}

size_t revealed_count(size_t code_points) {
  if (code_points >= kCountedMax) return kRevealedMax;
  if (code_points >= 10) return 2;
  return code_points >= 5 ? 1 : 0;
}

// Copies `count` code points from the front of `text`, invalid bytes as '?'.
char* copy_units(std::string_view text, size_t count, char* out) {
  for (; count > 0; --count) {
    const size_t size = code_point_size(text);
    if (size == 0) {
      *out++ = '?';
      text.remove_prefix(1);
    } else {
      std::memcpy(out, text.data(), size);
      out += size;
      text.remove_prefix(size);
    }
  }
  return out;
}

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c & 0x80) == 0; });
}

// Whether the last few code points are the last few bytes: no byte of a longer code point is below 0x80, so what stands
// before them does not matter.
bool ends_in_ascii(std::string_view text) {
  return text.size() >= kRevealedMax && is_ascii(text.substr(text.size() - kRevealedMax));
}

}  // namespace

size_t mask(std::string_view secret, char* out) {
  if (secret.empty()) return 0;
  const bool ascii_end = ends_in_ascii(secret);
  // As good as every key: so many bytes are so many code points.
  if (ascii_end && secret.size() >= kCountedMax && is_ascii(secret.substr(0, kCountedMax))) {
    char* const dots = std::copy_n(secret.begin(), kRevealedMax, out);
    char* const last = std::copy_n("...", 3, dots);
    return static_cast<size_t>(std::copy_n(secret.end() - kRevealedMax, kRevealedMax, last) - out);
  }
  // Where the last few code points begin, in a ring: what is invalid can only be told from the front.
  std::array<size_t, kRevealedMax> starts{};
  size_t count = 0;
  for (size_t offset = 0; offset < secret.size(); ++count) {
    // A login's token of a kilobyte costs no more than a short key.
    if (count == kCountedMax && ascii_end) {
      for (size_t i = 0; i < kRevealedMax; ++i) starts[i] = secret.size() - kRevealedMax + i;
      break;
    }
    starts[count % kRevealedMax] = offset;
    offset += unit_size(secret.substr(offset));
  }
  const size_t revealed = revealed_count(count);
  char* end = copy_units(secret, revealed, out);
  for (int i = 0; i < 3; ++i) *end++ = '.';
  if (revealed > 0) {
    // REQUIRES of copy_units: the ring holds the last four starts, and at least twice `revealed` code points exist.
    end = copy_units(secret.substr(starts[(count - revealed) % kRevealedMax]), revealed, end);
  }
  return static_cast<size_t>(end - out);
}

std::string mask(std::string_view secret) {
  std::array<char, kHintSizeMax> hint;
  return {hint.data(), mask(secret, hint.data())};
}

}  // namespace weir
