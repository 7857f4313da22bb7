// The embedded database, data_dir/weir.db (SQLite, WAL): gateway keys and records. Blocking; never called on a worker.
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
  std::string id;  // UUIDv4; also the api_key_id of records
  std::string username;
  std::string initiator_id;  // UUID
  std::string hint;          // masked token
  Digest token_sha256{};
  int64_t created_at = 0;  // µs since the epoch
  int64_t expires_at = 0;  // 0: never
  int64_t revoked_at = 0;  // 0: live
};

struct LogFilter {   // empty: any
  std::string user;  // username or initiator id
  std::string provider, model, outcome, credential_kind, session_id;
  int64_t since = 0, until = 0;  // µs since the epoch; 0: open
  uint32_t limit = 50;
  int64_t after_rowid = 0;  // for --follow: rows that ended after this one, oldest first
};

struct InterceptionRow {  // every column of spec section 6 as text or number; see store.cc for the order
  int64_t rowid = 0;
  std::string id;
  int64_t started_at = 0;
  std::optional<int64_t> ended_at;
  std::string initiator_id, username, api_key_id, provider, provider_type, route, model;
  bool streaming = false;
  std::string client, user_agent, session_id, agent_id, parent_agent_id, correlating_tool_call_id, auth_mode;
  bool auth_delegated = false;
  std::string source, request_id, credential_kind, credential_hint;
  int64_t credential_length = 0;
  std::optional<int64_t> upstream_status;
  std::string upstream_request_id, outcome, error_type, error_message;
  int64_t attempts = 0;
  std::optional<int64_t> first_byte_us;
  int64_t request_bytes = 0, response_bytes = 0;
  std::string node;
};

class Store {
 public:
  // Creates the file (0600), folders and tables as needed (`PRAGMA user_version` migrations). A newer version is an
  // error.
  static Result<std::unique_ptr<Store>> open(const std::string& path);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  Result<> add_key(const GatewayKey& key);
  Result<std::vector<GatewayKey>> list_keys();
  // False: no live key has this id (or unique prefix of one).
  Result<bool> revoke_key(std::string_view id, int64_t now_us);
  // Changes whenever another connection has changed the database (PRAGMA data_version) or this one has.
  Result<int64_t> version();

  // Newest first (or oldest first after `after_rowid`).
  Result<std::vector<InterceptionRow>> log(const LogFilter& filter);

 private:
  friend class SqliteSink;
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::record
