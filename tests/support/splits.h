// Feeds a parser the same bytes in every way that a network may deliver them. Each delivery ends right before a page
// that may not be read, and is overwritten before the next one: a parser that reads past its input, or keeps a view for
// too long, fails.
//
// For parsers that take pieces (chunks, SSE):
//   for_each_delivery(bytes, [](Pieces& pieces) { Parser p; pieces.each([&](std::string_view piece) { p.feed(piece);
//   });
//     CHECK(...); });
// For parsers that see all bytes so far (heads):
//   for_each_growth(bytes, [](Growth& growth) { growth.each([&](std::string_view so_far, size_t seen) { ... }); });
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace weir::test {

// Memory whose end touches a page without access.
class GuardedBuffer {
 public:
  explicit GuardedBuffer(size_t capacity) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    usable_ = (capacity / page + 1) * page;
    mapped_ = usable_ + page;
    void* const at = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(at != MAP_FAILED);
    base_ = static_cast<char*>(at);
    ASSERT(mprotect(base_ + usable_, page, PROT_NONE) == 0);
  }
  ~GuardedBuffer() { munmap(base_, mapped_); }
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;

  // A copy of `bytes` that ends at the guard page; valid until the next place().
  std::string_view place(std::string_view bytes) {
    ASSERT(bytes.size() <= usable_);
    if (!last_.empty()) std::memset(base_ + usable_ - last_.size(), 0xEE, last_.size());
    char* const at = base_ + usable_ - bytes.size();
    if (!bytes.empty()) std::memcpy(at, bytes.data(), bytes.size());
    last_ = {at, bytes.size()};
    return last_;
  }

 private:
  char* base_ = nullptr;
  size_t usable_ = 0;
  size_t mapped_ = 0;
  std::string_view last_;
};

// One way to cut `bytes`: at `cuts`, ascending offsets.
class Pieces {
 public:
  Pieces(std::string_view bytes, std::vector<size_t> cuts, GuardedBuffer& buffer)
      : bytes_(bytes), cuts_(std::move(cuts)), buffer_(buffer) {
    cuts_.push_back(bytes.size());
  }
  // Calls feed(piece) for each, in order.
  template <class Feed>
  void each(Feed&& feed) {
    size_t start = 0;
    for (const size_t cut : cuts_) {
      feed(buffer_.place(bytes_.substr(start, cut - start)));
      start = cut;
    }
  }

 private:
  std::string_view bytes_;
  std::vector<size_t> cuts_;
  GuardedBuffer& buffer_;
};

// The same for a parser that wants all bytes so far: the prefixes at the cuts.
class Growth {
 public:
  Growth(std::string_view bytes, std::vector<size_t> cuts, GuardedBuffer& buffer)
      : bytes_(bytes), cuts_(std::move(cuts)), buffer_(buffer) {
    cuts_.push_back(bytes.size());
  }
  // Calls feed(so_far, seen) for each prefix; `seen` is the size of the one before it. Stops when feed returns false.
  template <class Feed>
  void each(Feed&& feed) {
    size_t seen = 0;
    for (const size_t cut : cuts_) {
      if (!feed(buffer_.place(bytes_.substr(0, cut)), seen)) return;
      seen = cut;
    }
  }

 private:
  std::string_view bytes_;
  std::vector<size_t> cuts_;
  GuardedBuffer& buffer_;
};

// Whole, byte by byte, and split in two at every place.
template <class Delivery, class Run>
void for_each_way(std::string_view bytes, Run&& run) {
  GuardedBuffer buffer(bytes.size());
  const auto deliver = [&](std::vector<size_t> cuts) {
    Delivery delivery(bytes, std::move(cuts), buffer);
    run(delivery);
  };
  deliver({});
  std::vector<size_t> every_byte;
  for (size_t i = 1; i < bytes.size(); ++i) every_byte.push_back(i);
  deliver(every_byte);
  for (size_t i = 1; i < bytes.size(); ++i) deliver({i});
}
template <class Run>
void for_each_delivery(std::string_view bytes, Run&& run) {
  for_each_way<Pieces>(bytes, std::forward<Run>(run));
}
template <class Run>
void for_each_growth(std::string_view bytes, Run&& run) {
  for_each_way<Growth>(bytes, std::forward<Run>(run));
}

}  // namespace weir::test
