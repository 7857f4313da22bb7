// Limits for each client address and each initiator: how many requests a second (with a burst), and how many of
// something at once. Pure: time is an argument, keys are hashes.
//
// Shared by all workers, because the kernel spreads one client's connections over them: a table of fixed size, open
// addressing, two atomic words an entry, no lock, no allocation. An entry that holds nothing and whose bucket is full
// again says nothing, so its place is given away.
//
// Exact: what enter() counted, leave() takes off the same entry; an entry that counts something is never given away.
// Inexact by design, and only by one: two workers that meet the same new key at the same instant may make two entries
// for it, until one of them is idle; one that takes from an entry in the instant in which it is given away charges its
// next owner.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

namespace weir::gateway {

// A token bucket: `burst` tokens, one back each interval.
struct Bucket {
  uint64_t interval_ns = 0;  // 0: no limit
  uint32_t burst = 1;

  // `per_hour` 0: no limit. `burst` 0: what comes in a second, at least 1.
  static Bucket make(uint64_t per_hour, uint32_t burst);
};

class LimitTable {
 public:
  // What was entered and must leave; movable by value, once.
  struct Hold {
    static constexpr uint32_t kNone = UINT32_MAX;
    uint32_t index = kNone;
    bool holds() const { return index != kNone; }
  };
  struct Entered {
    Hold hold;
    uint32_t count = 0;  // with this one; 0: refused, or not counted
    bool refused = false;
  };

  explicit LimitTable(uint32_t size);  // a power of two
  LimitTable(const LimitTable&) = delete;
  LimitTable& operator=(const LimitTable&) = delete;

  // Takes one token. 0: there was one; else how long until there is one.
  uint64_t take(uint64_t key, const Bucket& bucket, uint64_t now_ns);
  // Counts one more under this key, unless there are `count_max` already.
  Entered enter(uint64_t key, uint32_t count_max, uint64_t now_ns);
  void leave(Hold& hold);  // a hold of nothing is fine

  // What is entered and has not left, of all keys; looks at every entry.
  uint64_t holds() const;
  // How often no place was found within kProbes: then nothing is limited. Written by any thread, on that rare way only.
  uint64_t full_count() const { return full_count_.load(std::memory_order_relaxed); }

 private:
  static constexpr uint32_t kProbes = 16;
  static constexpr unsigned kCountBits = 24;

  // Relaxed everywhere: neither word guards another memory.
  struct Entry {
    std::atomic<uint64_t> owner{0};       // 40 bits of the key, 24 of the count; 0: never used
    std::atomic<uint64_t> full_at_ns{0};  // when the bucket is full again: the whole state of a token bucket (GCRA)
  };
  static uint64_t tag_of(uint64_t key);
  Entry* place(uint64_t key, uint64_t now_ns);

  std::unique_ptr<Entry[]> entries_;
  uint32_t mask_;
  std::atomic<uint64_t> full_count_{0};
};

struct Limiter {
  // Room for four times as many addresses as there can be connections.
  explicit Limiter(uint32_t connections);

  uint64_t holds() const { return addresses.holds() + initiators.holds(); }
  // Keyed by random bits of this process: nobody can choose keys that meet in one place. Never 0.
  uint64_t key_of(std::string_view bytes) const;

  LimitTable addresses;
  LimitTable initiators;

 private:
  std::array<uint64_t, 2> secret_{};
};

}  // namespace weir::gateway
