// Forwarding a head: the peer's headers that stay, in order and byte for byte, as slices as long as possible; then what
// the program injects. Allocates nothing once the buffer has its size.
#include <array>
#include <charconv>
#include <span>
#include <utility>

#include "base/assert.h"
#include "gateway/entry.h"
#include "gateway/refusal.h"
#include "gateway/rule_program.h"
#include "gateway/ruleset.h"
#include "gateway/token_copy.h"

namespace weir::gateway {

namespace {

using wire::Header;
using wire::HeaderName;

// What the placeholders of one message stand for. One of `request` and `answer` is not null.
struct Context {
  const RuleValues& values;
  const UpstreamRequest* request = nullptr;
  const DownstreamAnswer* answer = nullptr;
};

void append_number(uint64_t number, ByteBuffer& out) {
  char* room = out.make_room(20);
  const auto [end, error] = std::to_chars(room, room + 20, number);
  ASSERT(error == std::errc());
  out.commit(static_cast<size_t>(end - room));
}

// A value from outside (a username out of a directory) must not be able to end its line and begin a header.
bool append_safely(std::string_view text, ByteBuffer& out) {
  const size_t begin = out.size();
  out.append(text);
  for (char& byte : std::span(out.data() + begin, text.size())) {
    if ((static_cast<unsigned char>(byte) < 0x20 && byte != '\t') || byte == 0x7F) byte = '?';
  }
  return !text.empty();
}

bool append_forwarded_for(const Context& context, ByteBuffer& out) {
  const wire::RequestHead& head = *context.request->head;
  bool any = false;
  for (uint32_t i = 0; i < head.header_count; ++i) {
    const Header& header = head.headers[i];
    if (header.id != HeaderName::x_forwarded_for || header.value.empty()) continue;
    if (any) out.append(", ");
    out.append(header.value);
    any = true;
  }
  if (context.values.client_address.empty()) return any;
  if (any) out.append(", ");
  return append_safely(context.values.client_address, out);
}

bool append_body_size(const Context& context, ByteBuffer& out) {
  if (context.request != nullptr) {
    if (!context.request->has_body) return false;
    append_number(context.request->body_size, out);
    return true;
  }
  if (!context.answer->write_content_length) return false;
  append_number(context.answer->content_length, out);
  return true;
}

bool append_connection(const DownstreamAnswer& answer, ByteBuffer& out) {
  if (!answer.close && !answer.http_1_0) return false;
  out.append(answer.close ? "close" : "keep-alive");
  return true;
}

// False if the placeholder has no value here: the header is then left out.
bool append_value(const Context& context, const Piece& piece, ByteBuffer& out) {
  const RuleValues& values = context.values;
  switch (piece.placeholder) {
    case Placeholder::literal:
      out.append(piece.literal);
      return true;
    case Placeholder::initiator_id:  // a UUID, or there would be no exchange
      out.append(values.initiator_id);
      return !values.initiator_id.empty();
    case Placeholder::initiator_username:
      return append_safely(values.username, out);
    case Placeholder::request_id:
      return append_safely(values.request_id, out);
    case Placeholder::interception_id:  // our own
      out.append(values.interception_id);
      return !values.interception_id.empty();
    case Placeholder::client_address:
      return append_safely(values.client_address, out);
    case Placeholder::client_host:
      return append_safely(values.client_host, out);
    case Placeholder::client_proto:
      out.append(values.client_tls ? "https" : "http");
      return true;
    case Placeholder::forwarded_for:
      return append_forwarded_for(context, out);
    case Placeholder::credential: {
      // The operator's key only: a user's credential stays in the header that it came in.
      const Credential* credential = context.request->credential;
      if (credential == nullptr || credential->client_header != nullptr) return false;
      out.append(credential->secret);
      return !credential->secret.empty();
    }
    case Placeholder::upstream_authority:
      out.append(context.request->provider->base_url.authority);
      return true;
    case Placeholder::body_size:
      return append_body_size(context, out);
    case Placeholder::answer_connection:
      ASSERT(context.answer != nullptr);  // only the built-in rules of answers have these three
      return append_connection(*context.answer, out);
    case Placeholder::answer_coding:
      ASSERT(context.answer != nullptr);
      if (context.answer->framing != AnswerFraming::chunked) return false;
      out.append("chunked");
      return true;
    case Placeholder::answer_interception_id:
      ASSERT(context.answer != nullptr);
      out.append(context.answer->interception_id);
      return !context.answer->interception_id.empty();
  }
  std::unreachable();
}

void append_injections(const std::vector<Injection>& injections, const Context& context, ByteBuffer& out) {
  const uint32_t client = 1u << (context.values.client_index & 31u);
  for (const Injection& injection : injections) {
    if ((injection.clients & client) == 0) continue;
    const size_t before = out.size();
    out.append(injection.line_start);
    bool complete = true;
    for (const Piece& piece : injection.pieces) complete = complete && append_value(context, piece, out);
    if (!complete) {
      out.truncate(before);
      continue;
    }
    out.append("\r\n");
  }
}

// One bit for each header of a head.
class HeaderMarks {
 public:
  void set(size_t index) { bits_[index / 64] |= uint64_t{1} << (index % 64); }
  bool test(size_t index) const { return (bits_[index / 64] >> (index % 64) & 1) != 0; }

 private:
  std::array<uint64_t, (wire::kHeaderCountMax + 63) / 64> bits_{};
};

// Marks the headers that Connection names (RFC 9110 section 7.6.1). Not `kept`: a peer must not be able to have the
// credential dropped that was chosen. Host and Content-Length are written anew in any case.
void mark_connection_named(std::span<const Header> headers, const Header* kept, HeaderMarks& marks) {
  for (const Header& header : headers) {
    if (header.id != HeaderName::connection) continue;
    // What nearly every client sends; `Keep-Alive` itself is stripped by name.
    if (header.value == "keep-alive") continue;
    wire::for_each_token(header.value, [&](std::string_view token) {
      for (size_t i = 0; i < headers.size(); ++i) {
        const std::string_view name = headers[i].name;
        if (name.size() != token.size() || ((name.front() ^ token.front()) & ~0x20) != 0) continue;
        if (&headers[i] != kept && wire::equals_ignoring_case(name, token)) marks.set(i);
      }
    });
  }
}

// Collects adjacent headers that stay into one slice of the peer's bytes.
// REQUIRES: names and values are views into one head as the parser read it, so that "\r\n" follows a value at once, or
// white space does.
class Runs {
 public:
  explicit Runs(ByteBuffer& out) : out_(out) {}

  void keep(const Header& header) {
    const char* name_end = header.name.data() + header.name.size();
    const char* value_end = header.value.data() + header.value.size();
    // Anything but "Name: value\r\n" is written anew: white space around a value is not part of it.
    const bool canonical =
        header.value.data() == name_end + 2 && name_end[1] == ' ' && value_end[0] == '\r' && value_end[1] == '\n';
    if (!canonical) {
      flush();
      out_.append(header.name);
      out_.append(": ");
      out_.append(header.value);
      out_.append("\r\n");
      return;
    }
    if (header.name.data() != end_) {
      flush();
      begin_ = header.name.data();
    }
    end_ = value_end + 2;
  }

  void flush() {
    if (begin_ != nullptr) out_.append({begin_, static_cast<size_t>(end_ - begin_)});
    begin_ = end_ = nullptr;
  }

 private:
  ByteBuffer& out_;
  const char* begin_ = nullptr;
  const char* end_ = nullptr;
};

bool stripped_for_client(const Pass& pass, const Header& header, uint32_t client) {
  for (const Pass::ForClients& rule : pass.strip_for) {
    if ((rule.clients & client) != 0 && rule.strip.contains(header)) return true;
  }
  return false;
}

void append_headers(const Pass& pass, std::span<const Header> headers, const Header* credential_header,
                    const Context& context, ByteBuffer& out) {
  const std::string_view token = context.request == nullptr ? std::string_view() : context.request->gateway_token;
  append_injections(pass.front, context, out);
  const Header* kept = pass.keep_credential ? credential_header : nullptr;
  const uint32_t client = 1u << (context.values.client_index & 31u);
  HeaderMarks named;
  if (pass.strip_connection_named) mark_connection_named(headers, kept, named);

  Runs runs(out);
  for (size_t i = 0; i < headers.size(); ++i) {
    const Header& header = headers[i];
    const bool stripped = pass.strip.contains(header) || named.test(i) || stripped_for_client(pass, header, client);
    if (&header != kept) {
      if (stripped) continue;
      const TokenCopy copy = find_token_copy(header, token);
      if (copy == TokenCopy::cookie) {
        runs.flush();
        append_other_cookies(header, token, out);
      }
      if (copy != TokenCopy::none) continue;
    }
    runs.keep(header);
  }
  runs.flush();
  append_injections(pass.back, context, out);
  out.append("\r\n");
}

}  // namespace

void write_request_head(const Program& program, const RuleValues& values, const UpstreamRequest& request,
                        ByteBuffer& out) {
  const wire::RequestHead& head = *request.head;
  out.append(head.method_text);
  out.append(' ');
  out.append(request.provider->base_url.path);
  out.append(request.path);
  if (request.has_query) {
    out.append('?');
    out.append(request.query);
  }
  out.append(" HTTP/1.1\r\n");
  append_headers(program.request, std::span(head.headers).first(head.header_count),
                 request.credential == nullptr ? nullptr : request.credential->client_header,
                 {.values = values, .request = &request}, out);
}

void write_response_head(const Program& program, const RuleValues& values, const DownstreamAnswer& answer,
                         ByteBuffer& out) {
  const wire::ResponseHead& head = *answer.head;
  out.append("HTTP/1.1 ");
  append_number(head.status, out);
  out.append(' ');
  out.append(head.reason);
  out.append("\r\n");
  append_headers(program.response, std::span(head.headers).first(head.header_count), nullptr,
                 {.values = values, .answer = &answer}, out);
}

}  // namespace weir::gateway
