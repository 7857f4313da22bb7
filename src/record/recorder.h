// The recorder: brings every worker's journal to the sinks that are configured. Each sink of this process (SQLite,
// jsonl) has a thread of its own that drains the journals in batches (consumer.h), so that one that is slow or away
// holds up no other. A sink outside (weir-sink, for PostgreSQL) reads the journals' files by itself. One more thread,
// the keeper, gives the space that the slowest sink is done with back to the workers, writes the journals to the disk
// by interval, and removes what earlier processes left when every sink has it. All look every 20 ms (a wake-up would
// cost the workers a system call), so a record is in a sink within about 50 ms.
//
// At start it recovers: what earlier processes left in the journals' folder is delivered, then what they left running
// is closed as `interrupted`. What cannot be read is told with its place, and the file is kept as *.bad-<time>. If a
// sink is away, all this waits for it, in this order, before its first new record; the journals fill meanwhile.
//
// A sink that is added begins with the journals that are made after it was configured.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "record/journal.h"
#include "record/sink.h"
#include "record/store.h"

namespace weir::record {

struct SinkSpec {
  enum class Kind : uint8_t { sqlite, jsonl, outside };
  Kind kind = Kind::sqlite;
  std::string name = "sqlite";         // at most kConsumerNameMax bytes; unique
  std::string path{};                  // sqlite: the database; jsonl: the file, "-" for standard output
  std::string state_path{};            // jsonl: where it keeps its position and what is running
  uint64_t rotate_size = 64ull << 20;  // jsonl
  uint32_t keep = 5;                   // jsonl: rotated files
};

// Called on a thread of the recorder after the commit, for each interception that ended in the batch (`weir demo`
// prints a line). Not for what an earlier process left. Needs a sink of kind sqlite.
using OnEnded = std::function<void(const InterceptionRow& row)>;

struct RecorderOptions {
  std::string journal_directory;
  uint64_t journal_size = 64ull << 20;
  uint32_t worker_count = 1;
  std::vector<SinkSpec> sinks;
  std::string node;
  uint64_t sync_interval_ns = 0;  // msync by interval; 0: never
  OnEnded on_ended = {};          // may be empty
  // May be empty. Asked between the steps of a start, which take long where much was left behind or a disk is slow.
  std::function<bool()> stop_asked = {};
};

// Of one sink, for metrics.
struct SinkProgress {
  std::string_view name;
  uint64_t behind_bytes = 0;                    // of the live journals, what it does not have yet
  DatabaseState state = DatabaseState::absent;  // at its last attempt; absent, too: nobody serves a sink outside
};

class Recorder {
 public:
  // Takes the journals' folder, makes the journals, recovers if the sinks are there, starts the threads. Journals of
  // more workers than now (a smaller --workers) are drained too. Errors: a folder held by a live weir (named by its
  // pid), a journal or database written by a newer weir, no room on the disk. `log` may be null, else it outlives the
  // recorder. Null: `stop_asked` said so, and nothing is lost that was found.
  static Result<std::unique_ptr<Recorder>> start(const RecorderOptions& options, LogSink* log);
  ~Recorder();  // stop()
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // Outlives the threads; one JournalWriter each.
  Journal& journal(uint32_t worker_index);
  // For metrics; any thread.
  DatabaseState database_state() const;
  uint64_t delivered_count() const;         // records of this run's journals that are in the database
  std::vector<SinkProgress> sinks() const;  // as configured; the names live as long as the recorder

  // Drains what is there (bounded by `deadline_ns` from now), then joins the threads. True if nothing is left in the
  // journals. The workers have stopped, their backlogs placed.
  bool stop(uint64_t deadline_ns);

 private:
  struct Impl;
  explicit Recorder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::record
