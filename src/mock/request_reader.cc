#include "mock/request_reader.h"

#include <algorithm>

namespace weir::mock {

void RequestReader::feed(std::string_view bytes) {
  if (state_ == State::length && offset_ == input_.size()) {  // large bodies: straight to their place
    const size_t size = std::min<uint64_t>(bytes.size(), missing_);
    body_.append(bytes.substr(0, size));
    missing_ -= size;
    bytes.remove_prefix(size);
  }
  input_.append(bytes);
}

void RequestReader::consume(size_t size) {
  offset_ += size;
  if (offset_ == input_.size()) {
    input_.clear();
    offset_ = 0;
  }
}

RequestReader::Status RequestReader::fail(std::string_view why) {
  state_ = State::failed;
  fault_ = why;
  return Status::invalid;
}

RequestReader::Status RequestReader::advance() {
  switch (state_) {
    case State::head:
      return advance_head();
    case State::length:
      return advance_length();
    case State::chunked:
      return advance_chunked();
    case State::failed:
      break;
  }
  return Status::invalid;
}

RequestReader::Status RequestReader::advance_head() {
  if (rest().empty()) return Status::need_more;
  const wire::HeadResult parsed = wire::parse_request_head(rest(), seen_, kHeadMax, head_);
  seen_ = rest().size();
  if (parsed.status == wire::HeadStatus::need_more) return Status::need_more;
  if (parsed.status == wire::HeadStatus::invalid) return fail(wire::describe(parsed.fault));
  seen_ = 0;
  // The bytes stay where they are until the next feed(), so head_'s views do too; only the place moves on.
  offset_ += parsed.size;
  body_.clear();
  chunks_.reset();
  keep_alive_ = head_.keep_alive;
  missing_ = head_.framing == wire::BodyFraming::length ? head_.content_length : 0;
  if (missing_ > kBodyMax) return fail("the body is too large for the mock provider");
  state_ = head_.framing == wire::BodyFraming::chunked ? State::chunked : State::length;
  body_.reserve(missing_ + 1);
  return Status::head;
}

RequestReader::Status RequestReader::advance_length() {
  const std::string_view piece = rest().substr(0, missing_);
  body_.append(piece);
  missing_ -= piece.size();
  consume(piece.size());
  if (missing_ > 0) return Status::need_more;
  state_ = State::head;
  return Status::complete;
}

RequestReader::Status RequestReader::advance_chunked() {
  const std::string_view bytes = rest();
  size_t at = 0;
  for (;;) {
    const wire::ChunkDecoder::Piece piece = chunks_.next(bytes, at);
    switch (piece.kind) {
      case wire::ChunkDecoder::Kind::data:
        if (body_.size() + piece.payload.size() > kBodyMax) return fail("the body is too large for the mock provider");
        body_.append(piece.payload);
        continue;
      case wire::ChunkDecoder::Kind::end:
        consume(at);
        state_ = State::head;
        return Status::complete;
      case wire::ChunkDecoder::Kind::need_more:
        consume(at);
        return Status::need_more;
      case wire::ChunkDecoder::Kind::invalid:
        return fail(wire::describe(piece.fault));
    }
  }
}

}  // namespace weir::mock
