// What is read from a request body before it goes upstream (spec section 5). Pure, and never changes a byte: bytes in,
// facts out. One file for each API implements its part.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/byte_buffer.h"

namespace weir::reader {

enum class RequestApi : uint8_t { messages, chat_completions, responses };

enum class BodyStatus : uint8_t {
  ok,
  empty,          // 400
  invalid_json,   // 400; `error_offset`
  not_an_object,  // 400; `error_offset`
  unreadable,  // forwarded all the same, `error_type = unreadable`: an encoding that fails or bombs, nesting over 1,000
};

// Kept per worker and reused: the strings keep their memory. Views are into these strings, valid until the next read.
struct RequestFacts {
  BodyStatus status = BodyStatus::ok;
  size_t error_offset = 0;
  std::string error;  // "unexpected character", for the 400
  std::string model;
  bool streaming = false;
  bool has_prompt = false;
  std::string prompt;  // cut to 64 KiB at a code point
  bool prompt_truncated = false;
  uint64_t prompt_size = 0;  // before the cut, in bytes
  std::string correlating_tool_call_id;
  std::string metadata_session_id;  // Anthropic: from metadata.user_id
  std::string prompt_cache_key;
  // Chat with stream: true whose stream_options.include_usage is not true (spec sections 4 and 9): what to write where.
  bool insert_usage = false;
  size_t insert_offset = 0;  // in the body as it came
  size_t replaced_size = 0;  // so many of its bytes from there on give way
  std::string insert_text;

  void clear();
};

// One per worker: owns the scratch memory for decompression.
class RequestReader {
 public:
  RequestReader();
  ~RequestReader();
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  // `body` is the whole body. `content_encoding`: the header's value, empty for none; what it stands for is read up to
  // `decoded_max` bytes. A body over kReadAtOnceMax, or one that is encoded, is read in sliced work; if that is given
  // up, the facts mean nothing.
  void read(RequestApi api, const ByteBuffer& body, std::string_view content_encoding, RequestFacts& facts,
            size_t decoded_max = size_t{32} << 20);
  static constexpr size_t kReadAtOnceMax = size_t{64} * 1024;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::reader
