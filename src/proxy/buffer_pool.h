// The memory that bytes of exchanges live in, counted by reference and owned by one worker: the engine's provided
// receive buffers, and blocks (recycled ByteBuffers) for heads, bodies, decrypted text and what a slow client leaves
// waiting.
//
// What request bodies hold is bounded over all of them (spec-2 section 9, "Bounds"). The account is the block's: it is
// given back with the last reference, whoever holds that, so no way out of an exchange can forget it.
//
// Invariants: (1) a receive buffer goes back to the engine when its last reference goes; (2) a warm request takes
// blocks from the free lists and allocates nothing; (3) what the free lists keep is bounded by kRetainedMax; (4) none
// of it is in a core dump; (5) a block that the kernel may write into has a reference for that (lend()).
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "base/byte_buffer.h"
#include "base/instrumented.h"
#include "io/engine.h"

namespace weir::proxy {

using BufferId = uint32_t;
inline constexpr BufferId kNoBufferId = 0xFFFFFFFF;

class BufferPool final : public io::Lender {
 public:
  static constexpr size_t kRetainedMax = 64u << 20;

  explicit BufferPool(io::Engine& engine) : engine_(engine), references_(engine.buffers_total(), 0) {}
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // A receive buffer that a completion handed over; one reference, the caller's.
  BufferId adopt(uint16_t buffer) {
    ASSERT(references_[buffer] == 0);
    references_[buffer] = 1;
    return buffer;
  }
  bool is_receive_buffer(BufferId id) const { return id < references_.size(); }

  // An empty block with room for `size` bytes; one reference, the caller's.
  BufferId acquire(size_t size);
  ByteBuffer& block(BufferId id) { return blocks_[id - references_.size()].bytes; }

  void retain(BufferId id) { count(id)++; }
  void release(BufferId id) {
    if (id == kNoBufferId) return;
    uint32_t& references = count(id);
    ASSERT(references > 0);
    if (--references > 0) return;
    if (is_receive_buffer(id)) {
      engine_.release_buffer(static_cast<uint16_t>(id));
    } else {
      recycle(id);
    }
  }
  // For an operation that writes to `memory`, a part of the block: until the loan goes back the block keeps its memory
  // and is not given to anybody else.
  io::Loan lend(BufferId id, std::span<char> memory);
  void give_back(uint32_t id, const char* memory) override;
  bool is_held(uint32_t id) const override { return blocks_[id - references_.size()].references > 0; }
  // From now on blocks that nobody holds are filled with a pattern, which must still be there when they are taken
  // again: otherwise somebody has written into memory that is not his, be it the kernel. On from the beginning in
  // builds with a sanitizer. The address sanitizer then also reports who else touches them.
  void watch_released_blocks() { watching_ = true; }
  bool released_blocks_untouched() const;
  // Whether this block may hold `size` bytes of a request body; if so they are on its account, from then on. False: the
  // bodies of all requests have no such room left. A body up to kBodyFree costs nothing; the last quarter of the memory
  // is for bodies up to kSmallBodyMax, so that a few large ones cannot shut out what everybody sends; and a body that
  // is alone always has room.
  bool charge_body(BufferId id, uint64_t size);
  void set_body_memory(uint64_t limit) { body_memory_ = limit; }
  uint64_t body_bytes() const { return body_bytes_; }
  static constexpr uint64_t kBodyFree = 16u << 10;
  static constexpr uint64_t kSmallBodyMax = 1u << 20;

  uint32_t blocks_in_use() const { return in_use_; }
  size_t retained_bytes() const { return retained_; }

 private:
  static constexpr unsigned kSmallest = 12;  // 4 KiB
  static constexpr unsigned kClasses = 16;   // to 128 MiB

  struct Block {
    ByteBuffer bytes;
    uint64_t charged = 0;  // of body_bytes_
    uint32_t references = 0;
  };
  uint32_t& count(BufferId id) {
    return is_receive_buffer(id) ? references_[id] : blocks_[id - references_.size()].references;
  }
  static unsigned class_that_holds(size_t size);
  void recycle(BufferId id);
  static void seal(ByteBuffer& bytes);
  static void unseal(ByteBuffer& bytes);
  static bool is_sealed(const ByteBuffer& bytes);

  io::Engine& engine_;
  std::vector<uint32_t> references_;  // of receive buffers
  std::deque<Block> blocks_;
  std::array<std::vector<BufferId>, kClasses> free_;
  std::vector<BufferId> bare_;  // blocks without memory
  size_t retained_ = 0;
  uint64_t body_memory_ = UINT64_MAX;
  uint64_t body_bytes_ = 0;
  uint32_t in_use_ = 0;
  bool watching_ = kInstrumented;
};

}  // namespace weir::proxy
