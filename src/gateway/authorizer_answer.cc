#include "gateway/authorizer_answer.h"

#include <algorithm>
#include <cstring>

namespace weir::gateway {

namespace {

constexpr size_t kKeptMax = 16u << 10;  // of memory, between two answers

void clear(ByteBuffer& buffer) {
  if (buffer.capacity() > kKeptMax) {
    buffer.release();
  } else {
    buffer.clear();
  }
}

}  // namespace

AuthorizerAnswer::State AuthorizerAnswer::take(std::string_view bytes, wire::ResponseHead& head) {
  if (bytes.empty()) return state_;
  begun_ = true;
  switch (state_) {
    case State::head:
      heads_.append(bytes);
      read_heads(head);
      break;
    case State::body:
      take_body(bytes);
      break;
    case State::whole:
      leftover_ = true;
      break;
    case State::broken:
      break;
  }
  return state_;
}

void AuthorizerAnswer::read_heads(wire::ResponseHead& head) {
  for (;;) {
    const wire::HeadResult result = wire::parse_response_head(heads_.view(), heads_seen_, kHeadMax, head);
    if (result.status == wire::HeadStatus::invalid) return fail(wire::describe(result.fault));
    if (result.status == wire::HeadStatus::need_more) {
      heads_seen_ = heads_.size();
      return;
    }
    if (head.status >= 200) {
      status_ = head.status;
      keep_alive_ = head.keep_alive;
      framing_ = wire::body_framing(head, wire::Method::get);
      remaining_ = head.content_length;
      impossible_body_ = wire::may_carry_forbidden_body(head, wire::Method::get);
      state_ = State::body;
      body_.reserve(1);  // an empty body has its padding too
      take_body(heads_.view().substr(result.size));
      return;
    }
    // RFC 9110 section 15.2: any number of them may come; but no switching of protocols, which nobody asked for.
    if (head.status == 101) return fail("it switched protocols");
    if (++interim_count_ > kInterimMax) return fail("too many interim responses");
    const size_t rest = heads_.size() - result.size;
    std::memmove(heads_.data(), heads_.data() + result.size, rest);
    heads_.truncate(rest);
    heads_seen_ = 0;
  }
}

void AuthorizerAnswer::take_body(std::string_view bytes) {
  switch (framing_) {
    case wire::BodyFraming::none:
      state_ = State::whole;
      leftover_ = !bytes.empty();
      return;
    case wire::BodyFraming::length: {
      const auto taken = static_cast<size_t>(std::min<uint64_t>(remaining_, bytes.size()));
      if (remaining_ > kBodyMax || !collect(bytes.substr(0, taken))) return fail("its answer is too large");
      remaining_ -= taken;
      if (remaining_ > 0) return;
      state_ = State::whole;
      leftover_ = taken < bytes.size();
      return;
    }
    case wire::BodyFraming::chunked:
      take_chunks(bytes);
      return;
    case wire::BodyFraming::until_close:
      keep_alive_ = false;
      if (!collect(bytes)) fail("its answer is too large");
      return;
  }
}

void AuthorizerAnswer::take_chunks(std::string_view bytes) {
  size_t offset = 0;
  for (;;) {
    const wire::ChunkDecoder::Piece piece = decoder_.next(bytes, offset);
    switch (piece.kind) {
      case wire::ChunkDecoder::Kind::data:
        if (!collect(piece.payload)) return fail("its answer is too large");
        continue;
      case wire::ChunkDecoder::Kind::end:
        state_ = State::whole;
        leftover_ = offset < bytes.size();
        return;
      case wire::ChunkDecoder::Kind::need_more:
        return;
      case wire::ChunkDecoder::Kind::invalid:
        return fail(wire::describe(piece.fault));
    }
  }
}

bool AuthorizerAnswer::collect(std::string_view bytes) {
  if (body_.size() + bytes.size() > kBodyMax) return false;
  body_.append(bytes);
  return true;
}

AuthorizerAnswer::State AuthorizerAnswer::end() {
  keep_alive_ = false;
  if (!begun_) {
    fail("it ended the connection without an answer");
  } else if (state_ == State::body && framing_ == wire::BodyFraming::until_close) {
    state_ = State::whole;
  } else if (state_ == State::head || state_ == State::body) {
    fail("its answer was cut");
  }
  return state_;
}

void AuthorizerAnswer::fail(std::string_view why) {
  state_ = State::broken;
  why_ = why;
}

void AuthorizerAnswer::reset() {
  state_ = State::head;
  begun_ = keep_alive_ = leftover_ = impossible_body_ = false;
  status_ = 0;
  interim_count_ = 0;
  remaining_ = 0;
  decoder_.reset();
  clear(heads_);
  heads_seen_ = 0;
  clear(body_);
  why_ = {};
}

}  // namespace weir::gateway
