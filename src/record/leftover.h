// A journal that a dead process left behind, read whole into memory and checked, record by record. Never mapped: a file
// that is shorter than it says would be a SIGBUS.
//
// What is damaged is skipped, and told with its place in the file; behind it the next whole record is found by its
// position and checksum. Positions that cannot be true do not matter: then every whole record of the ring counts.
//
// `weir journal dump` reads a live journal in the same way while its process goes on writing: only bytes that the
// writer cannot have touched meanwhile are looked at.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "record/ring_view.h"

namespace weir::record {

struct Damage {
  uint64_t file_offset;
  uint64_t size;
  std::string what;
};

enum class Scope : uint8_t {
  undelivered,  // what the tail does not tell to be in the database
  whole_ring    // and before it what the ring still holds
};

class Leftover {
 public:
  // An error if the file cannot be read from the disk, or was made by a newer weir: then nothing may be done with it. A
  // file that is no journal is no error: it has no records, and damage at offset 0.
  static Result<std::unique_ptr<Leftover>> load(const std::string& path, Scope scope = Scope::undelivered);
  ~Leftover();
  Leftover(const Leftover&) = delete;
  Leftover& operator=(const Leftover&) = delete;

  const std::string& path() const { return path_; }
  void renamed(std::string path) { path_ = std::move(path); }
  bool is_journal() const { return header_.has_value(); }
  const FileHeader& header() const { return *header_; }  // REQUIRES: is_journal()
  const std::vector<Damage>& damage() const { return damage_; }

  // The positions of its records in the scope, ascending. Each is an event that decode() knows.
  const std::vector<uint64_t>& positions() const { return positions_; }
  // REQUIRES: a position of positions().
  RecordRef record(uint64_t position) const;

  // Where a consumer of that name is to go on, at the least; kConsumed if it is through with the file. Nothing if the
  // journal was not written for it. (As the file was when it was loaded: a live consumer moves on.)
  std::optional<uint64_t> position_of(std::string_view consumer) const;
  // Whether the file has a page of consumers, to be written to.
  bool has_consumer_page() const { return has_consumer_page_; }
  // The position behind its last record.
  uint64_t end() const;

  // For dumps: each consumer's name and position, and where the file said that its records are.
  const std::vector<std::pair<std::string, uint64_t>>& consumers() const { return consumers_; }
  uint64_t head() const { return head_; }
  uint64_t tail() const { return tail_; }
  bool positions_possible() const;

 private:
  explicit Leftover(std::string path) : path_(std::move(path)) {}
  Result<> read_file(int descriptor);
  Result<> read_header(std::string_view page);
  Result<> read_positions(int descriptor);
  void read_consumers(char* page);
  Result<> read_ring(int descriptor);
  void scan(Scope scope);
  void scan_range(uint64_t from, uint64_t to);
  void scan_everything();
  void scan_behind_head();
  uint64_t first_of_ring() const;
  void take(const RecordRef& record);
  uint64_t find_record(uint64_t position, uint64_t limit) const;
  void add_damage(uint64_t from, uint64_t to, std::string what);
  RingView view() const { return {ring_, header_->ring_size, header_->journal_id}; }

  std::string path_;
  char* ring_ = nullptr;  // and behind it its front again
  size_t memory_size_ = 0;
  uint64_t file_size_ = 0;
  uint64_t present_ = 0;  // bytes of the ring that the file has; the others are zero
  std::optional<FileHeader> header_;
  uint64_t head_ = 0;
  uint64_t tail_ = 0;
  bool has_consumer_page_ = false;
  bool consumers_known_ = false;
  std::vector<std::pair<std::string, uint64_t>> consumers_;
  uint64_t head_after_ = 0;  // when the ring had been read: only a live journal's differs
  std::vector<uint64_t> positions_;
  std::vector<Damage> damage_;
};

}  // namespace weir::record
