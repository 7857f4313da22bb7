// How many allocations a piece of code makes. Include it in one source file of a program: it replaces operator new.
#pragma once

#include <cstdlib>
#include <new>

namespace weir::test {

// Of this thread, while it is on.
inline thread_local bool counting_allocations = false;
inline thread_local size_t allocation_count = 0;

template <class Call>
size_t allocations_of(Call&& call) {
  allocation_count = 0;
  counting_allocations = true;
  call();
  counting_allocations = false;
  return allocation_count;
}

}  // namespace weir::test

// NOLINTBEGIN(misc-new-delete-overloads, cppcoreguidelines-no-malloc)
void* operator new(size_t size) {
  if (weir::test::counting_allocations) ++weir::test::allocation_count;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  std::abort();
}
// The two that stand for all others: a library's nothrow new must not come from another allocator than delete expects.
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  if (weir::test::counting_allocations) ++weir::test::allocation_count;
  return std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
// NOLINTEND(misc-new-delete-overloads, cppcoreguidelines-no-malloc)
