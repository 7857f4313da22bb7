// Deadlines of one worker: one hashed wheel of 10 ms, driven by the wait's timeout; no system call and no kernel timer
// each.
//
// Lazy: moving a deadline later is one store; the timer stays in its place and is put on again when it comes up. So an
// event on a stream costs nothing here. Timers are members of the slots they belong to and must be cleared before those
// are released.
#pragma once

#include <array>
#include <cstdint>

#include "base/clock.h"

namespace weir::proxy {

enum class TimerOwner : uint8_t { downstream, downstream_send, upstream, connecting, question, authorizer, worker };

struct Timer {
  uint64_t deadline_ns = 0;  // 0: none
  TimerOwner owner = TimerOwner::worker;
  void* object = nullptr;  // of the owner's kind

 private:
  friend class TimerWheel;
  uint64_t placed_tick = 0;
  Timer* next = nullptr;
  Timer* previous = nullptr;
  bool placed = false;
};

class TimerWheel {
 public:
  static constexpr uint64_t kTickNs = 10 * kNsPerMs;

  explicit TimerWheel(uint64_t now_ns) : now_tick_(now_ns / kTickNs) {}
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  void set(Timer& timer, uint64_t deadline_ns) {
    timer.deadline_ns = deadline_ns;
    const uint64_t tick = tick_of(deadline_ns);
    if (timer.placed && timer.placed_tick <= tick) return;
    if (timer.placed) unlink(timer);
    link(timer, tick);
  }
  // The timer does not fire any more; it may stay in its place, so the object must not go away: see remove().
  static void clear(Timer& timer) { timer.deadline_ns = 0; }
  void remove(Timer& timer) {
    timer.deadline_ns = 0;
    if (timer.placed) unlink(timer);
  }

  // Calls `fire(timer)` for each whose deadline is over. `fire` may set, clear and remove any timer.
  template <class Fire>
  void advance(uint64_t now_ns, Fire&& fire) {
    const uint64_t target = now_ns / kTickNs;
    // After a long pause (a stopped process) every slot is visited once, not once per missed tick.
    if (target - now_tick_ > kSlots) now_tick_ = target - kSlots;
    while (now_tick_ < target) {
      now_tick_++;
      Due due(*this, now_tick_);
      while (Timer* timer = due.take()) {
        if (timer->deadline_ns == 0) continue;
        if (timer->deadline_ns > now_ns) {
          link(*timer, tick_of(timer->deadline_ns));
          continue;
        }
        timer->deadline_ns = 0;
        fire(*timer);
      }
    }
  }

  // Until the next occupied slot; at most `limit_ns`.
  uint64_t next_wait_ns(uint64_t now_ns, uint64_t limit_ns) const {
    for (uint64_t i = 1; i <= kSlots && i * kTickNs < limit_ns + kTickNs; i++) {
      if (slots_[(now_tick_ + i) % kSlots].next != nullptr) {
        const uint64_t due_ns = (now_tick_ + i) * kTickNs;
        return due_ns <= now_ns ? 1 : (due_ns - now_ns < limit_ns ? due_ns - now_ns : limit_ns);
      }
    }
    return limit_ns;
  }

 private:
  static constexpr uint64_t kSlots = 1024;  // a turn of 10 s; longer deadlines come by once a turn

  // The timers of one slot, taken off one by one so that firing one may remove another.
  class Due {
   public:
    Due(TimerWheel& wheel, uint64_t tick) : wheel_(wheel) {
      Timer& slot = wheel.slots_[tick % kSlots];
      head_.next = slot.next;
      if (head_.next != nullptr) head_.next->previous = &head_;
      slot.next = nullptr;
    }
    Timer* take() {
      Timer* timer = head_.next;
      if (timer != nullptr) wheel_.unlink(*timer);
      return timer;
    }

   private:
    TimerWheel& wheel_;
    Timer head_;
  };

  // The tick at or after the deadline, so that a timer never fires early.
  uint64_t tick_of(uint64_t deadline_ns) const {
    const uint64_t tick = (deadline_ns + kTickNs - 1) / kTickNs;
    return tick > now_tick_ ? tick : now_tick_ + 1;
  }
  void link(Timer& timer, uint64_t tick) {
    Timer& slot = slots_[tick % kSlots];
    timer.placed_tick = tick;
    timer.placed = true;
    timer.previous = &slot;
    timer.next = slot.next;
    if (timer.next != nullptr) timer.next->previous = &timer;
    slot.next = &timer;
  }
  void unlink(Timer& timer) {
    timer.previous->next = timer.next;
    if (timer.next != nullptr) timer.next->previous = timer.previous;
    timer.next = timer.previous = nullptr;
    timer.placed = false;
  }

  uint64_t now_tick_;
  std::array<Timer, kSlots> slots_{};  // heads of the lists
};

}  // namespace weir::proxy
