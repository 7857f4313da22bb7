// The journal: one ring of checksummed records for each worker, in a MAP_SHARED file, between a worker (the only
// producer) and the recorder (the consumer). A record is in the journal from one release store on; from then on it
// survives the death of the process without a system call. See format.h for the file's layout (versioned,
// self-describing), journal_file.h for the mapping.
//
// Producer: wait-free, no allocation, no system call. The file is preallocated and pre-faulted when it is opened.
// Room: begin() admits an interception only if its start fits and at least kReservedShare of the ring stays free beside
// the ends reserved for running interceptions; so facts and ends of what was accepted always find room, or wait in the
// writer's backlog (heap; only when the database has been away for a whole ring) until retry() places them, in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "record/events.h"

namespace weir::record {

class Journal;  // the mapped file, shared by its writer and its reader (journal_file.h); Recorder::journal() gives it

// Whether begin() would refuse an interception with a start of usual size (4 KiB): for readiness. Any thread;
// `open_count` as of JournalWriter::open_count().
bool is_full(const Journal& journal, uint64_t open_count);

// Owned by one worker.
class JournalWriter {
 public:
  // The journal outlives its writer. One writer for the journal's whole life.
  explicit JournalWriter(Journal& journal);
  ~JournalWriter();
  JournalWriter(const JournalWriter&) = delete;
  JournalWriter& operator=(const JournalWriter&) = delete;

  // False: the ring has no room for a new interception (503); nothing was written.
  bool begin(const Start& start);
  void add(const UserPrompt& prompt);
  void add(const TokenUsage& usage);
  void add(const ToolUsage& tool);
  void add(const ModelThought& thought);
  void end(const End& end);

  // Places what waits in the backlog; cheap when it is empty. Called by the worker's timer.
  void retry();
  bool backlog_empty() const;
  size_t backlog_count() const;
  uint64_t written_count() const;  // records that are or were in the ring
  uint32_t open_count() const;     // begun and not ended

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::record
