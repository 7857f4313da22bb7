#include "record/sqlite_sink.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "base/clock.h"
#include "record/interception_row.h"

namespace weir::record {

namespace {

constexpr const char* kInsertInterception =
    "INSERT OR IGNORE INTO interceptions (id, started_at, initiator_id, username, api_key_id, provider, provider_type, "
    "route, model, streaming, client, user_agent, session_id, agent_id, parent_agent_id, correlating_tool_call_id, "
    "auth_mode, auth_delegated, source, request_id, credential_kind, credential_hint, credential_length, "
    "request_bytes, "
    "node, ended_at, upstream_status, upstream_request_id, outcome, error_type, error_message, attempts, "
    "first_byte_us, "
    "response_bytes) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
constexpr int kInsertFirstEndParameter = 26;
constexpr const char* kEndInterception =
    "UPDATE interceptions SET ended_at=?, upstream_status=?, upstream_request_id=?, outcome=?, error_type=?, "
    "error_message=?, attempts=?, first_byte_us=?, response_bytes=? WHERE id=? AND ended_at IS NULL";
constexpr int kEndIdParameter = 10;

constexpr std::array<const char*, 7> kStatements = {
    kInsertInterception,
    kEndInterception,
    "INSERT INTO user_prompts VALUES (?,?,?,?)",
    "INSERT INTO token_usages VALUES (?,?,?,?,?,?,?,?)",
    "INSERT INTO tool_usages VALUES (?,?,?,?,?,?,?,?,?,?)",
    "INSERT INTO model_thoughts VALUES (?,?,?,?,?)",
    "INSERT INTO journal_positions VALUES (?,?,?,?,?) ON CONFLICT (journal_id) DO UPDATE SET "
    "position = excluded.position, updated_at = excluded.updated_at",
};

// Enough that a checkpoint, which waits for the disk, comes once in many batches.
constexpr int kCheckpointPages = 2048;
constexpr int kCacheKib = 65536;
// Short: while the database is locked the recorder must still hear that it is to stop.
constexpr int kBusyTimeoutMs = 100;

// Integers in SQLite are signed.
int64_t to_integer(uint64_t number) {
  constexpr auto max = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  return static_cast<int64_t>(std::min(number, max));
}

// Parameters from `first` on: the columns that an end sets, in the order of both statements.
void bind_end(Statement& statement, int first, const End& end) {
  statement.bind(first, end.ended_at);
  if (end.upstream_status != 0) {
    statement.bind(first + 1, int64_t{end.upstream_status});
  } else {
    statement.bind_null(first + 1);
  }
  statement.bind(first + 2, end.upstream_request_id);
  statement.bind(first + 3, text(end.outcome));
  statement.bind(first + 4, text(end.error_type));
  statement.bind(first + 5, end.error_message);
  statement.bind(first + 6, int64_t{end.attempts});
  if (end.first_byte_us >= 0) {
    statement.bind(first + 7, end.first_byte_us);
  } else {
    statement.bind_null(first + 7);
  }
  statement.bind(first + 8, to_integer(end.response_bytes));
}

void bind_running(Statement& statement, int first) {
  statement.bind_null(first);      // ended_at
  statement.bind_null(first + 1);  // upstream_status
  for (int text = 2; text <= 5; ++text) statement.bind(first + text, std::string_view());
  statement.bind(first + 6, int64_t{0});
  statement.bind_null(first + 7);  // first_byte_us
  statement.bind(first + 8, int64_t{0});
}

std::string quoted_list(std::span<const uint64_t> journal_ids) {
  std::string list;
  for (const uint64_t id : journal_ids) list += fmt::format("{}'{}'", list.empty() ? "" : ",", journal_text(id));
  return list;
}

}  // namespace

size_t SqliteSink::UuidHash::operator()(const Uuid& id) const {
  // The random half of a UUIDv7.
  uint64_t half;
  std::memcpy(&half, id.bytes.data() + 8, sizeof half);
  return half;
}

DbResult<bool> SqliteSink::connect() {
  if (database_ != nullptr && !database_->moved()) return false;
  disconnect();
  auto opened = Database::open({.path = options_.path,
                                .busy_timeout_ms = kBusyTimeoutMs,
                                .durable_commits = options_.durable_commits,
                                .cache_kib = kCacheKib,
                                .checkpoint_pages = kCheckpointPages,
                                .one_thread = true});
  if (!opened) return std::unexpected(std::move(opened.error()));
  database_ = std::move(*opened);
  for (size_t i = 0; i < k_count; ++i) {
    auto prepared = database_->prepare(kStatements[i]);
    if (!prepared) {
      auto error = std::move(prepared.error());
      disconnect();
      return std::unexpected(std::move(error));
    }
    statements_[i] = std::move(*prepared);
  }
  return true;
}

void SqliteSink::disconnect() {
  for (Statement& statement : statements_) statement = Statement();
  database_.reset();
}

DbResult<std::optional<uint64_t>> stored_position(Database& database, uint64_t journal_id) {
  auto query = database.prepare("SELECT position FROM journal_positions WHERE journal_id = ?");
  if (!query) return std::unexpected(std::move(query.error()));
  const std::string id = journal_text(journal_id);
  query->bind(1, id);
  auto row = query->step();
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row) return std::nullopt;
  return static_cast<uint64_t>(query->integer(0));
}

DbResult<std::optional<uint64_t>> SqliteSink::position(uint64_t journal_id) {
  return stored_position(*database_, journal_id);
}

DbResult<> SqliteSink::begin() {
  started_.clear();
  started_index_.clear();
  ended_.clear();
  batch_oddities_ = oddities_;
  // The write lock at once: a transaction that only finds out later that it cannot write would have to start again.
  return database_->execute("BEGIN IMMEDIATE");
}

void SqliteSink::rollback() {
  if (database_ != nullptr && database_->in_transaction()) database_->attempt("ROLLBACK");
  started_.clear();
  started_index_.clear();
  ended_.clear();
}

DbResult<> SqliteSink::apply(const Event& event) {
  return std::visit([this](const auto& known) { return on(known); }, event);
}

std::string_view SqliteSink::id_text(const Uuid& id) {
  id.format(id_text_.data());
  return {id_text_.data(), id_text_.size()};
}

// A row that the database refuses for what it holds would be refused for ever: it is counted, the rest goes on.
DbResult<> SqliteSink::run_row(Statement& statement) {
  auto run = statement.run();
  if (run) return run;
  const int code = run.error().code;
  if (code == SQLITE_CONSTRAINT || code == SQLITE_TOOBIG || code == SQLITE_MISMATCH) {
    ++batch_oddities_.refused_rows;
    return {};
  }
  return run;
}

DbResult<> SqliteSink::on(const Start& start) {
  if (started_index_.try_emplace(start.id, started_.size()).second) {
    started_.push_back({start, std::nullopt});
  } else {
    ++batch_oddities_.repeated_starts;
  }
  return {};
}

DbResult<> SqliteSink::on(const End& end) {
  if (const auto found = started_index_.find(end.id); found != started_index_.end()) {
    Started& started = started_[found->second];
    if (started.end.has_value()) {
      ++batch_oddities_.unknown_ends;
    } else {
      started.end = end;
      if (collect_ended_) ended_.push_back(end.id);
    }
    return {};
  }
  Statement& statement = statements_[k_end];
  bind_end(statement, 1, end);
  statement.bind(kEndIdParameter, id_text(end.id));
  auto run = run_row(statement);
  if (!run) return run;
  if (database_->changes() == 0) {
    ++batch_oddities_.unknown_ends;
  } else if (collect_ended_) {
    ended_.push_back(end.id);
  }
  return {};
}

DbResult<> SqliteSink::on(const UserPrompt& prompt) {
  Statement& statement = statements_[k_prompt];
  statement.bind(1, id_text(prompt.id));
  statement.bind(2, prompt.prompt);
  statement.bind(3, int64_t{prompt.truncated});
  statement.bind(4, prompt.created_at);
  return run_row(statement);
}

DbResult<> SqliteSink::on(const TokenUsage& usage) {
  Statement& statement = statements_[k_usage];
  statement.bind(1, id_text(usage.id));
  statement.bind(2, usage.response_id);
  statement.bind(3, to_integer(usage.input));
  statement.bind(4, to_integer(usage.output));
  statement.bind(5, to_integer(usage.cache_read));
  statement.bind(6, to_integer(usage.cache_write));
  statement.bind(7, usage.extra.empty() ? std::string_view("{}") : usage.extra);
  statement.bind(8, usage.created_at);
  return run_row(statement);
}

DbResult<> SqliteSink::on(const ToolUsage& tool) {
  Statement& statement = statements_[k_tool];
  statement.bind(1, id_text(tool.id));
  statement.bind(2, tool.response_id);
  statement.bind(3, tool.tool_call_id);
  statement.bind(4, tool.tool);
  statement.bind(5, tool.arguments);
  statement.bind(6, int64_t{tool.truncated});
  statement.bind(7, int64_t{tool.injected});
  statement.bind(8, tool.server_url);
  statement.bind(9, tool.error);
  statement.bind(10, tool.created_at);
  return run_row(statement);
}

DbResult<> SqliteSink::on(const ModelThought& thought) {
  Statement& statement = statements_[k_thought];
  statement.bind(1, id_text(thought.id));
  statement.bind(2, thought.source);
  statement.bind(3, thought.content);
  statement.bind(4, int64_t{thought.truncated});
  statement.bind(5, thought.created_at);
  return run_row(statement);
}

DbResult<> SqliteSink::insert(const Started& started) {
  const Start& start = started.start;
  Statement& statement = statements_[k_insert];
  int parameter = 1;
  const auto bind = [&](auto value) { statement.bind(parameter++, value); };
  bind(id_text(start.id));
  bind(start.started_at);
  for (const std::string_view text : {start.initiator_id, start.username, start.api_key_id, start.provider,
                                      start.provider_type, start.route, start.model}) {
    bind(text);
  }
  bind(int64_t{start.streaming});
  for (const std::string_view text : {start.client, start.user_agent, start.session_id, start.agent_id,
                                      start.parent_agent_id, start.correlating_tool_call_id, start.auth_mode}) {
    bind(text);
  }
  bind(int64_t{start.auth_delegated});
  for (const std::string_view text : {start.source, start.request_id, start.credential_kind, start.credential_hint}) {
    bind(text);
  }
  bind(int64_t{start.credential_length});
  bind(to_integer(start.request_bytes));
  bind(std::string_view(options_.node));
  if (started.end.has_value()) {
    bind_end(statement, kInsertFirstEndParameter, *started.end);
  } else {
    bind_running(statement, kInsertFirstEndParameter);
  }
  auto run = run_row(statement);
  if (run && database_->changes() == 0) ++batch_oddities_.repeated_starts;
  return run;
}

DbResult<> SqliteSink::commit(std::span<const JournalPosition> positions) {
  for (const Started& started : started_) {
    if (auto inserted = insert(started); !inserted) return inserted;
  }
  const int64_t now = unix_us();
  for (const JournalPosition& position : positions) {
    const std::string id = journal_text(position.journal_id);
    Statement& statement = statements_[k_position];
    statement.bind(1, id);
    statement.bind(2, options_.node);
    statement.bind(3, int64_t{position.worker_index});
    statement.bind(4, to_integer(position.position));
    statement.bind(5, now);
    if (auto run = statement.run(); !run) return run;
  }
  if (auto committed = database_->execute("COMMIT"); !committed) return committed;
  oddities_ = batch_oddities_;
  started_.clear();
  started_index_.clear();
  return {};
}

DbResult<int64_t> SqliteSink::close_interrupted(const Recovery& recovery) {
  const std::string sql = fmt::format(
      "UPDATE interceptions SET ended_at = max(started_at, ?1), outcome = 'interrupted', error_type = '' "
      "WHERE ended_at IS NULL AND (node = ?2 OR node IN "
      "(SELECT node FROM journal_positions WHERE journal_id IN ({})))",
      quoted_list(recovery.dead_ids));
  auto statement = database_->prepare(sql);
  if (!statement) return std::unexpected(std::move(statement.error()));
  statement->bind(1, recovery.now_us);
  statement->bind(2, options_.node);
  auto run = statement->run();
  if (!run) return std::unexpected(std::move(run.error()));
  return database_->changes();
}

DbResult<> SqliteSink::forget_positions(const Recovery& recovery) {
  return database_->execute(
      fmt::format("DELETE FROM journal_positions WHERE journal_id IN ({})", quoted_list(recovery.dead_ids)).c_str());
}

void SqliteSink::checkpoint() {
  database_->attempt("PRAGMA wal_checkpoint(PASSIVE)");
}

DbResult<std::optional<InterceptionRow>> SqliteSink::row(const Uuid& id) {
  auto query = database_->prepare(std::string(kSelectInterceptions) + "WHERE id = ?");
  if (!query) return std::unexpected(std::move(query.error()));
  query->bind(1, id_text(id));
  auto row = query->step();
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row) return std::nullopt;
  return read_interception(*query);
}

DbResult<std::vector<Index>> SqliteSink::missing_indexes() {
  if (auto connected = connect(); !connected) return std::unexpected(std::move(connected.error()));
  return database_->missing_indexes();
}

DbResult<> SqliteSink::make_index(const Index& index, const std::function<bool()>& stop) {
  database_->interrupt_when(&stop);
  auto made = database_->execute(index.sql);
  database_->interrupt_when(nullptr);
  return made;
}

}  // namespace weir::record
