// HTTP/1.1 requests out of a stream of bytes, one at a time: heads by wire/, bodies collected whole. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/byte_buffer.h"
#include "wire/chunk.h"
#include "wire/head.h"

namespace weir::mock {

inline constexpr size_t kHeadMax = 256 << 10;
inline constexpr size_t kBodyMax = 256 << 20;

class RequestReader {
 public:
  enum class Status : uint8_t {
    need_more,
    head,      // head() is valid until the next call of feed() or advance()
    complete,  // body() is, until the next head
    invalid,   // not HTTP, or too large: fault() says what
  };

  void feed(std::string_view bytes);
  // What comes next; `complete` only once, then the next request's head.
  Status advance();

  const wire::RequestHead& head() const { return head_; }
  // 64 readable bytes follow it.
  std::string_view body() const { return {body_.data(), body_.size()}; }
  std::string_view fault() const { return fault_; }
  size_t buffered() const { return input_.size() - offset_; }
  bool keep_alive() const { return keep_alive_; }

 private:
  enum class State : uint8_t { head, length, chunked, failed };
  Status advance_head();
  Status advance_length();
  Status advance_chunked();
  Status fail(std::string_view why);
  std::string_view rest() const { return input_.view().substr(offset_); }
  void consume(size_t size);

  State state_ = State::head;
  ByteBuffer input_, body_;
  size_t offset_ = 0;  // of input_: consumed
  size_t seen_ = 0;    // of rest(): looked at by a parse before
  uint64_t missing_ = 0;
  bool keep_alive_ = true;
  wire::ChunkDecoder chunks_;
  wire::RequestHead head_;
  std::string_view fault_;
};

}  // namespace weir::mock
