// Writes one JSON line for each interception when it ends, for log shippers: a file that is rotated by size, or
// standard output. What is still running, the positions of the journals and how much of the file is committed are in a
// small database beside it (the state), so that the file gets each interception exactly once: first the lines are
// written, then the state is committed, and at the next start what lies behind the committed length is cut off.
//
// Invariants: 1. the state's length never exceeds the file's, unless somebody cut the file. 2. An interception is
// either in the state or in a line, never in both.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "record/database.h"
#include "record/jsonl_file.h"
#include "record/sink.h"

namespace weir::record {

class JsonlSink final : public Sink {
 public:
  struct Options {
    std::string path;  // "-": standard output
    std::string state_path;
    std::string node;
    uint64_t rotate_size = 64ull << 20;
    uint32_t keep = 5;
    bool durable_commits = false;
  };

  explicit JsonlSink(Options options);

  std::string_view noun() const override { return "the jsonl file"; }
  SinkResult<bool> connect() override;
  void disconnect() override;
  SinkResult<std::optional<uint64_t>> position(uint64_t journal_id) override;
  SinkResult<> begin() override;
  SinkResult<> apply(const Event& event) override;
  SinkResult<> commit(std::span<const JournalPosition> positions) override;
  void rollback() override;
  SinkResult<int64_t> close_interrupted(const Recovery& recovery) override;
  SinkResult<> forget_positions(const Recovery& recovery) override;
  void checkpoint() override;
  const SinkOddities& oddities() const override { return oddities_; }

 private:
  // The parts of a line, in the state's table too.
  enum Part : uint8_t { k_start, k_usages, k_prompts, k_tools, k_thoughts, k_part_count };
  struct Open {
    int64_t started_at = 0;
    std::array<std::string, k_part_count> parts;  // members of the start; objects of each list, with commas
    bool operator==(const Open&) const = default;
  };
  struct Fragment {
    Uuid id;
    Part part;
    int64_t started_at;
    std::string json;
  };
  struct UuidHash {
    size_t operator()(const Uuid& id) const;
  };
  using OpenMap = std::unordered_map<Uuid, Open, UuidHash>;

  SinkResult<> load_state();
  Open* find(const Uuid& id);
  void add(const Uuid& id, Part part, std::string json);
  void finish(const Uuid& id, const Open& open, const std::string& end);
  SinkResult<> write_state(std::span<const JournalPosition> positions);
  SinkResult<> write_place(JsonlFile::Place place);

  Options options_;
  JsonlFile file_;
  std::unique_ptr<Database> state_;
  OpenMap open_;  // as committed

  // This batch.
  OpenMap touched_;                  // as they are now, of those that the batch changed
  std::vector<Uuid> ended_;          // of those that are in the state or in touched_
  std::vector<Fragment> fragments_;  // new ones, in order
  std::string lines_;

  SinkOddities oddities_;
  SinkOddities batch_oddities_;
};

}  // namespace weir::record
