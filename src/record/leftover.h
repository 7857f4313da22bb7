// A journal that a dead process left behind, read whole into memory and checked, record by record. Never mapped: a file
// that is shorter than it says would be a SIGBUS.
//
// What is damaged is skipped, and told with its place in the file; behind it the next whole record is found by its
// position and checksum. Positions that cannot be true do not matter: then every whole record of the ring counts.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "record/ring_view.h"

namespace weir::record {

struct Damage {
  uint64_t file_offset;
  uint64_t size;
  std::string what;
};

class Leftover {
 public:
  // An error if the file cannot be read from the disk, or was made by a newer weir: then nothing may be done with it. A
  // file that is no journal is no error: it has no records, and damage at offset 0.
  static Result<std::unique_ptr<Leftover>> load(const std::string& path);
  ~Leftover();
  Leftover(const Leftover&) = delete;
  Leftover& operator=(const Leftover&) = delete;

  const std::string& path() const { return path_; }
  void renamed(std::string path) { path_ = std::move(path); }
  bool is_journal() const { return header_.has_value(); }
  const FileHeader& header() const { return *header_; }  // REQUIRES: is_journal()
  const std::vector<Damage>& damage() const { return damage_; }

  // The positions of its records that the tail does not tell to be in the database, ascending.
  const std::vector<uint64_t>& positions() const { return positions_; }
  // REQUIRES: a position of positions().
  RecordRef record(uint64_t position) const;

  // For dumps: where the file said that its records are.
  uint64_t head() const { return head_; }
  uint64_t tail() const { return tail_; }

 private:
  explicit Leftover(std::string path) : path_(std::move(path)) {}
  Result<> read_file();
  Result<> read_header();
  void scan();
  void scan_everything();
  void add_damage(uint64_t from, uint64_t to);
  RingView view() const { return {ring_, header_->ring_size, header_->journal_id}; }

  std::string path_;
  char* memory_ = nullptr;
  size_t memory_size_ = 0;
  uint64_t file_size_ = 0;
  const char* ring_ = nullptr;
  std::optional<FileHeader> header_;
  uint64_t head_ = 0;
  uint64_t tail_ = 0;
  std::vector<uint64_t> positions_;
  std::vector<Damage> damage_;
};

}  // namespace weir::record
