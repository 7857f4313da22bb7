#include "record/ring_view.h"

#include <cstring>

namespace weir::record {

std::optional<RecordRef> RingView::record_at(uint64_t position, uint64_t limit) const {
  if (position >= limit || limit - position < sizeof(RecordHeader)) return std::nullopt;
  const char* const record = at(position);
  RecordHeader header;
  std::memcpy(&header, record, sizeof header);
  if (header.position != position) return std::nullopt;
  const uint64_t size = uint64_t{header.words} * kRecordAlignment;
  if (size < sizeof header || size > kRecordSizeMax || size > limit - position) return std::nullopt;
  if (record_checksum(seed_, record, size) != header.checksum) return std::nullopt;
  return RecordRef{
      static_cast<RecordType>(header.type), {record + sizeof header, size - sizeof header}, position, position + size};
}

uint64_t RingView::find_record(uint64_t position, uint64_t limit) const {
  for (; position < limit; position += kRecordAlignment) {
    if (record_at(position, limit)) return position;
  }
  return limit;
}

}  // namespace weir::record
