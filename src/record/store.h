// The embedded database, data_dir/weir.db (SQLite, WAL): gateway keys and records. Blocking; never called on a worker.
// Any thread may call, one at a time each. Several processes use one database at once (`weir serve`, `weir key`,
// `weir log`).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/result.h"

namespace weir::record {

struct GatewayKey {
  std::string id{};  // UUIDv4; also the api_key_id of records
  std::string username{};
  std::string initiator_id{};  // UUID
  std::string hint{};          // masked token
  Digest token_sha256{};
  int64_t created_at = 0;  // µs since the epoch
  int64_t expires_at = 0;  // 0: never
  int64_t revoked_at = 0;  // 0: live
};

struct LogFilter {     // empty: any
  std::string user{};  // username or initiator id
  std::string provider{}, model{}, outcome{}, credential_kind{}, session_id{};
  int64_t since = 0, until = 0;  // µs since the epoch; 0: open
  uint32_t limit = 50;
  int64_t after_rowid = 0;  // 0: newest first; else the rows that started after this one, oldest first
};

struct InterceptionRow {  // every column of spec section 6, and sums of its token usages
  int64_t rowid = 0;
  std::string id{};
  int64_t started_at = 0;
  std::optional<int64_t> ended_at{};
  std::string initiator_id{}, username{}, api_key_id{}, provider{}, provider_type{}, route{}, model{};
  bool streaming = false;
  std::string client{}, user_agent{}, session_id{}, agent_id{}, parent_agent_id{}, correlating_tool_call_id{},
      auth_mode{};
  bool auth_delegated = false;
  std::string source{}, request_id{}, credential_kind{}, credential_hint{};
  int64_t credential_length = 0;
  std::optional<int64_t> upstream_status{};
  std::string upstream_request_id{}, outcome{}, error_type{}, error_message{};
  int64_t attempts = 0;
  std::optional<int64_t> first_byte_us{};
  int64_t request_bytes = 0, response_bytes = 0;
  std::string node{};
  int64_t input_tokens = 0, output_tokens = 0, cache_read_tokens = 0, cache_write_tokens = 0;
};

// Where a follower is. Interceptions are numbered as they start and end in another order, so it remembers those that it
// saw running.
struct FollowCursor {
  int64_t last_rowid = 0;
  std::vector<int64_t> running{};
};

class Store {
 public:
  // Creates the file (0600), its folder (0700) and tables as needed (`PRAGMA user_version` migrations). A newer version
  // is an error.
  static Result<std::unique_ptr<Store>> open(const std::string& path);
  // Only to read: the file must exist and is left as it is.
  static Result<std::unique_ptr<Store>> open_to_read(const std::string& path);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  Result<> add_key(const GatewayKey& key);
  // All, oldest first; live ones have no revoked_at (and may have expired).
  Result<std::vector<GatewayKey>> list_keys();
  // Those that may still be used at `now_us`.
  Result<std::vector<GatewayKey>> live_keys(int64_t now_us);
  // False: no live key has this id (or unique prefix of one, in either case). A prefix of several live keys is an
  // error.
  Result<bool> revoke_key(std::string_view id, int64_t now_us);
  // Changes whenever anybody, in any process, has changed the gateway keys; never for records. Cheap: one row is read.
  Result<int64_t> version();

  // Running ones too. By start: newest first, or oldest first after `after_rowid`.
  Result<std::vector<InterceptionRow>> log(const LogFilter& filter);
  // For `weir log --follow`: begins after all that has ended by now.
  Result<FollowCursor> follow_from_now();
  // What ended since the last call and passes the filter (limit and after_rowid do not apply), each exactly once, in
  // the order of their starts.
  Result<std::vector<InterceptionRow>> follow(FollowCursor& cursor, const LogFilter& filter);

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::record
