// The recorder: one thread that drains every worker's journal in batches into the database, with the positions in the
// same transaction, so that each record arrives exactly once. It looks every 20 ms (a wake-up would cost the workers a
// system call), so a record is in the database within about 50 ms.
//
// At start it recovers: what earlier processes left in the journals' folder is delivered, then what they left running
// is closed as `interrupted`. What cannot be read is told with its place, and the file is kept as *.bad-<time>. If the
// database is away, all this waits for it, in this order, before the first new record; the journals fill meanwhile.
//
// The database being slow, locked, full or absent is logged once per state change and retried with growing pauses (up
// to 1 s).
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
#include "record/store.h"

namespace weir::record {

struct RecorderOptions {
  std::string journal_directory;
  uint64_t journal_size = 64ull << 20;
  uint32_t worker_count = 1;
  std::string database_path;
  std::string node;
  uint64_t sync_interval_ns = 0;  // msync by interval; 0: never
};

// Called on the recorder's thread after the commit, for each interception that ended in the batch (`weir demo` prints a
// line).
using OnEnded = std::function<void(const InterceptionRow& row)>;

// What the database was doing at the recorder's last attempt.
enum class DatabaseState : uint8_t { ok, recovering, locked, full, read_only, corrupt, absent, failing };
inline constexpr size_t kDatabaseStateCount = 8;
std::string_view text(DatabaseState state);  // "read_only"

class Recorder {
 public:
  // Takes the journals' folder, makes the journals, recovers if the database is there, starts the thread. Journals of
  // more workers than now (a smaller --workers) are drained too. Errors: a folder held by a live weir (named by its
  // pid), a journal or database written by a newer weir, no room on the disk. `logger` may be null.
  static Result<std::unique_ptr<Recorder>> start(const RecorderOptions& options, std::unique_ptr<Logger> logger);
  ~Recorder();  // stop()
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // Outlives the thread; one JournalWriter each.
  Journal& journal(uint32_t worker_index);
  // For metrics; any thread.
  DatabaseState database_state() const;
  uint64_t delivered_count() const;     // records of this run's journals that are in the database
  void set_on_ended(OnEnded on_ended);  // any thread; an empty function unsets

  // Drains what is there (bounded by `deadline_ns` from now), then joins the thread. True if nothing is left in the
  // journals. The workers have stopped, their backlogs placed.
  bool stop(uint64_t deadline_ns);

 private:
  struct Impl;
  explicit Recorder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::record
