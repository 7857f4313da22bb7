// Puts events into the database: a batch is one transaction, with the positions of the journals that it came from.
// Owned by the recorder's thread. Knows nothing of journals but their ids.
//
// A batch: begin(), apply() for each event in order, commit(). After any error: rollback(), and connect() again before
// the next begin(). An interception whose start and end come in one batch is inserted once, whole.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "record/codec.h"
#include "record/database.h"
#include "record/sink.h"
#include "record/store.h"

namespace weir::record {

class SqliteSink final : public Sink {
 public:
  struct Options {
    std::string path;
    std::string node;
    bool durable_commits = false;
  };

  explicit SqliteSink(Options options) : options_(std::move(options)) {}

  std::string_view noun() const override { return "the database"; }
  // Connects anew also if the file at the path is another one now.
  SinkResult<bool> connect() override;
  void disconnect() override;
  SinkResult<std::optional<uint64_t>> position(uint64_t journal_id) override;
  SinkResult<> begin() override;
  SinkResult<> apply(const Event& event) override;
  SinkResult<> commit(std::span<const JournalPosition> positions) override;
  void rollback() override;
  // Of this node, and of the nodes by whose names earlier runs on these journals went.
  SinkResult<int64_t> close_interrupted(const Recovery& recovery) override;
  SinkResult<> forget_positions(const Recovery& recovery) override;
  void checkpoint() override;
  const SinkOddities& oddities() const override { return oddities_; }

  // Interceptions that ended in the last committed batch; collected only if asked for.
  void collect_ended(bool collect) { collect_ended_ = collect; }
  std::span<const Uuid> ended() const { return ended_; }
  DbResult<std::optional<InterceptionRow>> row(const Uuid& id);

  const std::string& path() const { return options_.path; }

  // What the connected database lacks of the indexes of schema.h. Making one reads the whole table; `stop` is asked
  // meanwhile and ends it without a trace.
  DbResult<std::vector<Index>> missing_indexes();
  DbResult<> make_index(const Index& index, const std::function<bool()>& stop);

 private:
  enum StatementIndex : uint8_t { k_insert, k_end, k_prompt, k_usage, k_tool, k_thought, k_position, k_count };
  struct Started {
    Start start;
    std::optional<End> end;
  };
  struct UuidHash {
    size_t operator()(const Uuid& id) const;
  };

  DbResult<> on(const Start& start);
  DbResult<> on(const UserPrompt& prompt);
  DbResult<> on(const TokenUsage& usage);
  DbResult<> on(const ToolUsage& tool);
  DbResult<> on(const ModelThought& thought);
  DbResult<> on(const End& end);
  DbResult<> insert(const Started& started);
  DbResult<> run_row(Statement& statement);
  std::string_view id_text(const Uuid& id);

  Options options_;
  std::unique_ptr<Database> database_;
  std::array<Statement, k_count> statements_;
  std::vector<Started> started_;  // this batch's, in order
  std::unordered_map<Uuid, size_t, UuidHash> started_index_;
  bool collect_ended_ = false;
  std::vector<Uuid> ended_;
  SinkOddities oddities_;
  SinkOddities batch_oddities_;
  std::array<char, kUuidTextSize> id_text_{};
};

// How far that journal is by the table journal_positions, which other sinks keep in a database of their own.
DbResult<std::optional<uint64_t>> stored_position(Database& database, uint64_t journal_id);

}  // namespace weir::record
