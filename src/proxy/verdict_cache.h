// What the authorizer's service has said lately, by the SHA-256 of what it was asked about: granted for 60 s, refused
// for 5 s. Two tables of fixed size, so that guesses, however many, never take the place of a user who was granted.
//
// A table is made of small sets; a full set gives up the entry that expires first. Made at the first use (2 MB), or not
// at all. Pure; time is an argument.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "gateway/entry.h"

namespace weir::proxy {

class VerdictCache {
 public:
  static constexpr uint64_t kGrantedNs = 60 * kNsPerSecond;
  static constexpr uint64_t kRefusedNs = 5 * kNsPerSecond;
  static constexpr size_t kEntries = 4096;  // of each kind

  enum class Found : uint8_t {
    nothing,
    granted,
    refused,
    granted_before,  // no verdict, but the last that was heard: who asks is probably no guesser
  };
  // `identity` is filled when it is granted.
  Found find(const Digest& key, uint64_t now_ns, gateway::Identity& identity) const;
  void keep_granted(const Digest& key, const gateway::Identity& identity, uint64_t now_ns);
  void keep_refused(const Digest& key, uint64_t now_ns);
  void clear();

 private:
  static constexpr size_t kWays = 8;
  struct Granted {
    Digest key{};
    uint64_t expires_ns = 0;  // 0: the entry is free
    gateway::Identity identity;
  };
  struct Refused {
    Digest key{};
    uint64_t expires_ns = 0;
  };
  // The digest is uniform: its first bytes are the hash.
  static size_t set_of(const Digest& key) {
    uint64_t first = 0;
    std::memcpy(&first, key.data(), sizeof first);
    return static_cast<size_t>(first % (kEntries / kWays)) * kWays;
  }
  template <class Table>
  static auto* entry_of(Table& table, const Digest& key) {
    auto* const set = table.empty() ? nullptr : &table[set_of(key)];
    for (size_t i = 0; set != nullptr && i < kWays; i++) {
      if (set[i].expires_ns != 0 && equal_in_constant_time(set[i].key, key)) return &set[i];
    }
    return static_cast<decltype(&table[0])>(nullptr);
  }
  // The key's own entry, or the one that is given up for it.
  template <class Table>
  static auto& place_for(Table& table, const Digest& key) {
    if (table.empty()) table.resize(kEntries);
    if (auto* own = entry_of(table, key); own != nullptr) return *own;
    auto* const set = &table[set_of(key)];
    auto* oldest = set;
    for (size_t i = 1; i < kWays; i++) {
      if (set[i].expires_ns < oldest->expires_ns) oldest = &set[i];
    }
    return *oldest;
  }

  std::vector<Granted> granted_;
  std::vector<Refused> refused_;
};

inline VerdictCache::Found VerdictCache::find(const Digest& key, uint64_t now_ns, gateway::Identity& identity) const {
  const Granted* granted = entry_of(granted_, key);
  if (granted != nullptr && granted->expires_ns > now_ns) {
    identity = granted->identity;
    return Found::granted;
  }
  const Refused* refused = entry_of(refused_, key);
  if (refused != nullptr && refused->expires_ns > now_ns) return Found::refused;
  return granted != nullptr ? Found::granted_before : Found::nothing;
}

inline void VerdictCache::keep_granted(const Digest& key, const gateway::Identity& identity, uint64_t now_ns) {
  Granted& entry = place_for(granted_, key);
  entry.key = key;
  entry.expires_ns = now_ns + kGrantedNs;
  entry.identity = identity;
}

inline void VerdictCache::keep_refused(const Digest& key, uint64_t now_ns) {
  if (Granted* before = entry_of(granted_, key); before != nullptr) before->expires_ns = 0;
  Refused& entry = place_for(refused_, key);
  entry.key = key;
  entry.expires_ns = now_ns + kRefusedNs;
}

// On reload the service may be another one.
inline void VerdictCache::clear() {
  granted_.clear();
  refused_.clear();
}

}  // namespace weir::proxy
