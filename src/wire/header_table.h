// Recognition of header names: a perfect hash over the size and both ends, found at compile time, then one compare.
// Private to wire, in a header so that the parser of heads has it inlined.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "wire/head.h"

namespace weir::wire {

inline constexpr size_t kNameCount = static_cast<size_t>(HeaderName::count);
inline constexpr size_t kNameSizeMax = 40;

// In the order of HeaderName; lower case.
inline constexpr std::array<std::string_view, kNameCount> kTexts = {
    "",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-api-key",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "chatgpt-account-id",
    "originator",
    "request-id",
    "x-request-id",
    "retry-after",
    "x-cursor-client-version",
    "x-claude-code-session-id",
    "x-claude-code-agent-id",
    "x-claude-code-parent-agent-id",
    "session-id",
    "session_id",
    "x-mux-workspace-id",
    "x-interaction-id",
    "x-interaction-type",
    "x-initiator",
    "x-client-session-id",
    "x-kilocode-taskid",
    "x-coder-chat-id",
    "x-opencode-session",
    "x-session-affinity",
    "x-session-id",
    "x-weir-session-id",
    "x-coder-ai-governance-token",
    "x-coder-ai-governance-byok-token",
    "x-weir-token",
    "x-coder-ai-governance-request-id",
    "x-weir-request-id",
    "x-weir-delegated-key-id",
    "x-coder-ai-gateway-delegated-key-id",
};

// `fold` has 0x20 where `text` has a letter: (byte | fold) == text holds for exactly the two cases of that letter, and
// elsewhere for the very byte alone.
struct FoldedName {
  std::array<char, kNameSizeMax> text{};
  std::array<char, kNameSizeMax> fold{};
};

constexpr std::array<FoldedName, kNameCount> make_folded() {
  std::array<FoldedName, kNameCount> folded;
  for (size_t i = 0; i < kNameCount; ++i) {
    for (size_t j = 0; j < kTexts[i].size(); ++j) {
      const char c = kTexts[i][j];
      folded[i].text[j] = c;
      folded[i].fold[j] = c >= 'a' && c <= 'z' ? '\x20' : '\0';
    }
  }
  return folded;
}
inline constexpr std::array<FoldedName, kNameCount> kFolded = make_folded();

static_assert(std::endian::native == std::endian::little,
              "the hash is computed of bytes at compile time, of words later");
constexpr uint32_t four_bytes(std::string_view name, size_t offset) {
  uint32_t word = 0;
  if consteval {
    for (size_t i = 0; i < 4; ++i) word |= static_cast<uint32_t>(static_cast<uint8_t>(name[offset + i])) << (8 * i);
  } else {
    std::memcpy(&word, &name[offset], sizeof(word));
  }
  return word;
}

// REQUIRES: four bytes or more. Each byte with 0x20 is the same for both cases of a letter.
constexpr uint8_t hash(std::string_view name, uint32_t seed) {
  const uint32_t first = four_bytes(name, 0) | 0x20202020;
  const uint32_t last = four_bytes(name, name.size() - 4) | 0x20202020;
  return static_cast<uint8_t>((first + last * 3 + static_cast<uint32_t>(name.size())) * seed >> 24);
}

struct HashTable {
  uint32_t seed = 0;
  std::array<uint8_t, 256> slots{};  // an index into kTexts; 0 is `other`
};

constexpr HashTable find_perfect_hash() {
  // Any odd multiplier may do; a linear congruential walk tries them until one has no collision.
  HashTable table;
  uint32_t seed = 0x9E3779B1u;
  for (int attempt = 0; attempt < 4000; ++attempt, seed = (seed * 1664525u + 1013904223u) | 1u) {
    table.slots = {};
    table.seed = seed;
    bool collides = false;
    for (size_t i = 1; i < kNameCount && !collides; ++i) {
      if (kTexts[i].size() < 4) continue;
      uint8_t& slot = table.slots[hash(kTexts[i], seed)];
      collides = slot != 0;
      slot = static_cast<uint8_t>(i);
    }
    if (!collides) return table;
  }
  table.seed = 0;
  return table;
}
inline constexpr HashTable kTable = find_perfect_hash();
static_assert(kTable.seed != 0, "no multiplier without a collision: let the hash look at more of a name");

template <class Word>
bool word_matches(std::string_view name, const FoldedName& folded, size_t offset) {
  Word word, text, fold;
  std::memcpy(&word, &name[offset], sizeof(Word));
  std::memcpy(&text, folded.text.data() + offset, sizeof(Word));
  std::memcpy(&fold, folded.fold.data() + offset, sizeof(Word));
  return (word | fold) == text;
}

// Words, the last one overlapping, so that nothing past the name is read. REQUIRES: four bytes or more.
inline bool matches(std::string_view name, const FoldedName& folded) {
  if (name.size() >= 8) {
    for (size_t offset = 0; offset + 8 < name.size(); offset += 8) {
      if (!word_matches<uint64_t>(name, folded, offset)) return false;
    }
    return word_matches<uint64_t>(name, folded, name.size() - 8);
  }
  return word_matches<uint32_t>(name, folded, 0) && word_matches<uint32_t>(name, folded, name.size() - 4);
}

// As header_name().
inline HeaderName find_header_name(std::string_view name) {
  if (name.size() < 4) [[unlikely]] {
    const bool is_te = name.size() == 2 && (name[0] | 0x20) == 't' && (name[1] | 0x20) == 'e';
    return is_te ? HeaderName::te : HeaderName::other;
  }
  const uint8_t index = kTable.slots[hash(name, kTable.seed)];
  if (kTexts[index].size() != name.size() || !matches(name, kFolded[index])) return HeaderName::other;
  return static_cast<HeaderName>(index);
}

}  // namespace weir::wire
