#include "wire/head.h"

#include "wire/head_scan.h"

namespace weir::wire {
namespace {

#if defined(__x86_64__)
// Asked of the processor once.
const bool kHasAvx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
#endif

template <class Head>
const Header* find_in(const Head& head, HeaderName name) {
  for (uint32_t i = 0; i < head.header_count; ++i) {
    if (head.headers[i].id == name) return &head.headers[i];
  }
  return nullptr;
}

}  // namespace

HeadResult parse_request_head(std::string_view bytes, size_t seen, size_t head_size_max, RequestHead& out) {
#if defined(__x86_64__)
  if (kHasAvx2) return parse_request_head_avx2(bytes, seen, head_size_max, out);
#endif
  return parse_request_head_scalar(bytes, seen, head_size_max, out);
}

HeadResult parse_response_head(std::string_view bytes, size_t seen, size_t head_size_max, ResponseHead& out) {
#if defined(__x86_64__)
  if (kHasAvx2) return parse_response_head_avx2(bytes, seen, head_size_max, out);
#endif
  return parse_response_head_scalar(bytes, seen, head_size_max, out);
}

const Header* RequestHead::find(HeaderName name) const {
  return find_in(*this, name);
}
const Header* ResponseHead::find(HeaderName name) const {
  return find_in(*this, name);
}

BodyFraming body_framing(const ResponseHead& head, Method request_method) {
  const bool is_bodiless = head.status < 200 || head.status == 204 || head.status == 205 || head.status == 304;
  return request_method == Method::head || is_bodiless ? BodyFraming::none : head.framing;
}

bool may_carry_forbidden_body(const ResponseHead& head, Method request_method) {
  if (body_framing(head, request_method) != BodyFraming::none) return false;
  switch (head.framing) {
    case BodyFraming::none:
      return false;
    case BodyFraming::length:
      return head.content_length > 0;
    case BodyFraming::chunked:
      return true;
    case BodyFraming::until_close:
      return head.status == 205;  // by RFC 9112 alone its body would go on to the end of the connection
  }
  return true;
}

std::string_view describe(HeadFault fault) {
  switch (fault) {
    case HeadFault::none:
      return "no fault";
    case HeadFault::bad_request_line:
      return "a request line that is not METHOD TARGET HTTP/1.1";
    case HeadFault::bad_status_line:
      return "a status line that is not HTTP/1.1 STATUS REASON";
    case HeadFault::unsupported_version:
      return "an HTTP version other than 1.0 and 1.1";
    case HeadFault::bad_header_name:
      return "a header name that is not a token followed at once by a colon";
    case HeadFault::bad_header_value:
      return "a control byte in the value of a header";
    case HeadFault::bare_cr_or_lf:
      return "a CR or LF that is not part of a CRLF";
    case HeadFault::obsolete_folding:
      return "a header line that begins with white space (obsolete folding)";
    case HeadFault::bad_content_length:
      return "a Content-Length that is not one decimal number";
    case HeadFault::two_lengths:
      return "more than one Content-Length";
    case HeadFault::length_with_chunked:
      return "Content-Length together with Transfer-Encoding";
    case HeadFault::bad_transfer_encoding:
      return "a Transfer-Encoding other than a single chunked in HTTP/1.1";
    case HeadFault::missing_host:
      return "no Host in an HTTP/1.1 request";
    case HeadFault::two_hosts:
      return "more than one Host";
    case HeadFault::bad_host:
      return "a Host that is not a name or address with an optional port";
    case HeadFault::too_many_connection_names:
      return "a Connection header that names more than 32 fields";
    case HeadFault::head_too_large:
      return "a head larger than the limit";
    case HeadFault::too_many_headers:
      return "more than 128 headers";
  }
  return "";
}

}  // namespace weir::wire
