#include "sink/journal_reader.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace weir::sink {

using record::kConsumerPageSize;
using record::kConsumersOffset;
using record::kHeaderSize;
using record::kRecordSizeMax;

Result<std::unique_ptr<JournalReader>> JournalReader::map(int descriptor, const std::string& path,
                                                          const record::FileHeader& header) {
  const size_t file_size = kHeaderSize + header.ring_size;
  struct stat status{};
  // Shorter than it says, a load would be a SIGBUS.
  if (fstat(descriptor, &status) != 0 || static_cast<size_t>(status.st_size) < file_size) {
    return fail("{}: the journal is shorter than its header says", path);
  }
  const size_t size = file_size + kRecordSizeMax;
  void* const reserved = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (reserved == MAP_FAILED) return fail("{}: no address space for the journal: {}", path, std::strerror(errno));
  std::unique_ptr<JournalReader> reader(new JournalReader(path, header, static_cast<char*>(reserved), size));
  const auto place = [&](size_t at, size_t length, int protection, off_t offset) {
    return mmap(reader->mapping_ + at, length, protection, MAP_SHARED | MAP_FIXED, descriptor, offset) != MAP_FAILED;
  };
  const bool mapped = place(0, file_size, PROT_READ, 0) &&
                      place(kConsumersOffset, kConsumerPageSize, PROT_READ | PROT_WRITE, kConsumersOffset) &&
                      place(file_size, kRecordSizeMax, PROT_READ, kHeaderSize);
  if (!mapped) return fail("{}: cannot map the journal: {}", path, std::strerror(errno));
  return reader;
}

JournalReader::~JournalReader() {
  munmap(mapping_, size_);
}

record::JournalPort JournalReader::port(size_t consumer_index) const {
  return {path_,
          header_.journal_id,
          header_.worker_index,
          record::RingView(mapping_ + kHeaderSize, header_.ring_size, header_.journal_id),
          reinterpret_cast<const uint64_t*>(mapping_ + record::kHeadOffset),
          consumers(),
          consumer_index};
}

}  // namespace weir::sink
