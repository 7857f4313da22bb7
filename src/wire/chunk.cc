#include "wire/chunk.h"

#include <algorithm>

namespace weir::wire {
namespace {

constexpr uint32_t kSizeDigitsMax = 16;
// As for Content-Length: sums of offsets and sizes stay far from wrapping.
constexpr uint64_t kChunkSizeMax = (uint64_t{1} << 63) - 1;

// 0..15, or -1.
constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}
constexpr bool is_control(char c) {
  return (static_cast<uint8_t>(c) < 0x20 && c != '\t') || c == 0x7F;
}

}  // namespace

std::string_view describe(ChunkFault fault) {
  switch (fault) {
    case ChunkFault::none:
      return "no fault";
    case ChunkFault::bad_size:
      return "a chunk size line that is not hexadecimal digits with an optional extension";
    case ChunkFault::size_overflow:
      return "a chunk size over 16 digits or 2^63-1";
    case ChunkFault::bad_line_end:
      return "a line of the chunked coding that does not end with CRLF";
    case ChunkFault::line_too_long:
      return "a chunk size line over 4096 bytes";
    case ChunkFault::extensions_too_large:
      return "chunk extensions over 65536 bytes and more than the payload";
    case ChunkFault::trailers_too_large:
      return "trailers over 16384 bytes";
  }
  return "";
}

ChunkDecoder::Piece ChunkDecoder::next(std::string_view input, size_t& offset) {
  const size_t start = offset;
  // A piece can be relayed as it came if its coding begins here, not in an input before, and has no extension.
  bool is_verbatim = state_ == State::size && digits_ == 0;
  while (offset < input.size() && state_ != State::ended && state_ != State::failed) {
    if (state_ == State::payload) return take_payload(input, start, is_verbatim, offset);
    const ChunkFault fault = step(input[offset]);
    if (fault != ChunkFault::none) {
      state_ = State::failed;
      return {.kind = Kind::invalid, .payload = {}, .raw = {}, .fault = fault};
    }
    ++offset;
    if (state_ == State::extension) is_verbatim = false;
  }
  if (state_ == State::failed) return {.kind = Kind::invalid, .payload = {}, .raw = {}, .fault = ChunkFault::bad_size};
  if (state_ != State::ended) return {};
  const std::string_view raw = input.substr(start, offset - start);
  const bool is_plain_end = is_verbatim && raw == "0\r\n\r\n";
  return {.kind = Kind::end, .payload = {}, .raw = is_plain_end ? raw : std::string_view(), .fault = {}};
}

// The payload from `offset`, whose chunk may have begun at `start`.
ChunkDecoder::Piece ChunkDecoder::take_payload(std::string_view input, size_t start, bool is_verbatim, size_t& offset) {
  const size_t size = static_cast<size_t>(std::min<uint64_t>(remaining_, input.size() - offset));
  Piece piece{.kind = Kind::data, .payload = input.substr(offset, size), .raw = {}, .fault = {}};
  offset += size;
  remaining_ -= size;
  extension_room_ += size;
  if (remaining_ > 0) return piece;
  state_ = State::payload_cr;
  if (is_verbatim && input.substr(offset, 2) == "\r\n") {
    offset += 2;
    piece.raw = input.substr(start, offset - start);
    begin_chunk();
  }
  return piece;
}

void ChunkDecoder::begin_chunk() {
  state_ = State::size;
  remaining_ = 0;
  digits_ = 0;
  line_bytes_ = 0;
}

// One byte of the coding around the payloads.
ChunkFault ChunkDecoder::step(char c) {
  switch (state_) {
    case State::size:
      return size_digit(c);
    case State::extension:
      return extension_byte(c);
    case State::size_lf:
      return line_feed(c, remaining_ > 0 ? State::payload : State::trailer_line);
    case State::payload_cr:
      if (c != '\r') return ChunkFault::bad_line_end;
      state_ = State::payload_lf;
      return ChunkFault::none;
    case State::payload_lf:
      if (c != '\n') return ChunkFault::bad_line_end;
      begin_chunk();
      return ChunkFault::none;
    case State::trailer_line:
    case State::trailer:
      return trailer_byte(c);
    case State::trailer_lf:
      ++trailer_bytes_;
      return line_feed(c, State::trailer_line);
    case State::final_lf:
      return line_feed(c, State::ended);
    case State::payload:
    case State::ended:
    case State::failed:
      break;  // next() does not come here with these
  }
  return ChunkFault::none;
}

// Extensions cost the peer nothing and mean nothing here, so they may not be most of what comes.
ChunkFault ChunkDecoder::extension_byte(char c) {
  if (++line_bytes_ > kChunkLineMax) return ChunkFault::line_too_long;
  if (extension_room_-- == 0) return ChunkFault::extensions_too_large;
  if (c == '\r') {
    state_ = State::size_lf;
  } else if (c == '\n') {
    return ChunkFault::bad_line_end;
  } else if (is_control(c)) {
    return ChunkFault::bad_size;
  }
  return ChunkFault::none;
}

ChunkFault ChunkDecoder::size_digit(char c) {
  ++line_bytes_;
  if (const int digit = hex_value(c); digit >= 0) {
    if (++digits_ > kSizeDigitsMax || remaining_ > kChunkSizeMax / 16) return ChunkFault::size_overflow;
    remaining_ = remaining_ * 16 + static_cast<uint64_t>(digit);
    return ChunkFault::none;
  }
  if (digits_ == 0) return ChunkFault::bad_size;
  if (c == '\n') return ChunkFault::bad_line_end;
  // RFC 9112 section 7.1.1 allows white space before the semicolon only as a tolerance; no client needs it.
  if (c != '\r' && c != ';') return ChunkFault::bad_size;
  state_ = c == '\r' ? State::size_lf : State::extension;
  return ChunkFault::none;
}

ChunkFault ChunkDecoder::trailer_byte(char c) {
  if (++trailer_bytes_ > kTrailersMax) return ChunkFault::trailers_too_large;
  if (c == '\n') return ChunkFault::bad_line_end;
  if (c == '\r') {
    state_ = state_ == State::trailer_line ? State::final_lf : State::trailer_lf;
    return ChunkFault::none;
  }
  state_ = State::trailer;
  return ChunkFault::none;
}

ChunkFault ChunkDecoder::line_feed(char c, State next_state) {
  if (c != '\n') return ChunkFault::bad_line_end;
  state_ = next_state;
  return ChunkFault::none;
}

size_t write_chunk_line(uint64_t size, char* out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  size_t digits = 1;
  while (digits < kSizeDigitsMax && size >> (4 * digits) != 0) ++digits;
  for (size_t i = digits; i-- > 0; size >>= 4) out[i] = kDigits[size & 15];
  out[digits] = '\r';
  out[digits + 1] = '\n';
  return digits + 2;
}

}  // namespace weir::wire
