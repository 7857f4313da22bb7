// The tables in PostgreSQL: those of weir.db (record/schema.h), for many nodes. Each entry brings a database from its
// index (the version in weir_schema) to the next; entries are never edited once released. weir-sink applies them by
// itself; `weir-sink --print-schema` prints them for whoever does it by hand.
//
// As in weir.db: texts are '' when there is none, times are µs since the epoch, flags are 0 or 1. `seq` stands in for
// SQLite's rowid: a table's rows are in the order of the response.
#pragma once

namespace weir::sink {

// As in src/record/schema.h: what searches need beside the tables' own indexes, outside the schema's version.
struct Index {
  const char* name;
  const char* on;
};
inline constexpr Index kIndexes[] = {
    {"interceptions_by_username", "interceptions (username, started_at)"},
    {"interceptions_by_session", "interceptions (session_id, started_at) WHERE session_id <> ''"},
};

inline constexpr const char* kMigrations[] = {
    R"sql(
CREATE TABLE weir_schema (version bigint NOT NULL);
INSERT INTO weir_schema VALUES (0);

CREATE TABLE interceptions (
  seq bigint GENERATED ALWAYS AS IDENTITY,
  id text NOT NULL PRIMARY KEY,
  started_at bigint NOT NULL,
  ended_at bigint,
  initiator_id text NOT NULL,
  username text NOT NULL,
  api_key_id text NOT NULL,
  provider text NOT NULL,
  provider_type text NOT NULL,
  route text NOT NULL,
  model text NOT NULL,
  streaming bigint NOT NULL,
  client text NOT NULL,
  user_agent text NOT NULL,
  session_id text NOT NULL,
  agent_id text NOT NULL,
  parent_agent_id text NOT NULL,
  correlating_tool_call_id text NOT NULL,
  auth_mode text NOT NULL,
  auth_delegated bigint NOT NULL,
  source text NOT NULL,
  request_id text NOT NULL,
  credential_kind text NOT NULL,
  credential_hint text NOT NULL,
  credential_length bigint NOT NULL,
  upstream_status bigint,
  upstream_request_id text NOT NULL DEFAULT '',
  outcome text NOT NULL DEFAULT '',
  error_type text NOT NULL DEFAULT '',
  error_message text NOT NULL DEFAULT '',
  attempts bigint NOT NULL DEFAULT 0,
  first_byte_us bigint,
  request_bytes bigint NOT NULL,
  response_bytes bigint NOT NULL DEFAULT 0,
  node text NOT NULL
);
CREATE INDEX interceptions_by_start ON interceptions (started_at);
CREATE INDEX interceptions_by_initiator ON interceptions (initiator_id, started_at);
-- Small at all times: what a dead process left open is found without reading the table.
CREATE INDEX interceptions_running ON interceptions (node) WHERE ended_at IS NULL;

CREATE TABLE token_usages (
  seq bigint GENERATED ALWAYS AS IDENTITY,
  interception_id text NOT NULL,
  response_id text NOT NULL,
  input bigint NOT NULL,
  output bigint NOT NULL,
  cache_read bigint NOT NULL,
  cache_write bigint NOT NULL,
  extra text NOT NULL,
  created_at bigint NOT NULL
);
CREATE INDEX token_usages_by_interception ON token_usages (interception_id);

CREATE TABLE user_prompts (
  seq bigint GENERATED ALWAYS AS IDENTITY,
  interception_id text NOT NULL,
  prompt text NOT NULL,
  truncated bigint NOT NULL,
  created_at bigint NOT NULL
);
CREATE INDEX user_prompts_by_interception ON user_prompts (interception_id);

CREATE TABLE tool_usages (
  seq bigint GENERATED ALWAYS AS IDENTITY,
  interception_id text NOT NULL,
  response_id text NOT NULL,
  tool_call_id text NOT NULL,
  tool text NOT NULL,
  arguments text NOT NULL,
  truncated bigint NOT NULL,
  injected bigint NOT NULL,
  server_url text NOT NULL,
  error text NOT NULL,
  created_at bigint NOT NULL
);
CREATE INDEX tool_usages_by_interception ON tool_usages (interception_id);

CREATE TABLE model_thoughts (
  seq bigint GENERATED ALWAYS AS IDENTITY,
  interception_id text NOT NULL,
  source text NOT NULL,
  content text NOT NULL,
  truncated bigint NOT NULL,
  created_at bigint NOT NULL
);
CREATE INDEX model_thoughts_by_interception ON model_thoughts (interception_id);

-- How far each node's journals are in this database, written in the transaction of the rows. A journal's id is made anew
-- by each run of the node's process. At any time a node has rows of one run only.
CREATE TABLE journal_positions (
  node text NOT NULL,
  journal_id text NOT NULL,
  worker bigint NOT NULL,
  position bigint NOT NULL,
  updated_at bigint NOT NULL,
  PRIMARY KEY (node, journal_id)
);
)sql",
};

}  // namespace weir::sink
