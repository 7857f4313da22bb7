// Memory that many share and of which there is only so much: what a worker's readers hold of events and bodies that
// are not whole yet. Full is a normal outcome: what does not fit is forwarded unread. Not for threads to share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "base/byte_buffer.h"

namespace weir {

// Owned by one worker; outlives everything that takes of it.
class MemoryBudget {
 public:
  explicit MemoryBudget(uint64_t limit) : limit_(limit) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  // A lower limit takes nothing away from those that hold.
  void set_limit(uint64_t limit) { limit_ = limit; }
  uint64_t limit() const { return limit_; }
  uint64_t held() const { return held_; }

  // False if there is not so much left; then nothing was taken.
  [[nodiscard]] bool take(uint64_t bytes) {
    if (bytes > limit_ - std::min(held_, limit_)) return false;
    held_ += bytes;
    return true;
  }
  void give_back(uint64_t bytes) {
    ASSERT(bytes <= held_);
    held_ -= bytes;
  }

 private:
  uint64_t limit_;
  uint64_t held_ = 0;
};

// A ByteBuffer whose growth a budget may refuse. What it may keep when cleared (kKeptMax) is not counted, so ordinary
// events cost no bookkeeping and a thousand idle readers do not use up the budget.
class BudgetedBuffer {
 public:
  static constexpr size_t kKeptMax = size_t{16} * 1024;

  BudgetedBuffer() = default;
  ~BudgetedBuffer() { release(); }
  BudgetedBuffer(BudgetedBuffer&& other) noexcept : bytes_(std::move(other.bytes_)), budget_(other.budget_) {}
  BudgetedBuffer& operator=(BudgetedBuffer&& other) noexcept {
    release();
    bytes_ = std::move(other.bytes_);
    budget_ = other.budget_;
    return *this;
  }

  // Clears, and takes of `budget` from now on. Borrows it; null: of none.
  void reset(MemoryBudget* budget) {
    clear();
    budget_ = budget;
  }
  // False if the budget has no room for it; then nothing was appended.
  [[nodiscard]] bool append(std::string_view bytes) {
    if (bytes.size() > bytes_.capacity() - bytes_.size() && !grow(bytes.size())) return false;
    bytes_.append(bytes);
    return true;
  }
  void truncate(size_t size) { bytes_.truncate(size); }
  // Keeps its memory, up to kKeptMax.
  void clear() {
    bytes_.clear();
    if (bytes_.capacity() > kKeptMax) release();
  }
  void release() {
    if (budget_ != nullptr) budget_->give_back(counted(bytes_.capacity()));
    bytes_.release();
  }

  const char* data() const { return bytes_.data(); }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  size_t capacity() const { return bytes_.capacity(); }
  std::string_view view() const { return bytes_.view(); }

 private:
  static size_t counted(size_t capacity) { return capacity > kKeptMax ? capacity : 0; }
  bool grow(size_t more) {
    const size_t capacity = bytes_.capacity_with(more);
    if (budget_ != nullptr && !budget_->take(counted(capacity) - counted(bytes_.capacity()))) return false;
    bytes_.reserve(capacity);
    return true;
  }

  ByteBuffer bytes_;
  MemoryBudget* budget_ = nullptr;
};

}  // namespace weir
