#!/usr/bin/env python3
"""Breaks one source of src/proxy on purpose, so that a test can see the simulator find it.

    break.py NAME SOURCE OUTPUT

The place that is changed must be there exactly once: when the source moves on, the build says so.
"""
import sys

# name: (source, what is there, what takes its place)
BREAKS = {
    # A receive buffer that is never given back.
    "leak": ("stream.cc", "    context_->buffers.release(piece.buffer);\n    return {};\n", "    return {};\n"),
    # Bytes of a buffer that the kernel has got back already.
    "reuse": ("exchange_answer.cc", "  if (buffer != kNoBufferId) worker_->buffers().retain(buffer);\n  client.queue({payload, buffer});",
              "  static_cast<void>(buffer);\n  client.queue({payload, kNoBufferId});"),
    # A descriptor that is closed while a send is in flight.
    "close": ("stream.cc", "if (receive_in_flight_ || sized_loan_.is_out() || send_in_flight_ || connect_in_flight_) return false;",
              "if (receive_in_flight_ || sized_loan_.is_out() || connect_in_flight_) return false;"),
    # A block that is given back while the kernel still writes a client's body into it.
    "loan": ("buffer_pool.cc", "  retain(id);\n  return {*this, id, memory};\n}\n\n"
             "void BufferPool::give_back(uint32_t id, const char* memory) {\n"
             "  // A block that has grown meanwhile has left the kernel the memory that it was before.\n"
             "  const ByteBuffer& bytes = block(id);\n"
             "  ASSERT(memory >= bytes.data() && memory <= bytes.data() + bytes.capacity());\n"
             "  release(id);\n",
             "  return {*this, id, memory};\n}\n\nvoid BufferPool::give_back(uint32_t, const char*) {\n"),
    # A request that is sent again although its answer had begun.
    "again": ("exchange_answer.cc", "if (!answer_byte_seen_ && attempts_ == 1 && upstream", "if (attempts_ == 1 && upstream"),
    # A provider's connection that reads no more once its client was slow.
    "stuck": ("exchange.cc", "  upstream_->stream().resume_receive();\n", ""),
    # A place among an initiator's exchanges that is never given back.
    "hold": ("exchange.cc", "  if (initiator_hold_.holds()) worker_->limiter().initiators.leave(initiator_hold_);\n", ""),
    # A Unix socket that lets every user in.
    "uid": ("worker.cc", "  if (listener.unix_socket && !listener.allowed_uids.empty()) {", "  if (listener.unix_socket && listener.trusted && listener.allowed_uids.empty()) {"),
    # A connection on which the body of a bodiless answer may still come, for the next exchange.
    "leftover": ("exchange_answer.cc", "if (wire::may_carry_forbidden_body(head, method_)) {", "if (head.status == 0) {"),
    # The second of two answers of the authorizer's service, for the next user.
    "verdict": ("callout.cc", "  return kept_since_ns_ + kRestNs;\n", "  return kept_since_ns_;\n"),
    # The verdict of an earlier configuration's authorizer, in the cache of a newer one.
    "reload": ("authorizer.cc", "      if (newest) cache_.keep_granted(", "      cache_.keep_granted("),
    # A connection on which an answer is still coming, for the next exchange.
    "cross": ("exchange.cc", "  let_upstream_go(false);\n  record_end();\n", "  let_upstream_go(true);\n  record_end();\n"),
    # An address at which nobody answers is waited for until its timeout.
    "hole": ("connecting.cc", "void Connecting::on_timer() {\n  try_next();", "void Connecting::on_timer() {\n"),
    # Which address worked last is forgotten.
    "forgotten": ("origin.cc", "  worked_last_ = address;\n", "  static_cast<void>(address);\n"),
    # An upload that keeps its rate is cut off while one large receive is under way.
    "steady": ("exchange.cc", "if (state_ != State::body || body_goes_on()) return;", "if (state_ != State::body) return;"),
    # A POST that a provider has worked on for long is paid for twice.
    "twice": ("upstream.cc", "stream_.last_sent_ns() > window_ns) return", "stream_.last_sent_ns() > 1000 * window_ns) return"),
    # A cut answer that an HTTP/1.0 client takes for a whole one.
    "whole": ("downstream.cc", "  if (cut_) {\n    stream_.reset();", "  if (slot_index == 0xFFFFFFFF) {\n    stream_.reset();"),
    # The memory of bodies that is never given back.
    "charge": ("buffer_pool.cc", "  body_bytes_ -= std::exchange(blocks_[id - references_.size()].charged, 0);\n", ""),
    # A body that is read on although its exchange is over.
    "forget": ("exchange.cc", "  if (std::exchange(reads_slowly_, false)) worker_->forget_reader(*this);\n  if (reading_)",
               "  reads_slowly_ = false;\n  if (reading_)"),
}


def main():
    name, source, output = sys.argv[1:]
    _, old, new = BREAKS[name]
    with open(source, encoding="utf-8") as file:
        text = file.read()
    if text.count(old) != 1:
        sys.exit(f"break.py: {name}: {source} has the place {text.count(old)} times; mend BREAKS")
    with open(output, "w", encoding="utf-8") as file:
        file.write(text.replace(old, new))


if __name__ == "__main__":
    main()
