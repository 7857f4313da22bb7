#include "record/leftover.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "record/journal_file.h"

namespace weir::record {

namespace {

std::string reason(int error) {
  return std::strerror(error);
}

Result<> read_all(int descriptor, char* to, uint64_t size, const std::string& path) {
  for (uint64_t offset = 0; offset < size;) {
    const ssize_t got = pread(descriptor, to + offset, size - offset, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail("cannot read the journal {} at offset {}: {}", path, offset, reason(errno));
    if (got == 0) break;  // it became shorter: the rest stays zero, which is no record
    offset += static_cast<uint64_t>(got);
  }
  return {};
}

bool is_sound(const FileHeader& header) {
  return header.version == kFormatVersion && header.header_size == kHeaderSize &&
         std::has_single_bit(header.ring_size) && header.ring_size >= kRingSizeMin && header.ring_size <= kRingSizeMax;
}

}  // namespace

Result<std::unique_ptr<Leftover>> Leftover::load(const std::string& path) {
  std::unique_ptr<Leftover> leftover(new Leftover(path));
  if (auto read = leftover->read_file(); !read) return std::unexpected(read.error());
  if (auto read = leftover->read_header(); !read) return std::unexpected(read.error());
  if (leftover->is_journal()) leftover->scan();
  return leftover;
}

Leftover::~Leftover() {
  if (memory_ != nullptr) munmap(memory_, memory_size_);
}

Result<> Leftover::read_file() {
  const int descriptor = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return fail("cannot open the journal {}: {}", path_, reason(errno));
  struct stat status{};
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    return fail("{} is not a file: move it out of the journal's folder", path_);
  }
  file_size_ = static_cast<uint64_t>(status.st_size);
  // A ring may be larger than what is left of the file, by at most what its header may say: see read_header().
  memory_size_ = std::max<uint64_t>(file_size_, kHeaderSize) + kRecordSizeMax;
  void* const memory = mmap(nullptr, memory_size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    ::close(descriptor);
    return fail("no memory to read the journal {} ({} bytes)", path_, file_size_);
  }
  memory_ = static_cast<char*>(memory);
  auto read = read_all(descriptor, memory_, file_size_, path_);
  ::close(descriptor);
  return read;
}

// Takes the first of the two headers that is whole.
Result<> Leftover::read_header() {
  FileHeader header;
  bool found = false;
  for (const size_t offset : {size_t{0}, kHeaderCopyOffset}) {
    std::memcpy(&header, memory_ + offset, sizeof header);
    if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) continue;
    if (header.byte_order != kByteOrderMark) continue;
    if (header.checksum != header_checksum(header)) continue;
    if (header.version > kFormatVersion) {
      return fail(
          "{} was written by a newer weir (journal version {}, this one reads {}): run that one until it has "
          "delivered it, or move the file away",
          path_, header.version, kFormatVersion);
    }
    if (!is_sound(header)) continue;
    found = true;
    if (offset != 0) damage_.push_back({0, sizeof header, "the first header is damaged, its copy is used"});
    break;
  }
  if (!found) {
    damage_.push_back({0, file_size_, "not a journal, or its header is damaged"});
    return {};
  }
  header_ = header;
  const uint64_t whole_size = kHeaderSize + header.ring_size;
  if (file_size_ < whole_size) {
    damage_.push_back({file_size_, whole_size - file_size_, "the file is cut short"});
  }
  const size_t needed = whole_size + kRecordSizeMax;
  if (needed > memory_size_) {
    void* const grown = mremap(memory_, memory_size_, needed, MREMAP_MAYMOVE);
    if (grown == MAP_FAILED) return fail("no memory to read the journal {} ({} bytes)", path_, needed);
    memory_ = static_cast<char*>(grown);
    memory_size_ = needed;
  }
  ring_ = memory_ + kHeaderSize;
  // A record may wrap: behind the ring its front once more, as in the live mapping.
  std::memcpy(memory_ + whole_size, ring_, std::min<uint64_t>(kRecordSizeMax, header.ring_size));
  std::memcpy(&head_, memory_ + kHeadOffset, sizeof head_);
  std::memcpy(&tail_, memory_ + kTailOffset, sizeof tail_);
  return {};
}

void Leftover::scan() {
  const uint64_t size = header_->ring_size;
  const bool aligned = head_ % kRecordAlignment == 0 && tail_ % kRecordAlignment == 0;
  if (tail_ > head_ || head_ - tail_ > size || !aligned) {
    damage_.push_back({kHeadOffset, kTailOffset + sizeof tail_ - kHeadOffset, "the positions cannot be true"});
    return scan_everything();
  }
  const RingView ring = view();
  uint64_t position = tail_;
  while (position < head_) {
    if (const auto record = ring.record_at(position, head_)) {
      positions_.push_back(position);
      position = record->end;
      continue;
    }
    const uint64_t next = ring.find_record(position, head_);
    add_damage(position, next);
    position = next;
  }
  // While the kernel lives, the head is what the process last stored. After a power cut it may be older than the
  // records that reached the disk.
  char boot_id[sizeof header_->boot_id];
  read_boot_id(boot_id);
  if (std::memcmp(boot_id, header_->boot_id, sizeof boot_id) == 0) return;
  while (const auto record = ring.record_at(position, tail_ + size)) {
    positions_.push_back(position);
    position = record->end;
  }
}

void Leftover::scan_everything() {
  const RingView ring = view();
  const uint64_t size = header_->ring_size;
  for (uint64_t offset = 0; offset < size; offset += kRecordAlignment) {
    RecordHeader header;
    std::memcpy(&header, ring_ + offset, sizeof header);
    const uint64_t limit = header.position + kRecordSizeMax;
    if (header.position % size == offset && limit > header.position && ring.record_at(header.position, limit)) {
      positions_.push_back(header.position);
    }
  }
  std::ranges::sort(positions_);
}

void Leftover::add_damage(uint64_t from, uint64_t to) {
  const uint64_t offset = kHeaderSize + (from & (header_->ring_size - 1));
  damage_.push_back({offset, to - from, "no whole record here"});
}

RecordRef Leftover::record(uint64_t position) const {
  const auto record = view().record_at(position, position + kRecordSizeMax);
  ASSERT(record.has_value());  // it was whole when the file was scanned, and the memory is ours
  return *record;
}

}  // namespace weir::record
