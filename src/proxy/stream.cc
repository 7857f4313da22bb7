#include "proxy/stream.h"

#include <algorithm>
#include <array>
#include <utility>

namespace weir::proxy {

namespace {

// A small piece that cannot be sent at once is copied behind the others: one slice for many events, and the receive
// buffer (4 KiB, often with one event of 100 bytes) goes back at once.
constexpr size_t kCoalesceMax = 1024;
constexpr size_t kTailSize = 4096;
// Plaintext that one SSL_write gets: four full records.
constexpr size_t kEncryptMax = 64u << 10;
// So much of one run of bytes at once: a large body is encrypted a step for each send, not in one that takes 10 ms.
constexpr size_t kEncryptStep = 256u << 10;
// Segments that together are no larger leave as one copy by a plain send: that costs the kernel less than a message of
// several slices costs it, and what held the bytes is free again while they are hot.
constexpr size_t kJoinMax = 4096;

}  // namespace

void Stream::open(StreamContext& context, int descriptor, io::Token token, std::unique_ptr<tls::Machine> machine) {
  ASSERT(descriptor_ < 0 && queue_.empty());
  context_ = &context;
  descriptor_ = descriptor;
  token_ = token;
  tls_ = std::move(machine);
  received_bytes_ = 0;
  receive_wanted_ = false;
  piecewise_ = false;
  send_failed_ = false;
  send_taken_back_ = false;
  terminating_ = false;
  close_notified_ = false;
  tls_failed_ = false;
  tls_over_ = false;
  fin_wanted_ = false;
}

void Stream::connect(const io::Address& address) {
  connect_in_flight_ = true;
  context_->engine.connect(descriptor_, address, token(StreamOp::connect));
}

bool Stream::start_handshake() {
  if (!tls_) return true;
  if (tls_->start() == tls::Status::failed) return false;
  flush();
  return true;
}

// --- receiving ---

void Stream::arm_receive() {
  if (receive_in_flight_ || sized_loan_.is_out() || terminating_) return;
  receive_in_flight_ = true;
  receive_cancelling_ = false;
  receive_is_piecewise_ = piecewise_;
  if (piecewise_) {
    context_->engine.receive_once(descriptor_, token(StreamOp::receive));
  } else {
    context_->engine.receive(descriptor_, token(StreamOp::receive));
  }
}

void Stream::resume_receive() {
  receive_wanted_ = true;
  arm_receive();
}

void Stream::pause_receive() {
  receive_wanted_ = false;
  if (receive_in_flight_ && !receive_cancelling_) {
    receive_cancelling_ = true;
    context_->engine.cancel(token(StreamOp::receive));
  }
}

void Stream::receive_sized(io::Loan loan) {
  ASSERT(!tls_ && receive_idle());
  if (terminating_) return;
  sized_loan_ = std::move(loan);
  sized_cancelling_ = false;
  context_->engine.receive_into(descriptor_, sized_loan_, token(StreamOp::sized_receive));
}

void Stream::stop_sized_receive() {
  if (!sized_loan_.is_out() || sized_cancelling_ || terminating_) return;
  sized_cancelling_ = true;
  context_->engine.cancel(token(StreamOp::sized_receive));
}

Stream::Received Stream::on_receive(const io::Completion& completion) {
  if (!completion.more) {
    receive_in_flight_ = false;
    receive_cancelling_ = false;
  }
  Piece piece;
  if (completion.buffer != io::kNoBuffer) {
    piece.buffer = context_->buffers.adopt(completion.buffer);
    piece.bytes = {context_->engine.buffer_data(completion.buffer), static_cast<size_t>(completion.result)};
    context_->received[side()]->add(piece.bytes.size());
    received_bytes_ += piece.bytes.size();
  }
  if (terminating_) {
    context_->buffers.release(piece.buffer);
    return {};
  }
  switch (completion.code) {
    case io::Code::ok:
      break;
    case io::Code::cancelled:   // paused, and perhaps wanted again meanwhile
    case io::Code::no_buffers:  // the engine starts it when buffers are back
      if (receive_wanted_) arm_receive();
      return {};
    case io::Code::ended:
    case io::Code::reset:
    case io::Code::refused:
    case io::Code::unreachable:
    case io::Code::timed_out:
    case io::Code::descriptors_full:
    case io::Code::other:
      return {.event = Event::failed, .piece = {}, .code = completion.code};
  }
  if (tls_over_) {
    context_->buffers.release(piece.buffer);
    if (completion.result == 0) return {.event = Event::ended, .piece = {}, .code = io::Code::ended};
    if (receive_wanted_) arm_receive();
    return {};
  }
  if (completion.result == 0) {
    context_->buffers.release(piece.buffer);
    if (tls_ && (tls_failed_ || (!close_notified_ && tls_->receive_end() == tls::Status::failed && !ready()))) {
      tls_over_ = true;
      return {.event = Event::failed, .piece = {}, .code = io::Code::other};
    }
    // Without close_notify the end could be an attacker's (RFC 9112 section 9.8).
    const bool cut = tls_ && !close_notified_;
    return {.event = Event::ended, .piece = {}, .code = cut ? io::Code::reset : io::Code::ended};
  }
  if (receive_is_piecewise_) receive_wanted_ = false;
  if (receive_wanted_) arm_receive();
  if (tls_) return decrypt(piece);
  return {.event = Event::data, .piece = piece, .code = io::Code::ok};
}

Stream::Received Stream::decrypt(Piece cipher) {
  const BufferId id = context_->buffers.acquire(cipher.bytes.size());
  ByteBuffer& plain = context_->buffers.block(id);
  const tls::Status status = tls_->receive(cipher.bytes, plain);
  context_->buffers.release(cipher.buffer);
  if (status == tls::Status::closed) close_notified_ = true;
  if (tls_->met_plain_http()) tls_->outbox().clear();  // an alert means nothing to it
  flush();                                             // handshake messages, alerts, tickets
  if (!plain.empty()) {
    if (status != tls::Status::ok) {
      // The end behind these bytes follows them: the socket may stay open for long, its receive must not.
      tls_failed_ = status == tls::Status::failed;
      context_->engine.shutdown_receive(descriptor_);
    }
    return {.event = Event::data, .piece = {plain.view(), id}, .code = io::Code::ok};
  }
  context_->buffers.release(id);
  switch (status) {
    case tls::Status::ok:
      return {};
    case tls::Status::closed:
      return {.event = Event::ended, .piece = {}, .code = io::Code::ended};
    case tls::Status::failed:
      break;
  }
  tls_over_ = true;
  return {.event = Event::failed, .piece = {}, .code = io::Code::other};
}

void Stream::continue_in_plain() {
  ASSERT(!send_in_flight_ && wire_ == kNoBufferId);
  tls_.reset();
  tls_over_ = false;
}

void Stream::on_done(StreamOp op, const io::Completion& completion) {
  if (op == StreamOp::connect) connect_in_flight_ = false;
  if (op == StreamOp::sized_receive) {
    sized_loan_ = io::Loan();  // the kernel has done with it
    if (completion.result > 0) {
      context_->received[side()]->add(static_cast<uint64_t>(completion.result));
      received_bytes_ += static_cast<uint64_t>(completion.result);
    }
    if (receive_wanted_) arm_receive();
  }
}

// --- sending ---

void Stream::queue(const Piece& piece) {
  if (terminating_ || send_failed_ || piece.bytes.empty()) {
    context_->buffers.release(piece.buffer);
    return;
  }
  if (queue_.extend(piece)) {
    context_->buffers.release(piece.buffer);  // the segment before has a reference already
    return;
  }
  if (piece.bytes.size() <= kCoalesceMax && (send_in_flight_ || fits_behind(piece.bytes.size()))) {
    queue_copy(piece.bytes);
    context_->buffers.release(piece.buffer);
    return;
  }
  queue_.push(context_->segments, piece);
}

void Stream::queue_copy(std::string_view bytes) {
  if (terminating_ || send_failed_ || bytes.empty()) return;
  BufferPool& buffers = context_->buffers;
  if (tail_ != kNoBufferId) {
    ByteBuffer& tail = buffers.block(tail_);
    if (tail.capacity() - tail.size() < bytes.size()) {
      buffers.release(tail_);
      tail_ = kNoBufferId;
    }
  }
  if (tail_ == kNoBufferId) tail_ = buffers.acquire(std::max(kTailSize, bytes.size()));
  ByteBuffer& tail = buffers.block(tail_);
  const Piece copy{{tail.data() + tail.size(), bytes.size()}, tail_};
  tail.append(bytes);
  if (queue_.extend(copy)) return;
  buffers.retain(tail_);
  queue_.push(context_->segments, copy);
}

void Stream::queue_block(BufferId block) {
  BufferPool& buffers = context_->buffers;
  const std::string_view bytes = buffers.block(block).view();
  if (terminating_ || send_failed_ || bytes.empty()) {
    buffers.release(block);
    return;
  }
  queue_.push(context_->segments, {bytes, block});
  if (tail_ != kNoBufferId) buffers.release(tail_);
  buffers.retain(block);
  tail_ = block;
}

// Whether a copy of so many bytes would make the last segment longer.
bool Stream::fits_behind(size_t size) const {
  if (tail_ == kNoBufferId || queue_.empty() || queue_.last()->buffer != tail_) return false;
  const ByteBuffer& tail = context_->buffers.block(tail_);
  return tail.capacity() - tail.size() >= size;
}

void Stream::queue_small(std::string_view bytes) {
  if (terminating_ || send_failed_) return;
  if (fits_behind(bytes.size())) {
    queue_copy(bytes);
    return;
  }
  queue_.push_small(context_->segments, bytes);
}

// Turns waiting plaintext into ciphertext for one send. False: TLS has failed.
bool Stream::encrypt() {
  BufferPool& buffers = context_->buffers;
  if (tls_->failed()) {
    // Nothing more can be encrypted; but the alert that tells the peer why may wait to be sent.
    const bool lost = !queue_.empty();
    drop_queue();
    if (tls_->outbox().empty()) return !lost;
  } else if (!queue_.empty() && tls_->handshake_done()) {
    const Segment* first = queue_.first();
    uint64_t taken = 0;
    tls::Status status = tls::Status::ok;
    if (first->next == nullptr) {
      taken = std::min<uint64_t>(first->size, kEncryptStep);
      status = tls_->send({first->data, taken});
    } else {
      // One SSL_write for all, so that a head and its first event share a record.
      const BufferId joined = buffers.acquire(std::min<uint64_t>(queue_.bytes(), kEncryptMax + 4096));
      ByteBuffer& text = buffers.block(joined);
      for (const Segment* s = first; s != nullptr && text.size() < kEncryptMax; s = s->next) {
        text.append({s->data, std::min<size_t>(s->size, kEncryptMax - text.size())});
      }
      taken = text.size();
      status = tls_->send(text.view());
      buffers.release(joined);
    }
    queue_.consume(context_->segments, buffers, taken);
    if (status == tls::Status::failed) return false;
  }
  if (tls_->outbox().empty()) return true;
  wire_ = buffers.acquire(tls_->outbox().size());
  std::swap(buffers.block(wire_), tls_->outbox());
  wire_offset_ = 0;
  wire_bytes_ = buffers.block(wire_).size();
  return true;
}

// REQUIRES: with TLS, or no send in flight.
void Stream::drop_queue() {
  queue_.clear(context_->segments, context_->buffers);
  context_->buffers.release(tail_);
  tail_ = kNoBufferId;
}

void Stream::flush() {
  if (send_in_flight_ || send_failed_ || terminating_ || connect_in_flight_ || descriptor_ < 0) return;
  std::array<iovec, io::kSlicesMax> slices;
  size_t count = 0;
  if (tls_) {
    if (wire_ == kNoBufferId && !encrypt()) {
      send_failed_ = true;
      return;
    }
    if (wire_ == kNoBufferId) return;
    slices[0] = {context_->buffers.block(wire_).data() + wire_offset_, wire_bytes_};
    count = 1;
    sent_bytes_in_flight_ = wire_bytes_;
  } else {
    if (queue_.empty()) return;
    if (queue_.count() > 1 && queue_.bytes() <= kJoinMax) move_waiting_to_block();
    count = queue_.gather(slices);
    sent_bytes_in_flight_ = 0;
    for (size_t i = 0; i < count; i++) sent_bytes_in_flight_ += slices[i].iov_len;
  }
  send_in_flight_ = true;
  send_started_ns_ = context_->engine.now_ns();
  context_->engine.send(descriptor_, {slices.data(), count}, token(StreamOp::send));
}

bool Stream::on_send(const io::Completion& completion, uint64_t now_ns) {
  send_in_flight_ = false;
  send_started_ns_ = now_ns;
  const bool taken_back = std::exchange(send_taken_back_, false);
  if (terminating_) return true;
  if (completion.code != io::Code::ok && !(taken_back && completion.code == io::Code::cancelled)) {
    send_failed_ = true;
    return false;
  }
  const auto done = static_cast<uint64_t>(std::max(completion.result, 0));
  context_->sent[side()]->add(done);
  sent_bytes_ += done;
  if (tls_) {
    wire_offset_ += done;
    wire_bytes_ -= done;
    if (wire_bytes_ == 0) {
      context_->buffers.release(wire_);
      wire_ = kNoBufferId;
    }
  } else {
    queue_.consume(context_->segments, context_->buffers, done);
    if (taken_back) move_waiting_to_block();
  }
  if (queue_.empty() && tail_ != kNoBufferId) {
    context_->buffers.release(tail_);
    tail_ = kNoBufferId;
  }
  flush();
  if (fin_wanted_ && all_sent()) context_->engine.shutdown_send(descriptor_);
  return !send_failed_;
}

void Stream::shutdown_send() {
  if (terminating_ || fin_wanted_) return;
  fin_wanted_ = true;
  if (tls_ && tls_->handshake_done()) {
    tls_->close();
    flush();
  }
  if (all_sent()) context_->engine.shutdown_send(descriptor_);
}

// REQUIRES: no send in flight.
void Stream::move_waiting_to_block() {
  if (queue_.empty()) return;
  BufferPool& buffers = context_->buffers;
  const BufferId id = buffers.acquire(queue_.bytes());
  ByteBuffer& block = buffers.block(id);
  for (const Segment* s = queue_.first(); s != nullptr; s = s->next) block.append({s->data, s->size});
  queue_.clear(context_->segments, buffers);
  queue_.push(context_->segments, {block.view(), id});
}

void Stream::spare_receive_buffers(uint64_t stalled_before_ns) {
  if (terminating_) return;
  bool holds_any = false;
  for (const Segment* s = queue_.first(); s != nullptr && !holds_any; s = s->next) {
    holds_any = s->buffer != kNoBufferId && context_->buffers.is_receive_buffer(s->buffer);
  }
  if (!holds_any) return;
  if (tls_ || !send_in_flight_) {
    move_waiting_to_block();  // with TLS only ciphertext is in flight
    return;
  }
  if (send_started_ns_ > stalled_before_ns || send_taken_back_) return;
  send_taken_back_ = true;
  context_->engine.cancel(token(StreamOp::send));
}

// --- the end ---

void Stream::terminate() {
  if (terminating_ || descriptor_ < 0) return;
  terminating_ = true;
  receive_wanted_ = false;
  if (connect_in_flight_) context_->engine.cancel(token(StreamOp::connect));
  // A handshake that failed has left an alert, which tells the peer why; a shutdown would destroy it. The few bytes of
  // a handshake always find room in the socket, so their send ends by itself.
  if (tls_ && tls_->failed() && !tls_->handshake_done() && send_in_flight_) {
    if (receive_in_flight_ && !receive_cancelling_) {
      receive_cancelling_ = true;
      context_->engine.cancel(token(StreamOp::receive));
    }
    return;
  }
  if (receive_in_flight_ || sized_loan_.is_out() || send_in_flight_) context_->engine.shutdown(descriptor_);
}

// Not by a shutdown: that would send a FIN first.
void Stream::reset() {
  if (terminating_ || descriptor_ < 0) return;
  terminating_ = true;
  receive_wanted_ = false;
  io::reset_on_close(descriptor_);
  if (receive_in_flight_) context_->engine.cancel(token(StreamOp::receive));
  if (sized_loan_.is_out()) context_->engine.cancel(token(StreamOp::sized_receive));
  if (send_in_flight_) context_->engine.cancel(token(StreamOp::send));
  if (connect_in_flight_) context_->engine.cancel(token(StreamOp::connect));
}

bool Stream::try_close() {
  ASSERT(terminating_);
  if (receive_in_flight_ || sized_loan_.is_out() || send_in_flight_ || connect_in_flight_) return false;
  if (descriptor_ >= 0) context_->engine.close(descriptor_);
  descriptor_ = -1;
  queue_.clear(context_->segments, context_->buffers);
  context_->buffers.release(wire_);
  context_->buffers.release(tail_);
  wire_ = tail_ = kNoBufferId;
  wire_bytes_ = 0;
  tls_.reset();
  return true;
}

}  // namespace weir::proxy
