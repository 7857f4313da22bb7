#include "wire/chunk.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>

#include "support/malformed_requests.h"
#include "support/random.h"
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

TEST_CASE("chunk: sound codings") {
  CHECK(decode("0\r\n\r\n").last == Kind::end);
  CHECK(decode("0000000000000000\r\n\r\n").last == Kind::end);
  CHECK(decode("0;a=b\r\n\r\n").last == Kind::end);
  CHECK(decode("0\r\nA: b\r\n\r\n").last == Kind::end);
  CHECK(decode("a\r\n0123456789\r\n0\r\n\r\n").body == "0123456789");
  CHECK(decode("A\r\n0123456789\r\n0\r\n\r\n").body == "0123456789");
  CHECK(decode("000000000000000a\r\n0123456789\r\n0\r\n\r\n").body == "0123456789");
  CHECK(decode("2\r\n\r\n\r\n0\r\n\r\n").body == "\r\n");
  CHECK(decode("5\r\n0\r\n\r\n\r\n0\r\n\r\n").body == "0\r\n\r\n");
  CHECK(decode("1;\r\nx\r\n0\r\n\r\n").body == "x");
  CHECK(decode("1; a=\"\t;\xC3\xA9\"\r\nx\r\n0\r\n\r\n").body == "x");
  CHECK(decode("1\r\nx\r\n0\r\n: odd\r\n\r\n").body == "x");
}

TEST_CASE("chunk: every malformed coding is refused for its fault, in any delivery") {
  for (const weir::test::MalformedChunks& chunks : weir::test::malformed_chunks()) {
    CAPTURE(chunks.name);
    CHECK(decode(chunks.bytes).fault == chunks.fault);
    if (chunks.bytes.size() > 200) continue;
    weir::test::for_each_delivery(chunks.bytes, [&](weir::test::Pieces& pieces) {
      ChunkDecoder decoder;
      Decoded decoded;
      pieces.each([&](std::string_view piece) { feed(decoder, piece, decoded); });
      REQUIRE(decoded.last == Kind::invalid);
      REQUIRE(decoded.fault == chunks.fault);
      REQUIRE_FALSE(decoder.ended());
    });
  }
}

TEST_CASE("chunk: every fault has a malformed coding and a sentence") {
  std::set<ChunkFault> seen;
  for (const weir::test::MalformedChunks& chunks : weir::test::malformed_chunks()) seen.insert(chunks.fault);
  CHECK(seen.size() == static_cast<size_t>(ChunkFault::trailers_too_large));
  for (const ChunkFault fault : seen) CHECK_FALSE(describe(fault).empty());
}

TEST_CASE("chunk: a coding that is cut needs more at every place") {
  const std::string_view bytes = "5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n";
  for (size_t size = 0; size < bytes.size(); ++size) {
    const Kind last = decode(bytes.substr(0, size)).last;
    CHECK((last == Kind::need_more || last == Kind::data));
  }
}

TEST_CASE("chunk: a line of exactly kChunkLineMax and trailers of exactly kTrailersMax are taken") {
  const std::string extension = "1;" + std::string(kChunkLineMax - 3, 'a');
  CHECK(decode(extension + "\r\nx\r\n0\r\n\r\n").last == Kind::end);
  CHECK(decode(extension + "a\r\nx\r\n0\r\n\r\n").fault == ChunkFault::line_too_long);
  // With the CRLF of their own lines and the CR of the final one.
  const std::string trailer = "A:" + std::string(kTrailersMax - 5, 'b');
  CHECK(decode("0\r\n" + trailer + "\r\n\r\n").last == Kind::end);
  CHECK(decode("0\r\n" + trailer + "b\r\n\r\n").fault == ChunkFault::trailers_too_large);
}

TEST_CASE("chunk: extensions may be as much as the payload and kExtensionsMax, and no more") {
  const auto with_extensions = [](size_t count, size_t payload) {
    std::string bytes;
    for (size_t i = 0; i < count; ++i) {
      bytes += fmt::format("{:x};", payload) + std::string(1023, 'a') + "\r\n" + std::string(payload, 'x') + "\r\n";
    }
    return bytes + "0\r\n\r\n";
  };
  // The CR counts too: 1024 for each.
  CHECK(decode(with_extensions(64, 1)).last == Kind::end);
  CHECK(decode(with_extensions(66, 1)).fault == ChunkFault::extensions_too_large);
  CHECK(decode(with_extensions(300, 1024)).last == Kind::end);
}

TEST_CASE("chunk: a line's bound begins anew with each chunk") {
  std::string bytes;
  for (int i = 0; i < 3; ++i) bytes += "1;" + std::string(kChunkLineMax - 10, 'a') + "\r\nx\r\n";
  CHECK(decode(bytes + "0\r\n\r\n").body == "xxx");
}

TEST_CASE("chunk: whole chunks and a plain end can be relayed as they came") {
  const std::string_view bytes = "5\r\nhello\r\n006\r\nworld!\r\n0\r\n\r\nNEXT";
  ChunkDecoder decoder;
  size_t offset = 0;
  CHECK(decoder.next(bytes, offset).raw == "5\r\nhello\r\n");
  CHECK(decoder.next(bytes, offset).raw == "006\r\nworld!\r\n");
  CHECK(decoder.next(bytes, offset).raw == "0\r\n\r\n");
  CHECK(offset == bytes.size() - 4);
  CHECK(decoder.next(bytes, offset).kind == Kind::end);
  CHECK(offset == bytes.size() - 4);
}

TEST_CASE("chunk: what is extended, trailed or cut cannot be relayed as it came") {
  const auto raw_of_first = [](std::string_view bytes) {
    ChunkDecoder decoder;
    size_t offset = 0;
    const ChunkDecoder::Piece piece = decoder.next(bytes, offset);
    REQUIRE((piece.kind == Kind::data || piece.kind == Kind::end));
    return piece.raw;
  };
  CHECK(raw_of_first("5;a\r\nhello\r\n").empty());
  CHECK(raw_of_first("5\r\nhell").empty());
  CHECK(raw_of_first("5\r\nhello").empty());
  CHECK(raw_of_first("5\r\nhello\r").empty());
  CHECK(raw_of_first("5\r\nhelloXX").empty());
  CHECK(raw_of_first("00\r\n\r\n").empty());
  CHECK(raw_of_first("0;a\r\n\r\n").empty());
  CHECK(raw_of_first("0\r\nA: b\r\n\r\n").empty());
}

TEST_CASE("chunk: raw pieces and payloads are the same body at every split") {
  const std::string_view bytes = "5\r\nhello\r\n1;e\r\n \r\n6\r\nworld!\r\n0\r\n\r\n";
  weir::test::for_each_delivery(bytes, [&](weir::test::Pieces& pieces) {
    ChunkDecoder decoder;
    // What a relay sends: raw where it may, its own framing elsewhere.
    std::string relayed;
    pieces.each([&](std::string_view piece) {
      for (size_t offset = 0; !decoder.ended();) {
        const ChunkDecoder::Piece got = decoder.next(piece, offset);
        REQUIRE(got.kind != Kind::invalid);
        if (got.kind == Kind::need_more) break;
        std::array<char, 18> line;
        if (!got.raw.empty()) {
          relayed += got.raw;
        } else if (got.kind == Kind::end) {
          relayed += "0\r\n\r\n";
        } else {
          relayed.append(line.data(), write_chunk_line(got.payload.size(), line.data())).append(got.payload);
          relayed += "\r\n";
        }
      }
    });
    CHECK(decode(relayed).body == "hello world!");
    CHECK(decode(relayed).last == Kind::end);
    CHECK(decode(relayed).used == relayed.size());
  });
}

TEST_CASE("chunk: a used decoder starts anew after reset") {
  ChunkDecoder decoder;
  size_t offset = 0;
  CHECK(decoder.next("0\r\n\r\n", offset).kind == Kind::end);
  decoder.reset();
  offset = 0;
  CHECK_FALSE(decoder.ended());
  CHECK(decoder.next("1\r\nx\r\n", offset).payload == "x");
}

TEST_CASE("chunk: random codings come back from random pieces") {
  weir::test::Random random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string body;
    std::string coding;
    for (size_t count = random.below(6); count > 0; --count) {
      const std::string payload = random.bytes(1 + random.below(random.one_in(5) ? 3000 : 20));
      body += payload;
      coding += fmt::format("{:x}{}\r\n", payload.size(), random.one_in(3) ? ";ext" : "") + payload + "\r\n";
    }
    coding += random.one_in(3) ? "0\r\nA: b\r\n\r\n" : "0\r\n\r\n";
    ChunkDecoder decoder;
    Decoded decoded;
    for (size_t at = 0; at < coding.size();) {
      const size_t size = std::min(coding.size() - at, 1 + random.below(50));
      feed(decoder, std::string_view(coding).substr(at, size), decoded);
      at += size;
    }
    REQUIRE(decoded.body == body);
    REQUIRE(decoded.last == Kind::end);
    REQUIRE(decoded.used == coding.size());
  }
}

TEST_CASE("chunk: write_chunk_line is what the decoder reads") {
  std::array<char, 18> line;
  CHECK(std::string_view(line.data(), write_chunk_line(0, line.data())) == "0\r\n");
  CHECK(std::string_view(line.data(), write_chunk_line(0x1a2B, line.data())) == "1a2b\r\n");
  CHECK(std::string_view(line.data(), write_chunk_line(UINT64_MAX, line.data())) == "ffffffffffffffff\r\n");
  for (const uint64_t size : {1u, 15u, 16u, 255u, 256u, 65536u}) {
    const std::string text(line.data(), write_chunk_line(size, line.data()));
    CHECK(text == fmt::format("{:x}\r\n", size));
  }
}

}  // namespace
