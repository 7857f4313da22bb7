#include "gateway/limiter.h"

#include <openssl/rand.h>
#include <openssl/siphash.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/assert.h"
#include "base/clock.h"

namespace weir::gateway {

namespace {

constexpr uint64_t kHourNs = 3600 * kNsPerSecond;
constexpr uint32_t kInitiators = 1u << 16;
constexpr uint32_t kAddressesMin = 1u << 14;
constexpr uint32_t kAddressesMax = 1u << 20;

constexpr uint64_t count_in(uint64_t owner, unsigned bits) {
  return owner & ((uint64_t{1} << bits) - 1);
}

}  // namespace

Bucket Bucket::make(uint64_t per_hour, uint32_t burst) {
  if (per_hour == 0) return {};
  const uint64_t a_second = (per_hour + 3599) / 3600;
  return {.interval_ns = std::max<uint64_t>(1, kHourNs / per_hour),
          .burst = burst != 0 ? burst : static_cast<uint32_t>(std::min<uint64_t>(a_second, UINT32_MAX))};
}

LimitTable::LimitTable(uint32_t size) : entries_(std::make_unique<Entry[]>(size)), mask_(size - 1) {
  ASSERT(std::has_single_bit(size) && size >= kProbes);
}

// The place comes from the low bits of the key, the tag from the high ones.
uint64_t LimitTable::tag_of(uint64_t key) {
  const uint64_t tag = key >> kCountBits << kCountBits;
  return tag != 0 ? tag : uint64_t{1} << kCountBits;
}

// The key's entry, or one that was idle and now is its; null: all places near it are in use.
LimitTable::Entry* LimitTable::place(uint64_t key, uint64_t now_ns) {
  const uint64_t tag = tag_of(key);
  for (;;) {
    Entry* idle = nullptr;
    uint64_t idle_owner = 0;
    for (uint32_t i = 0; i < kProbes; i++) {
      Entry& entry = entries_[(key + i) & mask_];
      const uint64_t owner = entry.owner.load(std::memory_order_relaxed);
      if (owner - count_in(owner, kCountBits) == tag) return &entry;
      if (idle != nullptr || count_in(owner, kCountBits) != 0) continue;
      if (entry.full_at_ns.load(std::memory_order_relaxed) > now_ns) continue;
      idle = &entry;
      idle_owner = owner;
    }
    if (idle == nullptr) {
      full_count_.fetch_add(1, std::memory_order_relaxed);
      return nullptr;
    }
    // Its bucket is full, as a new key's is: the other word stays as it is. Failing means that somebody else was
    // faster, so this ends: each round one of them has its place.
    if (idle->owner.compare_exchange_strong(idle_owner, tag, std::memory_order_relaxed)) return idle;
  }
}

uint64_t LimitTable::take(uint64_t key, const Bucket& bucket, uint64_t now_ns) {
  if (bucket.interval_ns == 0) return 0;
  Entry* entry = place(key, now_ns);
  if (entry == nullptr) return 0;
  const uint64_t capacity_ns = bucket.interval_ns * bucket.burst;
  uint64_t full_at_ns = entry->full_at_ns.load(std::memory_order_relaxed);
  for (;;) {
    const uint64_t then_ns = std::max(full_at_ns, now_ns) + bucket.interval_ns;
    if (then_ns - now_ns > capacity_ns) return then_ns - now_ns - capacity_ns;
    if (entry->full_at_ns.compare_exchange_weak(full_at_ns, then_ns, std::memory_order_relaxed)) return 0;
  }
}

LimitTable::Entered LimitTable::enter(uint64_t key, uint32_t count_max, uint64_t now_ns) {
  const uint64_t tag = tag_of(key);
  for (;;) {
    Entry* entry = place(key, now_ns);
    if (entry == nullptr) return {};
    uint64_t owner = entry->owner.load(std::memory_order_relaxed);
    while (owner - count_in(owner, kCountBits) == tag) {
      const uint64_t count = count_in(owner, kCountBits);
      if (count >= count_max) return {.hold = {}, .count = 0, .refused = true};
      if (entry->owner.compare_exchange_weak(owner, owner + 1, std::memory_order_relaxed)) {
        return {.hold = {static_cast<uint32_t>(entry - entries_.get())},
                .count = static_cast<uint32_t>(count + 1),
                .refused = false};
      }
    }
    // Given away between the two steps: once more.
  }
}

void LimitTable::leave(Hold& hold) {
  const uint32_t index = std::exchange(hold.index, Hold::kNone);
  if (index == Hold::kNone) return;
  const uint64_t before = entries_[index].owner.fetch_sub(1, std::memory_order_relaxed);
  ASSERT(count_in(before, kCountBits) > 0);
}

uint64_t LimitTable::holds() const {
  uint64_t sum = 0;
  for (uint32_t i = 0; i <= mask_; i++) {
    sum += count_in(entries_[i].owner.load(std::memory_order_relaxed), kCountBits);
  }
  return sum;
}

Limiter::Limiter(uint32_t connections)
    : addresses(std::bit_ceil(std::clamp(connections, kAddressesMin / 4, kAddressesMax / 4) * 4)),
      initiators(kInitiators) {
  RAND_bytes(reinterpret_cast<uint8_t*>(secret_.data()), sizeof secret_);
}

uint64_t Limiter::key_of(std::string_view bytes) const {
  const uint64_t hash = SIPHASH_24(secret_.data(), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  return hash != 0 ? hash : 1;
}

}  // namespace weir::gateway
