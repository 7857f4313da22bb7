// The recorder: one thread that drains every worker's journal in batches into the sink, with the position in the same
// transaction, so that each record arrives exactly once. At start it recovers: what is left in the journals is
// delivered, then interceptions without an end are closed as `interrupted`.
//
// The database being slow, locked, full or absent is logged once per state change and retried with growing pauses (up
// to 1 s); the journals fill meanwhile.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "record/journal.h"

namespace weir::record {

struct RecorderOptions {
  std::string journal_directory;
  uint64_t journal_size = 64ull << 20;
  uint32_t worker_count = 1;
  std::string database_path;
  std::string node;
  uint64_t sync_interval_ns = 0;  // msync by interval; 0: never
};

// One line for each interception as it ends (`weir demo`). Called on the recorder's thread after the commit.
struct EndedInterception;  // recorder.cc decides; see store.h's InterceptionRow
using OnEnded = std::function<void(const std::string& id)>;

class Recorder {
 public:
  // Opens the journals, recovers, starts the thread. Journals of more workers than now (a smaller --workers) are
  // drained too. A journal held by a live weir is an error that names its pid; so is a file that is not a journal.
  static Result<std::unique_ptr<Recorder>> start(const RecorderOptions& options, std::unique_ptr<Logger> logger);
  ~Recorder();  // stop()
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  Journal& journal(uint32_t worker_index);
  void set_on_ended(OnEnded on_ended);

  // Drains what is there (bounded by `deadline_ns` from now), then joins the thread. True if nothing is left in the
  // journals.
  bool stop(uint64_t deadline_ns);

 private:
  struct Impl;
  explicit Recorder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::record
