// From the head to the request upstream.
#include "proxy/exchange.h"

#include <algorithm>
#include <utility>

#include "base/units.h"
#include "base/utf8.h"
#include "gateway/route_hint.h"
#include "proxy/downstream.h"
#include "proxy/worker.h"

namespace weir::proxy {

namespace {

// A body whose rest is at least this long is received by sized operations straight into its place; a shorter one comes
// with the multishot receive.
constexpr uint64_t kDirectBodyMin = 16u << 10;
// One sized receive.
constexpr uint64_t kDirectBodyPart = 256u << 10;
// A client that obeys a longer Retry-After sleeps without a word to its user (Codex); the message has the whole time.
constexpr uint64_t kRetryAfterMaxS = 60;
// Of a body in chunks, whose size is not known: from where on it has room for the largest.
constexpr size_t kGrowMin = 1u << 20;
constexpr uint64_t kGrowMax = 64u << 20;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

uint64_t whole_seconds(uint64_t ns) {
  return (ns + kNsPerSecond - 1) / kNsPerSecond;
}

gateway::Origin origin_of(const WorkerListener& listener) {
  return {.trusted = listener.trusted, .unix_socket = listener.unix_socket};
}

std::string_view value_of(const wire::RequestHead& head, wire::HeaderName name) {
  const wire::Header* header = head.find(name);
  return header != nullptr ? header->value : std::string_view();
}

}  // namespace

reader::RequestApi reader_api(gateway::Api api) {
  switch (api) {
    case gateway::Api::chat_completions:
      return reader::RequestApi::chat_completions;
    case gateway::Api::responses:
      return reader::RequestApi::responses;
    case gateway::Api::messages:
    case gateway::Api::none:
      break;
  }
  return reader::RequestApi::messages;
}

template <size_t kMax>
void ShortText<kMax>::set(std::string_view text) {
  const std::string_view kept = cut_at_code_point(text, kMax);
  std::copy(kept.begin(), kept.end(), text_.begin());
  size_ = static_cast<uint16_t>(kept.size());
}
template class ShortText<128>;
template class ShortText<256>;
template class ShortText<1024>;

void Exchange::begin(Worker& worker, Downstream& downstream) {
  worker_ = &worker;
  downstream_ = &downstream;
  held_ = worker.hold_snapshot();
  policy_ = held_->snapshot->policy.get();
  state_ = State::head;
}

void Exchange::reset() {
  BufferPool& buffers = worker_->buffers();
  for (BufferId* id : {&saved_head_, &body_, &upstream_head_, &answer_head_, &withheld_}) {
    buffers.release(std::exchange(*id, kNoBufferId));
  }
  worker_->drop_snapshot(std::exchange(held_, nullptr));
  if (initiator_hold_.holds()) worker_->limiter().initiators.leave(initiator_hold_);
  downstream_ = nullptr;
  upstream_ = nullptr;
  policy_ = nullptr;
  provider_ = nullptr;
  state_ = State::idle;
  api_ = gateway::Api::none;
  kind_ = gateway::RouteKind::passthrough;
  shape_ = gateway::ErrorShape::openai;
  credential_kind_ = gateway::CredentialKind::none;
  request_framing_ = wire::BodyFraming::none;
  request_decoder_.reset();
  body_remaining_ = 0;
  identity_.clear();
  request_id_.clear();
  route_text_.clear();
  hint_size_ = 0;
  credential_length_ = 0;
  program_ = nullptr;
  continue_wanted_ = awaiting_direct_ = entry_logged_ = false;
  if (withhold_) withholder_.reset();
  delegated_ = expect_continue_ = body_received_ = withhold_ = request_unreadable_ = begun_ = false;
  request_bytes_ = 0;
  attempts_ = 0;
  interim_count_ = 0;
  retry_after_s_ = 0;
  answer_head_seen_ = 0;
  upstream_status_ = 0;
  upstream_request_id_.clear();
  answer_decoder_.reset();
  answer_remaining_ = 0;
  answer_keep_alive_ = answer_byte_seen_ = stream_ = encoded_ = upstream_paused_ = reading_ = false;
  first_byte_us_ = -1;
  response_bytes_ = 0;
  outcome_ = record::Outcome::completed;
  error_type_ = record::ErrorType::none;
  error_message_.clear();
  provider_error_.clear();
  open_line_ends_ = 0;
  failed_ = false;
  refusal_ = gateway::Refusal::none;
  broken_ = false;
}

// --- the head ---

size_t Exchange::on_head(const wire::RequestHead& head, std::string_view head_bytes, std::string_view rest) {
  head_complete_ns_ = worker_->now_ns();
  id_ = worker_->uuids().next(worker_->now_us());
  id_.format(id_text_.data());
  http_1_0_ = head.minor_version == 0;
  keep_alive_ = head.keep_alive;
  expect_continue_ = head.expect_continue;
  method_ = head.method;
  request_framing_ = head.framing;
  body_remaining_ = head.framing == wire::BodyFraming::length ? head.content_length : 0;
  body_received_ =
      head.framing == wire::BodyFraming::none || (head.framing == wire::BodyFraming::length && body_remaining_ == 0);

  const gateway::Entry entry = gateway::enter(*policy_, origin_of(downstream_->listener()), head);
  shape_ = entry.shape;
  mode_ = entry.mode;
  delegated_ = entry.delegated;
  probe_ = !entry.warn;
  provider_ = entry.route.provider;
  kind_ = entry.route.kind;
  api_ = entry.route.found ? entry.route.api : gateway::Api::none;
  request_id_.set(entry.request_id);
  note_route(head.method_text, entry.target.path);

  if (worker_->draining()) {
    refuse(gateway::Refusal::shutting_down);
    return 0;
  }
  if (!within_address_limits()) return 0;
  if (entry.refusal == gateway::Refusal::route_not_supported) {
    refuse_missing_route(head, entry);
    return 0;
  }
  if (entry.refusal != gateway::Refusal::none) {
    log_entry_refusal(entry);
    refuse(entry.refusal, entry.detail);
    return 0;
  }
  const auto authorization = worker_->authorizer().ask(entry, *this, *held_, identity_);
  if (!authorization) {
    state_ = State::authorizing;
    save_head(head_bytes);
    return 0;
  }
  return judge(head, entry, *authorization, head_bytes, rest);
}

void Exchange::note_route(std::string_view method, std::string_view path) {
  std::array<char, 128> text;
  const size_t method_size = std::min(method.size(), text.size() - 1);
  const size_t path_size = std::min(path.size(), text.size() - 1 - method_size);
  char* end = std::copy_n(method.begin(), method_size, text.begin());
  *end++ = ' ';
  end = std::copy_n(path.begin(), path_size, end);
  route_text_.set({text.data(), end});
}

// Before the authorizer is asked: who guesses tokens is slowed down too. False: refused.
bool Exchange::within_address_limits() {
  if (downstream_->over_address_limit()) [[unlikely]] {
    refuse(gateway::Refusal::address_connections);
    return false;
  }
  const gateway::Limits& limits = policy_->config.limits;
  if (limits.address_requests == 0) [[likely]]
    return true;
  const uint64_t key = downstream_->address_key();
  if (key == 0) return true;
  const auto bucket = gateway::Bucket::make(limits.address_requests, limits.address_burst);
  const uint64_t wait_ns = worker_->limiter().addresses.take(key, bucket, worker_->now_ns());
  if (wait_ns == 0) return true;
  refuse_rate(gateway::Refusal::address_rate, limits.address_requests, wait_ns);
  return false;
}

// False: refused. The place among the initiator's exchanges is given back when the exchange is over.
bool Exchange::within_initiator_limits() {
  const gateway::Limits& limits = policy_->config.limits;
  gateway::LimitTable& table = worker_->limiter().initiators;
  const uint64_t key = worker_->limiter().key_of(identity_.initiator_id());
  if (limits.initiator_exchanges != 0) {
    const auto entered = table.enter(key, limits.initiator_exchanges, worker_->now_ns());
    if (entered.refused) {
      refuse(gateway::Refusal::initiator_exchanges,
             fmt::format("{}; try again when one has ended", limits.initiator_exchanges));
      return false;
    }
    initiator_hold_ = entered.hold;
  }
  const auto bucket = gateway::Bucket::make(limits.initiator_requests, limits.initiator_burst);
  const uint64_t wait_ns = table.take(key, bucket, worker_->now_ns());
  if (wait_ns == 0) return true;
  refuse_rate(gateway::Refusal::initiator_rate, limits.initiator_requests, wait_ns);
  return false;
}

void Exchange::refuse_rate(gateway::Refusal refusal, uint64_t per_hour, uint64_t wait_ns) {
  const uint64_t wait_s = whole_seconds(wait_ns);
  retry_after_s_ = static_cast<uint32_t>(std::min(wait_s, kRetryAfterMaxS));
  refuse(refusal, fmt::format("{}; try again in {}", format_rate(per_hour), format_wait(wait_s)));
}

void Exchange::save_head(std::string_view head_bytes) {
  if (saved_head_ != kNoBufferId) return;
  saved_head_ = worker_->buffers().acquire(head_bytes.size());
  worker_->buffers().block(saved_head_).append(head_bytes);
}

Exchange::Opened Exchange::reopen() {
  wire::RequestHead& head = worker_->request_head();
  const std::string_view bytes = worker_->buffers().block(saved_head_).view();
  const wire::HeadResult result = wire::parse_request_head(bytes, 0, bytes.size(), head);
  ASSERT(result.status == wire::HeadStatus::complete);  // it was, when it came
  return {head, gateway::enter(*policy_, origin_of(downstream_->listener()), head)};
}

void Exchange::on_authorized(const Authorization& authorization, const gateway::Identity& identity) {
  identity_ = identity;
  const Opened opened = reopen();
  state_ = State::head;
  judge(opened.head, opened.entry, authorization, worker_->buffers().block(saved_head_).view(), {});
  worker_->run_later(*downstream_);  // what came meanwhile waits in the stash
}

// Everything that can be said before the body: steps 6 to 9 of the entry, the credential, the body's size. Returns how
// much of `rest` was taken.
size_t Exchange::judge(const wire::RequestHead& head, const gateway::Entry& entry, const Authorization& authorization,
                       std::string_view head_bytes, std::string_view rest) {
  const gateway::Admission admission = gateway::admit(*policy_, entry, authorization.verdict, identity_, head);
  if (admission.refusal != gateway::Refusal::none) {
    if (admission.refusal == gateway::Refusal::unauthorized ||
        admission.refusal == gateway::Refusal::credential_as_token) {
      hint_size_ = static_cast<uint8_t>(mask(entry.token, hint_.data()));
    }
    if (admission.refusal == gateway::Refusal::route_not_supported) {
      refuse_missing_route(head, entry);
      return 0;
    }
    const bool wrong_method = admission.refusal == gateway::Refusal::method_not_allowed;
    const bool unreachable = admission.refusal == gateway::Refusal::authorizer_unreachable;
    refuse(admission.refusal, unreachable ? authorization.why : admission.detail,
           wrong_method ? entry.route.allow : std::string_view());
    return 0;
  }
  if (policy_->config.limits.for_initiators() && !within_initiator_limits()) [[unlikely]]
    return 0;
  credential_kind_ = admission.credential.kind;
  credential_length_ = static_cast<uint32_t>(admission.credential.secret.size());
  hint_size_ = static_cast<uint8_t>(mask(admission.credential.secret, hint_.data()));

  const uint64_t max_body = policy_->config.limits.max_body;
  if (request_framing_ == wire::BodyFraming::length && body_remaining_ > max_body) {
    refuse(gateway::Refusal::body_too_large, format_size(max_body));
    return 0;
  }
  if (body_received_) {
    start(head, entry, admission.credential, head_bytes);
    return 0;
  }
  if (request_framing_ == wire::BodyFraming::length && rest.size() >= body_remaining_) {
    // All of it is here: the head need not be saved, nor read and judged once more.
    const auto size = static_cast<size_t>(body_remaining_);
    body_ = worker_->buffers().acquire(size);
    if (!may_hold(size)) return 0;
    worker_->buffers().block(body_).append(rest.substr(0, size));
    body_remaining_ = 0;
    body_received_ = true;
    downstream_->stream().receive_piecewise(false);
    start(head, entry, admission.credential, head_bytes);
    return size;
  }
  // Whoever sends one large body sends more of them: of the next only the first piece shall come this way.
  downstream_->stream().receive_piecewise(body_remaining_ >= kDirectBodyMin);
  save_head(head_bytes);
  state_ = State::body;
  body_ = worker_->buffers().acquire(request_framing_ == wire::BodyFraming::length ? body_remaining_ : 0);
  body_began_ns_ = worker_->now_ns();
  downstream_->set_deadline(body_deadline());
  continue_wanted_ = expect_continue_;
  return 0;
}

// --- the body ---

// False: refused, since the worker holds too much of other bodies. What it holds of this one is free at once.
bool Exchange::may_hold(uint64_t size) {
  if (worker_->buffers().charge_body(body_, size)) [[likely]]
    return true;
  refuse(gateway::Refusal::body_memory);
  return false;
}

// The next byte must come within the timeout; and after the first timeout the body must keep up a rate, or one byte a
// minute would hold the exchange for years.
uint64_t Exchange::body_deadline(uint64_t untold) {
  const uint64_t silence_ns = worker_->now_ns() + worker_->timeouts().body;
  const uint64_t rate = worker_->limits().body_rate;
  if (rate == 0) return silence_ns;
  const uint64_t received = worker_->buffers().block(body_).size() + untold;
  return std::min(silence_ns, body_began_ns_ + worker_->timeouts().body + received * kNsPerSecond / rate);
}

size_t Exchange::on_request_bytes(std::string_view bytes) {
  if (state_ != State::body) return 0;
  continue_wanted_ = false;  // the client did not wait
  downstream_->set_deadline(body_deadline());
  if (request_framing_ == wire::BodyFraming::chunked) return take_chunks(bytes);
  const size_t taken = static_cast<size_t>(std::min<uint64_t>(bytes.size(), body_remaining_));
  if (!may_hold(worker_->buffers().block(body_).size() + taken)) return 0;
  worker_->buffers().block(body_).append(bytes.substr(0, taken));
  body_remaining_ -= taken;
  if (body_remaining_ == 0) {
    body_complete();
  } else if (body_remaining_ >= kDirectBodyMin && !awaiting_direct_ && downstream_->stream().tls() == nullptr &&
             direct_part_max() >= kDirectBodyMin) {
    awaiting_direct_ = true;
    downstream_->wait_for_receive_idle();
  }
  return taken;
}

size_t Exchange::take_chunks(std::string_view bytes) {
  ByteBuffer& body = worker_->buffers().block(body_);
  const uint64_t max_body = policy_->config.limits.max_body;
  size_t offset = 0;
  for (;;) {
    const wire::ChunkDecoder::Piece piece = request_decoder_.next(bytes, offset);
    switch (piece.kind) {
      case wire::ChunkDecoder::Kind::data:
        if (body.size() + piece.payload.size() > max_body) {
          refuse(gateway::Refusal::body_too_large, format_size(max_body));
          return offset;
        }
        if (!may_hold(body.size() + piece.payload.size())) return offset;
        // Grown at once: only what is written takes memory, and megabytes of it are not copied again and again.
        if (body.size() > kGrowMin) body.reserve(std::min<uint64_t>(max_body, kGrowMax));
        body.append(piece.payload);
        continue;
      case wire::ChunkDecoder::Kind::need_more:
        return bytes.size();
      case wire::ChunkDecoder::Kind::invalid:
        keep_alive_ = false;
        request_framing_ = wire::BodyFraming::none;  // nothing that follows can be understood
        downstream_->answer_queued(true);
        refuse(gateway::Refusal::malformed_http, wire::describe(piece.fault));
        return bytes.size();
      case wire::ChunkDecoder::Kind::end:
        body_complete();
        return offset;
    }
  }
}

void Exchange::on_receive_idle() {
  if (state_ != State::body || !awaiting_direct_) return;
  receive_more_directly();
}

// How much one sized receive may take. Of a Unix socket nobody tells what has come inside it: there it must be done
// within the timeout by whoever keeps the rate.
uint64_t Exchange::direct_part_max() {
  if (!downstream_->listener().unix_socket) return kDirectBodyPart;
  const uint64_t rate = std::min<uint64_t>(worker_->limits().body_rate, kDirectBodyPart);
  return std::min(kDirectBodyPart, rate * (worker_->timeouts().body / kNsPerMs) / 1000);
}

void Exchange::receive_more_directly() {
  ByteBuffer& body = worker_->buffers().block(body_);
  const auto part = static_cast<size_t>(std::min(body_remaining_, direct_part_max()));
  if (!may_hold(body.size() + part)) return;
  untold_seen_ = 0;
  char* const room = body.make_room(part);
  downstream_->stream().receive_sized(worker_->buffers().lend(body_, {room, part}));
}

void Exchange::on_sized_receive(const io::Completion& completion) {
  if (completion.code != io::Code::ok || completion.result <= 0) {
    downstream_->client_gone(completion.code == io::Code::ok ? io::Code::ended : completion.code);
    return;
  }
  const auto received = static_cast<size_t>(completion.result);
  worker_->buffers().block(body_).commit(received);
  body_remaining_ -= received;
  downstream_->set_deadline(body_deadline());
  if (body_remaining_ > 0) {
    receive_more_directly();
    return;
  }
  body_complete();
}

void Exchange::body_complete() {
  body_received_ = true;
  awaiting_direct_ = false;
  downstream_->clear_deadline();
  downstream_->regulate_receive();  // to see the client leave
  const Opened opened = reopen();
  start(opened.head, opened.entry, credential_again(opened), {});
}

// The verdict was `allowed`, and the policy is the exchange's own: the choice is the same as before.
gateway::Credential Exchange::credential_again(const Opened& opened) {
  const gateway::Admission admission =
      gateway::admit(*policy_, opened.entry, gateway::Verdict::allowed, identity_, opened.head);
  ASSERT(admission.refusal == gateway::Refusal::none);
  return admission.credential;
}

// Nothing of the body has come and everything that is at hand was consumed: now the client may wait for a word.
void Exchange::on_input_consumed() {
  if (!std::exchange(continue_wanted_, false) || state_ != State::body) return;
  downstream_->stream().queue({kContinue, kNoBufferId});
  worker_->flush_later(*downstream_);
}

// --- the start ---

void Exchange::start(const wire::RequestHead& head, const gateway::Entry& entry, const gateway::Credential& credential,
                     std::string_view head_bytes) {
  if (kind_ == gateway::RouteKind::bridged && !(body_is_read(head, head_bytes) && judge_body())) return;
  send_upstream(head, entry, credential);
}

// False: it was refused, or is read by and by. `head_bytes` are saved, unless they were before.
bool Exchange::body_is_read(const wire::RequestHead& head, std::string_view head_bytes) {
  if (body_ == kNoBufferId || worker_->buffers().block(body_).empty()) {
    refuse(gateway::Refusal::empty_body);
    return false;
  }
  const ByteBuffer& body = worker_->buffers().block(body_);
  const std::string_view encoding = content_encoding_of(head);
  if (encoding.empty() && body.size() <= reader::RequestReader::kReadAtOnceMax) {
    worker_->request_reader().read(reader_api(api_), body, encoding, worker_->request_facts());
    return true;
  }
  save_head(head_bytes);
  state_ = State::reading;
  read_by_and_by();
  return false;
}

void Exchange::read_by_and_by() {
  if (!std::exchange(reads_slowly_, true)) worker_->read_later(*this);
}

void Exchange::read_slowly() {
  if (state_ != State::reading) return reader_->catch_up();
  const std::string_view encoding = content_encoding_of(reopen().head);
  worker_->slow_request_reader().read(reader_api(api_), worker_->buffers().block(body_), encoding,
                                      worker_->slow_request_facts(), policy_->config.limits.max_body);
}

void Exchange::on_read() {
  reads_slowly_ = false;
  if (state_ == State::catching_up) return broken_ ? answer_broken(broken_why_.view(), broken_type_) : answer_ended();
  if (state_ != State::reading) return;  // the answer goes on
  std::swap(worker_->request_facts(), worker_->slow_request_facts());
  if (!judge_body()) return;
  const Opened opened = reopen();
  send_upstream(opened.head, opened.entry, credential_again(opened));
}

void Exchange::send_upstream(const wire::RequestHead& head, const gateway::Entry& entry,
                             const gateway::Credential& credential) {
  state_ = State::acquiring;
  const gateway::Caller caller = gateway::identify_caller(head);
  client_index_ = caller.client_index;
  codex_ = caller.codex;
  request_bytes_ = body_ == kNoBufferId ? 0 : worker_->buffers().block(body_).size();
  if (withhold_) {
    const reader::RequestFacts& facts = worker_->request_facts();
    request_bytes_ += facts.insert_text.size() - facts.replaced_size;
  }
  if (kind_ == gateway::RouteKind::bridged && !journal_start(entry, caller)) {
    refuse(gateway::Refusal::journal_full);
    return;
  }
  write_upstream_head(head, entry, credential);
  worker_->buffers().release(std::exchange(saved_head_, kNoBufferId));
  acquire(false);
}

// False: refused.
bool Exchange::judge_body() {
  const reader::RequestFacts& facts = worker_->request_facts();
  withhold_ = facts.insert_usage && provider_->insert_usage;
  const auto refuse_at = [&](gateway::Refusal refusal) {
    char detail[160];
    const auto end = fmt::format_to_n(detail, sizeof detail, "{} at byte {}", facts.error, facts.error_offset);
    refuse(refusal, {detail, std::min(end.size, sizeof detail)});
    return false;
  };
  switch (facts.status) {
    case reader::BodyStatus::ok:
      return true;
    case reader::BodyStatus::unreadable:
      request_unreadable_ = true;
      worker_->count().unreadable_requests.add();
      return true;
    case reader::BodyStatus::empty:
      refuse(gateway::Refusal::empty_body);
      return false;
    case reader::BodyStatus::invalid_json:
      return refuse_at(gateway::Refusal::invalid_json);
    case reader::BodyStatus::not_an_object:
      return refuse_at(gateway::Refusal::body_not_an_object);
  }
  return false;
}

gateway::RuleValues Exchange::rule_values(const wire::RequestHead& head) {
  gateway::RuleValues values;
  values.initiator_id = identity_.initiator_id();
  values.username = identity_.username();
  values.interception_id = {id_text_.data(), id_text_.size()};
  values.request_id = request_id_.empty() ? values.interception_id : request_id_.view();
  // The address costs a system call, once for a connection: only where something may ask for it.
  if (kind_ == gateway::RouteKind::passthrough || !policy_->config.rules.empty()) {
    values.client_address = downstream_->client_address();
  }
  values.client_host = value_of(head, wire::HeaderName::host);
  values.client_tls = downstream_->listener().tls;
  values.client_index = client_index_;
  return values;
}

void Exchange::write_upstream_head(const wire::RequestHead& head, const gateway::Entry& entry,
                                   const gateway::Credential& credential) {
  BufferPool& buffers = worker_->buffers();
  upstream_head_ = buffers.acquire(4096);
  const gateway::UpstreamRequest request{.head = &head,
                                         .provider = provider_,
                                         .path = entry.route.upstream_path,
                                         .query = entry.target.query,
                                         .has_query = entry.target.has_query,
                                         .credential = &credential,
                                         .gateway_token = entry.token,
                                         .has_body = request_framing_ != wire::BodyFraming::none ||
                                                     method_ == wire::Method::post || method_ == wire::Method::put,
                                         .body_size = request_bytes_};
  program_ = &policy_->rules->program(
      {.provider_index = provider_->index, .mode = mode_, .kind = kind_, .api = api_, .credential = credential.kind});
  ByteBuffer& bytes = buffers.block(upstream_head_);
  gateway::write_request_head(*program_, rule_values(head), request, bytes);
  upstream_head_size_ = bytes.size();
  if (request_bytes_ == 0) return;
  append_body(buffers.block(body_).view(), withhold_ ? worker_->request_facts().insert_text : std::string_view());
}

// Behind the head, in the same block: a small body, which is one run of bytes to send with it, and whose own block is
// free again while it is hot; of a large one only `insert`. That is the one edit of a body (spec section 4): without it
// a Chat provider reports no usage of a stream.
void Exchange::append_body(std::string_view body, std::string_view insert) {
  ByteBuffer& bytes = worker_->buffers().block(upstream_head_);
  insert_offset_ = insert.empty() ? body.size() : worker_->request_facts().insert_offset;
  insert_end_ = insert.empty() ? body.size() : insert_offset_ + worker_->request_facts().replaced_size;
  if (request_bytes_ > bytes.capacity() - bytes.size()) {
    bytes.append(insert);
    return;
  }
  bytes.append(body.substr(0, insert_offset_));
  bytes.append(insert);
  bytes.append(body.substr(insert_end_));
  worker_->buffers().release(std::exchange(body_, kNoBufferId));
}

// --- upstream ---

void Exchange::acquire(bool fresh) {
  state_ = State::acquiring;
  Origin* origin = worker_->origin(held_->snapshot->provider_origins[provider_->index]);
  ASSERT(origin != nullptr);
  if (Upstream* ready = origin->acquire(*this, fresh); ready != nullptr) on_upstream_ready(*ready);
}

void Exchange::on_upstream_ready(Upstream& upstream) {
  upstream_ = &upstream;
  state_ = State::sending;
  attempts_++;
  queue_request(upstream.stream());
  upstream.send_request();
  upstream.set_deadline(worker_->now_ns() + worker_->timeouts().answer);
}

// The head and body stay ours too: a connection that dies before one byte of an answer is tried once more.
void Exchange::queue_request(Stream& stream) {
  BufferPool& buffers = worker_->buffers();
  const auto queue = [&](std::string_view bytes, BufferId id) {
    if (bytes.empty()) return;
    buffers.retain(id);
    stream.queue({bytes, id});
  };
  const std::string_view head = buffers.block(upstream_head_).view();
  if (request_bytes_ == 0 || body_ == kNoBufferId) return queue(head, upstream_head_);
  const std::string_view body = buffers.block(body_).view();
  queue(head.substr(0, upstream_head_size_), upstream_head_);
  queue(body.substr(0, insert_offset_), body_);
  queue(head.substr(upstream_head_size_), upstream_head_);
  queue(body.substr(insert_end_), body_);
}

void Exchange::on_upstream_failed(UpstreamFault fault, std::string_view why) {
  upstream_ = nullptr;
  switch (fault) {
    case UpstreamFault::timeout:
      no_answer(gateway::Refusal::upstream_timeout, why, record::ErrorType::timeout);
      return;
    case UpstreamFault::no_address:
    case UpstreamFault::connect:
    case UpstreamFault::tls:
      no_answer(gateway::Refusal::upstream_unreachable, why, record::ErrorType::network);
      return;
  }
}

// --- refusals and the client's end ---

void Exchange::refuse_missing_route(const wire::RequestHead& head, const gateway::Entry& entry) {
  const bool tls = downstream_->listener().tls;
  refuse(gateway::Refusal::route_not_supported,
         gateway::describe(*policy_->routes, gateway::missing_route(head, entry.target.path, tls)));
}

void Exchange::refuse(gateway::Refusal refusal, std::string_view detail, std::string_view allow) {
  ASSERT(state_ != State::relaying && state_ != State::finishing && state_ != State::over);
  if (state_ == State::authorizing) worker_->authorizer().forget(*this);
  if (std::exchange(awaiting_direct_, false)) downstream_->stop_receiving_body();
  if (refusal == gateway::Refusal::method_not_allowed) detail = route_text_.view();
  const bool close = !keep_alive_ || worker_->draining() || gateway::row(refusal).ending == gateway::Ending::close ||
                     (expect_continue_ && !body_received_) || downstream_->must_close();
  if (!body_received_ && !close) downstream_->discard_rest(request_framing_, body_remaining_);
  downstream_->answer_queued(close);
  const gateway::RefusalAnswer answer{
      .refusal = refusal,
      .shape = shape_,
      .detail = detail,
      .request_id = request_id_.empty() ? std::string_view(id_text_.data(), id_text_.size()) : request_id_.view(),
      .interception_id = begun_ ? std::string_view(id_text_.data(), id_text_.size()) : std::string_view(),
      .allow = allow,
      .retry_after_s = retry_after_s_,
      .head_request = method_ == wire::Method::head,
      .close = downstream_->must_close()};
  BufferPool& buffers = worker_->buffers();
  const BufferId id = buffers.acquire(1024);
  gateway::write_refusal(answer, buffers.block(id));
  downstream_->stream().queue({buffers.block(id).view(), id});
  refusal_ = refusal;
  worker_->count_refusal(refusal);
  if (!entry_logged_) log_refusal(refusal, detail);
  state_ = State::finishing;
  downstream_->clear_deadline();
  worker_->flush_later(*downstream_);
}

// A sized receive tells of its bytes when all have come. Until then the kernel knows whether the upload goes on.
bool Exchange::body_goes_on() {
  if (!awaiting_direct_) return false;
  const uint64_t untold = downstream_->stream().untold_bytes().value_or(0);
  if (untold <= std::exchange(untold_seen_, untold)) return false;
  const uint64_t deadline_ns = body_deadline(untold);
  if (deadline_ns <= worker_->now_ns()) return false;
  downstream_->set_deadline(deadline_ns);
  return true;
}

void Exchange::on_request_timeout() {
  if (state_ != State::body || body_goes_on()) return;
  worker_->count().timeouts_body.add();
  refuse(gateway::Refusal::request_timeout, "the body stopped coming, or came too slowly");
}

void Exchange::on_client_stalled(std::string_view why) {
  if (state_ == State::over) return;
  fail_with(record::Outcome::client_disconnected, record::ErrorType::timeout, why);
  end_now();
  downstream_->abort();
}

void Exchange::on_client_gone(io::Code code) {
  if (state_ == State::over) return;
  if (client_has_all()) {
    if (state_ == State::relaying) {
      finish_reading(false);
      judge_status();
    }
  } else {
    fail_with(record::Outcome::client_disconnected, record::ErrorType::none,
              code == io::Code::ended ? std::string_view() : io::text(code));
  }
  end_now();
}

void Exchange::on_drain_deadline() {
  if (state_ == State::over) return;
  if (client_has_all()) {
    finish_reading(false);
    judge_status();
  } else {
    fail_with(record::Outcome::gateway_error, record::ErrorType::timeout,
              "the gateway was shut down before the answer ended");
  }
  end_now();
  downstream_->abort();
}

// Whatever the state: nothing more goes to the client.
void Exchange::end_now() {
  if (state_ == State::authorizing) worker_->authorizer().forget(*this);
  if (std::exchange(reads_slowly_, false)) worker_->forget_reader(*this);
  if (reading_) finish_reading(false);
  if (http_1_0_ && failed_) downstream_->answer_cut();  // a client that has only shut its side still reads
  let_upstream_go(false);
  record_end();
}

void Exchange::on_answer_sent() {
  Downstream& downstream = *downstream_;
  record_end();
  downstream.exchange_over();
}

void Exchange::on_room() {
  if (!upstream_paused_ || upstream_ == nullptr) return;
  upstream_paused_ = false;
  upstream_->stream().resume_receive();
  upstream_->set_deadline(worker_->now_ns() + worker_->timeouts().stream);
}

void Exchange::throttle() {
  if (upstream_paused_ || upstream_ == nullptr || !downstream_->stream().over_high_mark()) return;
  worker_->count().upstream_pauses.add();
  // Reading from upstream pauses because the client does not keep up; the client's own deadline watches now.
  upstream_paused_ = true;
  upstream_->clear_deadline();
  upstream_->stream().pause_receive();
}

}  // namespace weir::proxy
