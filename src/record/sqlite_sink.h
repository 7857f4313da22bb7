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
#include "record/store.h"

namespace weir::record {

struct JournalPosition {
  uint64_t journal_id;
  uint32_t worker_index;
  uint64_t position;
};

class SqliteSink {
 public:
  struct Options {
    std::string path;
    std::string node;
    bool durable_commits = false;
  };
  // What cannot be a row, counted since the start: each is told in the log, none stops the rest.
  struct Oddities {
    uint64_t unknown_ends = 0;  // their start is not in the database, or has ended already
    uint64_t repeated_starts = 0;
    uint64_t refused_rows = 0;  // a constraint or a limit of the database
    bool operator==(const Oddities&) const = default;
  };

  explicit SqliteSink(Options options) : options_(std::move(options)) {}

  // Connects if there is no connection, or if the file at the path is another one now. True: it is a new connection,
  // and positions must be asked for again.
  DbResult<bool> connect();
  void disconnect();
  DbResult<std::optional<uint64_t>> position(uint64_t journal_id);

  DbResult<> begin();
  // Borrows the event's texts until commit() or rollback().
  DbResult<> apply(const Event& event);
  DbResult<> commit(std::span<const JournalPosition> positions);
  void rollback();

  // For recovery: ends as `interrupted` what is running, which is nothing of this process yet. Of this node, and of the
  // nodes by whose names earlier runs on these journals went. Returns how many there were.
  DbResult<int64_t> close_interrupted(std::span<const uint64_t> journal_ids, int64_t now_us);
  DbResult<> forget_positions(std::span<const uint64_t> journal_ids);
  // Commits so far are on the disk after this.
  void checkpoint();

  // Interceptions that ended in the last committed batch; collected only if asked for.
  void collect_ended(bool collect) { collect_ended_ = collect; }
  std::span<const Uuid> ended() const { return ended_; }
  DbResult<std::optional<InterceptionRow>> row(const Uuid& id);

  const Oddities& oddities() const { return oddities_; }
  const std::string& path() const { return options_.path; }

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
  Oddities oddities_;
  Oddities batch_oddities_;
  std::array<char, kUuidTextSize> id_text_{};
};

}  // namespace weir::record
