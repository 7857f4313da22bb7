#include "proxy/buffer_pool.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace weir::proxy {

namespace {

constexpr char kReleasedByte = '\xDB';

}  // namespace

unsigned BufferPool::class_that_holds(size_t size) {
  const unsigned bits = static_cast<unsigned>(std::bit_width(std::max<size_t>(size, 1) - 1));
  return std::max(bits, kSmallest) - kSmallest;
}

BufferId BufferPool::acquire(size_t size) {
  const unsigned wanted = class_that_holds(size);
  BufferId id = kNoBufferId;
  if (wanted < kClasses && !free_[wanted].empty()) {
    id = free_[wanted].back();
    free_[wanted].pop_back();
    retained_ -= block(id).capacity();
    if (watching_) unseal(block(id));
  } else if (!bare_.empty()) {
    id = bare_.back();
    bare_.pop_back();
  } else {
    id = static_cast<BufferId>(references_.size() + blocks_.size());
    blocks_.emplace_back();
  }
  Block& made = blocks_[id - references_.size()];
  made.references = 1;
  made.bytes.clear();
  made.bytes.reserve(size_t{1} << (wanted + kSmallest));
  in_use_++;
  return id;
}

void BufferPool::seal(ByteBuffer& bytes) {
  std::memset(bytes.data(), kReleasedByte, bytes.capacity());
  poison(bytes.data(), bytes.capacity());
}

void BufferPool::unseal(ByteBuffer& bytes) {
  unpoison(bytes.data(), bytes.capacity());
  ASSERT(is_sealed(bytes));
}

bool BufferPool::is_sealed(const ByteBuffer& bytes) {
  return std::all_of(bytes.data(), bytes.data() + bytes.capacity(), [](char byte) { return byte == kReleasedByte; });
}

// REQUIRES: watch_released_blocks() before the first was released; no address sanitizer.
bool BufferPool::released_blocks_untouched() const {
  return std::ranges::all_of(free_, [this](const std::vector<BufferId>& ids) {
    return std::ranges::all_of(ids, [this](BufferId id) { return is_sealed(blocks_[id - references_.size()].bytes); });
  });
}

io::Loan BufferPool::lend(BufferId id, std::span<char> memory) {
  retain(id);
  return {*this, id, memory};
}

void BufferPool::give_back(uint32_t id, const char* memory) {
  // A block that has grown meanwhile has left the kernel the memory that it was before.
  const ByteBuffer& bytes = block(id);
  ASSERT(memory >= bytes.data() && memory <= bytes.data() + bytes.capacity());
  release(id);
}

bool BufferPool::charge_body(BufferId id, uint64_t size) {
  uint64_t& charged = blocks_[id - references_.size()].charged;
  if (size <= kBodyFree || size <= charged) return true;
  const uint64_t others = body_bytes_ - charged;
  const uint64_t room = size <= kSmallBodyMax ? body_memory_ : body_memory_ / 4 * 3;
  if (others > 0 && size > room - std::min(others, room)) return false;
  body_bytes_ = others + size;
  charged = size;
  return true;
}

void BufferPool::recycle(BufferId id) {
  ByteBuffer& bytes = block(id);
  body_bytes_ -= std::exchange(blocks_[id - references_.size()].charged, 0);
  in_use_--;
  const size_t capacity = bytes.capacity();
  // The class whose every size this one can hold: a block that has grown serves the larger class from now on.
  const unsigned bits = static_cast<unsigned>(std::bit_width(std::max<size_t>(capacity, 1))) - 1;
  if (bits < kSmallest || bits - kSmallest >= kClasses || retained_ + capacity > kRetainedMax) {
    bytes.release();
    bare_.push_back(id);
    return;
  }
  // The smallest blocks are those of heads, which bear tokens and keys; wiping 1 KB takes about 15 ns.
  if (bits == kSmallest) ::explicit_bzero(bytes.data(), bytes.size());
  bytes.clear();
  if (watching_) seal(bytes);
  retained_ += capacity;
  free_[bits - kSmallest].push_back(id);
}

}  // namespace weir::proxy
