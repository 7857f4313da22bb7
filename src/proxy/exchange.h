// One request with its answer: entry, authorizer, body, start record, upstream request, relayed answer, end record.
// Bytes are forwarded as they came; readers look at the same buffers. A slot of the worker's; it belongs to one
// Downstream and, from `acquiring` to the end of the answer, to one Upstream.
//
// Invariants: (1) nothing goes upstream on a bridged route before begin() has put the start into the journal; (2) every
// begun interception gets exactly one end; (3) a refusal or an answer is queued at most once; the first reason wins.
//
// exchange.cc: from the head to the request upstream. exchange_answer.cc: the answer. exchange_record.cc: records and
// log lines.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/mask.h"
#include "base/slot_pool.h"
#include "gateway/entry.h"
#include "gateway/limiter.h"
#include "gateway/refusal.h"
#include "proxy/authorizer.h"
#include "proxy/buffer_pool.h"
#include "proxy/slow_reader.h"
#include "proxy/upstream.h"
#include "reader/answer.h"
#include "reader/request.h"
#include "record/events.h"
#include "wire/chunk.h"
#include "wire/head.h"

namespace weir::proxy {

class Downstream;
class Worker;
struct HeldSnapshot;

// What spec section 6 calls this status; `unknown` for those outside its list.
record::ErrorType error_type_of(uint16_t status);
// How the bodies of this API are read; those of `none` are never read.
reader::RequestApi reader_api(gateway::Api api);
// The content coding of a body; where several fields name one, a list, which nobody decodes. A view into the head.
template <class Head>
std::string_view content_encoding_of(const Head& head) {
  std::string_view found;
  for (uint32_t i = 0; i < head.header_count; ++i) {
    const wire::Header& header = head.headers[i];
    if (header.id != wire::HeaderName::content_encoding || header.value.empty()) continue;
    if (!found.empty()) return "several, in fields of their own";
    found = header.value;
  }
  return found;
}
// What stands for a text of which only the length is recorded: "[412 bytes]".
std::string length_only(uint64_t size);

// A text of bounded size that lives with the exchange; longer ones are cut at a whole code point.
template <size_t kMax>
class ShortText {
 public:
  static constexpr size_t kSizeMax = kMax;
  void set(std::string_view text);
  void clear() { size_ = 0; }
  std::string_view view() const { return {text_.data(), size_}; }
  bool empty() const { return size_ == 0; }

 private:
  std::array<char, kMax> text_{};
  uint16_t size_ = 0;
};

// What is known of a stream of events of which no more comes.
enum class StreamEnd : uint8_t {
  whole,    // the API's last event was seen; or nobody reads this answer, or it is no stream
  unknown,  // a part could not be read: the last event may have been in it
  cut,
};

class Exchange : public Slot, public UpstreamUser, public AuthorizerUser, public SlowReader, public reader::FactSink {
 public:
  enum class State : uint8_t {
    idle,         // the slot is free
    head,         // the head is being judged
    authorizing,  // the authorizer has been asked; input waits in the client's stash
    body,         // the request's body is being received
    reading,      // the body is here, and is read a slice a turn (Worker::read_later)
    acquiring,    // started in the journal; waits for an upstream connection
    sending,      // the request is on its way, or has been sent; nothing of the answer's head is complete
    relaying,     // the answer's head was queued to the client; its body follows
    catching_up,  // all of the answer has come; its end waits until what was slow to read is read
    finishing,    // all of the answer (or of a refusal) is queued; waits until it is sent
    over,         // recorded; the slot is about to be released
  };

  virtual ~Exchange() = default;

  // --- from the client's connection ---
  void begin(Worker& worker, Downstream& downstream);
  // `rest`: what came behind the head. Returns how many bytes of it were taken: the whole body, if all of it is here.
  size_t on_head(const wire::RequestHead& head, std::string_view head_bytes, std::string_view rest);
  // Returns how many bytes it took; what it leaves waits in the stash.
  size_t on_request_bytes(std::string_view bytes);
  void on_input_consumed();  // all that has come was given to on_request_bytes()
  void on_receive_idle();
  void on_sized_receive(const io::Completion& completion);
  void on_request_timeout();
  void on_client_gone(io::Code code);
  void on_client_stalled(std::string_view why);
  void on_room();         // the client's queue is below its low mark
  void on_answer_sent();  // everything queued has left
  void on_drain_deadline();

  // --- AuthorizerUser ---
  void on_authorized(const Authorization& authorization, const gateway::Identity& identity) override;

  // --- UpstreamUser ---
  void on_upstream_ready(Upstream& upstream) override;
  void on_upstream_failed(UpstreamFault fault, std::string_view why) override;
  void on_upstream_data(const Piece& piece) override;
  void on_upstream_ended(bool orderly, std::string_view why) override;
  void on_upstream_timeout() override;

  // --- SlowReader ---
  void read_slowly() override;
  void on_read() override;

  // --- FactSink ---
  void on_usage(const reader::Usage& usage) override;
  void on_tool(const reader::Tool& tool) override;
  void on_thought(const reader::Thought& thought) override;

  State state() const { return state_; }
  // The rest of the body comes by sized receives, not through on_request_bytes().
  bool receives_directly() const { return state_ == State::body && awaiting_direct_; }
  bool answer_complete() const { return state_ == State::finishing; }
  // Everything that the slot holds is given back.
  void reset();

 private:
  // The client's head, parsed again from the saved bytes where the request could not be finished in one go.
  struct Opened {
    const wire::RequestHead& head;
    gateway::Entry entry;
  };

  // exchange.cc
  Opened reopen();
  void save_head(std::string_view head_bytes);
  size_t judge(const wire::RequestHead& head, const gateway::Entry& entry, const Authorization& authorization,
               std::string_view head_bytes, std::string_view rest);
  void note_route(std::string_view method, std::string_view path);
  bool within_address_limits();
  bool within_initiator_limits();
  void refuse_rate(gateway::Refusal refusal, uint64_t per_hour, uint64_t wait_ns);
  bool may_hold(uint64_t size);
  uint64_t body_deadline(uint64_t untold = 0);
  bool body_goes_on();
  uint64_t direct_part_max();
  void receive_more_directly();
  size_t take_chunks(std::string_view bytes);
  void body_complete();
  void start(const wire::RequestHead& head, const gateway::Entry& entry, const gateway::Credential& credential,
             std::string_view head_bytes);
  bool body_is_read(const wire::RequestHead& head, std::string_view head_bytes);
  void send_upstream(const wire::RequestHead& head, const gateway::Entry& entry, const gateway::Credential& credential);
  bool judge_body();
  void write_upstream_head(const wire::RequestHead& head, const gateway::Entry& entry,
                           const gateway::Credential& credential);
  void append_body(std::string_view body, std::string_view insert);
  void queue_request(Stream& stream);
  void acquire(bool fresh);
  gateway::Credential credential_again(const Opened& opened);
  gateway::RuleValues rule_values(const wire::RequestHead& head);
  void refuse_missing_route(const wire::RequestHead& head, const gateway::Entry& entry);
  void refuse(gateway::Refusal refusal, std::string_view detail = {}, std::string_view allow = {});

  // exchange_answer.cc
  void on_answer_head(const Piece& piece);
  void keep_answer_head(const Piece& piece);
  void queue_head(const wire::ResponseHead& head, gateway::AnswerFraming framing);
  void start_answer(const wire::ResponseHead& head, bool more_follows);
  void on_unasked_bytes();
  void set_up_reading(const wire::ResponseHead& head, std::string_view encoding);
  void relay(const Piece& piece);
  void relay_length(const Piece& piece);
  void relay_chunks(const Piece& piece);
  void forward(std::string_view payload, BufferId buffer);
  void forward_framed(std::string_view payload, BufferId buffer);
  void forward_raw(std::string_view raw, BufferId buffer);
  void read_payload(std::string_view payload);
  void read_by_and_by();
  bool must_catch_up();
  void flush_withheld();
  void end_withholding();
  void answer_ended();
  void answer_broken(std::string_view why, record::ErrorType type);
  bool end_stream_with_error(std::string_view why);
  void end_framing();
  StreamEnd finish_reading(bool complete);
  void let_upstream_go(bool reusable);
  void no_answer(gateway::Refusal refusal, std::string_view why, record::ErrorType type);
  void throttle();
  void send_again(std::string_view cause);

  bool client_has_all() const;
  void end_now();

  // exchange_record.cc
  bool journal_start(const gateway::Entry& entry, const gateway::Caller& caller);
  void log_entry_refusal(const gateway::Entry& entry);
  void fail_with(record::Outcome outcome, record::ErrorType type, std::string_view message);
  void judge_status();
  void record_end();
  void count_end();
  void log_refusal(gateway::Refusal refusal, std::string_view detail);
  void log_end();
  void note_unread(uint32_t count);

  Worker* worker_ = nullptr;
  Downstream* downstream_ = nullptr;
  Upstream* upstream_ = nullptr;
  HeldSnapshot* held_ = nullptr;
  const gateway::Policy* policy_ = nullptr;
  State state_ = State::idle;

  // --- the request ---
  const gateway::Provider* provider_ = nullptr;
  gateway::RouteKind kind_ = gateway::RouteKind::passthrough;
  gateway::Api api_ = gateway::Api::none;
  gateway::ErrorShape shape_ = gateway::ErrorShape::openai;
  gateway::AuthMode mode_ = gateway::AuthMode::centralized;
  gateway::CredentialKind credential_kind_ = gateway::CredentialKind::none;
  wire::Method method_ = wire::Method::other;
  wire::BodyFraming request_framing_ = wire::BodyFraming::none;
  wire::ChunkDecoder request_decoder_;
  uint64_t body_remaining_ = 0;  // of a body with a length
  BufferId saved_head_ = kNoBufferId;
  BufferId body_ = kNoBufferId;
  // The head for upstream, and behind it a small body, or the text that goes into a large one.
  BufferId upstream_head_ = kNoBufferId;
  size_t upstream_head_size_ = 0;  // of the head alone
  size_t insert_offset_ = 0;       // in the body: where the text behind the head goes, if there is one,
  size_t insert_end_ = 0;          // and where the body goes on behind it
  const gateway::Program* program_ = nullptr;
  gateway::Identity identity_;
  ShortText<256> request_id_;
  ShortText<128> route_text_;              // method and path, for the log
  std::array<char, kHintSizeMax> hint_{};  // of the provider's credential; of a gateway token that was refused
  uint8_t hint_size_ = 0;
  uint32_t credential_length_ = 0;
  uint8_t client_index_ = 0;
  bool codex_ = false;
  bool http_1_0_ = false;
  bool keep_alive_ = true;
  bool delegated_ = false;
  bool expect_continue_ = false;
  bool body_received_ = false;
  bool continue_wanted_ = false;  // the client waits for 100 before it sends the body
  bool awaiting_direct_ = false;  // the rest of the body comes by sized receives
  bool entry_logged_ = false;
  bool probe_ = false;  // it asks whether somebody is there: refusals are no news
  bool withhold_ = false;
  bool request_unreadable_ = false;
  bool begun_ = false;  // the start is in the journal
  uint64_t head_complete_ns_ = 0;
  uint64_t body_began_ns_ = 0;
  uint64_t untold_seen_ = 0;                  // Stream::untold_bytes() when this part's deadline had passed
  uint32_t retry_after_s_ = 0;                // for a refusal by a limit
  gateway::LimitTable::Hold initiator_hold_;  // one of the initiator's exchanges
  Uuid id_;
  std::array<char, kUuidTextSize> id_text_{};
  uint64_t request_bytes_ = 0;
  uint32_t attempts_ = 0;

  // --- the answer ---
  BufferId answer_head_ = kNoBufferId;  // a head that came in parts
  size_t answer_head_seen_ = 0;
  uint16_t upstream_status_ = 0;
  ShortText<128> upstream_request_id_;
  wire::BodyFraming answer_framing_ = wire::BodyFraming::none;
  gateway::AnswerFraming out_framing_ = gateway::AnswerFraming::as_is;
  wire::ChunkDecoder answer_decoder_;
  uint64_t answer_remaining_ = 0;
  uint32_t interim_count_ = 0;  // 1xx answers
  bool answer_keep_alive_ = false;
  bool answer_byte_seen_ = false;
  bool stream_ = false;   // text/event-stream
  bool encoded_ = false;  // Content-Encoding: nothing of ours can be put in
  bool upstream_paused_ = false;
  std::unique_ptr<reader::AnswerReader> reader_;  // kept from exchange to exchange
  bool reading_ = false;
  bool broken_ = false;  // catching_up: the answer was cut, for this reason
  record::ErrorType broken_type_ = record::ErrorType::none;
  ShortText<128> broken_why_;
  bool reads_slowly_ = false;  // waits for its slice of the worker's, or has it
  reader::UsageWithholder withholder_;
  BufferId withheld_ = kNoBufferId;  // let through by the withholder, not queued yet
  unsigned open_line_ends_ = 0;      // that close the last event, where the stream broke off
  int64_t first_byte_us_ = -1;
  uint64_t response_bytes_ = 0;

  // --- the end ---
  record::Outcome outcome_ = record::Outcome::completed;
  record::ErrorType error_type_ = record::ErrorType::none;
  ShortText<1024> error_message_;
  ShortText<128> provider_error_;                      // the provider's own word for it
  bool failed_ = false;                                // outcome_ is decided
  gateway::Refusal refusal_ = gateway::Refusal::none;  // the answer is weir's own
};

}  // namespace weir::proxy
