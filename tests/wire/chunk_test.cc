#include "wire/chunk.h"

#include <doctest/doctest.h>

#include <array>
#include <string>

#include "support/splits.h"

namespace {

using namespace weir::wire;
using Kind = ChunkDecoder::Kind;

struct Decoded {
  std::string body;
  Kind last = Kind::need_more;
  ChunkFault fault = ChunkFault::none;
  size_t used = 0;  // bytes of the coding consumed
};

void feed(ChunkDecoder& decoder, std::string_view piece, Decoded& decoded) {
  size_t offset = 0;
  while (decoded.last == Kind::need_more || decoded.last == Kind::data) {
    const ChunkDecoder::Piece got = decoder.next(piece, offset);
    decoded.last = got.kind;
    decoded.fault = got.fault;
    decoded.body += got.payload;
    REQUIRE((got.kind == Kind::data) == !got.payload.empty());
    if (got.kind == Kind::need_more) {
      REQUIRE(offset == piece.size());
      break;
    }
  }
  decoded.used += offset;
}

Decoded decode(std::string_view bytes) {
  ChunkDecoder decoder;
  Decoded decoded;
  feed(decoder, bytes, decoded);
  return decoded;
}

TEST_CASE("chunk: a body in any delivery is the same") {
  const std::string_view bytes =
      "5\r\nhello\r\n1;ext=\"a b\"\r\n \r\n006\r\nworld!\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\nNEXT";
  weir::test::for_each_delivery(bytes, [&](weir::test::Pieces& pieces) {
    ChunkDecoder decoder;
    Decoded decoded;
    pieces.each([&](std::string_view piece) { feed(decoder, piece, decoded); });
    CHECK(decoded.body == "hello world!");
    CHECK(decoded.last == Kind::end);
    CHECK(decoder.ended());
    CHECK(decoded.used == bytes.size() - 4);
  });
}

TEST_CASE("chunk: a whole chunk and a plain end can be relayed as they came") {
  const std::string_view bytes = "5\r\nhello\r\n0\r\n\r\n";
  ChunkDecoder decoder;
  size_t offset = 0;
  CHECK(decoder.next(bytes, offset).raw == "5\r\nhello\r\n");
  CHECK(decoder.next(bytes, offset).raw == "0\r\n\r\n");
  CHECK(offset == bytes.size());
}

TEST_CASE("chunk: sizes that are not 1 to 16 hexadecimal digits are refused") {
  CHECK(decode("\r\n").fault == ChunkFault::bad_size);
  CHECK(decode("-1\r\n").fault == ChunkFault::bad_size);
  CHECK(decode("5 \r\nhello\r\n").fault == ChunkFault::bad_size);
  CHECK(decode("00000000000000005\r\nhello\r\n").fault == ChunkFault::size_overflow);
}

TEST_CASE("chunk: write_chunk_line is what the decoder reads") {
  std::array<char, 18> line;
  CHECK(std::string_view(line.data(), write_chunk_line(0, line.data())) == "0\r\n");
  CHECK(std::string_view(line.data(), write_chunk_line(0x1a2B, line.data())) == "1a2b\r\n");
  CHECK(std::string_view(line.data(), write_chunk_line(UINT64_MAX, line.data())) == "ffffffffffffffff\r\n");
}

}  // namespace
