// What clients ask and what providers answer, as plain data drawn from the seed. A Plan is one request with everything
// that may be said about it: the client that sends it, the provider that gets it and the journal are each checked
// against it. It travels by its marker, in a header that weir does not know and so forwards untouched.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/provider.h"
#include "record/events.h"
#include "sim/random.h"

namespace weir::sim {

class Link;

enum class Fault : uint8_t { none, reset, orderly_close, stall };
std::string_view text(Fault fault);

// A provider of the configuration. Two may live at one place.
struct ProviderSpec {
  const char* name;
  const char* type;
  const char* prefix;     // of its routes
  const char* base_path;  // of its base URL
  uint32_t origin;
};
inline constexpr uint32_t kProviderCount = 4;
inline constexpr uint32_t kOriginCount = 3;  // of providers; the authorizer's is the next
extern const ProviderSpec kProviders[kProviderCount];

struct Person {
  uint32_t number = 0;
  std::string token;  // gateway token
  std::string id;     // initiator
  std::string username;
  bool known = true;  // to the authorizer

  // As the http authorizer of the configuration of that version knows the person: its verdicts can be told apart.
  std::string id_of(uint32_t version) const;
};

struct AnswerPlan {
  uint16_t status = 200;
  bool stream = false;
  bool until_close = false;
  bool close = false;         // Connection: close
  bool last_event = true;     // the stream ends as its API says
  std::string wire;           // 1xx heads, head, framed body
  size_t head_end = 0;        // of the final head
  std::string body;           // decoded
  std::string seen;           // of which the client gets this, if all goes well
  uint64_t input_tokens = 0;  // 0: no usage
  uint64_t output_tokens = 0;
  Fault fault = Fault::none;
  size_t fault_at = 0;           // so many bytes of `wire` are sent
  bool early = false;            // begins before the request's body is there
  Fault at_reuse = Fault::none;  // the first attempt dies so, if it comes on a used connection
  uint64_t think_ns = 0;
  uint64_t pause_max_ns = 0;  // between pieces
  size_t piece_max = 0;
  bool forbidden_body = false;  // none is allowed, and the head reads as if one came
  std::string leftover;         // which then comes, as if it were another answer
  uint64_t leftover_ns = 0;     // so long behind the head
  bool idle_close = false;      // it closes the connection a little later
  uint64_t idle_close_ns = 0;
};

struct Plan {
  uint32_t number = 0;
  std::string marker;
  std::string what;  // for the trace
  const Person* person = nullptr;
  // --- the request ---
  std::string wire;
  size_t head_size = 0;
  std::string body;
  bool encoded = false;  // the body is compressed
  std::string inserted;  // weir puts this into the body
  std::string upstream_target;
  bool head_request = false;
  bool http_1_0 = false;
  bool close = false;
  bool expect_continue = false;
  bool malformed = false;
  uint16_t refusal = 0;  // the status with which weir must refuse; 0: it is forwarded
  uint32_t provider = 0;
  gateway::Api api = gateway::Api::none;  // none: passthrough
  bool byok = false;
  bool delegated = false;         // a key id is named instead of a token
  std::string credential_header;  // what the provider must get; the value is empty for the operator's key
  std::string credential;
  std::string credential_kind;
  bool streaming = false;
  AnswerPlan answer;
  // --- what has become of it ---
  uint32_t key_version = 0;          // of the operator's keys, when the client began to write
  bool written = false;              // by the client, as far as it wants
  uint32_t attempts = 0;             // heads that the provider has seen
  const Link* first_link = nullptr;  // of the first of them, if it was used before
  uint64_t first_offset = 0;         // in its answers, where this one's begins
  bool request_arrived = false;      // whole
  uint64_t arrived_ns = 0;
  uint64_t died_ns = 0;       // when the provider ended the connection instead of an answer's last byte
  size_t answer_written = 0;  // of answer.wire
  bool answer_done = false;
  bool answer_cut = false;       // by its fault, or because weir closed
  uint32_t starts = 0;           // in the journal
  int64_t verdict_version = -1;  // of the configuration whose authorizer has let it in; -1: not known
  uint32_t ends = 0;
  uint32_t usages = 0;
  bool completed = false;  // by the journal
  bool client_has_all = false;
  bool forbidden = false;  // comes from a user who may not connect
  bool excused = false;    // the client misbehaves or leaves: anything goes, but nothing wrong
};

class Scripts {
 public:
  // What the world of this seed allows.
  struct Shape {
    bool authorizer_knows = true;  // unknown tokens are refused
    bool provider_faults = false;
    bool odd_requests = false;  // malformed, refused, oversized
    uint64_t max_body = 0;
    uint64_t stream_timeout_ns = 0;
  };
  Scripts(Random& random, const Shape& shape) : random_(random), shape_(shape) {}

  // `trusted`: it comes in where a key id may be named.
  void fill(Plan& plan, uint32_t number, const Person& person, bool trusted);

 private:
  struct Route;
  void choose_auth(Plan& plan, bool trusted);
  void delegate(Plan& plan);
  void write_body(Plan& plan, size_t size);
  void write_request(Plan& plan, const char* method, const std::string& target, bool has_body);
  void write_malformed(Plan& plan);
  void plan_answer(Plan& plan);
  void announce_forbidden_body(Plan& plan);
  void write_stream(Plan& plan);
  void write_json(Plan& plan);
  void encode_body(Plan& plan, size_t decoded_max);
  std::string chunked(std::string_view body);
  std::string filler(size_t size) { return random_.letters(size); }

  Random& random_;
  Shape shape_;
  std::string auth_headers_;
};

}  // namespace weir::sim
