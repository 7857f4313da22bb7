#include "gateway/token_table.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace weir::gateway {

namespace {

// A digest is uniform already: its first bytes are the hash. What a probe's time tells is at most something about the
// hash of a guess, which says nothing about a token.
size_t first_slot(const Digest& digest, size_t slot_count) {
  uint64_t hash = 0;
  std::memcpy(&hash, digest.data(), sizeof hash);
  return static_cast<size_t>(hash) & (slot_count - 1);
}

}  // namespace

TokenTable::TokenTable(const std::vector<TokenRow>& live_rows) {
  rows_.reserve(live_rows.size());
  for (const TokenRow& row : live_rows) {
    rows_.push_back({row.token_sha256, Identity::make(row.initiator_id, row.username, row.key_id), row.expires_at_us});
  }

  by_digest_.assign(std::bit_ceil(std::max<size_t>(rows_.size() * 2, 2)), 0);
  by_key_id_.reserve(rows_.size());
  for (uint32_t i = 0; i < rows_.size(); ++i) {
    size_t slot = first_slot(rows_[i].token_sha256, by_digest_.size());
    while (by_digest_[slot] != 0) slot = (slot + 1) & (by_digest_.size() - 1);
    by_digest_[slot] = i + 1;
    by_key_id_.push_back(i);
  }
  std::ranges::sort(by_key_id_, {}, [this](uint32_t i) { return rows_[i].identity.api_key_id(); });
}

TokenTable::Answer TokenTable::find_token(const Digest& token_sha256, int64_t now_us) const {
  // Ends: at least half of the slots are empty.
  for (size_t slot = first_slot(token_sha256, by_digest_.size()); by_digest_[slot] != 0;
       slot = (slot + 1) & (by_digest_.size() - 1)) {
    const Row& row = rows_[by_digest_[slot] - 1];
    if (!equal_in_constant_time(row.token_sha256, token_sha256)) continue;
    return answer(row, now_us);
  }
  return {};
}

TokenTable::Answer TokenTable::find_key(std::string_view key_id, int64_t now_us) const {
  const auto place =
      std::ranges::lower_bound(by_key_id_, key_id, {}, [this](uint32_t i) { return rows_[i].identity.api_key_id(); });
  if (place == by_key_id_.end() || rows_[*place].identity.api_key_id() != key_id) return {};
  return answer(rows_[*place], now_us);
}

TokenTable::Answer TokenTable::answer(const Row& row, int64_t now_us) {
  if (row.expires_at_us != 0 && now_us >= row.expires_at_us) return {};
  return {.verdict = Verdict::allowed, .identity = &row.identity};
}

}  // namespace weir::gateway
