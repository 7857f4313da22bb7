#include "base/sliced_work.h"

#include <sys/mman.h>

#include "base/assert.h"
#include "base/instrumented.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace weir {

namespace {

constexpr size_t kGuardSize = 4096;
// Parsers do not recurse beyond a few levels; a sanitizer makes their frames several times as large. Only what is
// touched takes memory.
constexpr size_t kStackSize = kInstrumented ? size_t{2} << 20 : size_t{256} << 10;

}  // namespace

constinit thread_local SlicedWork* SlicedWork::current = nullptr;

SlicedWork::SlicedWork() {
  void* const memory = ::mmap(nullptr, kGuardSize + kStackSize, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  ASSERT(memory != MAP_FAILED);
  ASSERT(::mprotect(memory, kGuardSize, PROT_NONE) == 0);
  ::madvise(memory, kGuardSize + kStackSize, MADV_DONTDUMP);
  stack_ = static_cast<char*>(memory) + kGuardSize;
#if defined(__SANITIZE_THREAD__)
  inside_fiber_ = __tsan_create_fiber(0);
#endif
}

SlicedWork::~SlicedWork() {
  ASSERT(!running_);
#if defined(__SANITIZE_THREAD__)
  __tsan_destroy_fiber(inside_fiber_);
#endif
  ::munmap(stack_ - kGuardSize, kGuardSize + kStackSize);
}

bool SlicedWork::begin(void (*work)(void*), void* context) {
  ASSERT(!running_ && current == nullptr);
  work_ = work;
  context_ = context;
  given_up_ = false;
  running_ = true;
  ASSERT(::getcontext(&inside_) == 0);
  inside_.uc_stack.ss_sp = stack_;
  inside_.uc_stack.ss_size = kStackSize;
  inside_.uc_link = nullptr;
  ::makecontext(&inside_, &SlicedWork::run, 0);
  inside_fake_ = nullptr;
  return go_on();
}

bool SlicedWork::go_on() {
  ASSERT(running_ && current == nullptr);
  left_ = kSlice;
  enter();
  return !running_;
}

void SlicedWork::give_up() {
  given_up_ = true;
  ASSERT(go_on());
}

bool SlicedWork::spend_here(uint64_t bytes) {
  if (given_up_) return false;
  if (bytes < left_) {
    left_ -= bytes;
    return true;
  }
  leave(false);
  return !given_up_;
}

void SlicedWork::run() {
  SlicedWork& self = *current;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &self.outside_stack_, &self.outside_size_);
#endif
  self.work_(self.context_);
  self.running_ = false;
  self.leave(true);
}

void SlicedWork::enter() {
  current = this;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&outside_fake_, stack_, kStackSize);
#endif
#if defined(__SANITIZE_THREAD__)
  outside_fiber_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(inside_fiber_, 0);
#endif
  ASSERT(::swapcontext(&outside_, &inside_) == 0);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(outside_fake_, nullptr, nullptr);
#endif
  current = nullptr;
}

void SlicedWork::leave([[maybe_unused]] bool for_good) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(for_good ? nullptr : &inside_fake_, outside_stack_, outside_size_);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(outside_fiber_, 0);
#endif
  ASSERT(::swapcontext(&inside_, &outside_) == 0);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(inside_fake_, &outside_stack_, &outside_size_);
#endif
}

}  // namespace weir
