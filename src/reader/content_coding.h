// Undoes a Content-Encoding, for reading only: what is forwarded stays as it came. Incremental: bytes in, bytes out.
// A few bytes may stand for a hundred megabytes, so a whole body is decoded in sliced work (base/sliced_work.h).
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

// Beyond this a decoded request body may be kDecodedRatioMax times as large as what came (spec-2 section 9, "Bounds").
inline constexpr size_t kDecodedFree = size_t{1} << 20;
inline constexpr size_t kDecodedRatioMax = 100;

// What a step of decoding counts for in sliced work. Blocks and frames that hold nothing cost more than their bytes do.
constexpr size_t decoding_cost(size_t taken, size_t written) {
  return 64 + 8 * taken + written;
}

// Decodes a whole body. False if it is not of this coding, is cut short, or grows over `size_max` or the ratio.
bool decode_body(ContentDecoder& decoder, ContentCoding coding, std::string_view body, size_t size_max,
                 ByteBuffer& out);

}  // namespace weir::reader
