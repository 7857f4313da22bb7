// The folder of the journals, data_dir/journal: who may use it, what is in it, and what becomes of a file.
//
//   lock                       held (flock) while a weir runs on this folder; holds its pid
//   worker-3.journal           the live journal of worker 3
//   worker-3.journal.new       one that is being made
//   worker-3-<id>.left         what an earlier process left behind and is not yet wholly in the database
//   *.bad-<time>               what could not be read, kept for a person
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::record {

class JournalDirectory {
 public:
  // Makes the folder (0700) if it is missing, and takes the lock: an error that names the pid if another has it.
  static Result<JournalDirectory> open(const std::string& path);
  JournalDirectory(JournalDirectory&& other) noexcept;
  JournalDirectory& operator=(JournalDirectory&&) = delete;
  ~JournalDirectory();

  std::string live_path(uint32_t worker_index) const;
  std::string left_path(uint32_t worker_index, uint64_t journal_id) const;
  // Paths of what earlier processes left: *.journal and *.left, in the order of their names.
  Result<std::vector<std::string>> journals() const { return list(path_); }
  // The same without the lock, for those who only read: files may come and go.
  static Result<std::vector<std::string>> list(const std::string& path);

  static Result<> rename(const std::string& from, const std::string& to);
  static Result<> remove(const std::string& path);
  // Renames to *.bad-<time> and returns the new path.
  static Result<std::string> set_aside(const std::string& path);
  // Makes the names durable.
  Result<> sync() const;

 private:
  JournalDirectory(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}

  std::string path_;
  int lock_;
};

}  // namespace weir::record
