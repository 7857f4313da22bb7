// Puts records into PostgreSQL, for many nodes in one database. A batch is one transaction, sent as a pipeline, with
// the positions of the journals in it.
//
// A session holds an advisory lock on the node's name. It keeps two nodes of one name apart, and it keeps a session
// that the network has cut off from us, and that may still commit, apart from the next one: positions are asked only
// once the lock is ours. (So the connection must be to the server, or through a pooler of sessions, not of
// transactions.)
//
// A batch that fails because a row's values are refused is sent once more row by row, and what is refused is counted.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "record/sink.h"
#include "sink/connection.h"

namespace weir::sink {

class PostgresSink final : public record::Sink {
 public:
  struct Options {
    std::string dsn;
    std::string service;
    std::string node;
    std::string identity;  // of this data_dir: who holds the lock, if not another node of our name
    int stop_descriptor = -1;
  };

  explicit PostgresSink(Options options);

  std::string_view noun() const override { return "PostgreSQL"; }
  SinkResult<bool> connect() override;
  void disconnect() override { connection_.reset(); }
  SinkResult<std::optional<uint64_t>> position(uint64_t journal_id) override;
  SinkResult<> begin() override;
  SinkResult<> apply(const record::Event& event) override;
  SinkResult<> commit(std::span<const record::JournalPosition> positions) override;
  void rollback() override;
  SinkResult<int64_t> close_interrupted(const record::Recovery& recovery) override;
  SinkResult<> forget_positions(const record::Recovery& recovery) override;
  void checkpoint() override {}  // the server's commits are on its disk
  const record::SinkOddities& oddities() const override { return oddities_; }

 private:
  enum StatementIndex : uint8_t { k_insert, k_end, k_prompt, k_usage, k_tool, k_thought, k_position, k_count };
  struct Started {
    record::Start start;
    std::optional<record::End> end;
  };
  struct UuidHash {
    size_t operator()(const Uuid& id) const;
  };

  SinkResult<> set_up(Connection& connection);
  SinkResult<> lock_node(Connection& connection);
  SinkResult<> migrate(Connection& connection);
  static void make_indexes(Connection& connection);
  static SinkResult<> accept_newer(Connection& connection, int64_t version);
  SinkResult<> send(StatementIndex index, const Parameters& parameters);
  SinkResult<> send_carefully(StatementIndex index, const Parameters& parameters);
  SinkResult<> send_start(const Started& started);
  void on(const record::Start& start);
  SinkResult<> on(const record::End& end);
  void count_affected(StatementIndex index, int64_t affected);
  SinkResult<> finish_batch();

  Options options_;
  std::unique_ptr<Connection> connection_;
  bool careful_ = false;          // the last batch had a row whose values were refused
  std::vector<Started> started_;  // this batch's, in order
  std::unordered_map<Uuid, size_t, UuidHash> started_index_;
  std::vector<StatementIndex> sent_;
  record::SinkOddities oddities_;
  record::SinkOddities batch_oddities_;
};

// The tables, as `weir-sink --print-schema` prints them.
std::string schema_text();

}  // namespace weir::sink
