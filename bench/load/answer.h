// An answer as it arrives: its framing, its length and hash, the events in it. Reads with the parsers of wire/, so it
// is as strict as the gateway. Bytes in, facts out; no socket.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "wire/chunk.h"
#include "wire/head.h"

namespace weir::load {

// Told of what an answer is made of, with the time at which its bytes came.
struct AnswerTimes {
  uint64_t head_ns = 0;
  uint64_t first_event_ns = 0;  // 0: none so far
  uint64_t last_event_ns = 0;
};

class AnswerReader {
 public:
  enum class Status : uint8_t { need_more, complete, invalid };

  // `on_gap(ns)` for each event after the first; `on_event_latency(ns)` for each stamped event that came in one piece.
  template <class OnGap, class OnLatency>
  Status feed(std::string_view bytes, uint64_t now_ns, OnGap&& on_gap, OnLatency&& on_latency) {
    if (!head_done_) {
      const Status status = take_head(bytes, now_ns);
      if (!head_done_) return status;
    }
    while (!done_) {
      std::string_view part;
      const Status status = next_part(bytes, part);
      if (!part.empty()) take_body(part, now_ns, on_gap, on_latency);
      if (status == Status::invalid) return status;
      if (part.empty() && !done_) return Status::need_more;
    }
    return Status::complete;
  }
  // The connection ended. Complete: the answer was delimited by that.
  Status end() { return head_done_ && framing_ == wire::BodyFraming::until_close ? Status::complete : Status::invalid; }
  void reset();

  bool begun() const { return head_done_ || !head_.empty(); }
  uint16_t status() const { return status_; }
  bool keep_alive() const { return keep_alive_; }
  uint64_t body_size() const { return body_size_; }
  uint32_t body_hash() const { return body_hash_; }
  uint64_t events() const { return events_; }
  const AnswerTimes& times() const { return times_; }

 private:
  Status take_head(std::string_view& bytes, uint64_t now_ns);
  Status next_part(std::string_view& bytes, std::string_view& part);
  // The time in a stamped event: "@" and 16 hexadecimal digits. 0: none.
  static uint64_t stamp_of(std::string_view event);
  void hash(std::string_view part);

  template <class OnGap, class OnLatency>
  void take_body(std::string_view part, uint64_t now_ns, OnGap&& on_gap, OnLatency&& on_latency) {
    hash(part);
    size_t from = 0;
    for (size_t at = 0; (at = part.find('\n', at)) != std::string_view::npos; at++) {
      const bool blank = at == 0 ? ends_line_ : part[at - 1] == '\n';
      if (!blank) continue;
      events_++;
      if (times_.first_event_ns == 0) {
        times_.first_event_ns = now_ns;
      } else {
        on_gap(now_ns - times_.last_event_ns);
      }
      times_.last_event_ns = now_ns;
      if (const uint64_t stamp = stamp_of(part.substr(from, at - from)); stamp != 0 && stamp <= now_ns) {
        on_latency(now_ns - stamp);
      }
      from = at + 1;
    }
    ends_line_ = part.back() == '\n';
  }

  std::string head_;  // the part of a head that came in earlier pieces
  bool head_done_ = false, done_ = false, keep_alive_ = true, ends_line_ = false;
  wire::BodyFraming framing_ = wire::BodyFraming::none;
  wire::ChunkDecoder chunks_;
  uint64_t left_ = 0;
  uint16_t status_ = 0;
  uint64_t body_size_ = 0, events_ = 0;
  uint32_t body_hash_ = 0;
  AnswerTimes times_;
};

}  // namespace weir::load
