#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "sim/actors.h"

namespace weir::sim {

namespace {

constexpr uint64_t kPatienceNs = 600 * kNsPerSecond;  // longer than all of the gateway's timeouts together
constexpr uint64_t kContinueNs = kNsPerSecond;
constexpr size_t kLargeBody = 16u << 10;
constexpr size_t kDiscardedMax = 200u << 10;
// A kept connection that ends so soon after a request was being ended before: on the way and in completions.
constexpr uint64_t kAtOnceNs = 60 * kNsPerMs;

// The event with which weir ends a stream that has died, from `at` on.
bool is_error_event(std::string_view body, size_t at, bool whole) {
  for (int i = 0; i < 2 && at < body.size() && body[at] == '\n'; i++) at++;
  const std::string_view rest = body.substr(at);
  for (const std::string_view begin : {std::string_view("event: error\ndata: {\"type\":\"error\","),
                                       std::string_view("data: {\"error\":{\"message\":")}) {
    const size_t size = std::min(begin.size(), rest.size());
    if (rest.substr(0, size) != begin.substr(0, size)) continue;
    if (!whole || (size == begin.size() && rest.ends_with("}\n\n"))) return true;
  }
  return false;
}

size_t common_prefix(std::string_view a, std::string_view b) {
  const size_t size = std::min(a.size(), b.size());
  return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(size), b.begin()).first -
                             a.begin());
}

// Whether `body` is a part of `sent` from its front, and then an error event (or, if it was cut, the front of one).
bool is_prefix_with_error(std::string_view body, std::string_view sent, bool whole) {
  const size_t common = common_prefix(body, sent);
  // The event's first bytes may look like the stream's next ones.
  for (size_t back = 0; back <= std::min<size_t>(common, 40); back++) {
    if (is_error_event(body, common - back, whole)) return true;
  }
  return false;
}

}  // namespace

Client::Client(World& world, ClientScript script) : world_(world), script_(std::move(script)) {}

void Client::begin() {
  world_.kernel().after(script_.start_ns, [this] { connect(); });
  watch();
}

std::string Client::describe() const {
  return fmt::format("client {}: {} of {} requests answered{}", script_.number, current_, script_.plans.size(),
                     left_ ? ", left" : "");
}

void Client::watch() {
  world_.kernel().after(kPatienceNs, [this, seen = progress_] {
    if (finished_) return;
    require(progress_ != seen, "stuck: {} and nothing has happened to it for {} s", describe(),
            kPatienceNs / kNsPerSecond);
    watch();
  });
}

void Client::connect() {
  if (finished_) return;
  connection_++;
  progress_++;
  in_.clear();
  outgoing_.clear();
  in_body_ = false;
  held_ = false;
  answer_closes_ = false;
  next_ = current_;
  link_ = &world_.kernel().dial(script_.listener, *this, script_.peer);
  link_->read_slowly(script_.window, script_.read_chunk, script_.read_pause_ns);
  trace("client {}: connects, link {}", script_.number, link_->id());
  write_next();
}

void Client::write_next() {
  if (link_ == nullptr || left_ || silent_ || next_ >= script_.plans.size()) return;
  if (!script_.pipelined) {
    write_plan(*script_.plans[next_++]);
    return;
  }
  std::string all;
  while (next_ < script_.plans.size()) {
    Plan& plan = *script_.plans[next_++];
    plan.key_version = world_.known_key_version();
    trace("client {}: pipelines {} {}", script_.number, plan.marker, plan.what);
    all += plan.wire;
  }
  if (script_.leave != ClientScript::Leave::stays && script_.leave != ClientScript::Leave::sends_late) {
    world_.kernel().after(script_.leave_after_ns, [this] { leave(); });
  }
  send(std::move(all));
}

void Client::write_plan(Plan& plan) {
  plan.key_version = world_.known_key_version();
  trace("client {}: asks {} {} ({} bytes)", script_.number, plan.marker, plan.what, plan.wire.size());
  trace("{}", plan.wire.substr(0, plan.head_size));
  const bool leaves = script_.leave != ClientScript::Leave::stays && script_.plans[script_.leave_plan] == &plan;
  if (leaves) {
    if (script_.leave == ClientScript::Leave::falls_silent) {
      plan.excused = silent_ = true;
      send(plan.wire.substr(0, std::min(script_.leave_write, plan.wire.size())));
      return;
    }
    if (script_.leave == ClientScript::Leave::sends_late) {
      plan.excused = true;
      send(plan.wire.substr(0, script_.leave_write));
      late_ = plan.wire.substr(script_.leave_write);
      return;
    }
    world_.kernel().after(script_.leave_after_ns, [this] { leave(); });
  }
  if (!plan.expect_continue) {
    send(plan.wire);
    return;
  }
  send(plan.wire.substr(0, plan.head_size));
  rest_of_request_ = plan.wire.substr(plan.head_size);
  world_.kernel().after(kContinueNs, [this, connection = connection_, number = next_] {
    if (connection == connection_ && number == next_ && !rest_of_request_.empty()) {
      send(std::exchange(rest_of_request_, {}));
    }
  });
}

// Behind what is still to be written.
void Client::send(std::string bytes) {
  const bool idle = outgoing_.empty();
  outgoing_ += bytes;
  // Byte by byte only where there are few.
  piece_max_ = std::max(script_.piece_max, outgoing_.size() / 60);
  if (idle) write_piece(connection_);
}

void Client::write_piece(uint32_t connection) {
  if (connection != connection_ || link_ == nullptr || half_closed_) return;
  const size_t size =
      script_.piece_max == 0 ? outgoing_.size() : std::min(outgoing_.size(), world_.random().size(1, piece_max_));
  link_->write(outgoing_.substr(0, size));
  trace("client {}: writes {} bytes, {} are left", script_.number, size, outgoing_.size() - size);
  outgoing_.erase(0, size);
  if (outgoing_.empty()) return;
  const Plan& plan = *script_.plans[next_ - 1];
  const bool in_body = plan.refusal == 0 && plan.body.size() > kLargeBody && outgoing_.size() < plan.body.size();
  const uint64_t pause_ns = in_body && script_.body_pause_ns > 0 ? script_.body_pause_ns : script_.piece_pause_ns;
  world_.kernel().after(world_.random().below(pause_ns + 1), [this, connection] { write_piece(connection); });
}

void Client::leave() {
  if (finished_ || left_ || link_ == nullptr) return;
  for (size_t i = current_; i < script_.plans.size(); i++) script_.plans[i]->excused = true;
  progress_++;
  if (script_.leave == ClientScript::Leave::half_closes) {
    trace("client {}: ends its side and reads on", script_.number);
    half_closed_ = true;
    link_->finish();
    return;
  }
  left_ = true;
  const bool resets = script_.leave == ClientScript::Leave::resets;
  trace("client {}: leaves by {}", script_.number, resets ? "reset" : "close");
  Link* link = std::exchange(link_, nullptr);
  if (resets) {
    link->reset();
  } else {
    link->close();
  }
  over();
}

// --- the answer ---

void Client::on_bytes(std::string_view bytes) {
  progress_++;
  if (!held_ && script_.hold_ns > 0) {
    held_ = true;
    link_->hold_reading(world_.kernel().now_ns() + script_.hold_ns);
  }
  in_ += bytes;
  parse();
}

void Client::parse() {
  while (link_ != nullptr && !in_.empty()) {
    if (!(in_body_ ? parse_body() : parse_head())) return;
  }
}

// False: more is needed.
bool Client::parse_head() {
  require(current_ < next_, "client {} got bytes and has asked nothing: {}", script_.number, in_);
  require(!answer_closes_, "client {} got bytes behind an answer that closes: {}", script_.number, in_);
  Plan& plan = *script_.plans[current_];
  require(!plan.forbidden, "client {} may not connect, and is answered: {}", script_.number, in_);
  wire::ResponseHead head;
  const wire::HeadResult result = wire::parse_response_head(in_, 0, 1u << 20, head);
  if (result.status == wire::HeadStatus::need_more) return false;
  require(result.status == wire::HeadStatus::complete, "client {} got a malformed answer to {} ({}): {}",
          script_.number, plan.marker, wire::describe(result.fault), in_);
  const std::string bytes = in_.substr(0, result.size);
  for (const char* secret : {"gw-token", "sk-own", "operator-"}) {
    require(bytes.find(secret) == bytes.npos, "the answer to {} shows a secret: {}", plan.marker, bytes);
  }
  std::string_view echo;
  for (uint32_t i = 0; i < head.header_count; i++) {
    if (head.headers[i].name == "X-Echo") echo = head.headers[i].value;
  }
  if (!echo.empty())
    require(echo == plan.marker, "client {} asked {} and got the answer to {}", script_.number, plan.marker, echo);
  if (head.status < 200) {
    trace("client {}: {} for {}", script_.number, head.status, plan.marker);
    in_.erase(0, result.size);
    if (head.status == 100 && !rest_of_request_.empty()) send(std::exchange(rest_of_request_, {}));
    return true;
  }
  trace("client {}: answer {} to {}{}", script_.number, head.status, plan.marker, echo.empty() ? ", weir's own" : "");
  trace("{}", bytes);
  refused_ = echo.empty();
  status_ = head.status;
  answer_closes_ = !head.keep_alive;
  if (!rest_of_request_.empty()) {
    require(answer_closes_, "request {} was answered before its body, and the connection goes on", plan.marker);
    rest_of_request_.clear();
  }
  if (refused_) {
    judge_refusal(plan, head.status);
    require(head.status != 429 || head.find(wire::HeaderName::retry_after) != nullptr,
            "request {} was refused with 429 and not told when to come again", plan.marker);
  } else {
    require(head.status == plan.answer.status, "request {} got status {} instead of {}", plan.marker, head.status,
            plan.answer.status);
  }
  // Of a head that stopped coming weir knows no method.
  const bool cut_head = refused_ && head.status == 408;
  framing_ = wire::body_framing(head, plan.head_request && !cut_head ? wire::Method::head : wire::Method::get);
  remaining_ = framing_ == wire::BodyFraming::length ? head.content_length : 0;
  const bool says_empty = head.framing == wire::BodyFraming::length && head.content_length == 0;
  require(head.status != 205 || says_empty, "the 205 to {} does not tell clients that it is empty", plan.marker);
  require(head.status != 204 || head.framing == wire::BodyFraming::until_close, "the 204 to {} announces a body",
          plan.marker);
  decoder_.reset();
  body_.clear();
  in_.erase(0, result.size);
  in_body_ = true;
  if (framing_ == wire::BodyFraming::none || (framing_ == wire::BodyFraming::length && remaining_ == 0)) answered();
  return true;
}

bool Client::parse_body() {
  if (framing_ == wire::BodyFraming::until_close) {
    take_body(std::exchange(in_, {}));
    return false;
  }
  if (framing_ == wire::BodyFraming::length) {
    const size_t size = static_cast<size_t>(std::min<uint64_t>(remaining_, in_.size()));
    take_body(std::string_view(in_).substr(0, size));
    in_.erase(0, size);
    remaining_ -= size;
    if (remaining_ == 0) answered();
    return true;
  }
  size_t offset = 0;
  for (;;) {
    const auto piece = decoder_.next(in_, offset);
    switch (piece.kind) {
      case wire::ChunkDecoder::Kind::data:
        take_body(piece.payload);
        continue;
      case wire::ChunkDecoder::Kind::need_more:
        in_.clear();
        return false;
      case wire::ChunkDecoder::Kind::invalid:
        broken("client {} got broken chunks for {}: {}", script_.number, script_.plans[current_]->marker,
               wire::describe(piece.fault));
      case wire::ChunkDecoder::Kind::end:
        in_.erase(0, offset);
        answered();
        return true;
    }
  }
}

void Client::take_body(std::string_view bytes) {
  body_ += bytes;
  const Plan& plan = *script_.plans[current_];
  if (refused_ || plan.answer.stream) return;
  require(std::string_view(plan.answer.body).substr(0, body_.size()) == body_,
          "the body of the answer to {} is not what the provider sent", plan.marker);
}

void Client::answered() {
  Plan& plan = *script_.plans[current_];
  in_body_ = false;
  if (!refused_) judge_body(plan, /*whole=*/true);
  // Weir reads past a large refused body only so far, and then ends the connection that it had wished to keep.
  if (refused_ && plan.body.size() > kDiscardedMax && current_ + 1 < script_.plans.size())
    script_.plans[current_ + 1]->excused = true;
  current_++;
  progress_++;
  const bool late = !late_.empty();
  if (late) {
    trace("client {}: sends the other {} bytes of {} although it was answered", script_.number, late_.size(),
          plan.marker);
    send(std::exchange(late_, {}));
  }
  if (answer_closes_) {
    // What was sent behind it is not answered.
    for (size_t i = current_; i < next_; i++) script_.plans[i]->excused = true;
    current_ = next_;
    if (!script_.waits_for_end && !late) {
      Link* link = std::exchange(link_, nullptr);
      link->close();
      over();
    }
    return;
  }
  if (current_ < next_ || silent_) return;
  if (next_ < script_.plans.size()) {
    world_.kernel().after(world_.random().skewed(script_.think_max_ns),
                          [this, connection = connection_, number = next_] {
                            if (connection == connection_ && number == next_) write_next();
                          });
    return;
  }
  if (script_.waits_for_end) return;
  Link* link = std::exchange(link_, nullptr);
  if (world_.random().percent(20)) {
    link->reset();
  } else {
    link->close();
  }
  over();
}

void Client::judge_refusal(Plan& plan, uint16_t status) {
  if (plan.refusal != 0 && status == plan.refusal) return;
  if (plan.excused && (status == 408 || status == 502 || status == 503 || status == 504)) return;
  const AnswerPlan& answer = plan.answer;
  if (status == 502 && (answer.fault == Fault::reset || answer.fault == Fault::orderly_close)) return;
  // A kept connection that ends without an answer: sent again only if it ended at once.
  const bool worked_on = answer.think_ns > kAtOnceNs || world_.kernel().weather().clock_jump_per_10000 > 0;
  if (status == 502 && answer.at_reuse != Fault::none && worked_on) return;
  if (status == 504 && answer.fault == Fault::stall && answer.fault_at < answer.head_end) return;
  require(world_.excuses(plan, status), "request {} ({}) was refused with {} and nothing was wrong with it",
          plan.marker, plan.what, status);
}

// `whole`: the answer's framing has come to its end.
void Client::judge_body(Plan& plan, bool whole) {
  const AnswerPlan& answer = plan.answer;
  const std::string_view got = body_;
  const bool stream = answer.stream && plan.api != gateway::Api::none && answer.status < 400;
  const bool until_close = framing_ == wire::BodyFraming::until_close;
  const bool shows = !until_close || !script_.over_unix;  // a Unix socket has no resets
  const bool prefix = got == std::string_view(answer.seen).substr(0, got.size()) ||
                      got == std::string_view(answer.body).substr(0, got.size());
  if (whole && got == answer.seen && (!stream || answer.last_event)) {
    plan.client_has_all = true;
    return;
  }
  const bool with_error =
      stream && (is_prefix_with_error(got, answer.seen, whole) || is_prefix_with_error(got, answer.body, whole));
  require(prefix || with_error, "the answer to {} is not what the provider sent ({} bytes)", plan.marker, got.size());
  const bool died = answer.fault != Fault::none || !answer.last_event || answer.at_reuse != Fault::none;
  const bool excused = plan.excused || world_.excuses(plan, 0);
  if (stream) {
    require(died || excused, "the stream of {} ended after {} of {} bytes, and its provider is well", plan.marker,
            got.size(), answer.seen.size());
    if (whole && shows) require(with_error && !until_close, "the stream of {} died and looks whole", plan.marker);
    return;
  }
  require(!whole || !shows, "the answer to {} looks whole with {} of {} bytes", plan.marker, got.size(),
          answer.seen.size());
  require(died || excused, "the answer to {} was cut after {} of {} bytes", plan.marker, got.size(),
          answer.seen.size());
}

// --- the end ---

void Client::on_end(bool reset) {
  progress_++;
  trace("client {}: weir has {} the connection", script_.number, reset ? "reset" : "closed");
  Link* link = std::exchange(link_, nullptr);
  if (current_ < next_) {
    Plan& plan = *script_.plans[current_];
    if (in_body_) {
      if (!refused_) judge_body(plan, framing_ == wire::BodyFraming::until_close && !reset);
    } else {
      // An HTTP/1.0 client learns by a reset that its answer was cut, and loses with it what it has not read for long,
      // of the answers before too.
      const bool cut =
          reset && std::any_of(script_.plans.begin() + static_cast<ptrdiff_t>(current_),
                               script_.plans.begin() + static_cast<ptrdiff_t>(next_), [](const Plan* asked) {
                                 const AnswerPlan& answer = asked->answer;
                                 return asked->http_1_0 && (answer.fault != Fault::none || !answer.last_event);
                               });
      require(cut || plan.excused || world_.excuses(plan, 0),
              "request {} ({}) got no answer, and the connection was {}", plan.marker, plan.what,
              reset ? "reset" : "closed");
    }
    for (size_t i = current_; i < next_; i++) script_.plans[i]->excused = true;
    current_ = next_;
  }
  if (!reset) link->close();
  over();
}

void Client::over() {
  connection_++;
  rest_of_request_.clear();
  late_.clear();
  if (!left_ && !half_closed_ && !silent_ && current_ < script_.plans.size()) {
    world_.kernel().after(world_.random().skewed(50 * kNsPerMs), [this] { connect(); });
    return;
  }
  for (size_t i = current_; i < script_.plans.size(); i++) script_.plans[i]->excused = true;
  if (std::exchange(finished_, true)) return;
  world_.client_finished();
}

}  // namespace weir::sim
