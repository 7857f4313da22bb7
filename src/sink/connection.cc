#include "sink/connection.h"

#include <poll.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace weir::sink {

namespace {

constexpr int kConnectMs = 10'000;

// libpq's messages end with a line break, and may have several lines.
std::string one_line(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  std::string line(text);
  for (size_t at = 0; (at = line.find('\n', at)) != std::string::npos;) line.replace(at, 1, "; ");
  return line;
}

// Five characters of 36 kinds.
int code_of(std::string_view state) {
  int code = 0;
  for (const char c : state.substr(0, 5)) code = code * 36 + (c <= '9' ? c - '0' : c - 'A' + 10);
  return code;
}

}  // namespace

SinkError error_of(const PGresult* result) {
  const char* const state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const std::string_view known = state != nullptr ? state : "XX000";
  return {.code = code_of(known),
          .message = fmt::format("PostgreSQL: {} (SQLSTATE {})", one_line(PQresultErrorMessage(result)), known),
          .permanent = false,
          .locked = false};
}

record::DatabaseState state_of(const SinkError& error) {
  if (error.code == kLostCode && !error.permanent) return record::DatabaseState::absent;
  if (error.locked) return record::DatabaseState::locked;
  if (error.code == code_of("53100")) return record::DatabaseState::full;       // disk_full
  if (error.code == code_of("25006")) return record::DatabaseState::read_only;  // read_only_sql_transaction
  if (error.code == code_of("XX001") || error.code == code_of("XX002")) return record::DatabaseState::corrupt;
  // shutting down or starting up: admin_shutdown, crash_shutdown, cannot_connect_now
  const bool away = error.code == code_of("57P01") || error.code == code_of("57P02") || error.code == code_of("57P03");
  return away ? record::DatabaseState::absent : record::DatabaseState::failing;
}

bool is_refused_row(const SinkError& error) {
  const int state_class = error.code / (36 * 36 * 36);
  return state_class == 2 * 36 + 2 || state_class == 2 * 36 + 3;  // 22 data exception, 23 integrity constraint
}

SinkError Connection::lost() const {
  return {.code = kLostCode, .message = fmt::format("PostgreSQL: {}", one_line(PQerrorMessage(connection_)))};
}

SinkResult<std::unique_ptr<Connection>> Connection::open(const Options& options) {
  std::vector<const char*> keys;
  std::vector<const char*> values;
  const auto set = [&](const char* key, const char* value) {
    keys.push_back(key);
    values.push_back(value);
  };
  // A dead network is noticed within seconds, not hours. What the connection string says comes later and wins.
  set("tcp_user_timeout", "15000");
  set("keepalives_idle", "10");
  set("keepalives_interval", "5");
  set("keepalives_count", "3");
  if (options.service.empty()) {
    set("dbname", options.dsn.c_str());
  } else {
    set("service", options.service.c_str());
  }
  set("application_name", options.application_name.c_str());
  set("client_encoding", "UTF8");
  set(nullptr, nullptr);
  PGconn* const handle = PQconnectStartParams(keys.data(), values.data(), 1);
  if (handle == nullptr) return std::unexpected(SinkError{.message = "no memory for a connection to PostgreSQL"});
  std::unique_ptr<Connection> connection(new Connection(handle, options.stop_descriptor));
  if (auto established = connection->establish(); !established) {
    return std::unexpected(std::move(established.error()));
  }
  return connection;
}

SinkResult<> Connection::establish() {
  if (PQstatus(connection_) == CONNECTION_BAD) return std::unexpected(lost());
  for (PostgresPollingStatusType next = PGRES_POLLING_WRITING; next != PGRES_POLLING_OK;) {
    if (next == PGRES_POLLING_FAILED) return std::unexpected(lost());
    if (auto waited = wait(next == PGRES_POLLING_READING ? POLLIN : POLLOUT, kConnectMs); !waited) return waited;
    next = PQconnectPoll(connection_);
  }
  if (PQsetnonblocking(connection_, 1) != 0) return std::unexpected(lost());
  return {};
}

Connection::~Connection() {
  PQfinish(connection_);
}

std::string Connection::parameter(const char* name) const {
  const char* const value = PQparameterStatus(connection_, name);
  return value != nullptr ? value : "";
}

SinkResult<> Connection::wait(short events, int timeout_ms) {
  for (;;) {
    std::array<pollfd, 2> watched{{{PQsocket(connection_), events, 0}, {stop_descriptor_, POLLIN, 0}}};
    const int ready = poll(watched.data(), watched.size(), timeout_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready > 0 && watched[1].revents != 0) {
      return std::unexpected(SinkError{.code = kStoppedCode, .message = "stopped while it waited for PostgreSQL"});
    }
    if (ready > 0) return {};
    return std::unexpected(SinkError{.code = kLostCode,
                                     .message = ready == 0
                                                    ? fmt::format("PostgreSQL: no answer for {} s", timeout_ms / 1000)
                                                    : fmt::format("PostgreSQL: poll: {}", std::strerror(errno))});
  }
}

// Sends and receives at once: the server may not read on until we have read its answers.
SinkResult<PGresult*> Connection::next() {
  for (;;) {
    const int unsent = PQflush(connection_);
    if (unsent < 0) return std::unexpected(lost());
    if (PQisBusy(connection_) == 0) return PQgetResult(connection_);
    const auto events = static_cast<short>(unsent > 0 ? POLLIN | POLLOUT : POLLIN);
    if (auto waited = wait(events, kSilenceMs); !waited) return std::unexpected(std::move(waited.error()));
    if (PQconsumeInput(connection_) == 0) return std::unexpected(lost());
  }
}

SinkResult<QueryResult> Connection::last_result(int sent) {
  if (sent == 0) return std::unexpected(lost());
  QueryResult last(nullptr);
  SinkResult<QueryResult> outcome = std::unexpected(SinkError{.message = "PostgreSQL: no result"});
  for (;;) {
    auto result = next();
    if (!result) return std::unexpected(std::move(result.error()));
    if (*result == nullptr) break;
    last = QueryResult(*result);
    const bool failed_before = !outcome.has_value() && outcome.error().code != 1;
    if (failed_before) continue;
    if (last.status() == PGRES_FATAL_ERROR) {
      outcome = std::unexpected(error_of(last.get()));
    } else {
      outcome = std::move(last);
    }
  }
  if (PQstatus(connection_) == CONNECTION_BAD) return std::unexpected(lost());
  return outcome;
}

SinkResult<QueryResult> Connection::execute(const char* sql) {
  return last_result(PQsendQuery(connection_, sql));
}

SinkResult<QueryResult> Connection::query(const char* sql, const Parameters& parameters) {
  return last_result(PQsendQueryParams(connection_, sql, parameters.count(), nullptr, parameters.values(),
                                       parameters.lengths(), Parameters::formats(), 0));
}

SinkResult<> Connection::prepare(const char* name, const char* sql) {
  auto prepared = last_result(PQsendPrepare(connection_, name, sql, 0, nullptr));
  if (!prepared) return std::unexpected(std::move(prepared.error()));
  return {};
}

SinkResult<QueryResult> Connection::run(const char* name, const Parameters& parameters) {
  return last_result(PQsendQueryPrepared(connection_, name, parameters.count(), parameters.values(),
                                         parameters.lengths(), Parameters::formats(), 0));
}

SinkResult<> Connection::pipeline_begin() {
  sent_count_ = 0;
  if (PQenterPipelineMode(connection_) == 0) return std::unexpected(lost());
  return {};
}

SinkResult<> Connection::pipeline_send(const char* name, const Parameters& parameters) {
  ++sent_count_;
  if (PQsendQueryPrepared(connection_, name, parameters.count(), parameters.values(), parameters.lengths(),
                          Parameters::formats(), 0) == 0) {
    return std::unexpected(lost());
  }
  return {};
}

SinkResult<std::vector<int64_t>> Connection::pipeline_end() {
  if (PQpipelineSync(connection_) == 0) return std::unexpected(lost());
  std::vector<int64_t> affected;
  SinkResult<> outcome;
  size_t ended = 0;
  for (;;) {
    auto result = next();
    if (!result) return std::unexpected(std::move(result.error()));
    if (*result == nullptr) {
      // Ends a statement's results, not the pipeline's.
      if (PQstatus(connection_) == CONNECTION_BAD) return std::unexpected(lost());
      if (++ended > sent_count_) return std::unexpected(lost());
      continue;
    }
    const QueryResult taken(*result);
    if (taken.status() == PGRES_PIPELINE_SYNC) break;
    if (taken.status() == PGRES_FATAL_ERROR && outcome) outcome = std::unexpected(error_of(taken.get()));
    affected.push_back(taken.affected_count());
  }
  if (PQexitPipelineMode(connection_) == 0) return std::unexpected(lost());
  if (!outcome) return std::unexpected(std::move(outcome.error()));
  return affected;
}

}  // namespace weir::sink
