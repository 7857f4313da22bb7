#include "base/sliced_work.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace weir {
namespace {

// Spends `pieces` times `size`, and notes how far it is.
struct Work {
  size_t pieces = 0;
  uint64_t size = 0;
  size_t done = 0;
  bool given_up = false;

  static void run(void* self) {
    Work& work = *static_cast<Work*>(self);
    std::string kept = "on the stack, and beyond what a string holds itself";
    for (; work.done < work.pieces; ++work.done) {
      if (!SlicedWork::spend(work.size)) {
        work.given_up = true;
        return;
      }
    }
    CHECK(kept.size() == 51);
  }
};

TEST_CASE("sliced work: little is done at once") {
  SlicedWork sliced;
  Work work{.pieces = 3, .size = 1000};
  CHECK(sliced.begin(&Work::run, &work));
  CHECK_FALSE(sliced.running());
  CHECK(work.done == 3);
  CHECK(sliced.begin(&Work::run, &work));
}

TEST_CASE("sliced work: much takes as many slices as it spends") {
  SlicedWork sliced;
  Work work{.pieces = 100, .size = SlicedWork::kSlice / 4};
  size_t slices = 1;
  size_t done = 0;
  for (bool over = sliced.begin(&Work::run, &work); !over; over = sliced.go_on(), ++slices) {
    CHECK(sliced.running());
    CHECK(work.done - done <= 4);
    done = work.done;
    CHECK_FALSE(SlicedWork::inside());
  }
  CHECK(work.done == 100);
  CHECK(slices == 26);
}

TEST_CASE("sliced work: what is given up ends at once, and the next begins anew") {
  SlicedWork sliced;
  Work work{.pieces = 100, .size = SlicedWork::kSlice};
  CHECK_FALSE(sliced.begin(&Work::run, &work));
  CHECK_FALSE(sliced.go_on());
  sliced.give_up();
  CHECK(work.given_up);
  CHECK(work.done == 1);
  CHECK_FALSE(sliced.running());
  Work next{.pieces = 2, .size = 1};
  CHECK(sliced.begin(&Work::run, &next));
  CHECK_FALSE(next.given_up);
}

TEST_CASE("sliced work: two at a time have their own stacks") {
  SlicedWork first, second;
  Work one{.pieces = 10, .size = SlicedWork::kSlice};
  Work other{.pieces = 20, .size = SlicedWork::kSlice};
  bool one_done = first.begin(&Work::run, &one);
  bool other_done = second.begin(&Work::run, &other);
  while (!one_done || !other_done) {
    if (!one_done) one_done = first.go_on();
    if (!other_done) other_done = second.go_on();
  }
  CHECK(one.done == 10);
  CHECK(other.done == 20);
}

TEST_CASE("sliced work: outside of it spending costs nothing") {
  CHECK_FALSE(SlicedWork::inside());
  CHECK(SlicedWork::spend(UINT64_MAX));
}

}  // namespace
}  // namespace weir
