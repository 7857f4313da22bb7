// The tables of weir.db. Each entry brings a database from its index (PRAGMA user_version) to the next; entries are
// never edited once released. Spec section 6 gives the columns' meaning.
//
// Texts are NOT NULL and '' when there is none; NULL says "none came" (upstream_status, first_byte_us) or "still
// running" (ended_at). Times are µs since the epoch, UTC. Flags are 0 or 1.
#pragma once

namespace weir::record {

// What searches need beside the tables' own indexes: a user's rows and a session's, newest first. No part of the
// schema's version, because a weir without them works as well: a new database has them at once, one that an older weir
// made gets them while weir serves (SqliteSink::make_index).
struct Index {
  const char* name;
  const char* sql;
};
inline constexpr Index kIndexes[] = {
    {"interceptions_by_username",
     "CREATE INDEX IF NOT EXISTS interceptions_by_username ON interceptions (username, started_at)"},
    // Most clients name no session. A query must say so too: session_id <> ''.
    {"interceptions_by_session",
     "CREATE INDEX IF NOT EXISTS interceptions_by_session ON interceptions (session_id, started_at) "
     "WHERE session_id <> ''"},
};

inline constexpr const char* kMigrations[] = {
    R"sql(
CREATE TABLE interceptions (
  id TEXT NOT NULL PRIMARY KEY,
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  initiator_id TEXT NOT NULL,
  username TEXT NOT NULL,
  api_key_id TEXT NOT NULL,
  provider TEXT NOT NULL,
  provider_type TEXT NOT NULL,
  route TEXT NOT NULL,
  model TEXT NOT NULL,
  streaming INTEGER NOT NULL,
  client TEXT NOT NULL,
  user_agent TEXT NOT NULL,
  session_id TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  parent_agent_id TEXT NOT NULL,
  correlating_tool_call_id TEXT NOT NULL,
  auth_mode TEXT NOT NULL,
  auth_delegated INTEGER NOT NULL,
  source TEXT NOT NULL,
  request_id TEXT NOT NULL,
  credential_kind TEXT NOT NULL,
  credential_hint TEXT NOT NULL,
  credential_length INTEGER NOT NULL,
  upstream_status INTEGER,
  upstream_request_id TEXT NOT NULL DEFAULT '',
  outcome TEXT NOT NULL DEFAULT '',
  error_type TEXT NOT NULL DEFAULT '',
  error_message TEXT NOT NULL DEFAULT '',
  attempts INTEGER NOT NULL DEFAULT 0,
  first_byte_us INTEGER,
  request_bytes INTEGER NOT NULL,
  response_bytes INTEGER NOT NULL DEFAULT 0,
  node TEXT NOT NULL
);
CREATE INDEX interceptions_by_start ON interceptions (started_at);
CREATE INDEX interceptions_by_initiator ON interceptions (initiator_id, started_at);
-- Small at all times: what a dead process left open is found without reading the table.
CREATE INDEX interceptions_running ON interceptions (node) WHERE ended_at IS NULL;

CREATE TABLE token_usages (
  interception_id TEXT NOT NULL,
  response_id TEXT NOT NULL,
  input INTEGER NOT NULL,
  output INTEGER NOT NULL,
  cache_read INTEGER NOT NULL,
  cache_write INTEGER NOT NULL,
  extra TEXT NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE INDEX token_usages_by_interception ON token_usages (interception_id);

CREATE TABLE user_prompts (
  interception_id TEXT NOT NULL,
  prompt TEXT NOT NULL,
  truncated INTEGER NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE INDEX user_prompts_by_interception ON user_prompts (interception_id);

CREATE TABLE tool_usages (
  interception_id TEXT NOT NULL,
  response_id TEXT NOT NULL,
  tool_call_id TEXT NOT NULL,
  tool TEXT NOT NULL,
  arguments TEXT NOT NULL,
  truncated INTEGER NOT NULL,
  injected INTEGER NOT NULL,
  server_url TEXT NOT NULL,
  error TEXT NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE INDEX tool_usages_by_interception ON tool_usages (interception_id);

CREATE TABLE model_thoughts (
  interception_id TEXT NOT NULL,
  source TEXT NOT NULL,
  content TEXT NOT NULL,
  truncated INTEGER NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE INDEX model_thoughts_by_interception ON model_thoughts (interception_id);

-- Gateway tokens, only as SHA-256. Times of 0: never expires, not revoked.
CREATE TABLE gateway_keys (
  id TEXT NOT NULL PRIMARY KEY,
  username TEXT NOT NULL,
  initiator_id TEXT NOT NULL,
  hint TEXT NOT NULL,
  token_sha256 BLOB NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL DEFAULT 0,
  revoked_at INTEGER NOT NULL DEFAULT 0
);

-- Counts changes of gateway_keys, whoever makes them: a running weir reads one number to know whether to read the keys.
CREATE TABLE gateway_keys_version (version INTEGER NOT NULL);
INSERT INTO gateway_keys_version VALUES (1);
CREATE TRIGGER gateway_keys_inserted AFTER INSERT ON gateway_keys
  BEGIN UPDATE gateway_keys_version SET version = version + 1; END;
CREATE TRIGGER gateway_keys_updated AFTER UPDATE ON gateway_keys
  BEGIN UPDATE gateway_keys_version SET version = version + 1; END;
CREATE TRIGGER gateway_keys_deleted AFTER DELETE ON gateway_keys
  BEGIN UPDATE gateway_keys_version SET version = version + 1; END;

-- How far each journal is in this database, written in the transaction of the rows. A journal's id is made anew by each
-- run of the process, and stands for its epoch.
CREATE TABLE journal_positions (
  journal_id TEXT NOT NULL PRIMARY KEY,
  node TEXT NOT NULL,
  worker INTEGER NOT NULL,
  position INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) WITHOUT ROWID;
)sql",
};

}  // namespace weir::record
