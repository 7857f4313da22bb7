// Every refusal that weir can answer, in one table: symbol, status, text, whose fault, whether the client should ask
// again, what becomes of its connection. One row adds one.
//
// The text may have one "{}" for a detail (a limit, a byte offset, a provider's name). The shape and the error type
// follow the route's API (spec sections 2 and 8).
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>

#include "base/byte_buffer.h"
#include "gateway/provider.h"

namespace weir::gateway {

enum class Fault : uint8_t {
  client,
  policy,
  gateway,
  upstream,
  nobody,  // a client that asks for what it can do without
};
// Whether repeating the request can help (spec section 9, "Retries"). The official SDKs obey both headers.
enum class Retry : uint8_t {
  never,  // x-should-retry: false, because the same request gets the same answer
  open,   // nothing is said: the client's own rules decide
  after,  // Retry-After: as long as the refusal knows, at least a second
};
enum class Ending : uint8_t {
  keep,   // the connection goes on, if the request's framing allows it
  close,  // the connection ends after the answer
};

// clang-format off
//  symbol                     status  message                                                                        fault     retry  ending
#define WEIR_REFUSALS(X)                                                                                                                    \
  X(no_authentication_key,     400, "no authentication key provided",                                              client,   never, keep)   \
  X(conflicting_governance,    400, "governance headers with different values",                                    client,   never, keep)   \
  X(malformed_http,            400, "malformed HTTP: {}",                                                          client,   never, close)  \
  X(plain_http,                400, "this port speaks TLS: use https://",                                          client,   never, close)  \
  X(malformed_target,          400, "malformed request target: {}",                                                client,   never, close)  \
  X(empty_body,                400, "the request body is empty; a JSON object is needed",                          client,   never, keep)   \
  X(invalid_json,              400, "the request body is not valid JSON: {}",                                      client,   never, keep)   \
  X(body_not_an_object,        400, "the request body is not a JSON object: {}",                                   client,   never, keep)   \
  X(credential_missing,        401, "no usable provider credential of your own: {}",                               client,   never, keep)   \
  X(unauthorized,              403, "unauthorized: this gateway token is unknown, expired or revoked",             policy,   never, keep)   \
  X(initiator_invalid,         403, "unauthorized: the authorizer gave this token no valid user id",               policy,   never, keep)   \
  X(credential_as_token,       403, "unauthorized: {}",                                                            policy,   never, keep)   \
  X(foreign_host,              403, "this gateway asks nobody for a token, so it answers to local names only and not to {}; to allow a name, set authorizer.hosts", policy, never, keep) \
  X(foreign_origin,            403, "this gateway asks nobody for a token, so web pages of other places may not call it: {}; to allow one, set authorizer.hosts", policy, never, keep) \
  X(byok_disabled,             403, "bringing your own key is not allowed on this gateway",                        policy,   never, keep)   \
  X(route_not_supported,       404, "route not supported: {}",                                                     client,   never, keep)   \
  X(method_not_allowed,        405, "method not allowed: {}",                                                      client,   never, keep)   \
  X(request_timeout,           408, "the request did not arrive in time: {}",                                      client,   open,  close)  \
  X(body_too_large,            413, "the request body is over the limit of {}",                                    client,   never, close)  \
  X(websocket_not_supported,   426, "weir speaks no WebSocket on this route; send the request over HTTP/1.1",      nobody,   never, keep)   \
  X(address_connections,       429, "too many connections from this address; try again when one has ended",        policy,   after, close)  \
  X(address_rate,              429, "too many requests from this address; the limit is {}",                        policy,   after, keep)   \
  X(initiator_rate,            429, "too many requests of this user; the limit is {}",                             policy,   after, keep)   \
  X(initiator_exchanges,       429, "too many requests of this user at once; the limit is {}",                     policy,   after, keep)   \
  X(head_too_large,            431, "the request head is over the limit: {}",                                      client,   never, close)  \
  X(no_operator_key,           502, "no operator key is configured for provider {}",                               gateway,  never, keep)   \
  X(upstream_unreachable,      502, "the provider could not be reached: {}",                                       upstream, open,  keep)   \
  X(upstream_bad_answer,       502, "the provider's answer was not valid HTTP: {}",                                upstream, open,  keep)   \
  X(upstream_no_answer,        502, "the provider ended the connection without an answer",                         upstream, open,  keep)   \
  X(authorizer_unreachable,    503, "could not connect to the authorizer",                                         gateway,  after, keep)   \
  X(journal_full,              503, "the journal is full; try again in a moment",                                  gateway,  after, keep)   \
  X(shutting_down,             503, "the gateway is shutting down",                                                gateway,  after, close)  \
  X(body_memory,               503, "the gateway holds too many request bodies at this moment; try again soon",   gateway,  after, close)  \
  X(overloaded,                503, "the gateway is at its limit: {}",                                             gateway,  after, close)  \
  X(upstream_timeout,          504, "the provider did not answer in time: {}",                                     upstream, open,  keep)   \
  X(version_not_supported,     505, "HTTP version not supported",                                                  client,   never, close)
// clang-format on

enum class Refusal : uint8_t {
  none,
#define WEIR_REFUSAL_SYMBOL(symbol, status, text, fault, retry, ending) symbol,
  WEIR_REFUSALS(WEIR_REFUSAL_SYMBOL)
#undef WEIR_REFUSAL_SYMBOL
};
inline constexpr Refusal kRefusals[] = {Refusal::none,
#define WEIR_REFUSAL_ENTRY(symbol, status, text, fault, retry, ending) Refusal::symbol,
                                        WEIR_REFUSALS(WEIR_REFUSAL_ENTRY)
#undef WEIR_REFUSAL_ENTRY
};
inline constexpr size_t kRefusalCount = std::size(kRefusals);

struct RefusalRow {
  std::string_view symbol;  // as it stands in logs and metrics
  uint16_t status;
  std::string_view text;
  Fault fault;
  Retry retry;
  Ending ending;
};
const RefusalRow& row(Refusal refusal);  // REQUIRES: not `none`
// The row's text up to where its detail would be introduced: whatever a caller leaves out, no "{}" is ever shown.
std::string_view text_without_detail(const RefusalRow& row);

enum class ErrorShape : uint8_t { openai, anthropic };

// The provider's own word for a status (spec section 8): "authentication_error".
std::string_view error_type(ErrorShape shape, uint16_t status);
std::string_view reason_phrase(uint16_t status);

struct RefusalAnswer {
  Refusal refusal = Refusal::none;
  ErrorShape shape = ErrorShape::openai;
  std::string_view detail = {};           // for the row's "{}"
  std::string_view request_id = {};       // in Anthropic's body; empty: left out of nothing, written as ""
  std::string_view interception_id = {};  // not empty: X-Weir-Interception-Id is added
  std::string_view allow = {};            // for 405
  uint32_t retry_after_s = 0;             // for a row that says `after`
  bool head_request = false;              // no body, the same Content-Length
  bool close = false;                     // Connection: close
};
// Appends the whole answer: status line, Content-Type, Content-Length, what the row says of asking again, the rest,
// body. JSON-escapes the detail, whatever its bytes.
void write_refusal(const RefusalAnswer& answer, ByteBuffer& out);

// The one event that ends a stream which the upstream broke off (spec section 8, "Streams").
struct StreamError {
  Api api = Api::none;
  std::string_view message = {};
  std::string_view request_id = {};
  unsigned line_ends = 0;  // how many "\n" close the partial event before it: 0, 1 or 2
  // Responses: as a response that failed. Codex passes over the event `error`, and shows the text of this one alone.
  bool as_failed_response = false;
};
void write_stream_error(const StreamError& error, ByteBuffer& out);

}  // namespace weir::gateway
