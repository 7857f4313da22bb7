// Any bytes as a journal's file: as they are, and once more with every checksum put right, so that mutations reach what
// stands behind them. Seeds are journals as a weir wrote them, cut behind their last record.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "record/codec.h"
#include "record/leftover.h"

namespace {

using namespace weir::record;

std::vector<uint64_t> read(const std::string& path, size_t file_size, Scope scope) {
  const auto loaded = Leftover::load(path, scope);
  if (!loaded) return {};  // of a newer weir
  const Leftover& journal = **loaded;
  ASSERT(journal.is_journal() || (journal.positions().empty() && !journal.damage().empty()));
  if (!journal.is_journal()) return {};
  std::vector<std::pair<uint64_t, uint64_t>> taken;  // offsets in the file, of a ring that has not wrapped
  const uint64_t first = journal.header().header_size;
  uint64_t before = 0;
  for (const uint64_t position : journal.positions()) {
    const RecordRef record = journal.record(position);
    ASSERT(position % kRecordAlignment == 0 && position >= before && record.end > position);
    ASSERT(decode(record.type, record.payload).has_value());
    before = position + 1;
    if (record.end <= journal.header().ring_size) taken.emplace_back(first + position, first + record.end);
  }
  // The seeds' rings are larger than the seeds: what is not there is always told.
  ASSERT(file_size >= first + journal.header().ring_size || !journal.damage().empty());
  for (const Damage& damage : journal.damage()) {
    if (!damage.what.starts_with("no whole record")) continue;
    for (const auto& [from, to] : taken) {
      ASSERT(to <= damage.file_offset || damage.file_offset + damage.size <= from ||
             journal.head() > journal.header().ring_size);
    }
  }
  return journal.positions();
}

void read_file(const std::string& bytes) {
  const int descriptor = ::memfd_create("journal", MFD_CLOEXEC);
  ASSERT(descriptor >= 0);
  ASSERT(::write(descriptor, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  const auto undelivered = read(path, bytes.size(), Scope::undelivered);
  const auto all = read(path, bytes.size(), Scope::whole_ring);
  // Where two records share bytes (only one with forged checksums does), the scans may part ways.
  ASSERT(undelivered.empty() || !all.empty());
  ::close(descriptor);
}

void put_right(std::string& bytes) {
  if (bytes.size() < kHeaderSizeV1) return;
  FileHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  header.checksum = header_checksum(header);
  std::memcpy(bytes.data(), &header, sizeof header);
  if (bytes.size() >= kHeaderSize && header.version == kFormatVersion) {
    ConsumerTable table;
    std::memcpy(&table, bytes.data() + kConsumersOffset, sizeof table);
    table.checksum = consumers_checksum(table);
    std::memcpy(bytes.data() + kConsumersOffset, &table, sizeof table);
  }
  for (size_t at = header.version == 1 ? kHeaderSizeV1 : kHeaderSize; at + sizeof(RecordHeader) <= bytes.size();) {
    RecordHeader record;
    std::memcpy(&record, bytes.data() + at, sizeof record);
    const size_t size = std::max<size_t>(record.words * kRecordAlignment, sizeof record);
    if (size > bytes.size() - at) break;
    record.words = static_cast<uint16_t>(size / kRecordAlignment);
    std::memcpy(bytes.data() + at, &record, sizeof record);
    record.checksum = record_checksum(record_seed(header.journal_id), bytes.data() + at, size);
    std::memcpy(bytes.data() + at, &record, sizeof record);
    at += size;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  read_file(bytes);
  put_right(bytes);
  read_file(bytes);
  return 0;
}
