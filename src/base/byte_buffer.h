// A growing run of bytes that keeps its memory when cleared, so that a recycled one allocates nothing. Its last
// kPadding bytes of capacity are never used: simdjson may read that far past the end. Neither copied nor shared. Its
// memory is left out of core dumps (undumped.h).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "base/undumped.h"

namespace weir {

class ByteBuffer {
 public:
  static constexpr size_t kPadding = 64;
  // The least that growing takes: small appends of slowly growing sizes must not each find the memory too small.
  static constexpr size_t kFirstGrowth = 1024 - kPadding;

  ByteBuffer() = default;
  ByteBuffer(ByteBuffer&& other) noexcept
      : data_(std::move(other.data_)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  ByteBuffer& operator=(ByteBuffer&& other) noexcept {
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
  }

  char* data() { return data_.get(); }
  const char* data() const { return data_.get(); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Usable bytes, without the padding.
  size_t capacity() const { return capacity_; }
  std::string_view view() const { return {data_.get(), size_}; }
  void clear() { size_ = 0; }
  void release() { *this = ByteBuffer(); }

  // Grows to at least `capacity` usable bytes, exactly so if that is what it takes. Contents stay; views do not.
  void reserve(size_t capacity) {
    if (capacity <= capacity_) return;
    std::unique_ptr<char, UndumpedFree> grown(static_cast<char*>(undumped_allocate(capacity + kPadding)));
    if (size_ > 0) std::memcpy(grown.get(), data_.get(), size_);
    data_ = std::move(grown);
    capacity_ = capacity;
  }
  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    std::memcpy(make_room(bytes.size()), bytes.data(), bytes.size());
    size_ += bytes.size();
  }
  void append(char byte) { append(std::string_view(&byte, 1)); }
  // What the capacity becomes when it must grow to take `size` more bytes.
  size_t capacity_with(size_t size) const { return std::max({capacity_ * 2, size_ + size, kFirstGrowth}); }
  // Room for `size` more bytes at the returned place; commit() says how many of them were written.
  char* make_room(size_t size) {
    if (capacity_ - size_ < size) reserve(capacity_with(size));
    return data_.get() + size_;
  }
  void commit(size_t size) {
    ASSERT(size <= capacity_ - size_);
    size_ += size;
  }
  void truncate(size_t size) {
    ASSERT(size <= size_);
    size_ = size;
  }

 private:
  std::unique_ptr<char, UndumpedFree> data_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace weir
