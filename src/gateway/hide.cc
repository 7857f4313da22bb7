#include "gateway/hide.h"

#include <openssl/rand.h>
#include <openssl/siphash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/mask.h"
#include "gateway/option.h"

namespace weir::gateway {

namespace {

// Shorter words ("Bearer", a count) are no secrets, and hiding them would garble the text.
constexpr size_t kSecretMin = 8;
// A part of this length tells more than a hint does. Keys begin alike ("sk-ant-api03-" is 13 bytes).
constexpr size_t kRunMin = 16;
// Of a key that its provider has masked: so much of its beginning or end, next to so many mask characters.
constexpr size_t kEdgeMin = 4;
constexpr size_t kMaskMin = 4;
constexpr std::string_view kMasks[] = {"*", "\xE2\x80\xA2", "x", "."};
// What begins in the part that is kept is recognised if it ends so soon behind it.
constexpr size_t kLookAhead = 256;
// Nobody's name for a header; whatever is named so is hidden too.
constexpr size_t kNameMax = 256;

template <class Use>
void for_each_secret(std::string_view request_head, Use&& use) {
  while (!request_head.empty()) {
    const size_t end = request_head.find("\r\n");
    const std::string_view line = request_head.substr(0, end);
    request_head.remove_prefix(end == std::string_view::npos ? request_head.size() : end + 2);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || (colon <= kNameMax && !is_secret_header(line.substr(0, colon)))) continue;
    std::string_view value = line.substr(colon + 1);
    while (!value.empty()) {
      const size_t blank = value.find_first_of(" \t");
      const std::string_view word = value.substr(0, blank);
      if (word.size() >= kSecretMin) use(word);
      value.remove_prefix(blank == std::string_view::npos ? value.size() : blank + 1);
    }
  }
}

enum class Part : uint8_t {
  run,   // anywhere in a secret; of one that is shorter than kRunMin, all of it
  edge,  // the beginning or the end of one
};

// The parts of the text that are to be hidden if they are parts of a secret, and the secrets' parts looked up among
// them. Equal parts are one entry, so each look-up costs the same however often the text repeats itself; the hash is
// keyed, so that nobody can choose parts that meet in one place.
class Parts {
 public:
  Parts(size_t text_size, size_t count_max) : covers_(text_size), places_(std::bit_ceil(2 * count_max + 1)) {
    ASSERT(RAND_bytes(reinterpret_cast<uint8_t*>(key_.data()), sizeof key_) == 1);
  }

  // `bytes`, of at most kRunMin bytes, is looked for; if it is found, [begin, end) of the text is hidden.
  void look_for(std::string_view bytes, Part part, size_t begin, size_t end) {
    uint32_t& place = place_of(bytes, part);
    if (place == 0) {
      entries_.push_back({.bytes = bytes, .part = part, .secret = {}});
      place = static_cast<uint32_t>(entries_.size());
    }
    wanted_.push_back({.entry = place - 1, .begin = begin, .end = end});
  }
  void found(std::string_view bytes, Part part, std::string_view secret) {
    if (const uint32_t place = place_of(bytes, part); place != 0) entries_[place - 1].secret = secret;
  }
  // Of each byte of the text the secret that hides it; empty: none.
  std::vector<std::string_view> covers() && {
    for (const Wanted& wanted : wanted_) {
      const std::string_view secret = entries_[wanted.entry].secret;
      if (secret.empty()) continue;
      std::fill(covers_.begin() + static_cast<ptrdiff_t>(wanted.begin),
                covers_.begin() + static_cast<ptrdiff_t>(wanted.end), secret);
    }
    return std::move(covers_);
  }

 private:
  struct Entry {
    std::string_view bytes;
    Part part;
    std::string_view secret;
  };
  struct Wanted {
    uint32_t entry;
    size_t begin, end;
  };

  // The entry's number, counted from 1; 0 where it would go.
  uint32_t& place_of(std::string_view bytes, Part part) {
    const uint64_t hash = SIPHASH_24(key_.data(), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    for (size_t i = hash + static_cast<size_t>(part);; ++i) {
      uint32_t& place = places_[i & (places_.size() - 1)];
      if (place == 0) return place;
      const Entry& entry = entries_[place - 1];
      if (entry.part == part && entry.bytes == bytes) return place;
    }
  }

  std::array<uint64_t, 2> key_;
  std::vector<std::string_view> covers_;
  std::vector<uint32_t> places_;  // open addressing; never more than half full
  std::vector<Entry> entries_;
  std::vector<Wanted> wanted_;
};

struct Range {
  size_t begin, end;
};

// Where kMaskMin or more of one mask character follow each other.
std::vector<Range> masked_runs(std::string_view text) {
  std::vector<Range> runs;
  for (size_t at = 0; at < text.size();) {
    size_t end = at + 1;
    for (const std::string_view mark : kMasks) {
      size_t count = 0;
      size_t stop = at;
      for (; text.substr(stop).starts_with(mark); stop += mark.size()) ++count;
      if (count > 0) end = stop;
      if (count >= kMaskMin) runs.push_back({at, stop});
    }
    at = end;
  }
  return runs;
}

// What of the text is looked for among the secrets, whose sizes are bits of `sizes`.
Parts parts_of(std::string_view text, const std::vector<Range>& masked, uint32_t sizes) {
  const size_t edges = 2 * (kRunMin - kEdgeMin) * masked.size();
  Parts parts(text.size(), static_cast<size_t>(std::popcount(sizes)) * text.size() + edges);
  for (size_t size = kSecretMin; size <= kRunMin; ++size) {
    if ((sizes >> size & 1) == 0) continue;
    for (size_t i = 0; i + size <= text.size(); ++i) parts.look_for(text.substr(i, size), Part::run, i, i + size);
  }
  for (const Range& run : masked) {
    for (size_t size = kEdgeMin; size < kRunMin; ++size) {
      if (size <= run.begin) {
        parts.look_for(text.substr(run.begin - size, size), Part::edge, run.begin - size, run.end);
      }
      if (size <= text.size() - run.end) {
        parts.look_for(text.substr(run.end, size), Part::edge, run.begin, run.end + size);
      }
    }
  }
  return parts;
}

void look_up(std::string_view secret, bool edges, Parts& parts) {
  const size_t run = std::min(secret.size(), kRunMin);
  for (size_t i = 0; i + run <= secret.size(); ++i) parts.found(secret.substr(i, run), Part::run, secret);
  if (!edges) return;
  for (size_t size = kEdgeMin; size < std::min(kRunMin, secret.size()); ++size) {
    parts.found(secret.substr(0, size), Part::edge, secret);
    parts.found(secret.substr(secret.size() - size), Part::edge, secret);
  }
}

}  // namespace

std::string hide_credentials(std::string_view text, std::string_view request_head, size_t size_max) {
  text = text.substr(0, size_max + kLookAhead);
  uint32_t sizes = 0;
  for_each_secret(request_head, [&](std::string_view secret) { sizes |= 1u << std::min(secret.size(), kRunMin); });
  if (sizes == 0 || text.empty()) return std::string(text.substr(0, size_max));

  const std::vector<Range> masked = masked_runs(text);
  Parts parts = parts_of(text, masked, sizes);
  for_each_secret(request_head, [&](std::string_view secret) { look_up(secret, !masked.empty(), parts); });
  std::vector<std::string_view> covers = std::move(parts).covers();
  // Mask characters go with what is hidden beside them.
  for (const Range& run : masked) {
    const std::string_view before = run.begin > 0 ? covers[run.begin - 1] : std::string_view();
    const std::string_view secret = before.empty() && run.end < text.size() ? covers[run.end] : before;
    if (!secret.empty()) std::fill_n(covers.begin() + static_cast<ptrdiff_t>(run.begin), run.end - run.begin, secret);
  }

  std::string out;
  for (size_t i = 0; i < std::min(text.size(), size_max);) {
    if (covers[i].empty()) {
      out += text[i++];
      continue;
    }
    out += mask(covers[i]);
    while (i < text.size() && !covers[i].empty()) ++i;
  }
  return out;
}

}  // namespace weir::gateway
