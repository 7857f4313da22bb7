#include "proxy/buffer_pool.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace weir::proxy {

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

void BufferPool::recycle(BufferId id) {
  ByteBuffer& bytes = block(id);
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
  retained_ += capacity;
  free_[bits - kSmallest].push_back(id);
}

}  // namespace weir::proxy
