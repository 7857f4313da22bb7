#include "base/undumped.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>

#include "base/assert.h"
#include "base/instrumented.h"

namespace weir {

namespace {

// Before every block; keeps its alignment.
struct alignas(16) Header {
  uint32_t index;  // of its class, or kLarge
  size_t size;     // as asked for
};
constexpr uint32_t kLarge = UINT32_MAX;

// Four classes for each doubling: 64, 80, 96, 112, 128, 160, ... 128 KiB, header included.
constexpr size_t kSmallestBits = 6;
constexpr size_t kLargestBits = 17;
constexpr size_t kClasses = (kLargestBits - kSmallestBits) * 4 + 1;
constexpr size_t kSlabSize = 1u << 20;
// What a thread keeps of a class for itself.
constexpr size_t kCachedBytesMax = 256u << 10;

uint32_t class_of(size_t total) {
  if (total <= size_t{1} << kSmallestBits) return 0;
  const auto bits = static_cast<size_t>(std::bit_width(total - 1));
  const size_t below = size_t{1} << (bits - 1);
  return static_cast<uint32_t>((bits - kSmallestBits - 1) * 4 + (total - 1 - below) / (below / 4) + 1);
}
size_t size_of_class(uint32_t index) {
  if (index == 0) return size_t{1} << kSmallestBits;
  const size_t below = size_t{1} << (kSmallestBits + (index - 1) / 4);
  return below + ((index - 1) % 4 + 1) * (below / 4);
}

struct Free {
  Free* next;
};
struct FreeList {
  Free* first = nullptr;
  uint32_t count = 0;

  void push(void* block) {
    first = new (block) Free{first};
    count++;
  }
  void* pop() {
    if (first == nullptr) return nullptr;
    count--;
    void* block = first;
    first = first->next;
    return block;
  }
};

char* map_undumped(size_t size) {
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();  // as operator new does without exceptions: there is no memory left
  ::madvise(memory, size, MADV_DONTDUMP);
  return static_cast<char*>(memory);
}

// What threads have given back or have not taken yet. Process-wide, against the rule of no globals, as malloc is.
struct Shared {
  std::mutex mutex;
  std::array<FreeList, kClasses> lists;
  char* slab = nullptr;
  size_t slab_left = 0;

  void* take(uint32_t index) {
    const std::lock_guard lock(mutex);
    if (void* block = lists[index].pop(); block != nullptr) return block;
    const size_t size = size_of_class(index);
    if (slab_left < size) {  // the rest, less than one block of this class, is left unused
      slab = map_undumped(kSlabSize);
      slab_left = kSlabSize;
    }
    slab_left -= size;
    return std::exchange(slab, slab + size);
  }
  void give(uint32_t index, void* block) {
    const std::lock_guard lock(mutex);
    lists[index].push(block);
  }
};

Shared& shared() {
  // Never destroyed: other globals give memory back after this one's turn would have come.
  static Shared& all = *new Shared();
  return all;
}

struct Cache {
  std::array<FreeList, kClasses> lists;
  ~Cache();
};
// The library frees what it keeps for a thread after the thread's own objects are gone, the cache among them.
constinit thread_local bool cache_is_gone = false;
thread_local Cache cache;

Cache::~Cache() {
  cache_is_gone = true;
  for (uint32_t index = 0; index < kClasses; index++) {
    while (void* block = lists[index].pop()) shared().give(index, block);
  }
}

}  // namespace

void* undumped_allocate(size_t size) {
  const size_t total = size + sizeof(Header);
  if (kInstrumented) {
    void* memory = std::malloc(total);
    if (memory == nullptr) std::abort();
    return new (memory) Header{.index = kLarge, .size = size} + 1;
  }
  if (total > size_t{1} << kLargestBits) return new (map_undumped(total)) Header{.index = kLarge, .size = size} + 1;
  const uint32_t index = class_of(total);
  void* block = cache_is_gone ? nullptr : cache.lists[index].pop();
  if (block == nullptr) block = shared().take(index);
  return new (block) Header{.index = index, .size = size} + 1;
}

void undumped_free(void* memory) {
  if (memory == nullptr) return;
  Header* header = static_cast<Header*>(memory) - 1;
  if (kInstrumented) {
    std::free(header);
    return;
  }
  const uint32_t index = header->index;
  if (index == kLarge) {
    ::munmap(header, header->size + sizeof(Header));
    return;
  }
  ASSERT(index < kClasses);
  const bool room =
      !cache_is_gone && cache.lists[index].count < std::max<size_t>(4, kCachedBytesMax / size_of_class(index));
  if (room) {
    cache.lists[index].push(header);
  } else {
    shared().give(index, header);
  }
}

size_t undumped_size(const void* memory) {
  return memory == nullptr ? 0 : (static_cast<const Header*>(memory) - 1)->size;
}

}  // namespace weir

// BoringSSL calls these if they exist. Like its own allocator they wipe what is given back: it bears keys and
// plaintext.
extern "C" {
void* OPENSSL_memory_alloc(size_t size);
void OPENSSL_memory_free(void* memory);
size_t OPENSSL_memory_get_size(void* memory);

void* OPENSSL_memory_alloc(size_t size) {
  return weir::undumped_allocate(size);
}
void OPENSSL_memory_free(void* memory) {
  if (memory == nullptr) return;
  ::explicit_bzero(memory, weir::undumped_size(memory));
  weir::undumped_free(memory);
}
size_t OPENSSL_memory_get_size(void* memory) {
  return weir::undumped_size(memory);
}
}
