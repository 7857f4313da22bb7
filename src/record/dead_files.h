// The files that earlier processes left in the journals' folder: who of the sinks still needs each, and what becomes of
// it when none does: used again, removed, or kept aside if it is damaged. Used by the recorder alone; consumed() may be
// called by any of its threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "record/consumer.h"
#include "record/journal_directory.h"
#include "record/recorder.h"

namespace weir::record {

class DeadFiles {
 public:
  // Borrows both. `logger` may be null.
  DeadFiles(const JournalDirectory& directory, Logger* logger) : directory_(directory), logger_(logger) {}

  // Reads every file, until `stops` says so between two. Those that no sink needs any more are gone (or serve the next
  // journal) when this returns.
  Result<> take_over(std::span<const SinkSpec> sinks, uint32_t worker_count, const std::function<bool()>& stops);

  // For the sink of that index: what it still needs, by the files' creation. Once for each sink.
  std::vector<DeadJournal> for_sink(size_t sink_index);
  // Of every journal that was found.
  const std::vector<uint64_t>& ids() const { return ids_; }
  // Another one than that of any journal that was found.
  uint32_t new_run() const;

  // Removes the files that every sink has by now.
  void put_away();

 private:
  struct File;
  template <class... Fields>
  void log(LogLevel level, std::string_view message, Fields... fields) {
    if (logger_ != nullptr) logger_->log(level, message, {fields...});
  }
  Result<> take(const std::string& path, std::span<const SinkSpec> sinks, uint32_t worker_count);
  Result<> dispose(const std::string& path, const FileHeader& header, bool reuse);
  void tell_damage(const Leftover& leftover);
  void put_away(const File& file);
  void consumed(File& file, size_t sink_index);

  const JournalDirectory& directory_;
  Logger* logger_;
  std::vector<uint64_t> ids_;
  std::vector<uint32_t> runs_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<File>> files_;  // mutex_, once the recorder's threads run
};

}  // namespace weir::record
