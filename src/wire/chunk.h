// The chunked coding (RFC 9112 section 7.1), decoded in place, byte by byte if it comes so. Pure; copies nothing.
//
// Strict: a chunk size is 1 to 16 hexadecimal digits (up to 2^63-1) without sign or white space; an extension is
// skipped (bounded to kChunkLineMax bytes with its line, and all of a body to its payload so far + kExtensionsMax);
// line ends are CRLF alone; trailers are skipped, bounded by kTrailersMax.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir::wire {

inline constexpr size_t kChunkLineMax = 4096;
inline constexpr size_t kTrailersMax = 16384;
inline constexpr size_t kExtensionsMax = 65536;

enum class ChunkFault : uint8_t {
  none,
  bad_size,
  size_overflow,
  bad_line_end,
  line_too_long,
  extensions_too_large,
  trailers_too_large
};
std::string_view describe(ChunkFault fault);

class ChunkDecoder {
 public:
  enum class Kind : uint8_t {
    data,       // `payload` (never empty) is body bytes
    end,        // the body has ended, trailers and final CRLF consumed; bytes after it are the next message's
    need_more,  // the input is used up
    invalid,    // `fault` says why; the decoder must not be used again
  };
  struct Piece {
    Kind kind = Kind::need_more;
    std::string_view payload;
    // The very bytes of the coding for this piece, if it can be relayed verbatim: for `data` a whole chunk (size line
    // without extension, payload, CRLF) that begins and ends within this input; for `end` exactly "0\r\n\r\n" within
    // this input. Otherwise empty.
    std::string_view raw;
    ChunkFault fault = ChunkFault::none;
  };

  // The next piece of `input` from `offset`, which is moved past what was consumed. Views point into `input`.
  Piece next(std::string_view input, size_t& offset);

  void reset() { *this = ChunkDecoder(); }
  bool ended() const { return state_ == State::ended; }

 private:
  enum class State : uint8_t {
    size,
    extension,
    size_lf,
    payload,
    payload_cr,
    payload_lf,
    trailer_line,
    trailer,
    trailer_lf,
    final_lf,
    ended,
    failed
  };
  Piece take_payload(std::string_view input, size_t start, bool is_verbatim, size_t& offset);
  void begin_chunk();
  ChunkFault step(char c);
  ChunkFault extension_byte(char c);
  ChunkFault size_digit(char c);
  ChunkFault trailer_byte(char c);
  ChunkFault line_feed(char c, State next_state);

  State state_ = State::size;
  uint64_t remaining_ = 0;
  uint64_t extension_room_ = kExtensionsMax;  // grows with the payload
  uint32_t digits_ = 0;
  uint32_t line_bytes_ = 0;
  uint32_t trailer_bytes_ = 0;
};

// Writes `size` in hexadecimal and CRLF to `out` (room for 18 bytes); the number of bytes written.
size_t write_chunk_line(uint64_t size, char* out);

}  // namespace weir::wire
