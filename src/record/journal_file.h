// The mapped file of a live journal: made anew for each run of the process (its blocks may be an earlier one's), under
// an id that was never used before. format.h draws its layout; leftover.h reads the files of processes that are gone.
//
// Threads: one producer (publish), the recorder (release_to) and the consumers, each of which keeps its own position in
// the page of consumers(); the positions are the only thing they share.
// Invariants: 1. tail ≤ each consumer's position ≤ head ≤ tail + size. 2. Every byte of the ring is allocated on disk
// and was written to once before create() returns, so that a store can neither fail for want of room nor wait for a
// first touch.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "record/consumer_page.h"
#include "record/format.h"
#include "record/journal.h"
#include "record/ring_view.h"

namespace weir::record {

struct JournalLabel {
  uint32_t run = 0;
  std::vector<std::string> consumers = {"sqlite"};
};

// What a consumer needs of a live journal, in whichever process it is mapped. Valid as long as the mapping.
struct JournalPort {
  std::string path;
  uint64_t id;
  uint32_t worker_index;
  RingView ring;
  const uint64_t* head;
  ConsumerPage page;
  size_t index;  // the consumer's, in the page

  uint64_t load_head() const {
    return std::atomic_ref<uint64_t>(*const_cast<uint64_t*>(head)).load(std::memory_order_acquire);
  }
};

class Journal {
 public:
  // Makes the file at `path` (its folder exists). It is built as `path`.new, whose blocks are used if it is there, and
  // gets its name when it is whole.
  static Result<std::unique_ptr<Journal>> create(const std::string& path, uint64_t size, uint32_t worker_index,
                                                 const JournalLabel& label = {});
  // Of the ring, what create() maps for writing; prefault() is for the rest.
  static constexpr uint64_t kMappedAtStart = 4ull << 20;
  static uint64_t file_size(uint64_t ring_size) { return kHeaderSize + ring_size; }
  static std::string building_path(const std::string& path) { return path + ".new"; }
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  uint64_t id() const { return id_; }
  uint64_t size() const { return size_; }
  uint32_t seed() const { return record_seed(id_); }
  const std::string& path() const { return path_; }
  RingView view() const { return {ring_, size_, id_}; }
  // kRecordSizeMax bytes can be used on from here: the ring's front is mapped once more behind its end.
  char* at(uint64_t position) { return ring_ + (position & (size_ - 1)); }

  // Release: whoever reads the head sees the records before it. Acquire: their bytes are read after it.
  void publish(uint64_t head) { position_at(kHeadOffset).store(head, std::memory_order_release); }
  uint64_t head() const { return position_at(kHeadOffset).load(std::memory_order_acquire); }
  // Release: the consumers are done with the bytes before the tail; acquire: the producer may write over them.
  void release_to(uint64_t tail) { position_at(kTailOffset).store(tail, std::memory_order_release); }
  uint64_t tail() const { return position_at(kTailOffset).load(std::memory_order_acquire); }

  ConsumerPage consumers() const { return ConsumerPage(mapping_ + kConsumersOffset); }
  // The least of the consumers' positions; the head if there is none.
  uint64_t slowest() const;
  JournalPort port(size_t consumer_index) const;

  // Makes the next pages writable without a fault again, which the kernel takes away when it writes pages back: so the
  // wait for the disk is the consumer's. Changes no byte. A hint: an old kernel does nothing.
  void prefault(uint64_t from, uint64_t size);

  // Blocks until what is between the positions, and the positions themselves, are on the disk.
  Result<> sync(uint64_t from, uint64_t to);

 private:
  Journal(std::string path, uint64_t size, char* mapping, int descriptor);
  std::atomic_ref<uint64_t> position_at(size_t offset) const {
    return std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(mapping_ + offset));
  }
  Result<> format(uint32_t worker_index, const JournalLabel& label);
  void touch(size_t from, size_t to);

  std::string path_;
  uint64_t size_;
  uint64_t id_ = 0;
  uint32_t worker_index_ = 0;
  char* mapping_;  // header, ring, the front of the ring again
  char* ring_;
  int descriptor_;
};

// The kernel's id of this boot, 36 characters; zeros where the kernel does not tell.
void read_boot_id(char (&boot_id)[36]);

}  // namespace weir::record
