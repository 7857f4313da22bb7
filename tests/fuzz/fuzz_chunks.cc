// Any bytes as a body in the chunked coding. The first byte is the size of the pieces that they come in.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "wire/chunk.h"

namespace {

using namespace weir::wire;
using Kind = ChunkDecoder::Kind;

struct Decoded {
  std::string body;
  std::string relayed;  // raw pieces as they are, others framed anew
  Kind last = Kind::need_more;
  ChunkFault fault = ChunkFault::none;
  size_t used = 0;
};

void relay(const ChunkDecoder::Piece& piece, std::string& out) {
  if (!piece.raw.empty()) {
    out += piece.raw;
  } else if (piece.kind == Kind::end) {
    out += "0\r\n\r\n";
  } else if (piece.kind == Kind::data) {
    std::array<char, 18> line;
    out.append(line.data(), write_chunk_line(piece.payload.size(), line.data())).append(piece.payload).append("\r\n");
  }
}

Decoded decode(std::string_view bytes, size_t piece_size) {
  ChunkDecoder decoder;
  Decoded decoded;
  while (decoded.used < bytes.size() && decoded.last != Kind::end && decoded.last != Kind::invalid) {
    const std::string_view piece = bytes.substr(decoded.used, piece_size);
    size_t offset = 0;
    do {
      const size_t before = offset;
      const ChunkDecoder::Piece got = decoder.next(piece, offset);
      ASSERT(offset >= before && offset <= piece.size());
      ASSERT((got.kind == Kind::data) == !got.payload.empty());
      ASSERT((got.kind == Kind::invalid) == (got.fault != ChunkFault::none));
      ASSERT(got.kind != Kind::need_more || offset == piece.size());
      ASSERT((got.kind == Kind::end) == decoder.ended());
      decoded.body += got.payload;
      relay(got, decoded.relayed);
      decoded.last = got.kind;
      decoded.fault = got.fault;
    } while (decoded.last == Kind::data);
    decoded.used += offset;
  }
  return decoded;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Decoded whole = decode(bytes, std::max<size_t>(bytes.size(), 1));
  const Decoded pieces = decode(bytes, size_t{1} + data[0]);
  ASSERT(whole.body == pieces.body);
  ASSERT(whole.last == pieces.last);
  ASSERT(whole.fault == pieces.fault);
  ASSERT(whole.used == pieces.used);
  if (whole.last != Kind::end) return 0;
  for (const Decoded& decoded : {whole, pieces}) {
    const Decoded again = decode(decoded.relayed, decoded.relayed.size());
    ASSERT(again.last == Kind::end && again.body == whole.body && again.used == decoded.relayed.size());
  }
  return 0;
}
