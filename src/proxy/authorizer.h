// The authorizer as one worker asks it: the token table (store), a callout with a cache (http), or the configured user
// (none).
//
// Cache of the http kind: by the SHA-256 of the token, allowed 60 s, refused 5 s, a bounded number of entries in a
// fixed table; unreachable is not cached. A token's bytes are not kept longer than the callout that needs them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/digest.h"
#include "gateway/entry.h"
#include "gateway/token_table.h"
#include "proxy/snapshot.h"
#include "proxy/upstream.h"
#include "wire/chunk.h"

namespace weir::proxy {

class Worker;

class AuthorizerUser {
 public:
  virtual void on_authorized(gateway::Verdict verdict, const gateway::Identity& identity) = 0;

 protected:
  ~AuthorizerUser() = default;
};

// One question to the operator's service, and its answer.
class Callout : public Slot, public UpstreamUser {
 public:
  virtual ~Callout() = default;
  void begin(Worker& worker, AuthorizerUser& user, const Digest& cache_key, std::string_view token,
             std::string_view key_id);
  void cancel();  // nobody waits for the answer any more
  bool waits_for(const AuthorizerUser& user) const { return user_ == &user; }

  void on_upstream_ready(Upstream& upstream) override;
  void on_upstream_failed(UpstreamFault fault, std::string_view why) override;
  void on_upstream_data(const Piece& piece) override;
  void on_upstream_ended(bool orderly, std::string_view why) override;
  void on_upstream_timeout() override;
  void on_timer();

 private:
  void ask(bool fresh);
  void try_answer(bool ended);
  void conclude(const gateway::AuthorizerReply& reply, bool reusable);
  void unreachable(std::string_view why);
  void release();

  Worker* worker_ = nullptr;
  AuthorizerUser* user_ = nullptr;
  Upstream* upstream_ = nullptr;
  Timer timer_;
  Digest cache_key_{};
  BufferId request_ = kNoBufferId;
  BufferId answer_ = kNoBufferId;
  bool retried_ = false;
};

class Authorizer {
 public:
  explicit Authorizer(Worker& worker) : worker_(worker), entries_(kEntries) {}

  // An answer now, or nothing: then `user` hears it later, unless it calls forget().
  struct Answer {
    gateway::Verdict verdict = gateway::Verdict::refused;
    gateway::Identity identity;
  };
  // `identity` is filled when the verdict is `allowed`.
  std::optional<gateway::Verdict> ask(const gateway::Entry& entry, AuthorizerUser& user, gateway::Identity& identity);
  void forget(AuthorizerUser& user);
  void set_tokens(std::shared_ptr<const gateway::TokenTable> tokens) { tokens_ = std::move(tokens); }
  void keep(const Digest& key, gateway::Verdict verdict, const gateway::Identity& identity);
  // On reload the service may be another one.
  void clear_cache();

 private:
  static constexpr size_t kEntries = 4096;
  struct CacheEntry {
    Digest key{};
    uint64_t expires_ns = 0;
    gateway::Verdict verdict = gateway::Verdict::refused;
    gateway::Identity identity;
  };
  CacheEntry& entry_of(const Digest& key);

  Worker& worker_;
  std::shared_ptr<const gateway::TokenTable> tokens_;
  std::vector<CacheEntry> entries_;  // by the key's first bytes; a newer one takes the place
};

}  // namespace weir::proxy
