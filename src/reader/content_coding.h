// Undoes a Content-Encoding, for reading only: what is forwarded stays as it came. Incremental: bytes in, bytes out.
// The caller bounds the output; the memory of the decoders themselves is bounded by the window that they allow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/byte_buffer.h"

namespace weir::reader {

enum class ContentCoding : uint8_t { identity, gzip, zstd, brotli, unknown };

// The value of a Content-Encoding header: "gzip" (or "x-gzip"), "zstd", "br", "identity" or nothing. A list of more
// than one coding is `unknown`.
ContentCoding content_coding_of(std::string_view header_value);

class ContentDecoder {
 public:
  ContentDecoder();
  ~ContentDecoder();
  ContentDecoder(const ContentDecoder&) = delete;
  ContentDecoder& operator=(const ContentDecoder&) = delete;

  // REQUIRES: a coding that is neither `identity` nor `unknown`.
  void begin(ContentCoding coding);
  // Takes input from its front and writes at most `room` bytes to `out`. False if the input is not of this coding. The
  // input is used up, and nothing is held back, when less than `room` was written and `input` is empty.
  bool step(std::string_view& input, char* out, size_t room, size_t& written);
  // Whether what was read so far is whole.
  bool at_end() const;
  // Frees what a stream needed. Called between bodies, since compressed ones are rare.
  void end();
  size_t memory() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Decodes a whole body. False if it is not of this coding, is cut short, or grows over what is allowed: 8 MiB and 256
// times its size, but never over 64 MiB.
bool decode_body(ContentDecoder& decoder, ContentCoding coding, std::string_view body, ByteBuffer& out);

}  // namespace weir::reader
