// One answer of the authorizer's service, read from the bytes of its connection as they come. Pure.
//
// Strict, because what is taken for the answer decides who a user is: interim responses are skipped (a bounded number
// of them), a body is collected up to a bound, and a connection on which anything else came may not bear the next
// question: what is left on it would be taken for the next user's verdict.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/byte_buffer.h"
#include "wire/chunk.h"
#include "wire/head.h"

namespace weir::gateway {

class AuthorizerAnswer {
 public:
  static constexpr size_t kHeadMax = 64u << 10;
  static constexpr size_t kBodyMax = 256u << 10;  // more than that is no answer about one user
  static constexpr uint32_t kInterimMax = 8;

  enum class State : uint8_t {
    head,    // of the answer, or of an interim response before it
    body,    // a part of the body is missing
    whole,   // status() and body() are the answer's
    broken,  // why() tells
  };

  // Copies what it needs of `bytes`. `head`: room for parsing; nothing of it is kept.
  State take(std::string_view bytes, wire::ResponseHead& head);
  // The service has ended the connection, in order.
  State end();
  // For the next answer; keeps memory up to a bound.
  void reset();

  State state() const { return state_; }
  bool begun() const { return begun_; }  // a byte has come
  uint16_t status() const { return status_; }
  // With ByteBuffer::kPadding readable bytes after it. Valid until reset().
  std::string_view body() const { return body_.view(); }
  std::string_view why() const { return why_; }
  // Of a whole answer: bytes came behind it that nobody has asked for.
  bool leftover() const { return leftover_; }
  // Of a whole answer: the connection may bear the next question, as far as this answer tells.
  bool reusable() const { return keep_alive_ && !leftover_ && !impossible_body_; }

 private:
  void read_heads(wire::ResponseHead& head);
  void take_body(std::string_view bytes);
  void take_chunks(std::string_view bytes);
  bool collect(std::string_view bytes);
  void fail(std::string_view why);

  State state_ = State::head;
  bool begun_ = false;
  bool keep_alive_ = false;
  bool leftover_ = false;
  bool impossible_body_ = false;  // one is declared where none can be (204, 304): who knows what follows
  uint16_t status_ = 0;
  uint32_t interim_count_ = 0;
  wire::BodyFraming framing_ = wire::BodyFraming::none;
  uint64_t remaining_ = 0;
  wire::ChunkDecoder decoder_;
  ByteBuffer heads_;
  size_t heads_seen_ = 0;
  ByteBuffer body_;
  std::string_view why_;  // static text
};

}  // namespace weir::gateway
