#include <simdjson.h>

#include "gateway/token_table.h"

namespace weir::gateway {

namespace {

// A header is one line whatever is in a token or an id.
void append_line_text(std::string_view text, ByteBuffer& out) {
  for (const char byte : text) out.append(static_cast<unsigned char>(byte) < 0x20 || byte == 0x7F ? '?' : byte);
}

AuthorizerReply unreachable(std::string_view why) {
  AuthorizerReply reply;
  reply.why = why;
  return reply;
}

// The fields that were found; views into the parser's memory.
struct Fields {
  std::string_view id;
  std::string_view initiator_id;
  std::string_view username;
  std::string_view api_key_id;
};

// False if the body is not a JSON object, or one of the fields is no text. Unknown fields may hold anything.
bool read_fields(const simdjson::dom::element& root, Fields& fields) {
  simdjson::dom::object object;
  if (root.get(object) != simdjson::SUCCESS) return false;
  for (const auto& [key, value] : object) {
    std::string_view* field = key == "id"             ? &fields.id
                              : key == "initiator_id" ? &fields.initiator_id
                              : key == "username"     ? &fields.username
                              : key == "api_key_id"   ? &fields.api_key_id
                                                      : nullptr;
    if (field == nullptr || value.is_null()) continue;
    if (value.get(*field) != simdjson::SUCCESS) return false;
  }
  return true;
}

}  // namespace

void write_authorizer_request(const AuthorizerRequest& request, ByteBuffer& out) {
  out.append("GET ");
  out.append(request.path.empty() ? std::string_view("/") : request.path);
  out.append(" HTTP/1.1\r\nHost: ");
  out.append(request.authority);
  out.append("\r\nAccept: application/json\r\nUser-Agent: weir\r\n");
  if (!request.delegated_key_id.empty()) {
    out.append("X-Weir-Delegated-Key-Id: ");
    append_line_text(request.delegated_key_id, out);
  } else {
    constexpr std::string_view kToken = "{token}";
    const size_t place = request.header.find(kToken);
    out.append(request.header.substr(0, place));
    append_line_text(request.token, out);
    if (place != std::string_view::npos) out.append(request.header.substr(place + kToken.size()));
  }
  out.append("\r\n\r\n");
}

AuthorizerReply read_authorizer_answer(uint16_t status, std::string_view padded_body) {
  if (status == 401 || status == 403 || status == 404) {
    AuthorizerReply reply;
    reply.verdict = Verdict::refused;
    reply.why = "the authorizer refused the token";
    return reply;
  }
  if (status < 200 || status > 299) return unreachable("the authorizer answered with an unexpected status");

  static_assert(ByteBuffer::kPadding >= simdjson::SIMDJSON_PADDING);
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (parser.parse(padded_body.data(), padded_body.size(), /*realloc_if_needed=*/false).get(root) !=
      simdjson::SUCCESS) {
    return unreachable("the authorizer's answer is not JSON");
  }
  Fields fields;
  if (!read_fields(root, fields)) return unreachable("the authorizer's answer is not an object of texts");
  const std::string_view initiator_id = fields.initiator_id.empty() ? fields.id : fields.initiator_id;
  // Whether it is a UUID is judged at the entry, for every authorizer alike (spec section 2, step 8): 403.
  if (initiator_id.empty()) return unreachable("the authorizer's answer has no `id`");
  if (fields.username.empty()) return unreachable("the authorizer's answer has no `username`");

  AuthorizerReply reply;
  reply.verdict = Verdict::allowed;
  reply.identity = Identity::make(initiator_id, fields.username, fields.api_key_id);
  return reply;
}

}  // namespace weir::gateway
