// The answer: its head, the relay of its body, its end or its break.
#include <algorithm>
#include <array>
#include <utility>

#include "gateway/hide.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/worker.h"
#include "reader/content_coding.h"

namespace weir::proxy {

namespace {

constexpr std::string_view kLastChunk = "0\r\n\r\n";
// Header, nonce and tag of TLS 1.2 with AES-GCM, the longest that we speak. With it the end of the framing is still
// shorter than the shortest last event in a chunk.
constexpr uint64_t kTlsRecordOverheadMax = 29;
constexpr std::string_view kLineEnd = "\r\n";
// An answer's head: providers send some 2 KB.
constexpr size_t kAnswerHeadMax = 64u << 10;
// Interim answers (100, 103) of one request: some providers send one.
constexpr uint32_t kInterimMax = 32;

bool is_event_stream(const wire::ResponseHead& head) {
  const wire::Header* type = head.find(wire::HeaderName::content_type);
  constexpr std::string_view kStream = "text/event-stream";
  if (type == nullptr || type->value.size() < kStream.size()) return false;
  if (!wire::equals_ignoring_case(type->value.substr(0, kStream.size()), kStream)) return false;
  const std::string_view rest = type->value.substr(kStream.size());
  return rest.empty() || rest.front() == ';' || rest.front() == ' ' || rest.front() == '\t';
}

void count_answer(WorkerCounters& counters, uint16_t status) {
  Counter* const classes[] = {&counters.answers_1xx, &counters.answers_2xx, &counters.answers_3xx,
                              &counters.answers_4xx, &counters.answers_5xx};
  const size_t index = status / 100u - 1;
  if (index < std::size(classes)) classes[index]->add();
}

}  // namespace

void Exchange::on_upstream_data(const Piece& piece) {
  if (!answer_byte_seen_) {
    answer_byte_seen_ = true;
    // The request can no longer be sent again: its memory is free, unless some of it is still on its way.
    BufferPool& buffers = worker_->buffers();
    buffers.release(std::exchange(body_, kNoBufferId));
    // The head of a bridged one stays: what the provider says about it must not show the credential in it.
    if (kind_ != gateway::RouteKind::bridged) buffers.release(std::exchange(upstream_head_, kNoBufferId));
  }
  switch (state_) {
    case State::sending:
      on_answer_head(piece);
      break;
    case State::relaying:
      upstream_->set_deadline(worker_->now_ns() + worker_->timeouts().stream);
      relay(piece);
      break;
    case State::catching_up:
      answer_keep_alive_ = false;  // nobody asked for more
      worker_->buffers().release(piece.buffer);
      return;
    case State::idle:
    case State::head:
    case State::authorizing:
    case State::body:
    case State::reading:
    case State::acquiring:
    case State::finishing:
    case State::over:
      worker_->buffers().release(piece.buffer);
      return;
  }
  if (state_ == State::relaying) throttle();
  worker_->flush_later(*downstream_);
}

// --- the head ---

void Exchange::on_answer_head(const Piece& piece) {
  BufferPool& buffers = worker_->buffers();
  Piece whole = piece;
  if (answer_head_ != kNoBufferId) {
    ByteBuffer& kept = buffers.block(answer_head_);
    kept.append(piece.bytes);
    buffers.release(piece.buffer);
    whole = {kept.view(), std::exchange(answer_head_, kNoBufferId)};
  }
  while (state_ == State::sending) {
    wire::ResponseHead& head = worker_->response_head();
    const wire::HeadResult result =
        wire::parse_response_head(whole.bytes, std::min(answer_head_seen_, whole.bytes.size()), kAnswerHeadMax, head);
    if (result.status == wire::HeadStatus::invalid) {
      buffers.release(whole.buffer);
      let_upstream_go(false);
      no_answer(gateway::Refusal::upstream_bad_answer, wire::describe(result.fault), record::ErrorType::network);
      return;
    }
    if (result.status == wire::HeadStatus::need_more) {
      keep_answer_head(whole);
      return;
    }
    answer_head_seen_ = 0;
    count_answer(worker_->count(), head.status);
    whole.bytes.remove_prefix(result.size);
    if (head.status >= 200) {
      start_answer(head, !whole.bytes.empty());
    } else if (++interim_count_ > kInterimMax) {
      buffers.release(whole.buffer);
      let_upstream_go(false);
      no_answer(gateway::Refusal::upstream_bad_answer, "too many interim answers", record::ErrorType::network);
      return;
    } else if (head.status == 101) {
      buffers.release(whole.buffer);
      let_upstream_go(false);
      no_answer(gateway::Refusal::upstream_bad_answer, "it changed to another protocol", record::ErrorType::network);
      return;
    } else if (head.status != 100 && !http_1_0_) {  // 100 answers nobody: the body was sent without waiting
      queue_head(head, gateway::AnswerFraming::as_is);
    }
  }
  if (state_ == State::relaying && !whole.bytes.empty()) {
    relay(whole);
  } else {
    buffers.release(whole.buffer);
  }
}

// The part of a head that has come waits in a block; a receive buffer must not wait.
void Exchange::keep_answer_head(const Piece& piece) {
  BufferPool& buffers = worker_->buffers();
  answer_head_seen_ = piece.bytes.size();
  if (piece.bytes.empty()) {
    buffers.release(piece.buffer);
    return;
  }
  answer_head_ = buffers.acquire(piece.bytes.size());
  buffers.block(answer_head_).append(piece.bytes);
  buffers.release(piece.buffer);
}

void Exchange::queue_head(const wire::ResponseHead& head, gateway::AnswerFraming framing) {
  BufferPool& buffers = worker_->buffers();
  const BufferId id = buffers.acquire(4096);
  const bool bridged = kind_ == gateway::RouteKind::bridged;
  const bool final = head.status >= 200;
  // A 204 has no length (RFC 9110 section 8.6). A 205 needs one: for most clients only that tells that nothing follows.
  const bool has_length =
      head.status == 205 || (head.status != 204 && head.find(wire::HeaderName::content_length) != nullptr);
  gateway::RuleValues values;
  values.initiator_id = identity_.initiator_id();
  values.username = identity_.username();
  values.interception_id = {id_text_.data(), id_text_.size()};
  values.request_id = request_id_.empty() ? values.interception_id : request_id_.view();
  values.client_index = client_index_;
  if (!policy_->config.rules.empty()) values.client_address = downstream_->client_address();
  gateway::write_response_head(*program_, values,
                               {.head = &head,
                                .framing = framing,
                                .content_length = head.status == 205 ? 0 : head.content_length,
                                .write_content_length = final && has_length && framing == gateway::AnswerFraming::as_is,
                                .close = final && downstream_->must_close(),
                                .http_1_0 = http_1_0_,
                                .interception_id = bridged && final ? values.interception_id : std::string_view()},
                               buffers.block(id));
  downstream_->stream().queue_block(id);
}

void Exchange::start_answer(const wire::ResponseHead& head, bool more_follows) {
  state_ = State::relaying;
  upstream_status_ = head.status;
  if (const wire::Header* id = head.find(wire::HeaderName::request_id); id != nullptr) {
    upstream_request_id_.set(id->value);
  } else if (const wire::Header* other = head.find(wire::HeaderName::x_request_id); other != nullptr) {
    upstream_request_id_.set(other->value);
  }
  answer_keep_alive_ = head.keep_alive;
  if (wire::may_carry_forbidden_body(head, method_)) {
    answer_keep_alive_ = false;
    worker_->count().upstreams_closed_body.add();
  }
  answer_framing_ = wire::body_framing(head, method_);
  answer_remaining_ = answer_framing_ == wire::BodyFraming::length ? head.content_length : 0;
  const bool empty = answer_framing_ == wire::BodyFraming::none ||
                     (answer_framing_ == wire::BodyFraming::length && answer_remaining_ == 0);
  // What has no body is no stream, whatever its type: nothing can be added to it.
  stream_ = answer_framing_ != wire::BodyFraming::none && is_event_stream(head);
  const std::string_view encoding = content_encoding_of(head);
  encoded_ = reader::content_coding_of(encoding) != reader::ContentCoding::identity;
  set_up_reading(head, encoding);
  withhold_ = withhold_ && !empty;

  // A stream is always framed so that it can be ended with an error event: its length, if it has one, is not promised.
  // One that announces to be empty stays so.
  const bool reframed = answer_framing_ == wire::BodyFraming::chunked ||
                        answer_framing_ == wire::BodyFraming::until_close ||
                        (answer_framing_ == wire::BodyFraming::length && !empty && (stream_ || withhold_));
  out_framing_ = !reframed   ? gateway::AnswerFraming::as_is
                 : http_1_0_ ? gateway::AnswerFraming::close
                             : gateway::AnswerFraming::chunked;
  const bool close = !keep_alive_ || out_framing_ == gateway::AnswerFraming::close || worker_->draining();
  downstream_->answer_queued(close);
  queue_head(head, out_framing_);
  upstream_->set_deadline(worker_->now_ns() + worker_->timeouts().stream);
  if (!empty) return;
  if (more_follows) on_unasked_bytes();
  answer_ended();
}

// It says more than it has announced, and nobody has asked for that: it would be the front of the next answer.
void Exchange::on_unasked_bytes() {
  if (!std::exchange(answer_keep_alive_, false)) return;
  worker_->count().upstreams_closed_unasked.add();
}

void Exchange::set_up_reading(const wire::ResponseHead& head, std::string_view encoding) {
  if (kind_ != gateway::RouteKind::bridged || answer_framing_ == wire::BodyFraming::none) return;
  if (!reader_) reader_ = std::make_unique<reader::AnswerReader>();
  reader_->reset({.api = reader_api(api_),
                  .stream = stream_,
                  .status = head.status,
                  .content_encoding = encoding,
                  .want_tools = provider_->record.tools != gateway::Recording::off,
                  .want_thoughts = provider_->record.thoughts != gateway::Recording::off,
                  .budget = &worker_->event_memory()});
  reading_ = true;
  // What was asked for in the client's name is taken out again; only a stream of events has such a chunk.
  withhold_ = withhold_ && stream_ && !encoded_;
  if (withhold_) withholder_.reset(&worker_->event_memory());
}

// --- the body ---

void Exchange::relay(const Piece& piece) {
  if (first_byte_us_ < 0) {
    const uint64_t waited_ns = worker_->now_ns() - head_complete_ns_;
    first_byte_us_ = static_cast<int64_t>(waited_ns / kNsPerUs);
    worker_->count().first_byte.add_ns(waited_ns);
  }
  switch (answer_framing_) {
    case wire::BodyFraming::length:
      relay_length(piece);
      break;
    case wire::BodyFraming::chunked:
      relay_chunks(piece);
      break;
    case wire::BodyFraming::until_close:
      read_payload(piece.bytes);
      forward(piece.bytes, piece.buffer);
      break;
    case wire::BodyFraming::none:
      break;
  }
  worker_->buffers().release(piece.buffer);
}

void Exchange::relay_length(const Piece& piece) {
  const auto size = static_cast<size_t>(std::min<uint64_t>(piece.bytes.size(), answer_remaining_));
  const std::string_view payload = piece.bytes.substr(0, size);
  answer_remaining_ -= size;
  read_payload(payload);
  forward(payload, piece.buffer);
  if (answer_remaining_ > 0) return;
  if (piece.bytes.size() > size) on_unasked_bytes();
  answer_ended();
}

// Whole chunks go on as they came. A chunk of which only a part is here is framed anew: nothing is promised to the
// client that has not arrived, so that a stream can be ended properly at any byte.
void Exchange::relay_chunks(const Piece& piece) {
  const bool verbatim = out_framing_ == gateway::AnswerFraming::chunked && !withhold_;
  std::string_view run;
  const auto send_run = [&] {
    if (!run.empty()) forward_raw(run, piece.buffer);
    run = {};
  };
  size_t offset = 0;
  for (;;) {
    const wire::ChunkDecoder::Piece chunk = answer_decoder_.next(piece.bytes, offset);
    switch (chunk.kind) {
      case wire::ChunkDecoder::Kind::data:
        read_payload(chunk.payload);
        if (!verbatim || chunk.raw.empty()) {
          send_run();
          forward(chunk.payload, piece.buffer);
          continue;
        }
        response_bytes_ += chunk.payload.size();
        if (!run.empty() && run.data() + run.size() == chunk.raw.data()) {
          run = {run.data(), run.size() + chunk.raw.size()};
        } else {
          send_run();
          run = chunk.raw;
        }
        continue;
      case wire::ChunkDecoder::Kind::need_more:
        send_run();
        if (withhold_) flush_withheld();
        return;
      case wire::ChunkDecoder::Kind::invalid:
        send_run();
        answer_broken(wire::describe(chunk.fault), record::ErrorType::network);
        return;
      case wire::ChunkDecoder::Kind::end:
        send_run();
        if (offset < piece.bytes.size()) on_unasked_bytes();
        answer_ended();
        return;
    }
  }
}

// Bytes of the body, in the framing that the client has.
void Exchange::forward(std::string_view payload, BufferId buffer) {
  if (payload.empty()) return;
  if (withhold_) {
    if (withheld_ == kNoBufferId) withheld_ = worker_->buffers().acquire(payload.size());
    withholder_.feed(payload, worker_->buffers().block(withheld_));
    if (answer_framing_ != wire::BodyFraming::chunked) flush_withheld();
    return;
  }
  response_bytes_ += payload.size();
  forward_framed(payload, buffer);
}

void Exchange::forward_framed(std::string_view payload, BufferId buffer) {
  Stream& client = downstream_->stream();
  const bool chunked = out_framing_ == gateway::AnswerFraming::chunked;
  if (chunked) {
    std::array<char, Segment::kSmallMax> line;
    client.queue_small({line.data(), wire::write_chunk_line(payload.size(), line.data())});
  }
  if (buffer != kNoBufferId) worker_->buffers().retain(buffer);
  client.queue({payload, buffer});
  if (chunked) client.queue({kLineEnd, kNoBufferId});
}

void Exchange::forward_raw(std::string_view raw, BufferId buffer) {
  worker_->buffers().retain(buffer);
  downstream_->stream().queue({raw, buffer});
}

// What the withholder has let through since, as one chunk.
void Exchange::flush_withheld() {
  if (withheld_ == kNoBufferId) return;
  BufferPool& buffers = worker_->buffers();
  const std::string_view bytes = buffers.block(withheld_).view();
  if (!bytes.empty()) {
    response_bytes_ += bytes.size();
    forward_framed(bytes, withheld_);
  }
  buffers.release(std::exchange(withheld_, kNoBufferId));
}

void Exchange::end_withholding() {
  if (!withhold_) return;
  if (withheld_ == kNoBufferId) withheld_ = worker_->buffers().acquire(0);
  withholder_.finish(worker_->buffers().block(withheld_));
  flush_withheld();
}

void Exchange::read_payload(std::string_view payload) {
  if (!reading_) return;
  reader_->feed(payload);
  if (reader_->lags()) [[unlikely]]
    read_by_and_by();
}

// --- the end ---

// True: the end waits until what has come is read, since it depends on that.
bool Exchange::must_catch_up() {
  if (!reading_ || !reader_->lags()) return false;
  state_ = State::catching_up;
  read_by_and_by();
  return true;
}

// The answer has come to the end of its framing.
void Exchange::answer_ended() {
  if (reading_) reader_->end_of_body();
  if (must_catch_up()) return;
  const StreamEnd end = finish_reading(true);
  bool whole = true;
  if (stream_ && end == StreamEnd::cut && upstream_status_ < 400) {
    // An orderly end of the connection is no end of the stream: the client must not take it for a success.
    fail_with(record::Outcome::upstream_error, record::ErrorType::network, "the stream ended before its last event");
    // A head that announced an empty body has none.
    whole = out_framing_ == gateway::AnswerFraming::as_is ||
            end_stream_with_error("the provider ended the stream before its last event");
    if (http_1_0_) downstream_->answer_cut();
  } else {
    end_withholding();
  }
  if (whole) end_framing();
  let_upstream_go(answer_keep_alive_ && answer_framing_ != wire::BodyFraming::until_close);
  judge_status();
  state_ = State::finishing;
  worker_->flush_later(*downstream_);
}

void Exchange::end_framing() {
  if (out_framing_ == gateway::AnswerFraming::chunked) downstream_->stream().queue({kLastChunk, kNoBufferId});
}

// The answer was cut: by a reset, a time-out, a broken framing.
void Exchange::answer_broken(std::string_view why, record::ErrorType type) {
  if (must_catch_up()) {
    broken_ = true;
    broken_type_ = type;
    broken_why_.set(why);
    return;
  }
  const bool events = stream_ && kind_ == gateway::RouteKind::bridged;
  const bool ended = reading_ && reader_->stream_ended();
  const StreamEnd end = finish_reading(false);
  let_upstream_go(false);
  if (events && end == StreamEnd::whole) {
    // All that the API has to say was said: what becomes of the connection then is of no interest (spec section 9).
    end_withholding();
    // Of its last event only the blank line may be missing, without which nobody hears of it.
    const std::string_view line_ends = std::string_view("\n\n").substr(0, ended || encoded_ ? 0 : open_line_ends_);
    if (!line_ends.empty()) forward_framed(line_ends, kNoBufferId);
    end_framing();
    judge_status();
  } else {
    fail_with(record::Outcome::upstream_error, type, why);
    const std::string_view said =
        type == record::ErrorType::timeout ? "the provider stopped sending" : "the connection to the provider was lost";
    if (events && end == StreamEnd::cut) {
      if (end_stream_with_error(said)) end_framing();
    } else {
      // The framing stays unfinished and the connection ends: the client sees the cut. So it is with a stream that
      // could not be read: it may have been whole, and an error must not stand behind its last event.
      end_withholding();
      downstream_->answer_queued(true);
    }
    if (http_1_0_) downstream_->answer_cut();  // a framing by the connection's end would not show it
  }
  state_ = State::finishing;
  worker_->flush_later(*downstream_);
}

// False: nothing can be said inside a compressed stream; its framing stays unfinished.
bool Exchange::end_stream_with_error(std::string_view why) {
  if (encoded_) {
    downstream_->answer_queued(true);
    return false;
  }
  end_withholding();
  BufferPool& buffers = worker_->buffers();
  const BufferId id = buffers.acquire(1024);
  const std::string_view request_id =
      request_id_.empty() ? std::string_view(id_text_.data(), id_text_.size()) : request_id_.view();
  gateway::write_stream_error({.api = api_,
                               .message = why,
                               .request_id = request_id,
                               .line_ends = open_line_ends_,
                               .as_failed_response = codex_},
                              buffers.block(id));
  forward_framed(buffers.block(id).view(), id);
  buffers.release(id);
  return true;
}

StreamEnd Exchange::finish_reading(bool complete) {
  if (!std::exchange(reading_, false)) return StreamEnd::whole;
  if (std::exchange(reads_slowly_, false)) worker_->forget_reader(*this);
  open_line_ends_ = reader_->open_line_ends();
  const reader::AnswerEnd end = reader_->finish(complete, *this);
  if (end.unheld > 0) note_unread(end.unheld);
  if (end.failed) {
    const bool in_stream = upstream_status_ < 400;
    const record::ErrorType type = in_stream ? error_type_of(end.error_status) : error_type_of(upstream_status_);
    const std::string_view head = upstream_head_ == kNoBufferId
                                      ? std::string_view()
                                      : worker_->buffers().block(upstream_head_).view().substr(0, upstream_head_size_);
    fail_with(record::Outcome::upstream_error, type,
              gateway::hide_credentials(end.error_message, head, error_message_.kSizeMax));
    provider_error_.set(gateway::hide_credentials(end.error_type, head, provider_error_.kSizeMax));
    reader_->forget_error();
  } else if (end.unreadable) {
    worker_->count().unreadable_answers.add();
    if (upstream_status_ < 400 && error_type_ == record::ErrorType::none) {
      error_type_ = record::ErrorType::unreadable;
    }
  }
  // A stream that has said that it failed has ended so: nothing is to be added.
  return end.stream_ended ? StreamEnd::whole : end.missed ? StreamEnd::unknown : StreamEnd::cut;
}

// Clients leave with the API's last event: they wait neither for the end of the framing (Codex) nor, after an error,
// for anything. What was said by then is how the exchange ended. An answer that is no stream has no last event.
bool Exchange::client_has_all() const {
  if (!stream_) return false;
  const Stream& client = downstream_->stream();
  if (state_ == State::relaying) return reading_ && reader_->stream_ended() && client.waiting_bytes() == 0;
  if (state_ != State::finishing || out_framing_ != gateway::AnswerFraming::chunked) return false;
  return client.waiting_bytes() <= kLastChunk.size() + (client.secure() ? kTlsRecordOverheadMax : 0);
}

void Exchange::let_upstream_go(bool reusable) {
  Upstream* upstream = std::exchange(upstream_, nullptr);
  upstream_paused_ = false;
  if (upstream == nullptr) {
    if (state_ == State::acquiring) worker_->forget_user(*this);
    return;
  }
  if (reusable) {
    upstream->release();
  } else {
    upstream->abandon();
  }
}

void Exchange::on_upstream_ended(bool orderly, std::string_view why) {
  Upstream* upstream = std::exchange(upstream_, nullptr);  // it closes itself
  upstream_paused_ = false;
  if (state_ == State::sending) {
    // A kept connection can close just as a request is sent on it; what has been worked on is not paid for twice.
    if (!answer_byte_seen_ && attempts_ == 1 && upstream != nullptr) {
      if (const std::string_view cause = upstream->why_repeatable(); !cause.empty()) {
        send_again(cause);
        return;
      }
    }
    no_answer(gateway::Refusal::upstream_no_answer, orderly ? std::string_view("connection closed") : why,
              record::ErrorType::network);
  } else if (state_ == State::relaying) {
    if (answer_framing_ == wire::BodyFraming::until_close && orderly) {
      answer_ended();
    } else {
      answer_broken(orderly ? std::string_view("the connection ended inside the answer") : why,
                    record::ErrorType::network);
    }
  }
}

void Exchange::send_again(std::string_view cause) {
  worker_->count().upstream_retries.add();
  const std::string_view id(id_text_.data(), id_text_.size());
  worker_->log().info("request sent again on another connection",
                      {{"interception_id", kind_ == gateway::RouteKind::bridged ? id : std::string_view()},
                       {"request_id", request_id_.empty() ? id : request_id_.view()},
                       {"provider", std::string_view(provider_->name)},
                       {"route", route_text_.view()},
                       {"reason", cause}});
  acquire(true);
}

void Exchange::on_upstream_timeout() {
  upstream_ = nullptr;  // it closes itself
  upstream_paused_ = false;
  if (state_ == State::sending) {
    worker_->count().timeouts_answer.add();
    no_answer(gateway::Refusal::upstream_timeout, "no answer began", record::ErrorType::timeout);
  } else if (state_ == State::relaying) {
    worker_->count().timeouts_stream.add();
    answer_broken("the answer stopped", record::ErrorType::timeout);
  }
}

void Exchange::no_answer(gateway::Refusal refusal, std::string_view why, record::ErrorType type) {
  fail_with(record::Outcome::upstream_error, type, why);
  refuse(refusal, why);
}

}  // namespace weir::proxy
