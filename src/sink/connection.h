// A connection to PostgreSQL: libpq without its blocking calls. Every wait is for the server or for the descriptor that
// tells to stop, whichever comes first, and a server that is silent for kSilenceMs counts as lost (the network may
// swallow everything without a word). Owned by one thread.
//
// A pipeline: pipeline_begin(), pipeline_send() for each statement, pipeline_end(), which makes all of them one
// transaction: either every statement took effect or none.
#pragma once

#include <libpq-fe.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "record/sink.h"
#include "sink/parameters.h"

namespace weir::sink {

using record::SinkError;
using record::SinkResult;

inline constexpr int kSilenceMs = 20'000;
inline constexpr int kStoppedCode = -1;  // of the error when the descriptor told to stop
inline constexpr int kLostCode = 1;      // when the server is away
// In a word, for the metrics.
record::DatabaseState state_of(const SinkError& error);

class QueryResult {
 public:
  explicit QueryResult(PGresult* result) : result_(result) {}

  int row_count() const { return PQntuples(result_.get()); }
  std::string text(int row, int column) const { return PQgetvalue(result_.get(), row, column); }
  bool is_null(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }
  int64_t number(int row, int column) const {
    return std::strtoll(PQgetvalue(result_.get(), row, column), nullptr, 10);
  }
  int64_t affected_count() const { return std::strtoll(PQcmdTuples(result_.get()), nullptr, 10); }
  ExecStatusType status() const { return PQresultStatus(result_.get()); }
  PGresult* get() const { return result_.get(); }

 private:
  struct Clear {
    void operator()(PGresult* result) const { PQclear(result); }
  };
  std::unique_ptr<PGresult, Clear> result_;
};

class Connection {
 public:
  struct Options {
    std::string dsn;      // a connection string or URI; or
    std::string service;  // an entry of the service file
    std::string application_name;
    int stop_descriptor = -1;  // readable: everything ends with kStoppedCode
  };

  static SinkResult<std::unique_ptr<Connection>> open(const Options& options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Several statements without parameters. The last one's result.
  SinkResult<QueryResult> execute(const char* sql);
  SinkResult<QueryResult> query(const char* sql, const Parameters& parameters);
  SinkResult<> prepare(const char* name, const char* sql);
  SinkResult<QueryResult> run(const char* name, const Parameters& parameters);

  SinkResult<> pipeline_begin();
  SinkResult<> pipeline_send(const char* name, const Parameters& parameters);
  // The numbers of rows that each statement affected, in their order.
  SinkResult<std::vector<int64_t>> pipeline_end();

  // An unfinished transaction or pipeline cannot be gone on with.
  bool idle() const { return PQtransactionStatus(connection_) == PQTRANS_IDLE && !in_pipeline(); }
  bool in_pipeline() const { return PQpipelineStatus(connection_) != PQ_PIPELINE_OFF; }
  std::string parameter(const char* name) const;

 private:
  Connection(PGconn* connection, int stop_descriptor) : connection_(connection), stop_descriptor_(stop_descriptor) {}
  SinkResult<> establish();
  SinkResult<> wait(short events, int timeout_ms);
  // The next result; null when the statement has no more.
  SinkResult<PGresult*> next();
  SinkResult<QueryResult> last_result(int sent);
  SinkError lost() const;

  PGconn* connection_;
  int stop_descriptor_;
  size_t sent_count_ = 0;
};

// Of a statement that failed: its SQLSTATE as the error's code.
SinkError error_of(const PGresult* result);
// Whether the values of the row were at fault, so that trying again cannot help.
bool is_refused_row(const SinkError& error);

}  // namespace weir::sink
