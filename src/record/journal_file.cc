#include "record/journal_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/assert.h"
#include "base/clock.h"

namespace weir::record {

namespace {

constexpr size_t kPageSize = 4096;

size_t mapping_size(uint64_t ring_size) {
  return kHeaderSize + ring_size + kRecordSizeMax;
}

std::string reason(int error) {
  return std::strerror(error);
}

// Maps header and ring, and behind them the ring's front again, in one run of addresses.
Result<char*> map_file(int descriptor, uint64_t size, const std::string& path) {
  void* const reserved = mmap(nullptr, mapping_size(size), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (reserved == MAP_FAILED) return fail("{}: no address space for the journal: {}", path, reason(errno));
  char* const base = static_cast<char*>(reserved);
  void* const file = mmap(base, kHeaderSize + size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, 0);
  void* const front = mmap(base + kHeaderSize + size, kRecordSizeMax, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                           descriptor, kHeaderSize);
  if (file == MAP_FAILED || front == MAP_FAILED) {
    const int error = errno;
    munmap(reserved, mapping_size(size));
    return fail("{}: cannot map the journal: {}", path, reason(error));
  }
  return base;
}

Result<int> open_and_allocate(const std::string& path, uint64_t size) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) return fail("cannot create the journal {}: {}", path, reason(errno));
  const auto file_size = static_cast<off_t>(kHeaderSize + size);
  int error = ftruncate(descriptor, file_size) != 0 ? errno : 0;
  // Allocated now: a store into a hole on a full disk would be a SIGBUS later.
  if (error == 0) error = posix_fallocate(descriptor, 0, file_size);
  if (error == 0) return descriptor;
  ::close(descriptor);
  ::unlink(path.c_str());  // what of it could be allocated would be missed elsewhere
  if (error == ENOSPC) {
    return fail("{}: no room on the disk for a journal of {} bytes: free some, or make the journal smaller", path,
                file_size);
  }
  return fail("{}: cannot allocate {} bytes: {}", path, file_size, reason(error));
}

}  // namespace

void read_boot_id(char (&boot_id)[36]) {
  std::fill_n(boot_id, sizeof boot_id, '0');
  const int descriptor = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  char text[sizeof boot_id];
  if (::read(descriptor, text, sizeof text) == sizeof text) std::memcpy(boot_id, text, sizeof text);
  ::close(descriptor);
}

Journal::Journal(std::string path, uint64_t size, char* mapping, int descriptor)
    : path_(std::move(path)), size_(size), mapping_(mapping), ring_(mapping + kHeaderSize), descriptor_(descriptor) {}

Journal::~Journal() {
  munmap(mapping_, mapping_size(size_));
  ::close(descriptor_);
}

Result<std::unique_ptr<Journal>> Journal::create(const std::string& path, uint64_t size, uint32_t worker_index,
                                                 const JournalLabel& label) {
  if (!std::has_single_bit(size) || size < kRingSizeMin || size > kRingSizeMax) {
    return fail("the size of a journal must be a power of two from 1MiB to 64GiB (was {} bytes)", size);
  }
  const std::string building = building_path(path);
  auto descriptor = open_and_allocate(building, size);
  if (!descriptor) return std::unexpected(descriptor.error());
  auto mapping = map_file(*descriptor, size, building);
  if (!mapping) {
    ::close(*descriptor);
    return std::unexpected(mapping.error());
  }
  std::unique_ptr<Journal> journal(new Journal(path, size, *mapping, *descriptor));
  if (auto formatted = journal->format(worker_index, label); !formatted) return std::unexpected(formatted.error());
  if (rename(building.c_str(), path.c_str()) != 0) return fail("cannot name the journal {}: {}", path, reason(errno));
  return journal;
}

// MAP_POPULATE would map pages of a shared file for reading only; the first store into each would still be a fault.
void Journal::touch(size_t from, size_t to) {
  volatile char* const touched = mapping_;
  for (size_t offset = from; offset < to; offset += kPageSize) touched[offset] = 0;
}

Result<> Journal::format(uint32_t worker_index, const JournalLabel& label) {
  touch(0, kHeaderSize + std::min(size_, kMappedAtStart));
  touch(kHeaderSize + size_, mapping_size(size_));  // the front, where it is mapped again

  std::memset(mapping_, 0, kHeaderSize);
  if (getrandom(&id_, sizeof id_, 0) != sizeof id_) return fail("getrandom: {}", reason(errno));
  FileHeader header{};
  std::copy_n(kMagic, sizeof kMagic, header.magic);
  header.version = kFormatVersion;
  header.byte_order = kByteOrderMark;
  header.ring_size = size_;
  header.header_size = kHeaderSize;
  header.worker_index = worker_index_ = worker_index;
  header.run = label.run;
  header.journal_id = id_;
  header.created_at = unix_us();
  read_boot_id(header.boot_id);
  header.pid = static_cast<uint32_t>(getpid());
  header.checksum = header_checksum(header);
  consumers().format(label.consumers);
  std::memcpy(mapping_, &header, sizeof header);
  std::memcpy(mapping_ + kHeaderCopyOffset, &header, sizeof header);
  return {};
}

uint64_t Journal::slowest() const {
  const ConsumerPage page = consumers();
  uint64_t least = head();
  for (size_t i = 0; i < page.count(); ++i) least = std::min(least, page.position(i));
  return least;
}

JournalPort Journal::port(size_t consumer_index) const {
  const auto* head = reinterpret_cast<const uint64_t*>(mapping_ + kHeadOffset);
  return {path_, id_, worker_index_, view(), head, consumers(), consumer_index};
}

void Journal::prefault(uint64_t from, uint64_t size) {
  const uint64_t first = (from & (size_ - 1)) & ~uint64_t{kPageSize - 1};
  madvise(ring_ + first, std::min(size, size_ - first), MADV_POPULATE_WRITE);
}

Result<> Journal::sync(uint64_t from, uint64_t to) {
  ASSERT(from <= to && to - from <= size_);
  const uint64_t mask = size_ - 1;
  const uint64_t first = (from & mask) & ~uint64_t{kPageSize - 1};
  const uint64_t until_end = std::min(to - from + ((from & mask) - first), size_ - first);
  const uint64_t wrapped = to - from + ((from & mask) - first) - until_end;
  int error = 0;
  if (until_end > 0 && msync(ring_ + first, until_end, MS_SYNC) != 0) error = errno;
  if (wrapped > 0 && msync(ring_, wrapped, MS_SYNC) != 0) error = errno;
  // The positions last, so that a head on the disk has its records there.
  if (msync(mapping_, kHeaderSize, MS_SYNC) != 0) error = errno;
  if (error != 0) return fail("{}: msync: {}", path_, reason(error));
  return {};
}

}  // namespace weir::record
