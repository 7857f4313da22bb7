#include "sink/postgres_sink.h"

#include <array>
#include <cstring>
#include <iterator>

#include <fmt/format.h>

#include "base/clock.h"
#include "sink/schema.h"

namespace weir::sink {

namespace {

using record::End;
using record::journal_text;
using record::JournalPosition;
using record::Recovery;
using record::Start;

struct Prepared {
  const char* name;
  const char* sql;
};

// In the order of StatementIndex.
constexpr Prepared kStatements[] = {
    {"start",
     "INSERT INTO interceptions (id, started_at, initiator_id, username, api_key_id, provider, provider_type, route, "
     "model, streaming, client, user_agent, session_id, agent_id, parent_agent_id, correlating_tool_call_id, "
     "auth_mode, auth_delegated, source, request_id, credential_kind, credential_hint, credential_length, "
     "request_bytes, node, ended_at, upstream_status, upstream_request_id, outcome, error_type, error_message, "
     "attempts, first_byte_us, response_bytes) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,"
     "$18,$19,$20,$21,$22,$23,$24,$25,$26,$27,$28,$29,$30,$31,$32,$33,$34) ON CONFLICT (id) DO NOTHING"},
    {"end",
     "UPDATE interceptions SET ended_at=$1, upstream_status=$2, upstream_request_id=$3, outcome=$4, error_type=$5, "
     "error_message=$6, attempts=$7, first_byte_us=$8, response_bytes=$9 WHERE id=$10 AND ended_at IS NULL"},
    {"prompt", "INSERT INTO user_prompts (interception_id, prompt, truncated, created_at) VALUES ($1,$2,$3,$4)"},
    {"usage",
     "INSERT INTO token_usages (interception_id, response_id, input, output, cache_read, cache_write, extra, "
     "created_at) VALUES ($1,$2,$3,$4,$5,$6,$7,$8)"},
    {"tool",
     "INSERT INTO tool_usages (interception_id, response_id, tool_call_id, tool, arguments, truncated, injected, "
     "server_url, error, created_at) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)"},
    {"thought",
     "INSERT INTO model_thoughts (interception_id, source, content, truncated, created_at) VALUES ($1,$2,$3,$4,$5)"},
    {"position",
     "INSERT INTO journal_positions (node, journal_id, worker, position, updated_at) VALUES ($1,$2,$3,$4,$5) ON "
     "CONFLICT (node, journal_id) DO UPDATE SET position=excluded.position, updated_at=excluded.updated_at"},
};

constexpr uint64_t kSchemaLock = 0x7765697273636865;  // of weir's own choosing: "weirsche"
constexpr uint64_t kIndexLock = 0x7765697273696478;   // "weirsidx"
// What is waited for on the server: a table that somebody rewrites, not the network.
constexpr const char* kSession =
    "SET lock_timeout='10s'; SET statement_timeout='60s'; SET tcp_keepalives_idle=10; SET tcp_keepalives_interval=5; "
    "SET tcp_keepalives_count=3; SET synchronous_commit=on";

// FNV-1a: the same name has the same lock from every node.
uint64_t lock_key(std::string_view node) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const std::string_view part : {std::string_view("weir node "), node}) {
    for (const char c : part) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return hash;
}

std::string comma_list(std::span<const uint64_t> journal_ids) {
  std::string list;
  for (const uint64_t id : journal_ids) list += (list.empty() ? "" : ",") + journal_text(id);
  return list;
}

void add_end(Parameters& parameters, const End& end) {
  parameters.number(end.ended_at);
  if (end.upstream_status != 0) {
    parameters.number(end.upstream_status);
  } else {
    parameters.null();
  }
  parameters.text(end.upstream_request_id).text(text(end.outcome)).text(text(end.error_type)).text(end.error_message);
  parameters.number(end.attempts);
  if (end.first_byte_us >= 0) {
    parameters.number(end.first_byte_us);
  } else {
    parameters.null();
  }
  parameters.size(end.response_bytes);
}

void add_running(Parameters& parameters) {
  parameters.null().null();  // ended_at, upstream_status
  for (int i = 0; i < 4; ++i) parameters.text("");
  parameters.number(0).null().number(0);
}

// Borrows until the next call.
class IdText {
 public:
  explicit IdText(const Uuid& id) { id.format(text_.data()); }
  operator std::string_view() const { return {text_.data(), text_.size()}; }

 private:
  std::array<char, kUuidTextSize> text_;
};

template <class T>
SinkResult<> nothing(SinkResult<T>&& result) {
  if (!result) return std::unexpected(std::move(result.error()));
  return {};
}

std::unexpected<SinkError> refused(std::string message) {
  return std::unexpected(SinkError{.message = std::move(message), .permanent = true});
}

}  // namespace

std::string indexes_text() {
  std::string text;
  for (const Index& index : kIndexes)
    text += fmt::format("CREATE INDEX IF NOT EXISTS {} ON {};\n", index.name, index.on);
  return text;
}

std::string schema_text() {
  std::string text;
  for (const char* migration : kMigrations) text += migration;
  text += indexes_text();
  return text + fmt::format("UPDATE weir_schema SET version = {};\n", std::size(kMigrations));
}

PostgresSink::PostgresSink(Options options) : options_(std::move(options)) {}

size_t PostgresSink::UuidHash::operator()(const Uuid& id) const {
  // The random half of a UUIDv7.
  uint64_t half;
  std::memcpy(&half, id.bytes.data() + 8, sizeof half);
  return half;
}

// ---- the session

SinkResult<bool> PostgresSink::connect() {
  if (connection_ != nullptr && connection_->idle()) return false;
  disconnect();
  auto opened = Connection::open({.dsn = options_.dsn,
                                  .service = options_.service,
                                  .application_name = fmt::format("weir-sink {} {}", options_.identity, options_.node),
                                  .stop_descriptor = options_.stop_descriptor});
  if (!opened) return std::unexpected(std::move(opened.error()));
  if (auto done = set_up(**opened); !done) return std::unexpected(std::move(done.error()));
  connection_ = std::move(*opened);
  return true;
}

SinkResult<> PostgresSink::set_up(Connection& connection) {
  if (const std::string encoding = connection.parameter("server_encoding"); encoding != "UTF8") {
    return refused(
        fmt::format("PostgreSQL: the database's encoding is {}; weir needs one made with ENCODING 'UTF8'", encoding));
  }
  if (auto done = nothing(connection.execute(kSession)); !done) return done;
  if (auto locked = lock_node(connection); !locked) return locked;
  if (auto migrated = migrate(connection); !migrated) return migrated;
  make_indexes(connection);
  for (const Prepared& statement : kStatements) {
    if (auto prepared = connection.prepare(statement.name, statement.sql); !prepared) return prepared;
  }
  return {};
}

SinkResult<> PostgresSink::lock_node(Connection& connection) {
  const uint64_t key = lock_key(options_.node);
  auto tried = connection.query("SELECT pg_try_advisory_lock($1)::int", Parameters().number(static_cast<int64_t>(key)));
  if (!tried) return std::unexpected(std::move(tried.error()));
  if (tried->number(0, 0) == 1) return {};
  auto holder = connection.query(
      "SELECT a.pid, coalesce(a.application_name, ''), coalesce(host(a.client_addr), 'a local socket') FROM pg_locks l "
      "JOIN pg_stat_activity a ON a.pid = l.pid JOIN pg_database d ON d.oid = l.database "
      "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND d.datname = current_database() "
      "AND l.classid = $1::bigint::oid AND l.objid = $2::bigint::oid",
      Parameters().number(static_cast<int64_t>(key >> 32)).number(static_cast<int64_t>(key & UINT32_MAX)));
  if (!holder) return std::unexpected(std::move(holder.error()));
  if (holder->row_count() == 0) {
    return std::unexpected(SinkError{.code = 2, .message = "PostgreSQL: the lock on the node's name was just let go"});
  }
  const int64_t pid = holder->number(0, 0);
  if (!holder->text(0, 1).starts_with(fmt::format("weir-sink {} ", options_.identity))) {
    return refused(fmt::format(
        "PostgreSQL: another weir-sink ({}, from {}) writes to this database as node \"{}\"; give each node "
        "a name of its own with `node` or --node",
        holder->text(0, 1), holder->text(0, 2), options_.node));
  }
  // Our own earlier session, which the network or a sudden death has cut off. What it has under way ends with it.
  if (auto ended = nothing(connection.query("SELECT pg_terminate_backend($1::bigint::int)", Parameters().number(pid)));
      !ended) {
    return ended;
  }
  return std::unexpected(
      SinkError{.code = 2, .message = "PostgreSQL: an earlier session of this node is being ended first"});
}

SinkResult<> PostgresSink::migrate(Connection& connection) {
  constexpr auto newest = static_cast<int64_t>(std::size(kMigrations));
  const auto read_version = [&]() -> SinkResult<int64_t> {
    auto there = connection.execute("SELECT (to_regclass('weir_schema') IS NOT NULL)::int");
    if (!there) return std::unexpected(std::move(there.error()));
    if (there->number(0, 0) == 0) return 0;
    auto version = connection.execute("SELECT version FROM weir_schema");
    if (!version) return std::unexpected(std::move(version.error()));
    return version->row_count() > 0 ? version->number(0, 0) : 0;
  };
  auto version = read_version();
  if (!version) return std::unexpected(std::move(version.error()));
  if (*version == newest) return {};
  if (*version > newest) return accept_newer(connection, *version);
  // Several nodes may come to a new database at once.
  const std::string lock = fmt::format("BEGIN; SELECT pg_advisory_xact_lock({})", kSchemaLock);
  if (auto locked = nothing(connection.execute(lock.c_str())); !locked) return locked;
  version = read_version();
  if (!version) return std::unexpected(std::move(version.error()));
  if (*version > newest) {
    if (auto ended = nothing(connection.execute("COMMIT")); !ended) return ended;
    return accept_newer(connection, *version);
  }
  if (*version < 0) return refused(fmt::format("PostgreSQL: weir_schema has version {}, which no weir made", *version));
  const bool is_new = *version == 0;
  for (; *version < newest; ++*version) {
    if (auto done = nothing(connection.execute(kMigrations[*version])); !done) return done;
  }
  if (is_new) {
    if (auto done = nothing(connection.execute(indexes_text().c_str())); !done) return done;
  }
  const std::string set = fmt::format("UPDATE weir_schema SET version = {}; COMMIT", newest);
  return nothing(connection.execute(set.c_str()));
}

// In the database of an older weir-sink, beside the other nodes' writing; this node's records wait in its journals. May
// fail (the tables belong to somebody else): then searches stay slow, and the next session tries again.
void PostgresSink::make_indexes(Connection& connection) {
  for (const Index& index : kIndexes) {
    // 1: usable; 0: left by an attempt that was cut off; -1: not there.
    const std::string ask = fmt::format(
        "SELECT coalesce((SELECT indisvalid::int FROM pg_index WHERE indexrelid = to_regclass('{}')), -1)", index.name);
    const auto state = connection.execute(ask.c_str());
    if (!state || state->number(0, 0) == 1) continue;
    const std::string lock = fmt::format("SELECT pg_try_advisory_lock({})::int", kIndexLock);
    const auto locked = connection.execute(lock.c_str());
    if (!locked || locked->number(0, 0) != 1) return;  // another node makes it
    const std::string drop = fmt::format("DROP INDEX CONCURRENTLY IF EXISTS {}", index.name);
    const std::string make = fmt::format("CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON {}", index.name, index.on);
    const std::string unlock = fmt::format("SELECT pg_advisory_unlock({})", kIndexLock);
    for (const char* const sql : {"SET statement_timeout=0", state->number(0, 0) == 0 ? drop.c_str() : "", make.c_str(),
                                  "SET statement_timeout='60s'", unlock.c_str()}) {
      if (*sql != '\0') static_cast<void>(connection.execute(sql));
    }
  }
}

// A newer weir has been here. Its schema says which is the oldest version that may still write: where it only added
// things, a fleet is brought up to date node by node. Without that column (or with a row of none) nobody has said so.
SinkResult<> PostgresSink::accept_newer(Connection& connection, int64_t version) {
  constexpr auto known = static_cast<int64_t>(std::size(kMigrations));
  auto oldest =
      connection.execute("SELECT coalesce((to_jsonb(s)->>'oldest_writer')::bigint, version) FROM weir_schema s");
  if (!oldest) return std::unexpected(std::move(oldest.error()));
  if (oldest->row_count() == 1 && oldest->number(0, 0) <= known) return {};
  return refused(fmt::format("PostgreSQL: the tables have version {}, this weir-sink knows {}: run the newer one",
                             version, known));
}

SinkResult<std::optional<uint64_t>> PostgresSink::position(uint64_t journal_id) {
  const std::string id = journal_text(journal_id);
  // By the journal alone, whose id is unique: the node may have had another name.
  auto found =
      connection_->query("SELECT max(position) FROM journal_positions WHERE journal_id = $1", Parameters().text(id));
  if (!found) return std::unexpected(std::move(found.error()));
  if (found->is_null(0, 0)) return std::nullopt;
  return static_cast<uint64_t>(found->number(0, 0));
}

// ---- a batch

SinkResult<> PostgresSink::begin() {
  started_.clear();
  started_index_.clear();
  sent_.clear();
  batch_oddities_ = oddities_;
  return careful_ ? nothing(connection_->execute("BEGIN")) : connection_->pipeline_begin();
}

// A batch that was not committed ends with its session: that is the one way that needs no answer from the server.
void PostgresSink::rollback() {
  if (connection_ != nullptr && !connection_->idle()) disconnect();
  started_.clear();
  started_index_.clear();
  sent_.clear();
}

SinkResult<> PostgresSink::send(StatementIndex index, const Parameters& parameters) {
  if (careful_) return send_carefully(index, parameters);
  sent_.push_back(index);
  return connection_->pipeline_send(kStatements[index].name, parameters);
}

SinkResult<> PostgresSink::send_carefully(StatementIndex index, const Parameters& parameters) {
  if (auto saved = nothing(connection_->execute("SAVEPOINT row")); !saved) return saved;
  auto run = connection_->run(kStatements[index].name, parameters);
  if (run) {
    count_affected(index, run->affected_count());
    return nothing(connection_->execute("RELEASE SAVEPOINT row"));
  }
  if (!is_refused_row(run.error())) return std::unexpected(std::move(run.error()));
  ++batch_oddities_.refused_rows;
  return nothing(connection_->execute("ROLLBACK TO SAVEPOINT row; RELEASE SAVEPOINT row"));
}

void PostgresSink::count_affected(StatementIndex index, int64_t affected) {
  if (affected > 0) return;
  if (index == k_insert) ++batch_oddities_.repeated_starts;
  if (index == k_end) ++batch_oddities_.unknown_ends;
}

void PostgresSink::on(const Start& start) {
  if (started_index_.try_emplace(start.id, started_.size()).second) {
    started_.push_back({start, std::nullopt});
  } else {
    ++batch_oddities_.repeated_starts;
  }
}

SinkResult<> PostgresSink::on(const End& end) {
  if (const auto found = started_index_.find(end.id); found != started_index_.end()) {
    Started& started = started_[found->second];
    if (started.end.has_value()) {
      ++batch_oddities_.unknown_ends;
    } else {
      started.end = end;
    }
    return {};
  }
  Parameters parameters;
  add_end(parameters, end);
  const IdText id(end.id);
  return send(k_end, parameters.text(id));
}

SinkResult<> PostgresSink::apply(const record::Event& event) {
  Parameters parameters;
  if (const auto* start = std::get_if<Start>(&event)) {
    on(*start);
  } else if (const auto* end = std::get_if<End>(&event)) {
    return on(*end);
  } else if (const auto* prompt = std::get_if<record::UserPrompt>(&event)) {
    const IdText id(prompt->id);
    parameters.text(id).text(prompt->prompt).number(prompt->truncated).number(prompt->created_at);
    return send(k_prompt, parameters);
  } else if (const auto* usage = std::get_if<record::TokenUsage>(&event)) {
    const IdText id(usage->id);
    parameters.text(id).text(usage->response_id).size(usage->input).size(usage->output).size(usage->cache_read);
    parameters.size(usage->cache_write).text(usage->extra.empty() ? "{}" : usage->extra).number(usage->created_at);
    return send(k_usage, parameters);
  } else if (const auto* tool = std::get_if<record::ToolUsage>(&event)) {
    const IdText id(tool->id);
    parameters.text(id).text(tool->response_id).text(tool->tool_call_id).text(tool->tool).text(tool->arguments);
    parameters.number(tool->truncated).number(tool->injected).text(tool->server_url).text(tool->error);
    return send(k_tool, parameters.number(tool->created_at));
  } else if (const auto* thought = std::get_if<record::ModelThought>(&event)) {
    const IdText id(thought->id);
    parameters.text(id).text(thought->source).text(thought->content).number(thought->truncated);
    return send(k_thought, parameters.number(thought->created_at));
  }
  return {};
}

SinkResult<> PostgresSink::send_start(const Started& started) {
  const Start& start = started.start;
  const IdText id(start.id);
  Parameters parameters;
  parameters.text(id).number(start.started_at);
  for (const std::string_view text : {start.initiator_id, start.username, start.api_key_id, start.provider,
                                      start.provider_type, start.route, start.model}) {
    parameters.text(text);
  }
  parameters.number(start.streaming);
  for (const std::string_view text : {start.client, start.user_agent, start.session_id, start.agent_id,
                                      start.parent_agent_id, start.correlating_tool_call_id, start.auth_mode}) {
    parameters.text(text);
  }
  parameters.number(start.auth_delegated);
  for (const std::string_view text : {start.source, start.request_id, start.credential_kind, start.credential_hint}) {
    parameters.text(text);
  }
  parameters.number(start.credential_length).size(start.request_bytes).text(options_.node);
  if (started.end.has_value()) {
    add_end(parameters, *started.end);
  } else {
    add_running(parameters);
  }
  return send(k_insert, parameters);
}

SinkResult<> PostgresSink::commit(std::span<const JournalPosition> positions) {
  for (const Started& started : started_) {
    if (auto sent = send_start(started); !sent) return sent;
  }
  const int64_t now = unix_us();
  for (const JournalPosition& position : positions) {
    const std::string id = journal_text(position.journal_id);
    Parameters parameters;
    parameters.text(options_.node).text(id).number(position.worker_index).size(position.position).number(now);
    if (auto sent = send(k_position, parameters); !sent) return sent;
  }
  if (auto finished = finish_batch(); !finished) {
    careful_ = is_refused_row(finished.error());
    return finished;
  }
  careful_ = false;
  oddities_ = batch_oddities_;
  started_.clear();
  started_index_.clear();
  return {};
}

SinkResult<> PostgresSink::finish_batch() {
  if (careful_) return nothing(connection_->execute("COMMIT"));
  auto affected = connection_->pipeline_end();
  if (!affected) return std::unexpected(std::move(affected.error()));
  for (size_t i = 0; i < affected->size() && i < sent_.size(); ++i) count_affected(sent_[i], (*affected)[i]);
  return {};
}

// ---- recovery

// A node has positions of one run at a time. So if there is one of a live journal, what dead ones left is closed
// already, and what is running lives.
SinkResult<int64_t> PostgresSink::close_interrupted(const Recovery& recovery) {
  const std::string live = comma_list(recovery.live_ids);
  const std::string dead = comma_list(recovery.dead_ids);
  auto closed = connection_->query(
      "UPDATE interceptions SET ended_at = greatest(started_at, $1), outcome = 'interrupted', error_type = '' "
      "WHERE ended_at IS NULL AND (node = $2 OR node IN "
      "(SELECT node FROM journal_positions WHERE journal_id = ANY (string_to_array($4, ',')))) "
      "AND NOT EXISTS (SELECT 1 FROM journal_positions WHERE journal_id = ANY (string_to_array($3, ',')))",
      Parameters().number(recovery.now_us).text(options_.node).text(live).text(dead));
  if (!closed) return std::unexpected(std::move(closed.error()));
  return closed->affected_count();
}

SinkResult<> PostgresSink::forget_positions(const Recovery& recovery) {
  const std::string live = comma_list(recovery.live_ids);
  const std::string dead = comma_list(recovery.dead_ids);
  return nothing(connection_->query(
      "DELETE FROM journal_positions WHERE (node = $1 AND NOT journal_id = ANY (string_to_array($2, ','))) "
      "OR journal_id = ANY (string_to_array($3, ','))",
      Parameters().text(options_.node).text(live).text(dead)));
}

}  // namespace weir::sink
