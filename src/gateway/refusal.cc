#include "gateway/refusal.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/assert.h"
#include "base/utf8.h"

namespace weir::gateway {

namespace {

constexpr RefusalRow kRows[] = {
#define WEIR_REFUSAL_ROW(symbol, status, text, fault, retry, ending) \
  {#symbol, status, text, Fault::fault, Retry::retry, Ending::ending},
    WEIR_REFUSALS(WEIR_REFUSAL_ROW)
#undef WEIR_REFUSAL_ROW
};

// How large a detail may make an answer; longer ones (a path of 60 KiB) are cut at a whole code point.
constexpr size_t kDetailSizeMax = 2048;

// Appends `text` as the inside of a JSON string. Invalid UTF-8 becomes U+FFFD: the answer must parse whatever came.
void append_escaped(std::string_view text, ByteBuffer& out) {
  constexpr char kHex[] = "0123456789abcdef";
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text.front());
    if (byte == '"' || byte == '\\') {
      const char escaped[] = {'\\', text.front()};
      out.append({escaped, 2});
      text.remove_prefix(1);
    } else if (byte < 0x20 || byte == 0x7F) {
      const char escaped[] = {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
      out.append({escaped, 6});
      text.remove_prefix(1);
    } else {
      const size_t size = byte < 0x80 ? 1 : code_point_size(text);
      out.append(size == 0 ? std::string_view("\\ufffd") : text.substr(0, size));
      text.remove_prefix(size == 0 ? 1 : size);
    }
  }
}

void append_number(uint64_t number, ByteBuffer& out) {
  std::array<char, 20> digits;
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  ASSERT(error == std::errc());
  out.append({digits.data(), static_cast<size_t>(end - digits.data())});
}

// Header values that come from outside this program (an id, a list of methods) must not be able to end their line.
void append_header(std::string_view name, std::string_view value, ByteBuffer& out) {
  out.append(name);
  out.append(": ");
  for (const char byte : value) out.append(static_cast<unsigned char>(byte) < 0x20 || byte == 0x7F ? '?' : byte);
  out.append("\r\n");
}

void append_retry(Retry retry, uint32_t after_s, ByteBuffer& out) {
  switch (retry) {
    case Retry::never:
      out.append("x-should-retry: false\r\n");
      return;
    case Retry::open:
      return;
    case Retry::after:
      out.append("Retry-After: ");
      append_number(std::max(after_s, 1u), out);
      out.append("\r\n");
      return;
  }
}

void append_message(const RefusalRow& refusal, std::string_view detail, ByteBuffer& out) {
  const size_t place = refusal.text.find("{}");
  if (place == std::string_view::npos || detail.empty()) {
    append_escaped(text_without_detail(refusal), out);
    return;
  }
  append_escaped(refusal.text.substr(0, place), out);
  const std::string_view cut = detail.size() <= kDetailSizeMax ? detail : cut_at_code_point(detail, kDetailSizeMax);
  append_escaped(cut, out);
  if (cut.size() < detail.size()) out.append("...");
  append_escaped(refusal.text.substr(place + 2), out);
}

void append_body(const RefusalAnswer& answer, const RefusalRow& refusal, ByteBuffer& out) {
  const std::string_view type = error_type(answer.shape, refusal.status);
  if (answer.shape == ErrorShape::anthropic) {
    out.append(R"({"type":"error","error":{"type":")");
    out.append(type);
    out.append(R"(","message":")");
    append_message(refusal, answer.detail, out);
    out.append(R"("},"request_id":")");
    append_escaped(answer.request_id, out);
    out.append(R"("})");
    return;
  }
  out.append(R"({"error":{"message":")");
  append_message(refusal, answer.detail, out);
  out.append(R"(","type":")");
  out.append(type);
  out.append(R"(","param":null,"code":")");
  out.append(refusal.symbol);
  out.append(R"("}})");
}

// In the shape of the API's error event, or of a response that failed; the latter has the error beside the response
// too, for readers that look for one there.
void write_responses_error(const StreamError& error, ByteBuffer& out) {
  if (!error.as_failed_response) {
    out.append("event: error\ndata: {\"type\":\"error\",\"code\":\"upstream_error\",\"message\":\"");
    append_escaped(error.message, out);
    out.append("\",\"param\":null}\n\n");
    return;
  }
  out.append("event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"object\":\"response\",");
  out.append("\"status\":\"failed\",\"error\":{\"code\":\"upstream_error\",\"message\":\"");
  append_escaped(error.message, out);
  out.append("\"}},\"error\":{\"code\":\"upstream_error\",\"message\":\"");
  append_escaped(error.message, out);
  out.append("\"}}\n\n");
}

}  // namespace

const RefusalRow& row(Refusal refusal) {
  ASSERT(refusal != Refusal::none);
  return kRows[std::to_underlying(refusal) - 1];
}

std::string_view text_without_detail(const RefusalRow& row) {
  const size_t place = row.text.find("{}");
  if (place == std::string_view::npos) return row.text;
  const std::string_view before = row.text.substr(0, place);
  size_t end = 0;
  for (const std::string_view introduction : {": ", "; ", " of ", " for ", " and not to "}) {
    if (const size_t found = before.rfind(introduction); found != std::string_view::npos) end = std::max(end, found);
  }
  return before.substr(0, end);
}

std::string_view error_type(ErrorShape shape, uint16_t status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    default:
      break;
  }
  if (shape == ErrorShape::openai) return status >= 500 ? "server_error" : "invalid_request_error";
  switch (status) {
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 503:
    case 529:
      return "overloaded_error";
    case 504:
      return "timeout_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

std::string_view reason_phrase(uint16_t status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Error";
  }
}

void write_refusal(const RefusalAnswer& answer, ByteBuffer& out) {
  const RefusalRow& refusal = row(answer.refusal);
  ByteBuffer body;
  append_body(answer, refusal, body);
  out.append("HTTP/1.1 ");
  append_number(refusal.status, out);
  out.append(' ');
  out.append(reason_phrase(refusal.status));
  out.append("\r\nContent-Type: application/json\r\nContent-Length: ");
  append_number(body.size(), out);
  out.append("\r\n");
  if (!answer.allow.empty()) append_header("Allow", answer.allow, out);
  append_retry(refusal.retry, answer.retry_after_s, out);
  if (!answer.interception_id.empty()) append_header("X-Weir-Interception-Id", answer.interception_id, out);
  // RFC 9110 section 15.5.22: the answer names the protocol to use, and Connection names Upgrade (section 7.8).
  const bool upgrade = refusal.status == 426;
  if (upgrade) out.append("Upgrade: HTTP/1.1\r\n");
  if (upgrade || answer.close) {
    append_header("Connection", !upgrade ? "close" : answer.close ? "Upgrade, close" : "Upgrade", out);
  }
  out.append("\r\n");
  if (!answer.head_request) out.append(body.view());
}

void write_stream_error(const StreamError& error, ByteBuffer& out) {
  for (unsigned i = 0; i < error.line_ends; ++i) out.append('\n');
  switch (error.api) {
    case Api::messages:
      out.append("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"");
      append_escaped(error.message, out);
      out.append(R"("},"request_id":")");
      append_escaped(error.request_id, out);
      out.append("\"}\n\n");
      return;
    case Api::responses:
      write_responses_error(error, out);
      return;
    case Api::none:
    case Api::chat_completions:
      out.append("data: {\"error\":{\"message\":\"");
      append_escaped(error.message, out);
      out.append("\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_error\"}}\n\n");
      return;
  }
}

}  // namespace weir::gateway
