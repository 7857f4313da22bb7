// The journal's file, version 2. Little- or big-endian as the machine that wrote it; the mark tells.
//
//   offset 0      FileHeader          what the file is: never changes after the file has its name
//   offset 1024   head  (u64)         producer's position: everything before it is a whole record
//   offset 1152   tail  (u64)         everything before it is with every consumer, and the producer may write over it
//   offset 2048   FileHeader, again   the same bytes, should the first be damaged
//   offset 4096   ConsumerTable       who reads this journal (the sinks): never changes either
//   offset 5120   positions (u64)     one for each consumer, each in 64 bytes of its own: everything before it is with
//                                     that consumer. It may lag behind the position that the sink itself holds, which
//                                     decides. kConsumed in a dead journal: that consumer is through with the file.
//                                     8 bytes further, its pulse (u64): a consumer of another process says there that
//                                     it lives and how it fares (consumer_page.h); 0 where it never did
//   offset 8192   the ring            `ring_size` bytes, a power of two
//
// The recorder alone moves the tail, to the least of the positions. They have a page of their own, so that another
// process (weir-sink) can map that page for writing and all the rest for reading only.
//
// Version 1 had one consumer, `sqlite`, whose position was the tail, and the ring at offset 4096.
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
inline constexpr uint32_t kFormatVersion = 2;
inline constexpr uint32_t kByteOrderMark = 0x01020304;

inline constexpr size_t kHeaderSize = 8192;
inline constexpr size_t kHeaderSizeV1 = 4096;
inline constexpr size_t kHeadOffset = 1024;  // apart from the tail: each is written by another thread
inline constexpr size_t kTailOffset = 1152;
inline constexpr size_t kHeaderCopyOffset = 2048;
inline constexpr size_t kConsumersOffset = 4096;
inline constexpr size_t kConsumerPageSize = kHeaderSize - kConsumersOffset;
inline constexpr size_t kConsumerPositionsOffset = 1024;  // in that page
inline constexpr size_t kConsumerPositionStride = 64;
inline constexpr size_t kConsumerPulseOffset = 8;  // from the position
inline constexpr size_t kConsumersMax = 8;
inline constexpr size_t kConsumerNameMax = 31;
inline constexpr uint64_t kConsumed = UINT64_MAX;

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
  uint32_t run;       // the same in all journals of one run of the process, another one in the next; 0 in version 1
  uint32_t checksum;  // of the bytes before it
};
static_assert(std::is_trivially_copyable_v<FileHeader> && sizeof(FileHeader) == 96);

struct ConsumerTable {
  uint32_t count;
  uint32_t checksum;  // of the names
  char names[kConsumersMax][kConsumerNameMax + 1];
};
static_assert(std::is_trivially_copyable_v<ConsumerTable> && sizeof(ConsumerTable) <= kConsumerPositionsOffset);

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

inline uint32_t consumers_checksum(const ConsumerTable& table) {
  return crc32c(table.count, table.names, sizeof table.names);
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
