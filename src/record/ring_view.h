// Reads records out of a ring's bytes and believes none of them: a record counts only if it holds its own position, its
// checksum is right and it ends before the limit. Pure; serves the live journal and what a dead process left behind.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "record/format.h"

namespace weir::record {

struct RecordRef {
  RecordType type;
  std::string_view payload;  // borrows the ring
  uint64_t position;
  uint64_t end;  // the position after it
};

class RingView {
 public:
  // REQUIRES: kRecordSizeMax bytes can be read on from every place of the ring; past its end they repeat its front.
  RingView(const char* bytes, uint64_t ring_size, uint64_t journal_id)
      : bytes_(bytes), mask_(ring_size - 1), seed_(record_seed(journal_id)) {}

  // The record that begins at `position` and ends at or before `limit`.
  std::optional<RecordRef> record_at(uint64_t position, uint64_t limit) const;

  // The position of the first record at or after `position`, or `limit`: how to go on behind damage.
  uint64_t find_record(uint64_t position, uint64_t limit) const;

  uint64_t ring_size() const { return mask_ + 1; }
  const char* at(uint64_t position) const { return bytes_ + (position & mask_); }

 private:
  const char* bytes_;
  uint64_t mask_;
  uint32_t seed_;
};

}  // namespace weir::record
