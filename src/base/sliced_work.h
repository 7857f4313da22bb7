// Work that is too long for one turn of a worker, done a slice at a time. It runs on a stack of its own, and where it
// calls spend() it may be put aside until the next slice: so a parser is written straight through, as if it had all the
// time, and everything that it knows lives through the pauses on that stack. (States that can be left and entered at
// every byte would make each parser three times as long; only very large or compressed bodies need it.)
//
// What is spent is counted in bytes that were worked on, not in time: so the slices of a test are those of a server.
// The work may use nothing that others change between two slices. One thread each; the stack is left out of dumps.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <cstdint>

namespace weir {

class SlicedWork {
 public:
  // Of the dearest kind of work (JSON of nothing but brackets, 5 ns a byte) about 0.7 ms.
  static constexpr uint64_t kSlice = 128u << 10;

  SlicedWork();
  ~SlicedWork();
  SlicedWork(const SlicedWork&) = delete;
  SlicedWork& operator=(const SlicedWork&) = delete;

  // Runs `work(context)` for one slice. True: it is done. REQUIRES: nothing is running.
  bool begin(void (*work)(void*), void* context);
  // The next slice. REQUIRES: running().
  bool go_on();
  // The work is not wanted any more: it hears so, and runs to its end at once. REQUIRES: running().
  void give_up();
  bool running() const { return running_; }

  // From the work: so many bytes were worked on; it may be put aside here. False: it was given up, and must come to its
  // end without more work. Outside of sliced work it costs nothing and is true.
  static bool spend(uint64_t bytes) {
    SlicedWork* const work = current;
    return work == nullptr || work->spend_here(bytes);
  }
  // Whether the caller is such work.
  static bool inside() { return current != nullptr; }

 private:
  static constinit thread_local SlicedWork* current;

  static void run();
  bool spend_here(uint64_t bytes);
  void enter();
  void leave(bool for_good);

  char* stack_ = nullptr;  // above a page that nobody may touch
  ucontext_t outside_;
  ucontext_t inside_;
  void (*work_)(void*) = nullptr;
  void* context_ = nullptr;
  uint64_t left_ = 0;  // of this slice
  bool running_ = false;
  bool given_up_ = false;
  // What the sanitizers want to know of the two stacks.
  void* outside_fake_ = nullptr;
  void* inside_fake_ = nullptr;
  const void* outside_stack_ = nullptr;
  size_t outside_size_ = 0;
  void* outside_fiber_ = nullptr;
  void* inside_fiber_ = nullptr;
};

}  // namespace weir
