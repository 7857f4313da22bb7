// The journal's file, version 1. Little- or big-endian as the machine that wrote it; the mark tells.
//
//   offset 0      FileHeader          what the file is: never changes after the file has its name
//   offset 1024   head  (u64)         producer's position: everything before it is a whole record
//   offset 1152   tail  (u64)         consumer's hint: everything before it is in the database. It may lag behind the
//                                     position that the database holds, which decides
//   offset 2048   FileHeader, again   the same bytes, should the first be damaged
//   offset 4096   the ring            `ring_size` bytes, a power of two
//
// Positions count bytes from 0 and never wrap; a position's place in the ring is its remainder by `ring_size`. A record
// may wrap around the ring's end. Each record holds its own position and a checksum seeded with the journal's id, so
// that what an earlier turn of the ring, or an earlier file in these blocks, left behind is never taken for a record.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "record/crc32c.h"

namespace weir::record {

inline constexpr char kMagic[8] = {'W', 'E', 'I', 'R', 'J', 'R', 'N', 'L'};
inline constexpr uint32_t kFormatVersion = 1;
inline constexpr uint32_t kByteOrderMark = 0x01020304;

inline constexpr size_t kHeaderSize = 4096;
inline constexpr size_t kHeadOffset = 1024;  // apart from the tail: each is written by another thread
inline constexpr size_t kTailOffset = 1152;
inline constexpr size_t kHeaderCopyOffset = 2048;

inline constexpr uint64_t kRingSizeMin = 1ull << 20;
inline constexpr uint64_t kRingSizeMax = 1ull << 36;
inline constexpr size_t kRecordAlignment = 8;
inline constexpr size_t kRecordSizeMax = size_t{128} << 10;

// The same in every version, so that each knows a file of another one.
struct FileHeader {
  char magic[8];
  uint32_t version;
  uint32_t byte_order;
  uint64_t ring_size;
  uint32_t header_size;
  uint32_t worker_index;
  uint64_t journal_id;  // random; never used for another file
  int64_t created_at;   // µs since the epoch
  char boot_id[36];     // of the kernel: another one means that the machine went down, not only the process
  uint32_t pid;
  uint32_t reserved;
  uint32_t checksum;  // of the bytes before it
};
static_assert(std::is_trivially_copyable_v<FileHeader> && sizeof(FileHeader) == 96);

enum class RecordType : uint16_t {
  start = 1,
  user_prompt = 2,
  token_usage = 3,
  tool_usage = 4,
  model_thought = 5,
  end = 6
};

struct RecordHeader {
  uint32_t checksum;  // of everything after it
  uint16_t type;
  uint16_t words;  // of 8 bytes, the whole record with this header
  uint64_t position;
};
static_assert(std::is_trivially_copyable_v<RecordHeader> && sizeof(RecordHeader) == 16);
static_assert(kRecordSizeMax / kRecordAlignment < 65536);

inline uint32_t header_checksum(const FileHeader& header) {
  return crc32c(0, &header, offsetof(FileHeader, checksum));
}

inline uint32_t record_seed(uint64_t journal_id) {
  return static_cast<uint32_t>(journal_id ^ (journal_id >> 32));
}

inline uint32_t record_checksum(uint32_t seed, const char* record, size_t size) {
  uint32_t kind;  // type and words, which share their 8 bytes with the checksum
  std::memcpy(&kind, record + offsetof(RecordHeader, type), sizeof kind);
  constexpr size_t skipped = offsetof(RecordHeader, position);
  return crc32c_lanes(crc32c(seed, &kind, sizeof kind), record + skipped, size - skipped);
}

}  // namespace weir::record
