#include "proxy/callout.h"

#include <utility>

#include "proxy/worker.h"

namespace weir::proxy {

uint64_t Callout::rested_ns() const {
  return kept_since_ns_ + kRestNs;
}

void Callout::ask(Question& question) {
  ASSERT(question_ == nullptr);
  question_ = &question;
  question.state = Question::State::asked;
  question.callout = this;
  again_ = false;
  answer_.reset();
  worker_.count().authorizer_callouts.add();
  if (upstream_ == nullptr) {
    connect();
    return;
  }
  reused_ = true;
  worker_.count().upstreams_reused.add();
  upstream_->clear_deadline();
  send_request();
}

void Callout::connect() {
  reused_ = false;
  made_ns_ = worker_.now_ns();
  Origin* origin = worker_.origin(question_->held->snapshot->authorizer_origin);
  if (origin == nullptr) {
    worker_.defer_failure(*this, UpstreamFault::no_address, "the authorizer has no origin");
    return;
  }
  if (Upstream* ready = origin->acquire(*this, /*fresh=*/true); ready != nullptr) on_upstream_ready(*ready);
}

void Callout::on_upstream_ready(Upstream& upstream) {
  upstream_ = &upstream;
  send_request();
}

void Callout::send_request() {
  BufferPool& buffers = worker_.buffers();
  buffers.retain(question_->request);
  upstream_->stream().queue({buffers.block(question_->request).view(), question_->request});
  upstream_->send_request();
}

void Callout::on_upstream_data(const Piece& piece) {
  BufferPool& buffers = worker_.buffers();
  // What comes on a connection that was asked nothing, or before all of the question has left, answers something else.
  const bool unasked = kept() || (reused_ && !answer_.begun() && !upstream_->stream().all_sent());
  if (unasked) {
    buffers.release(piece.buffer);
    worker_.count().authorizer_unsolicited.add();
    if (kept()) {
      give_up();
      worker_.authorizer().ask_waiting();
    } else {
      ask_again();
    }
    return;
  }
  const gateway::AuthorizerAnswer::State state = answer_.take(piece.bytes, worker_.response_head());
  buffers.release(piece.buffer);
  if (state == gateway::AuthorizerAnswer::State::whole) answered();
  if (state == gateway::AuthorizerAnswer::State::broken) unreachable(answer_.why());
}

// Once more, on a fresh connection. False: that was done already.
bool Callout::ask_again() {
  if (std::exchange(again_, true)) return false;
  if (Upstream* upstream = std::exchange(upstream_, nullptr); upstream != nullptr) upstream->abandon();
  answer_.reset();
  connect();
  return true;
}

void Callout::answered() {
  if (answer_.leftover()) {
    worker_.count().authorizer_unsolicited.add();
    // Which of the two answers this question? On a connection that has borne another one: perhaps neither.
    if (reused_ && ask_again()) return;
  }
  const gateway::AuthorizerReply reply = gateway::read_authorizer_answer(answer_.status(), answer_.body());
  if (reply.verdict != gateway::Verdict::unreachable) {
    conclude(reply.verdict, reply.identity, {}, answer_.reusable());
    return;
  }
  if (answer_.status() >= 200 && answer_.status() <= 299) return unreachable(reply.why);
  unreachable(fmt::format("it answered with status {}", answer_.status()));
}

void Callout::on_upstream_ended(bool orderly, std::string_view why) {
  upstream_ = nullptr;
  if (question_ == nullptr) {
    worker_.authorizer().ask_waiting();
    return;
  }
  // It was closed while it was kept, and the question has crossed that on its way.
  if (reused_ && !answer_.begun() && ask_again()) return;
  if (!orderly) return unreachable(why);
  if (answer_.end() == gateway::AuthorizerAnswer::State::whole) {
    answered();
  } else {
    unreachable(answer_.why());
  }
}

void Callout::on_upstream_failed(UpstreamFault fault, std::string_view why) {
  (void)fault;
  upstream_ = nullptr;
  unreachable(why);
}

// Only a kept connection has a deadline of its own; a question's is its timer.
void Callout::on_upstream_timeout() {
  upstream_ = nullptr;
  if (question_ != nullptr) return unreachable("it did not answer in time");
  worker_.authorizer().ask_waiting();
}

void Callout::conclude(gateway::Verdict verdict, const gateway::Identity& identity, std::string_view why, bool keep) {
  Question& question = *std::exchange(question_, nullptr);
  question.callout = nullptr;
  const bool newest = worker_.is_newest(*question.held);
  if (upstream_ == nullptr) {
    worker_.forget_user(*this);
  } else if (keep && newest && !worker_.draining() && upstream_->stream().all_sent() &&
             worker_.now_ns() - made_ns_ < worker_.timeouts().upstream_age) {
    kept_since_ns_ = worker_.now_ns();
    upstream_->set_deadline(kept_since_ns_ + worker_.timeouts().upstream_idle);
  } else {
    std::exchange(upstream_, nullptr)->abandon();
  }
  worker_.authorizer().conclude(question, verdict, identity, why);
}

void Callout::give_up() {
  if (Upstream* upstream = std::exchange(upstream_, nullptr); upstream != nullptr) {
    upstream->abandon();
  } else {
    worker_.forget_user(*this);
  }
  if (question_ != nullptr) std::exchange(question_, nullptr)->callout = nullptr;
}

}  // namespace weir::proxy
