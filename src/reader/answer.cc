#include "reader/answer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/secret.h"
#include "base/sliced_work.h"
#include "reader/answer_facts.h"
#include "reader/content_coding.h"
#include "reader/json.h"
#include "reader/skeleton.h"
#include "wire/sse.h"

namespace weir::reader {
namespace {

// A body that is no stream is read when it is whole; a longer one is forwarded all the same, and unreadable.
constexpr size_t kBodyMax = size_t{32} << 20;
// So much JSON is read in one step: half a millisecond if it is nothing but brackets.
constexpr size_t kAtOnceMax = size_t{64} * 1024;
constexpr size_t kDecodeStep = size_t{8} * 1024;

}  // namespace

struct AnswerReader::Impl {
  RequestApi api = RequestApi::messages;
  bool stream = false;
  bool undecodable = false;  // the content coding failed, or is unknown
  bool missed = false;       // an event of the stream could not be read
  uint16_t status = 200;
  ContentCoding coding = ContentCoding::identity;
  uint64_t encoded_size = 0, decoded_size = 0;
  bool lags = false;
  bool ended = false;      // end_of_body() was called
  bool body_read = false;  // of an answer that is no stream
  bool catching_up = false;
  bool given_up = false;                  // no memory was left for what waits: the rest is not read
  std::optional<wire::SseEvent> waiting;  // in the scanner's memory, which nothing touches meanwhile
  BudgetedBuffer backlog;                 // what came behind it, or is encoded
  BudgetedBuffer taken;                   // of it, what catch_up() works on
  wire::SseScanner scanner;
  BudgetedBuffer body;
  bool body_oversized = false;
  AnswerFacts facts;
  Skeleton skeleton;
  ContentDecoder decoder;

  void take(std::string_view bytes);
  void hold(std::string_view bytes);
  void give_up();
  void end_decoding();
  void feed_plain(std::string_view bytes);
  void feed_encoded(std::string_view bytes);
  bool read_event(const wire::SseEvent& event);
  void read_body();
  bool read_object_body();
  void read_error_body();
  void read_last_event(bool complete);
  void finish_stream(bool complete);
};

AnswerReader::AnswerReader() : impl_(std::make_unique<Impl>()) {}
AnswerReader::~AnswerReader() = default;

void AnswerReader::reset(const AnswerSettings& settings) {
  Impl& self = *impl_;
  self.api = settings.api;
  self.stream = settings.stream;
  self.status = settings.status;
  self.coding = content_coding_of(settings.content_encoding);
  self.undecodable = self.coding == ContentCoding::unknown;
  self.missed = false;
  self.encoded_size = self.decoded_size = 0;
  self.scanner.reset(settings.budget);
  self.body.reset(settings.budget);
  self.body_oversized = false;
  self.lags = self.ended = self.body_read = self.catching_up = self.given_up = false;
  self.waiting.reset();
  self.backlog.reset(settings.budget);
  self.taken.reset(settings.budget);
  self.facts.reset(settings);
  self.skeleton.reset();
  self.decoder.end();
  if (self.coding != ContentCoding::identity && !self.undecodable) self.decoder.begin(self.coding);
}

void AnswerReader::feed(std::string_view bytes) {
  if (impl_->coding != ContentCoding::identity || impl_->lags) {
    impl_->hold(bytes);
  } else if (!impl_->given_up) {
    impl_->feed_plain(bytes);
  }
}

void AnswerReader::end_of_body() {
  Impl& self = *impl_;
  self.ended = true;
  if (!self.stream && !self.body_read && self.body.size() > kAtOnceMax) self.lags = true;
}

bool AnswerReader::lags() const {
  return impl_->lags;
}

void AnswerReader::catch_up() {
  Impl& self = *impl_;
  self.catching_up = true;
  if (self.waiting && !self.read_event(*self.waiting)) self.facts.unreadable = self.missed = true;
  self.waiting.reset();
  while (!self.backlog.empty() && !self.given_up && SlicedWork::spend(0)) {
    self.taken.clear();
    std::swap(self.taken, self.backlog);
    self.take(self.taken.view());
  }
  if (self.ended && !self.stream && !self.body_read) {
    self.end_decoding();
    if (!self.undecodable) self.read_body();
    self.body_read = true;
  }
  self.taken.clear();
  self.catching_up = false;
  self.lags = !SlicedWork::spend(0);
}

void AnswerReader::Impl::take(std::string_view bytes) {
  if (coding == ContentCoding::identity) {
    feed_plain(bytes);
  } else if (!undecodable) {
    feed_encoded(bytes);
  }
}

void AnswerReader::Impl::hold(std::string_view bytes) {
  if (given_up || undecodable || bytes.empty()) return;
  if (bytes.size() <= kBodyMax - std::min(backlog.size(), kBodyMax) && backlog.append(bytes)) {
    lags = true;
    return;
  }
  ++facts.unheld;
  give_up();
}

void AnswerReader::Impl::give_up() {
  given_up = true;
  undecodable = undecodable || coding != ContentCoding::identity;
  body_oversized = true;
  facts.unreadable = missed = true;
  backlog.release();
}

// What was decoded is whole only if the coding has come to its end.
void AnswerReader::Impl::end_decoding() {
  if (coding != ContentCoding::identity && !undecodable) undecodable = !decoder.at_end();
}

void AnswerReader::Impl::feed_encoded(std::string_view bytes) {
  encoded_size += bytes.size();
  char out[kDecodeStep];
  for (size_t written = sizeof(out); !bytes.empty() || written == sizeof(out);) {
    std::string_view part = bytes.substr(0, kDecodeStep);
    const size_t given = part.size();
    undecodable = !decoder.step(part, out, sizeof(out), written) ||
                  (decoded_size += written) > kDecodedFree + encoded_size * kDecodedRatioMax ||
                  (written == 0 && part.size() == given && !bytes.empty());
    if (undecodable) return;
    const size_t taken_size = given - part.size();
    bytes.remove_prefix(taken_size);
    feed_plain({out, written});
    if (!SlicedWork::spend(decoding_cost(taken_size, written)) || given_up) return;
  }
}

void AnswerReader::Impl::feed_plain(std::string_view bytes) {
  if (!stream) {
    if (body_oversized) return;
    if (bytes.size() <= kBodyMax - body.size() && body.append(bytes)) return;
    body_oversized = true;
    ++facts.unheld;
    body.release();
    return;
  }
  const std::string_view all = bytes;
  for (wire::SseEvent event; scanner.next(bytes, event);) {
    // One that is not among these bytes is the scanner's own, and can wait.
    const bool among = event.data.data() >= all.data() && event.data.data() < all.data() + all.size();
    if (event.data.size() > kAtOnceMax && !among && !catching_up) {
      waiting = event;
      lags = true;
      return hold(bytes);
    }
    if (!read_event(event)) facts.unreadable = missed = true;
  }
}

// False for an event that is not JSON, or that is too long.
bool AnswerReader::Impl::read_event(const wire::SseEvent& event) {
  if (event.oversized) {
    ++facts.unheld;
    if (api == RequestApi::responses) read_unheld_responses_event(event.name, facts);
    return false;
  }
  if (event.name != "error" && skeleton.matches(event.data)) return true;
  facts.begin_part();
  if (event.data.find_first_not_of(" \t\r\n") == event.data.npos) return true;
  switch (api) {
    case RequestApi::messages:
      return read_messages_event(event, facts, skeleton);
    case RequestApi::chat_completions:
      return read_chat_event(event, facts, skeleton);
    case RequestApi::responses:
      return read_responses_event(event, facts, skeleton);
  }
  return true;
}

// Errors come as {"error": {…}} with Anthropic and OpenAI alike; ChatGPT also says {"detail": "…"}.
void AnswerReader::Impl::read_error_body() {
  JsonValue error, detail, message;
  if (!read_members(body.view(), {{"error", &error}, {"detail", &detail}, {"message", &message}})) {
    facts.unreadable = true;
    return;
  }
  const JsonValue& found = error.is_object() || error.is_string() ? error : detail.is_string() ? detail : message;
  facts.set_error(found);
}

void AnswerReader::Impl::read_body() {
  facts.begin_part();
  if (status >= 400) return read_error_body();
  // Whole and right before anything of it is believed; an answer that is JSON but no object bears nothing.
  if (body_oversized || (!read_object_body() && !is_json(body.view()))) facts.unreadable = true;
}

bool AnswerReader::Impl::read_object_body() {
  switch (api) {
    case RequestApi::messages:
      return read_messages_body(body.view(), facts);
    case RequestApi::chat_completions:
      return read_chat_body(body.view(), facts);
    case RequestApi::responses:
      return read_responses_body(body.view(), facts);
  }
  return false;
}

// The last event without its blank line counts. If the stream was cut inside it, that is no fault of its own.
void AnswerReader::Impl::read_last_event(bool complete) {
  wire::SseEvent event;
  if (!scanner.finish(event)) return;
  const bool had_ended = facts.stream_ended;
  if (event.oversized && !complete) {
    ++facts.unheld;
    facts.unreadable = missed = true;
    return;
  }
  if (read_event(event)) return;
  if ((complete && had_ended) || event.oversized) facts.unreadable = true;
  if (event.oversized) missed = true;
}

void AnswerReader::Impl::finish_stream(bool complete) {
  read_last_event(complete);
  // Several providers of Chat end in order and never send [DONE] (spec section 9).
  if (complete && api == RequestApi::chat_completions && facts.choices.all_ended()) {
    facts.message_ended = facts.stream_ended = true;
  }
}

AnswerEnd AnswerReader::finish(bool complete, FactSink& sink) {
  Impl& self = *impl_;
  if (self.lags && complete) catch_up();
  if (self.lags) self.give_up();
  self.lags = false;
  if (complete) self.end_decoding();
  if (self.stream) {
    self.finish_stream(complete && !self.undecodable);
  } else {
    if (complete && !self.undecodable && !self.body_read) self.read_body();
    self.facts.message_ended = self.facts.stream_ended = true;
  }
  if (self.undecodable) self.facts.unreadable = true;
  self.facts.emit(self.api, sink);
  self.scanner.reset(self.facts.budget());
  self.body.clear();
  self.backlog.clear();
  self.taken.clear();
  self.waiting.reset();
  self.facts.forget();
  return {.stream_ended = self.facts.stream_ended,
          .missed = self.stream && (self.missed || self.undecodable),
          .unreadable = self.facts.unreadable,
          .failed = self.facts.failed || self.status >= 400,
          .error_type = self.facts.error_type,
          .error_message = self.facts.error_message,
          .error_status = self.facts.error_status,
          .unheld = self.facts.unheld};
}

void AnswerReader::forget_error() {
  wipe(impl_->facts.error_type);
  wipe(impl_->facts.error_message);
}

bool AnswerReader::stream_ended() const {
  return impl_->stream && impl_->facts.stream_ended;
}

unsigned AnswerReader::open_line_ends() const {
  return impl_->stream ? impl_->scanner.open_line_ends() : 0;
}

size_t AnswerReader::memory() const {
  return sizeof(Impl) + impl_->scanner.memory() + impl_->body.capacity() + impl_->backlog.capacity() +
         impl_->taken.capacity() + impl_->facts.memory() + impl_->skeleton.memory() + impl_->decoder.memory();
}

}  // namespace weir::reader
