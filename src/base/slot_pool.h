// Slots with generations: objects at stable addresses that are built once and used again and again. A handle (index and
// generation) of a slot that was released meanwhile finds nothing, so a late completion cannot reach the slot's next
// user. Owned by one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/assert.h"

namespace weir {

// What a pooled type derives from.
struct Slot {
  uint32_t slot_index = 0;
  uint32_t slot_generation = 0;  // changes at every release
  bool slot_used = false;
};

template <class T>
class SlotPool {
 public:
  explicit SlotPool(uint32_t count_max) : count_max_(count_max) {}
  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;

  // Null when all are in use. Memory comes by the chunk, the first time it is needed, and stays.
  T* acquire() {
    if (free_.empty() && !grow()) return nullptr;
    T* slot = at(free_.back());
    free_.pop_back();
    slot->slot_used = true;
    used_count_++;
    return slot;
  }
  void release(T& slot) {
    ASSERT(slot.slot_used);
    slot.slot_used = false;
    slot.slot_generation++;
    free_.push_back(slot.slot_index);
    used_count_--;
  }
  T* find(uint32_t index, uint32_t generation) {
    if (index >= made_count_) return nullptr;
    T* slot = at(index);
    return slot->slot_used && slot->slot_generation == generation ? slot : nullptr;
  }
  template <class Use>
  void for_each_used(Use&& use) {
    for (uint32_t i = 0; i < made_count_; i++) {
      T* slot = at(i);
      if (slot->slot_used) use(*slot);
    }
  }
  // Visits up to `count` slots from `cursor` on, around the end, those in use among them; the cursor moves on.
  template <class Use>
  void for_some_used(uint32_t& cursor, uint32_t count, Use&& use) {
    for (count = std::min(count, made_count_); count > 0; count--) {
      cursor = cursor + 1 < made_count_ ? cursor + 1 : 0;
      T* slot = at(cursor);
      if (slot->slot_used) use(*slot);
    }
  }
  uint32_t used_count() const { return used_count_; }

 private:
  static constexpr uint32_t kChunk = 64;

  T* at(uint32_t index) { return &chunks_[index / kChunk][index % kChunk]; }
  bool grow() {
    if (made_count_ >= count_max_) return false;
    chunks_.push_back(std::make_unique<T[]>(kChunk));
    // The lowest index comes out first: few connections stay in few pages.
    for (uint32_t i = kChunk; i > 0; i--) {
      at(made_count_ + i - 1)->slot_index = made_count_ + i - 1;
      if (made_count_ + i - 1 < count_max_) free_.push_back(made_count_ + i - 1);
    }
    made_count_ += kChunk;
    return !free_.empty();
  }

  std::vector<std::unique_ptr<T[]>> chunks_;
  std::vector<uint32_t> free_;
  uint32_t made_count_ = 0;
  uint32_t used_count_ = 0;
  uint32_t count_max_;
};

}  // namespace weir
