#include "proxy/authorizer.h"

#include <cstring>
#include <utility>

#include "proxy/worker.h"

namespace weir::proxy {

namespace {

constexpr uint64_t kAllowedNs = 60 * kNsPerSecond;
constexpr uint64_t kRefusedNs = 5 * kNsPerSecond;
// More than that is no answer about one user.
constexpr size_t kAnswerMax = 256u << 10;

size_t slot_of(const Digest& key, size_t count) {
  uint64_t first = 0;
  std::memcpy(&first, key.data(), sizeof first);
  return first % count;
}

}  // namespace

// --- Authorizer ---

std::optional<gateway::Verdict> Authorizer::ask(const gateway::Entry& entry, AuthorizerUser& user,
                                                gateway::Identity& identity) {
  const gateway::AuthorizerConfig& config = worker_.snapshot().policy->config.authorizer;
  switch (config.kind) {
    case gateway::AuthorizerKind::none:
      identity = gateway::Identity::make(config.user_id, config.username, "");
      return gateway::Verdict::allowed;
    case gateway::AuthorizerKind::store: {
      if (!tokens_) return gateway::Verdict::unreachable;
      const gateway::TokenTable::Answer answer = entry.delegated
                                                     ? tokens_->find_key(entry.delegated_key_id, worker_.now_us())
                                                     : tokens_->find_token(sha256(entry.token), worker_.now_us());
      if (answer.verdict == gateway::Verdict::allowed) identity = *answer.identity;
      return answer.verdict;
    }
    case gateway::AuthorizerKind::http:
      break;
  }
  // A key id and a token of the same text are two things.
  const Digest key = entry.delegated ? sha256("key:", entry.delegated_key_id) : sha256("token:", entry.token);
  if (entries_.empty()) entries_.resize(kEntries);
  const CacheEntry& cached = entries_[slot_of(key, kEntries)];
  if (cached.expires_ns > worker_.now_ns() && equal_in_constant_time(cached.key, key)) {
    if (cached.verdict == gateway::Verdict::allowed) identity = cached.identity;
    return cached.verdict;
  }
  Callout* callout = worker_.acquire_callout();
  if (callout == nullptr) return gateway::Verdict::unreachable;
  callout->begin(worker_, user, key, entry.delegated ? std::string_view() : entry.token, entry.delegated_key_id);
  return std::nullopt;
}

void Authorizer::forget(AuthorizerUser& user) {
  worker_.for_each_callout([&](Callout& callout) {
    if (callout.waits_for(user)) callout.cancel();
  });
}

void Authorizer::keep(const Digest& key, gateway::Verdict verdict, const gateway::Identity& identity) {
  const uint64_t lifetime = verdict == gateway::Verdict::allowed ? kAllowedNs : kRefusedNs;
  if (entries_.empty()) entries_.resize(kEntries);
  entries_[slot_of(key, kEntries)] = {
      .key = key, .expires_ns = worker_.now_ns() + lifetime, .verdict = verdict, .identity = identity};
}

void Authorizer::clear_cache() {
  entries_.clear();
}

// --- Callout ---

void Callout::begin(Worker& worker, AuthorizerUser& user, const Digest& cache_key, std::string_view token,
                    std::string_view key_id) {
  worker_ = &worker;
  user_ = &user;
  upstream_ = nullptr;
  cache_key_ = cache_key;
  retried_ = false;
  timer_.owner = TimerOwner::callout;
  timer_.object = this;
  const Snapshot& snapshot = worker.snapshot();
  request_ = worker.buffers().acquire(1024);
  gateway::write_authorizer_request({.authority = snapshot.authorizer_url.authority,
                                     .path = snapshot.authorizer_url.path,
                                     .token = token,
                                     .delegated_key_id = key_id,
                                     .header = snapshot.policy->config.authorizer.header},
                                    worker.buffers().block(request_));
  worker.wheel().set(timer_, worker.now_ns() + snapshot.policy->config.authorizer.timeout_ns);
  ask(false);
}

void Callout::ask(bool fresh) {
  Origin* origin = worker_->origin(worker_->snapshot().authorizer_origin);
  if (origin == nullptr) {
    worker_->defer_failure(*this, UpstreamFault::no_address, "the authorizer has no origin");
    return;
  }
  if (Upstream* ready = origin->acquire(*this, fresh); ready != nullptr) on_upstream_ready(*ready);
}

void Callout::on_upstream_ready(Upstream& upstream) {
  upstream_ = &upstream;
  BufferPool& buffers = worker_->buffers();
  buffers.retain(request_);
  upstream.stream().queue({buffers.block(request_).view(), request_});
  upstream.send_request();
}

void Callout::on_upstream_data(const Piece& piece) {
  BufferPool& buffers = worker_->buffers();
  if (answer_ == kNoBufferId) answer_ = buffers.acquire(piece.bytes.size());
  buffers.block(answer_).append(piece.bytes);
  buffers.release(piece.buffer);
  try_answer(false);
}

// Reads the answer if it is whole.
void Callout::try_answer(bool ended) {
  if (answer_ == kNoBufferId) {
    unreachable("it ended the connection without an answer");
    return;
  }
  BufferPool& buffers = worker_->buffers();
  const std::string_view bytes = buffers.block(answer_).view();
  wire::ResponseHead& head = worker_->response_head();
  const wire::HeadResult result = wire::parse_response_head(bytes, 0, kAnswerMax, head);
  if (result.status == wire::HeadStatus::invalid) return unreachable(wire::describe(result.fault));
  if (result.status == wire::HeadStatus::need_more) {
    if (ended || bytes.size() > kAnswerMax) unreachable("its answer was cut");
    return;
  }
  const std::string_view rest = bytes.substr(result.size);
  const BufferId body_id = buffers.acquire(rest.size());
  ByteBuffer& body = buffers.block(body_id);
  bool whole = false;
  bool broken = false;
  switch (wire::body_framing(head, wire::Method::get)) {
    case wire::BodyFraming::none:
      whole = true;
      break;
    case wire::BodyFraming::length:
      whole = rest.size() >= head.content_length;
      body.append(rest.substr(0, static_cast<size_t>(std::min<uint64_t>(head.content_length, rest.size()))));
      break;
    case wire::BodyFraming::until_close:
      whole = ended;
      body.append(rest);
      break;
    case wire::BodyFraming::chunked: {
      wire::ChunkDecoder decoder;
      size_t offset = 0;
      for (bool more = true; more;) {
        const auto piece = decoder.next(rest, offset);
        switch (piece.kind) {
          case wire::ChunkDecoder::Kind::data:
            body.append(piece.payload);
            break;
          case wire::ChunkDecoder::Kind::end:
            whole = true;
            more = false;
            break;
          case wire::ChunkDecoder::Kind::invalid:
            broken = true;
            more = false;
            break;
          case wire::ChunkDecoder::Kind::need_more:
            more = false;
            break;
        }
      }
      break;
    }
  }
  if (whole && head.status >= 200) {
    const gateway::AuthorizerReply reply = gateway::read_authorizer_answer(head.status, body.view());
    const bool reusable = head.keep_alive && !ended;
    buffers.release(body_id);
    conclude(reply, reusable);
    return;
  }
  buffers.release(body_id);
  if (ended || broken || bytes.size() > kAnswerMax) unreachable("its answer was cut");
}

void Callout::on_upstream_ended(bool orderly, std::string_view why) {
  const bool reused = upstream_ != nullptr && upstream_->reused();
  upstream_ = nullptr;
  if (answer_ == kNoBufferId && reused && !std::exchange(retried_, true)) {
    ask(true);
    return;
  }
  if (orderly) {
    try_answer(true);
  } else {
    unreachable(why);
  }
}

void Callout::on_upstream_failed(UpstreamFault fault, std::string_view why) {
  upstream_ = nullptr;
  (void)fault;
  unreachable(why);
}

void Callout::on_upstream_timeout() {
  worker_->count().timeouts_authorizer.add();
  upstream_ = nullptr;
  unreachable("it did not answer in time");
}

void Callout::on_timer() {
  worker_->count().timeouts_authorizer.add();
  unreachable("it did not answer in time");
}

void Callout::unreachable(std::string_view why) {
  conclude({.verdict = gateway::Verdict::unreachable, .identity = {}, .why = why}, false);
}

void Callout::conclude(const gateway::AuthorizerReply& reply, bool reusable) {
  if (Upstream* upstream = std::exchange(upstream_, nullptr); upstream != nullptr) {
    if (reusable) {
      upstream->release();
    } else {
      upstream->abandon();
    }
  } else {
    worker_->forget_user(*this);
  }
  if (reply.verdict == gateway::Verdict::unreachable) {
    worker_->log().error("the authorizer did not answer",
                         {{"authority", worker_->snapshot().authorizer_url.authority}, {"reason", reply.why}});
  } else {
    worker_->authorizer().keep(cache_key_, reply.verdict, reply.identity);
  }
  AuthorizerUser* user = std::exchange(user_, nullptr);
  release();
  if (user != nullptr) user->on_authorized(reply.verdict, reply.identity);
}

void Callout::cancel() {
  user_ = nullptr;
  if (Upstream* upstream = std::exchange(upstream_, nullptr); upstream != nullptr) {
    upstream->abandon();
  } else {
    worker_->forget_user(*this);
  }
  release();
}

void Callout::release() {
  worker_->wheel().remove(timer_);
  // The request bears the token.
  worker_->buffers().release(std::exchange(request_, kNoBufferId));
  worker_->buffers().release(std::exchange(answer_, kNoBufferId));
  worker_->release_later(*this);
}

}  // namespace weir::proxy
