// What waits to be sent on one socket: a list of segments, each a run of bytes with what keeps them alive. Segments
// come from a pool of the worker's, so an idle connection holds none. Owned by one worker.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "proxy/buffer_pool.h"

namespace weir::proxy {

// A run of bytes in a buffer. Owns no reference by itself: who hands it on says who does.
struct Piece {
  std::string_view bytes;
  BufferId buffer = kNoBufferId;  // none: static memory
};

struct Segment {
  const char* data = nullptr;
  uint32_t size = 0;
  BufferId buffer = kNoBufferId;
  Segment* next = nullptr;
  std::array<char, 24> small{};  // chunk size lines live here

  static constexpr size_t kSmallMax = 24;
};

class SegmentPool {
 public:
  Segment* acquire() {
    if (free_ == nullptr) grow();
    Segment* segment = free_;
    free_ = segment->next;
    segment->next = nullptr;
    return segment;
  }
  void release(Segment* segment) {
    segment->next = free_;
    free_ = segment;
  }

 private:
  void grow() {
    auto& chunk = chunks_.emplace_back();
    for (Segment& segment : chunk) release(&segment);
  }
  std::deque<std::array<Segment, 128>> chunks_;
  Segment* free_ = nullptr;
};

class SegmentQueue {
 public:
  SegmentQueue() = default;
  SegmentQueue(const SegmentQueue&) = delete;
  SegmentQueue& operator=(const SegmentQueue&) = delete;

  bool empty() const { return first_ == nullptr; }
  uint64_t bytes() const { return bytes_; }
  uint32_t count() const { return count_; }
  Segment* first() { return first_; }
  const Segment* last() const { return last_; }

  // Takes one reference of the piece's buffer.
  void push(SegmentPool& pool, const Piece& piece) {
    Segment* segment = pool.acquire();
    segment->data = piece.bytes.data();
    segment->buffer = piece.buffer;
    append(segment, piece.bytes.size());
  }
  // Copies up to Segment::kSmallMax bytes.
  void push_small(SegmentPool& pool, std::string_view bytes) {
    ASSERT(bytes.size() <= Segment::kSmallMax);
    Segment* segment = pool.acquire();
    std::memcpy(segment->small.data(), bytes.data(), bytes.size());
    segment->data = segment->small.data();
    segment->buffer = kNoBufferId;
    append(segment, bytes.size());
  }
  // The last segment grows by bytes that lie right behind it in the same buffer.
  bool extend(const Piece& piece) {
    if (last_ == nullptr || piece.buffer == kNoBufferId || last_->buffer != piece.buffer ||
        last_->data + last_->size != piece.bytes.data()) {
      return false;
    }
    last_->size += static_cast<uint32_t>(piece.bytes.size());
    bytes_ += piece.bytes.size();
    return true;
  }

  // Fills `slices` from the front; returns how many.
  size_t gather(std::array<iovec, io::kSlicesMax>& slices) const {
    size_t count = 0;
    for (const Segment* s = first_; s != nullptr && count < slices.size(); s = s->next) {
      slices[count++] = {const_cast<char*>(s->data), s->size};
    }
    return count;
  }
  // The first `size` bytes are done with: their segments go, a part of one stays.
  void consume(SegmentPool& pool, BufferPool& buffers, uint64_t size) {
    ASSERT(size <= bytes_);
    bytes_ -= size;
    while (size > 0) {
      Segment* segment = first_;
      if (size < segment->size) {
        segment->data += size;
        segment->size -= static_cast<uint32_t>(size);
        return;
      }
      size -= segment->size;
      pop(pool, buffers);
    }
  }
  void clear(SegmentPool& pool, BufferPool& buffers) {
    while (first_ != nullptr) pop(pool, buffers);
    bytes_ = 0;
  }

 private:
  void append(Segment* segment, size_t size) {
    segment->size = static_cast<uint32_t>(size);
    (last_ == nullptr ? first_ : last_->next) = segment;
    last_ = segment;
    bytes_ += size;
    count_++;
  }
  void pop(SegmentPool& pool, BufferPool& buffers) {
    Segment* segment = first_;
    first_ = segment->next;
    if (first_ == nullptr) last_ = nullptr;
    buffers.release(segment->buffer);
    pool.release(segment);
    count_--;
  }

  Segment* first_ = nullptr;
  Segment* last_ = nullptr;
  uint64_t bytes_ = 0;
  uint32_t count_ = 0;
};

}  // namespace weir::proxy
