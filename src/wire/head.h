// HTTP/1.1 heads, parsed strictly and in place (RFC 9110, 9112). Pure.
//
// A head is a request line or status line, fields, and an empty line. Names and values are views into the caller's
// bytes: they borrow them and are valid only as long as those stay where they are. Nothing is copied, lower-cased or
// allocated. Well-known names are recognised once, into HeaderName.
//
// Strict (spec section 2): bare CR or LF, obsolete folding, white space before the colon, control bytes, two lengths
// (equal or not), Content-Length with Transfer-Encoding, any transfer coding but exactly `chunked`, chunked in
// HTTP/1.0, a missing or second Host, other versions than 1.0 and 1.1 are `invalid`. SIMD finds the delimiters; a
// scalar twin checks it in tests; run-time dispatch, no -march=native.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir::wire {

// Header names that weir acts on. `other` is every name beside these. The table is in head.cc; order is free.
enum class HeaderName : uint8_t {
  other,
  accept_encoding,
  authorization,
  connection,
  content_encoding,
  content_length,
  content_type,
  expect,
  host,
  keep_alive,
  proxy_authenticate,
  proxy_authorization,
  proxy_connection,
  te,
  trailer,
  transfer_encoding,
  upgrade,
  user_agent,
  x_api_key,
  x_forwarded_for,
  x_forwarded_host,
  x_forwarded_proto,
  chatgpt_account_id,
  originator,
  request_id,    // of an answer: `request-id`
  x_request_id,  // of an answer: `x-request-id`
  retry_after,
  x_cursor_client_version,
  x_claude_code_session_id,
  x_claude_code_agent_id,
  x_claude_code_parent_agent_id,
  session_id,             // `session-id`
  session_id_underscore,  // `session_id`
  x_mux_workspace_id,
  x_interaction_id,
  x_interaction_type,
  x_initiator,
  x_client_session_id,
  x_kilocode_taskid,
  x_coder_chat_id,
  x_opencode_session,
  x_session_affinity,
  x_session_id,
  x_weir_session_id,
  x_coder_ai_governance_token,
  x_coder_ai_governance_byok_token,
  x_weir_token,
  x_coder_ai_governance_request_id,
  x_weir_request_id,
  x_weir_delegated_key_id,
  x_coder_ai_gateway_delegated_key_id,
  count,
};

// The name in any case; `other` if it is not in the table.
HeaderName header_name(std::string_view name);
// The canonical lower-case text; empty for `other`.
std::string_view header_text(HeaderName name);
bool equals_ignoring_case(std::string_view a, std::string_view b);
// As equals_ignoring_case(), and '_' counts as '-': servers that hand headers on as variables (CGI, WSGI, FastCGI) take
// both names for one, so that a look-alike of a header passes for it behind weir.
bool looks_like(std::string_view a, std::string_view b);

struct Header {
  std::string_view name;
  std::string_view value;  // without white space around it
  HeaderName id = HeaderName::other;
};

inline constexpr size_t kHeaderCountMax = 128;
// Of all Connection fields together: each name is looked for among the headers (spec-2 section 9, "Bounds").
inline constexpr size_t kConnectionNamesMax = 32;

// Each is a refusal of spec section 2; head_too_large and too_many_headers are 431, unsupported_version 505, the others
// 400.
enum class HeadFault : uint8_t {
  none,
  bad_request_line,
  bad_status_line,
  unsupported_version,
  bad_header_name,   // also white space before the colon, and a line without a colon
  bad_header_value,  // control bytes
  bare_cr_or_lf,
  obsolete_folding,
  bad_content_length,  // not 1*DIGIT, over 2^63-1, or an empty list member
  two_lengths,         // a second Content-Length, equal or not
  length_with_chunked,
  bad_transfer_encoding,
  missing_host,
  two_hosts,
  bad_host,
  too_many_connection_names,
  head_too_large,
  too_many_headers,
};
// A sentence for the refusal and the log: "white space before the colon of a header".
std::string_view describe(HeadFault fault);

enum class HeadStatus : uint8_t { complete, need_more, invalid };

struct HeadResult {
  HeadStatus status = HeadStatus::need_more;
  size_t size = 0;  // complete: bytes of the head, its empty line and any empty lines before it included
  HeadFault fault = HeadFault::none;
  size_t fault_offset = 0;
};

enum class BodyFraming : uint8_t { none, length, chunked, until_close };
enum class Method : uint8_t { get, head, post, put, patch, del, options, other };

struct RequestHead {
  std::string_view method_text;
  std::string_view target;
  Method method = Method::other;
  uint8_t minor_version = 1;  // HTTP/1.<minor>
  BodyFraming framing = BodyFraming::none;
  bool keep_alive = true;        // what version and Connection ask for
  bool expect_continue = false;  // `Expect: 100-continue` in HTTP/1.1; another expectation is ignored
  uint64_t content_length = 0;   // for BodyFraming::length
  uint32_t header_count = 0;
  std::array<Header, kHeaderCountMax> headers;

  const Header* find(HeaderName name) const;  // the first, or null
};

struct ResponseHead {
  uint16_t status = 0;  // 100..999
  std::string_view reason;
  uint8_t minor_version = 1;
  BodyFraming framing = BodyFraming::until_close;  // before the method is considered: see body_framing()
  bool keep_alive = true;
  uint64_t content_length = 0;
  uint32_t header_count = 0;
  std::array<Header, kHeaderCountMax> headers;

  const Header* find(HeaderName name) const;
};

// Parses the head at the front of `bytes`. `seen` is how many of them a call before this one has already looked at
// (it returned need_more), so that a head that comes byte by byte costs linear time; 0 at first. A fault that can be
// seen early is reported early: a bare LF does not wait for an empty line. Up to `head_size_max` bytes.
// An empty line (CRLF) before the request line is skipped (RFC 9112 section 2.2).
HeadResult parse_request_head(std::string_view bytes, size_t seen, size_t head_size_max, RequestHead& out);
HeadResult parse_response_head(std::string_view bytes, size_t seen, size_t head_size_max, ResponseHead& out);

// RFC 9112 section 6.3: no body after HEAD, for 1xx, 204 and 304; nor for 205 (RFC 9110 section 15.3.6), whatever its
// head says. `content_length` keeps what the head says.
BodyFraming body_framing(const ResponseHead& head, Method request_method);
// No body may follow, and the head reads as if one did: a peer that does not know the rule sends it, and it would be
// taken for the next answer. A connection with such an answer is not used again. After HEAD, and in a 304, a length is
// allowed; who sends the bytes too cannot be told from who does not.
bool may_carry_forbidden_body(const ResponseHead& head, Method request_method);

// Calls `use(token)` for each token of a comma-separated list such as Connection, without white space, never empty.
template <class Use>
void for_each_token(std::string_view list, Use&& use) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    std::string_view token = list.substr(0, comma);
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    while (!token.empty() && (token.front() == ' ' || token.front() == '\t')) token.remove_prefix(1);
    while (!token.empty() && (token.back() == ' ' || token.back() == '\t')) token.remove_suffix(1);
    if (!token.empty()) use(token);
  }
}

}  // namespace weir::wire
