#include "proxy/verdict_cache.h"

#include <string>

#include <doctest/doctest.h>

namespace weir::proxy {
namespace {

using Found = VerdictCache::Found;

gateway::Identity identity(uint32_t number) {
  return gateway::Identity::make("00000000-0000-4000-8000-000000000000", "user" + std::to_string(number), "");
}
Digest key(const char* kind, uint32_t number) {
  return sha256(kind, std::to_string(number));
}

}  // namespace

TEST_CASE("verdict cache: granted for a minute, refused for five seconds") {
  VerdictCache cache;
  gateway::Identity found;
  const uint64_t now_ns = 1000 * kNsPerSecond;
  CHECK(cache.find(key("user", 1), now_ns, found) == Found::nothing);
  cache.keep_granted(key("user", 1), identity(1), now_ns);
  cache.keep_refused(key("guess", 1), now_ns);
  CHECK(cache.find(key("user", 1), now_ns + VerdictCache::kGrantedNs - 1, found) == Found::granted);
  CHECK(found.username() == "user1");
  CHECK(cache.find(key("guess", 1), now_ns + VerdictCache::kRefusedNs - 1, found) == Found::refused);
  CHECK(cache.find(key("user", 1), now_ns + VerdictCache::kGrantedNs, found) == Found::granted_before);
  CHECK(cache.find(key("guess", 1), now_ns + VerdictCache::kRefusedNs, found) == Found::nothing);
}

TEST_CASE("verdict cache: many guesses evict nobody who was granted") {
  VerdictCache cache;
  gateway::Identity found;
  const uint64_t now_ns = 1000 * kNsPerSecond;
  for (uint32_t i = 0; i < 300; i++) cache.keep_granted(key("user", i), identity(i), now_ns);
  for (uint32_t i = 0; i < 200'000; i++) cache.keep_refused(key("guess", i), now_ns + i);
  for (uint32_t i = 0; i < 300; i++) {
    REQUIRE(cache.find(key("user", i), now_ns + kNsPerSecond, found) == Found::granted);
    CHECK(found.username() == "user" + std::to_string(i));
  }
  CHECK(cache.find(key("guess", 199'999), now_ns + kNsPerSecond, found) == Found::refused);
}

TEST_CASE("verdict cache: the newest verdict about a key counts") {
  VerdictCache cache;
  gateway::Identity found;
  const uint64_t now_ns = 1000 * kNsPerSecond;
  cache.keep_granted(key("user", 1), identity(1), now_ns);
  cache.keep_refused(key("user", 1), now_ns + 1);
  CHECK(cache.find(key("user", 1), now_ns + 2, found) == Found::refused);
  cache.keep_granted(key("user", 1), identity(2), now_ns + 3);
  CHECK(cache.find(key("user", 1), now_ns + 4, found) == Found::granted);
  CHECK(found.username() == "user2");
}

TEST_CASE("verdict cache: as many users as it has room for, and most of them stay") {
  VerdictCache cache;
  gateway::Identity found;
  for (uint32_t i = 0; i < VerdictCache::kEntries / 2; i++) cache.keep_granted(key("user", i), identity(i), 1 + i);
  uint32_t kept = 0;
  for (uint32_t i = 0; i < VerdictCache::kEntries / 2; i++) {
    kept += cache.find(key("user", i), 1, found) == Found::granted;
  }
  CHECK(kept > VerdictCache::kEntries / 2 * 9 / 10);
}

TEST_CASE("verdict cache: after a reload nothing is known") {
  VerdictCache cache;
  gateway::Identity found;
  cache.keep_granted(key("user", 1), identity(1), 1);
  cache.keep_refused(key("guess", 1), 1);
  cache.clear();
  CHECK(cache.find(key("user", 1), 2, found) == Found::nothing);
  CHECK(cache.find(key("guess", 1), 2, found) == Found::nothing);
}

}  // namespace weir::proxy
