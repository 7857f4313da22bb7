// Timer wheel, buffer pool, segment queue and slot pool: what the machines stand on.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "base/slot_pool.h"
#include "proxy/buffer_pool.h"
#include "proxy/segment_queue.h"
#include "proxy/timer_wheel.h"

namespace weir::proxy {
namespace {

constexpr uint64_t kStart = 1000 * kNsPerSecond;

struct Fired {
  std::vector<Timer*> timers;
  void advance(TimerWheel& wheel, uint64_t now_ns) {
    wheel.advance(now_ns, [this](Timer& timer) { timers.push_back(&timer); });
  }
};

TEST_CASE("timer wheel: a timer fires once, at its deadline and not before") {
  TimerWheel wheel(kStart);
  Timer timer;
  Fired fired;
  wheel.set(timer, kStart + 55 * kNsPerMs);
  fired.advance(wheel, kStart + 54 * kNsPerMs);
  CHECK(fired.timers.empty());
  fired.advance(wheel, kStart + 60 * kNsPerMs);
  REQUIRE(fired.timers.size() == 1);
  fired.advance(wheel, kStart + 60 * kNsPerSecond);
  CHECK(fired.timers.size() == 1);
}

TEST_CASE("timer wheel: a deadline beyond one turn of the wheel is kept") {
  TimerWheel wheel(kStart);
  Timer timer;
  Fired fired;
  wheel.set(timer, kStart + 600 * kNsPerSecond);
  for (uint64_t s = 1; s < 600; s++) fired.advance(wheel, kStart + s * kNsPerSecond);
  CHECK(fired.timers.empty());
  fired.advance(wheel, kStart + 600 * kNsPerSecond + TimerWheel::kTickNs);
  CHECK(fired.timers.size() == 1);
}

TEST_CASE("timer wheel: moving a deadline, later or earlier, counts") {
  TimerWheel wheel(kStart);
  Timer later;
  Timer earlier;
  Fired fired;
  wheel.set(later, kStart + kNsPerSecond);
  wheel.set(later, kStart + 3 * kNsPerSecond);
  wheel.set(earlier, kStart + 9 * kNsPerSecond);
  wheel.set(earlier, kStart + kNsPerSecond);
  fired.advance(wheel, kStart + 2 * kNsPerSecond);
  REQUIRE(fired.timers.size() == 1);
  CHECK(fired.timers[0] == &earlier);
  fired.advance(wheel, kStart + 4 * kNsPerSecond);
  CHECK(fired.timers.size() == 2);
}

TEST_CASE("timer wheel: cleared and removed timers do not fire, also from within another") {
  TimerWheel wheel(kStart);
  Timer first;
  Timer second;
  Timer cleared;
  wheel.set(first, kStart + 50 * kNsPerMs);
  wheel.set(second, kStart + 50 * kNsPerMs);
  wheel.set(cleared, kStart + 50 * kNsPerMs);
  TimerWheel::clear(cleared);
  int count = 0;
  wheel.advance(kStart + kNsPerSecond, [&](Timer& timer) {
    count++;
    wheel.remove(&timer == &first ? second : first);
  });
  CHECK(count == 1);
}

TEST_CASE("timer wheel: the wait ends at the next occupied slot") {
  TimerWheel wheel(kStart);
  Timer timer;
  CHECK(wheel.next_wait_ns(kStart, kNsPerSecond) == kNsPerSecond);
  wheel.set(timer, kStart + 200 * kNsPerMs);
  const uint64_t wait = wheel.next_wait_ns(kStart, kNsPerSecond);
  CHECK(wait >= 200 * kNsPerMs);
  CHECK(wait <= 220 * kNsPerMs);
}

TEST_CASE("timer wheel: after a long pause every timer that is due fires") {
  TimerWheel wheel(kStart);
  std::vector<Timer> timers(3000);
  Fired fired;
  for (size_t i = 0; i < timers.size(); i++) wheel.set(timers[i], kStart + i * 5 * kNsPerMs);
  fired.advance(wheel, kStart + 3600 * kNsPerSecond);
  CHECK(fired.timers.size() == timers.size());
}

struct PoolFixture {
  std::unique_ptr<io::Engine> engine;
  std::unique_ptr<BufferPool> buffers;
  SegmentPool segments;
  PoolFixture() {
    auto made = io::Engine::create({.entries = 8, .completion_entries = 16, .buffers = 4, .buffer_size = 64});
    REQUIRE(made.has_value());
    engine = std::move(*made);
    buffers = std::make_unique<BufferPool>(*engine);
  }
};

TEST_CASE("buffer pool: a released block of the same class is used again") {
  PoolFixture fixture;
  const BufferId first = fixture.buffers->acquire(5000);
  const char* memory = fixture.buffers->block(first).data();
  fixture.buffers->retain(first);
  fixture.buffers->release(first);
  CHECK(fixture.buffers->blocks_in_use() == 1);
  fixture.buffers->release(first);
  CHECK(fixture.buffers->blocks_in_use() == 0);
  const BufferId second = fixture.buffers->acquire(8192);
  CHECK(fixture.buffers->block(second).data() == memory);
  CHECK(fixture.buffers->block(second).empty());
  fixture.buffers->release(second);
}

TEST_CASE("buffer pool: a block that is lent is nobody else's until the loan goes back") {
  PoolFixture fixture;
  BufferPool& buffers = *fixture.buffers;
  const BufferId id = buffers.acquire(5000);
  io::Loan loan = buffers.lend(id, {buffers.block(id).make_room(4000), 4000});
  const char* memory = buffers.block(id).data();
  buffers.release(id);
  CHECK(buffers.blocks_in_use() == 1);
  const BufferId other = buffers.acquire(5000);
  CHECK(buffers.block(other).data() != memory);
  loan = io::Loan();
  CHECK(buffers.blocks_in_use() == 1);
  buffers.release(other);
}

TEST_CASE("buffer pool: a write into a released block is noticed") {
  if (kInstrumented) return;  // the address sanitizer reports it where it happens
  PoolFixture fixture;
  BufferPool& buffers = *fixture.buffers;
  buffers.watch_released_blocks();
  const BufferId id = buffers.acquire(5000);
  char* memory = buffers.block(id).data();
  buffers.release(id);
  CHECK(buffers.released_blocks_untouched());
  memory[17] = 'x';
  CHECK_FALSE(buffers.released_blocks_untouched());
}

TEST_CASE("buffer pool: a block that has grown serves its new class, never a larger one") {
  PoolFixture fixture;
  const BufferId id = fixture.buffers->acquire(100);
  fixture.buffers->block(id).append(std::string(20000, 'x'));
  fixture.buffers->release(id);
  const BufferId larger = fixture.buffers->acquire(30000);
  CHECK(fixture.buffers->block(larger).capacity() >= 30000);
  fixture.buffers->release(larger);
}

TEST_CASE("buffer pool: what the free lists keep is bounded") {
  PoolFixture fixture;
  std::vector<BufferId> ids;
  for (int i = 0; i < 6; i++) ids.push_back(fixture.buffers->acquire(16u << 20));
  for (const BufferId id : ids) fixture.buffers->release(id);
  CHECK(fixture.buffers->retained_bytes() <= BufferPool::kRetainedMax);
}

TEST_CASE("buffer pool: what bodies hold is bounded over all of them, until the last reference goes") {
  constexpr uint64_t kMiB = 1u << 20;
  PoolFixture fixture;
  BufferPool& buffers = *fixture.buffers;
  buffers.set_body_memory(8 * kMiB);
  const BufferId first = buffers.acquire(1);
  const BufferId second = buffers.acquire(1);
  const BufferId small = buffers.acquire(1);
  CHECK(buffers.charge_body(first, BufferPool::kBodyFree));
  CHECK(buffers.body_bytes() == 0);
  CHECK(buffers.charge_body(first, 4 * kMiB));
  CHECK(buffers.charge_body(first, 3 * kMiB));
  CHECK(buffers.body_bytes() == 4 * kMiB);
  CHECK(buffers.charge_body(second, 2 * kMiB));
  CHECK_FALSE(buffers.charge_body(second, 2 * kMiB + 1));  // the last quarter is for small ones
  CHECK_FALSE(buffers.charge_body(first, 4 * kMiB + 1));
  CHECK(buffers.charge_body(small, BufferPool::kSmallBodyMax));
  CHECK(buffers.body_bytes() == 7 * kMiB);
  buffers.retain(first);
  buffers.release(first);
  CHECK(buffers.body_bytes() == 7 * kMiB);
  buffers.release(first);
  CHECK(buffers.body_bytes() == 3 * kMiB);
  CHECK(buffers.charge_body(second, 5 * kMiB));
  buffers.release(small);
  CHECK(buffers.charge_body(second, 100 * kMiB));  // alone it always has room
  const BufferId other = buffers.acquire(1);
  CHECK(buffers.charge_body(other, BufferPool::kBodyFree));
  CHECK_FALSE(buffers.charge_body(other, BufferPool::kBodyFree + 1));
  buffers.release(other);
  buffers.release(second);
  CHECK(buffers.body_bytes() == 0);
}

std::string contents(SegmentQueue& queue) {
  std::array<iovec, io::kSlicesMax> slices;
  std::string text;
  const size_t count = queue.gather(slices);
  for (size_t i = 0; i < count; i++) text.append(static_cast<const char*>(slices[i].iov_base), slices[i].iov_len);
  return text;
}

TEST_CASE("segment queue: any split of the sent bytes leaves the rest, and releases what is done") {
  PoolFixture fixture;
  const std::string all = "5\r\nhello\r\nworld!";
  for (size_t split = 0; split <= all.size(); split++) {
    SegmentQueue queue;
    const BufferId block = fixture.buffers->acquire(64);
    fixture.buffers->block(block).append("hello\r\n");
    queue.push_small(fixture.segments, "5\r\n");
    queue.push(fixture.segments, {fixture.buffers->block(block).view(), block});
    queue.push(fixture.segments, {"world!", kNoBufferId});
    REQUIRE(contents(queue) == all);
    queue.consume(fixture.segments, *fixture.buffers, split);
    CHECK(contents(queue) == all.substr(split));
    CHECK(queue.bytes() == all.size() - split);
    CHECK((fixture.buffers->blocks_in_use() == 0) == (split >= 10));
    queue.clear(fixture.segments, *fixture.buffers);
    CHECK(fixture.buffers->blocks_in_use() == 0);
  }
}

TEST_CASE("segment queue: bytes right behind the last segment join it, others do not") {
  PoolFixture fixture;
  SegmentQueue queue;
  const BufferId block = fixture.buffers->acquire(64);
  fixture.buffers->block(block).append("abcdef");
  const std::string_view bytes = fixture.buffers->block(block).view();
  queue.push(fixture.segments, {bytes.substr(0, 2), block});
  CHECK(queue.extend({bytes.substr(2, 2), block}));
  CHECK_FALSE(queue.extend({bytes.substr(5, 1), block}));
  CHECK_FALSE(queue.extend({"static", kNoBufferId}));
  CHECK(queue.count() == 1);
  CHECK(contents(queue) == "abcd");
  queue.clear(fixture.segments, *fixture.buffers);
}

struct Thing : Slot {
  int value = 0;
};

TEST_CASE("slot pool: a handle of a released slot finds nothing, also when the slot is used again") {
  SlotPool<Thing> pool(100);
  Thing* thing = pool.acquire();
  const uint32_t index = thing->slot_index;
  const uint32_t generation = thing->slot_generation;
  CHECK(pool.find(index, generation) == thing);
  pool.release(*thing);
  CHECK(pool.find(index, generation) == nullptr);
  CHECK(pool.acquire() == thing);
  CHECK(pool.find(index, generation) == nullptr);
  CHECK(pool.find(9999, 0) == nullptr);
}

TEST_CASE("slot pool: full is null, and the count comes back") {
  SlotPool<Thing> pool(70);
  std::vector<Thing*> things;
  while (Thing* thing = pool.acquire()) things.push_back(thing);
  CHECK(things.size() == 70);
  for (Thing* thing : things) pool.release(*thing);
  CHECK(pool.used_count() == 0);
  CHECK(pool.acquire() != nullptr);
}

}  // namespace
}  // namespace weir::proxy
