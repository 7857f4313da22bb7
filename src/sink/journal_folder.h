// What weir-sink finds in data_dir/journal: the live journals of the weir that runs, or ran last, and the journals of
// dead processes of which the sink may not have everything. It only reads the folder, and files may be renamed, removed
// and made meanwhile; it changes nothing but its own positions.
//
// A run of weir is dead once one of its files is a *.left (its successor renames them before it makes its own), or a
// newer run has journals. Until then its journals count as live, also when the process is gone: what it left running is
// closed when weir has started again.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "record/consumer.h"
#include "sink/journal_reader.h"

namespace weir::sink {

struct Found {
  std::vector<std::unique_ptr<JournalReader>> live;
  std::vector<record::JournalPort> ports;  // of the live ones, for this sink
  std::vector<record::DeadJournal> dead;   // by their creation
  std::vector<uint64_t> dead_ids;
};

class JournalFolder {
 public:
  JournalFolder(std::string path, std::string sink_name) : path_(std::move(path)), sink_name_(std::move(sink_name)) {}

  // Errors: a journal of a newer weir, or a weir that has no sink of this name.
  Result<Found> look();
  // Whether other journals are live than when look() was last called.
  bool changed() const;

 private:
  struct File;
  using Entries = std::vector<std::pair<std::string, uint64_t>>;  // path and inode of each *.journal

  Entries list_live() const;
  Result<std::vector<File>> open_all() const;
  Result<> take_live(const File& file, Found& found) const;
  Result<> take_dead(const File& file, Found& found) const;

  std::string path_;
  std::string sink_name_;
  Entries seen_;
};

}  // namespace weir::sink
