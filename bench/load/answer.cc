#include "load/answer.h"

#include <charconv>

#include "record/crc32c.h"

namespace weir::load {

namespace {

constexpr size_t kHeadMax = 65536;

}  // namespace

void AnswerReader::reset() {
  head_.clear();
  head_done_ = done_ = ends_line_ = false;
  keep_alive_ = true;
  chunks_.reset();
  body_size_ = events_ = 0;
  body_hash_ = 0;
  status_ = 0;
  times_ = {};
}

AnswerReader::Status AnswerReader::take_head(std::string_view& bytes, uint64_t now_ns) {
  const size_t before = head_.size();
  if (before > 0) head_.append(bytes);
  const std::string_view all = before > 0 ? std::string_view(head_) : bytes;
  wire::ResponseHead head;
  const wire::HeadResult result = wire::parse_response_head(all, 0, kHeadMax, head);
  if (result.status == wire::HeadStatus::invalid) return Status::invalid;
  if (result.status == wire::HeadStatus::need_more) {
    if (before == 0) head_ = bytes;
    return Status::need_more;
  }
  bytes = all.substr(result.size);                // of head_ or of the caller's bytes: both live until feed() returns
  if (head.status < 200) return Status::invalid;  // the mock sends no interim answers unless it is asked to
  status_ = head.status;
  keep_alive_ = head.keep_alive;
  framing_ = wire::body_framing(head, wire::Method::post);
  left_ = framing_ == wire::BodyFraming::length ? head.content_length : 0;
  done_ = framing_ == wire::BodyFraming::none || (framing_ == wire::BodyFraming::length && left_ == 0);
  times_.head_ns = now_ns;
  head_done_ = true;
  return Status::need_more;
}

AnswerReader::Status AnswerReader::next_part(std::string_view& bytes, std::string_view& part) {
  if (framing_ == wire::BodyFraming::chunked) {
    size_t offset = 0;
    const wire::ChunkDecoder::Piece piece = chunks_.next(bytes, offset);
    bytes.remove_prefix(offset);
    if (piece.kind == wire::ChunkDecoder::Kind::invalid) return Status::invalid;
    done_ = piece.kind == wire::ChunkDecoder::Kind::end;
    part = piece.payload;
    return Status::need_more;
  }
  part = framing_ == wire::BodyFraming::length ? bytes.substr(0, left_) : bytes;
  bytes.remove_prefix(part.size());
  if (framing_ == wire::BodyFraming::length) {
    left_ -= part.size();
    done_ = left_ == 0;
  }
  return Status::need_more;
}

void AnswerReader::hash(std::string_view part) {
  body_size_ += part.size();
  body_hash_ = record::crc32c(body_hash_, part.data(), part.size());
}

uint64_t AnswerReader::stamp_of(std::string_view event) {
  const size_t at = event.rfind('@');
  uint64_t stamp = 0;
  if (at == std::string_view::npos || event.size() - at < 17) return 0;
  const char* const first = event.data() + at + 1;
  const auto [end, error] = std::from_chars(first, first + 16, stamp, 16);
  return error == std::errc() && end == first + 16 ? stamp : 0;
}

}  // namespace weir::load
