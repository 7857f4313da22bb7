// The compiled ruleset (spec section 4, "Rules"): the one mechanism by which headers are stripped and injected. The
// built-in rules of sections 1 and 4 and the operator's [[rule]]s are the same data.
//
// Compiled at start and reload into one flat Program for each (provider, auth mode, route kind, credential kind or API
// where a rule asks for them), so that a request looks nothing up by string: a well-known name is one bit test by
// HeaderName; only names outside that table are compared with a program's few own names and prefixes. Client conditions
// are a mask tested per rule.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_buffer.h"
#include "base/result.h"
#include "gateway/provider.h"
#include "wire/head.h"

namespace weir::gateway {

struct Policy;
struct Credential;
struct RuleConfig;
class Program;  // ruleset.cc

// Values for the placeholders of `set` and `add`.
struct RuleValues {
  std::string_view initiator_id;
  std::string_view username;
  std::string_view request_id;
  std::string_view interception_id;
  std::string_view client_address;  // without the port
  std::string_view client_host;     // the request's Host, for X-Forwarded-Host
  bool client_tls = false;          // for X-Forwarded-Proto
  uint8_t client_index = 0;
};

struct ProgramKey {
  uint16_t provider_index = 0;
  AuthMode mode = AuthMode::centralized;
  RouteKind kind = RouteKind::bridged;
  Api api = Api::none;
  CredentialKind credential = CredentialKind::none;
};

class Ruleset {
 public:
  ~Ruleset();
  // REQUIRES: `policy.providers` is complete. Refuses a set that would forward the gateway token, drop the chosen
  // credential, or break framing: which rule (file:line and name), why, how to mend it.
  static Result<std::unique_ptr<Ruleset>> compile(const Policy& policy, const std::vector<RuleConfig>& rules);

  const Program& program(const ProgramKey& key) const;

  // `weir rules explain`: for each header that the program knows, what happens to it and which rule says so; a table
  // for people.
  std::string explain(const Policy& policy, const ProgramKey& key) const;

 private:
  struct Impl;
  explicit Ruleset(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct UpstreamRequest {
  const wire::RequestHead* head = nullptr;
  const Provider* provider = nullptr;
  std::string_view path;  // Route::upstream_path
  std::string_view query;
  bool has_query = false;
  const Credential* credential = nullptr;
  std::string_view gateway_token;  // goes nowhere, wherever the client repeats it (token_copy.h); empty: none
  bool has_body = false;  // Content-Length is written, also when it is 0 (POST, PUT, or the client framed a body)
  uint64_t body_size = 0;
};

// Appends the whole upstream head: request line, Host, the client's headers that stay (in order, byte for byte),
// injected ones, Content-Length, empty line. The chosen credential of a client stays where it stood. Copies of the
// gateway token are left out.
// `content_length_offset` (if not null) receives the place of the digits of Content-Length, which are padded with
// leading zeros nowhere: the caller that edits the body writes the head after.
void write_request_head(const Program& program, const RuleValues& values, const UpstreamRequest& request,
                        ByteBuffer& out);

enum class AnswerFraming : uint8_t {
  as_is,    // no body, or the upstream's Content-Length is kept
  chunked,  // Transfer-Encoding: chunked
  close,    // delimited by close (HTTP/1.0 clients)
};
struct DownstreamAnswer {
  const wire::ResponseHead* head = nullptr;
  AnswerFraming framing = AnswerFraming::as_is;
  uint64_t content_length = 0;
  bool write_content_length = false;
  bool close = false;                     // Connection: close
  bool http_1_0 = false;                  // keep-alive must be said to a 1.0 client
  std::string_view interception_id = {};  // empty: no X-Weir-Interception-Id (passthrough)
};
// Appends "HTTP/1.1 <status> <reason>" and the answer's headers less hop-by-hop, after the response rules.
void write_response_head(const Program& program, const RuleValues& values, const DownstreamAnswer& answer,
                         ByteBuffer& out);

}  // namespace weir::gateway
