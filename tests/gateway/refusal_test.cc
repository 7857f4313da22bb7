// Every refusal: its status, its words, its shape (spec sections 2 and 8).
#include <simdjson.h>

#include "gateway/refusal.h"
#include "support.h"

namespace weir::gateway::test {

namespace {

struct Written {
  std::string head;
  std::string body;
  std::string message, type, code, request_id;
};

std::string text_at(const simdjson::dom::element& root, const char* pointer) {
  std::string_view text;
  return root.at_pointer(pointer).get(text) == simdjson::SUCCESS ? std::string(text) : "(none)";
}

Written write(const RefusalAnswer& answer) {
  ByteBuffer out;
  write_refusal(answer, out);
  Written written;
  const size_t end = out.view().find("\r\n\r\n") + 4;
  written.head = out.view().substr(0, end);
  written.body = out.view().substr(end);
  if (written.body.empty()) return written;
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  INFO(written.body);
  REQUIRE(parser.parse(written.body).get(root) == simdjson::SUCCESS);
  written.message = text_at(root, "/error/message");
  written.type = text_at(root, "/error/type");
  written.code = text_at(root, "/error/code");
  written.request_id = text_at(root, "/request_id");
  CHECK(text_at(root, "/type") == (answer.shape == ErrorShape::anthropic ? "error" : "(none)"));
  if (answer.shape == ErrorShape::openai) {
    simdjson::dom::element param;
    CHECK(root.at_pointer("/error/param").get(param) == simdjson::SUCCESS);
    CHECK(param.is_null());
  }
  return written;
}

struct TypeCase {
  uint16_t status;
  std::string_view anthropic;
  std::string_view openai;
};
constexpr TypeCase kTypes[] = {
    {400, "invalid_request_error", "invalid_request_error"},
    {401, "authentication_error", "authentication_error"},
    {403, "permission_error", "permission_error"},
    {404, "not_found_error", "invalid_request_error"},
    {405, "invalid_request_error", "invalid_request_error"},
    {408, "invalid_request_error", "invalid_request_error"},
    {413, "request_too_large", "invalid_request_error"},
    {429, "rate_limit_error", "rate_limit_error"},
    {431, "invalid_request_error", "invalid_request_error"},
    {500, "api_error", "server_error"},
    {502, "api_error", "server_error"},
    {503, "overloaded_error", "server_error"},
    {504, "timeout_error", "server_error"},
};

struct StatusCase {
  Refusal refusal;
  uint16_t status;
  std::string_view retry;  // "never", "after", or nothing said
};
constexpr StatusCase kStatuses[] = {
    {Refusal::no_authentication_key, 400, "never"}, {Refusal::conflicting_governance, 400, "never"},
    {Refusal::malformed_http, 400, "never"},        {Refusal::plain_http, 400, "never"},
    {Refusal::malformed_target, 400, "never"},      {Refusal::empty_body, 400, "never"},
    {Refusal::invalid_json, 400, "never"},          {Refusal::body_not_an_object, 400, "never"},
    {Refusal::credential_missing, 401, "never"},    {Refusal::unauthorized, 403, "never"},
    {Refusal::initiator_invalid, 403, "never"},     {Refusal::credential_as_token, 403, "never"},
    {Refusal::foreign_host, 403, "never"},          {Refusal::foreign_origin, 403, "never"},
    {Refusal::byok_disabled, 403, "never"},         {Refusal::route_not_supported, 404, "never"},
    {Refusal::method_not_allowed, 405, "never"},    {Refusal::request_timeout, 408, ""},
    {Refusal::body_too_large, 413, "never"},        {Refusal::websocket_not_supported, 426, "never"},
    {Refusal::address_connections, 429, "after"},   {Refusal::address_rate, 429, "after"},
    {Refusal::initiator_rate, 429, "after"},        {Refusal::initiator_exchanges, 429, "after"},
    {Refusal::head_too_large, 431, "never"},        {Refusal::no_operator_key, 502, "never"},
    {Refusal::upstream_unreachable, 502, ""},       {Refusal::upstream_bad_answer, 502, ""},
    {Refusal::upstream_no_answer, 502, ""},         {Refusal::authorizer_unreachable, 503, "after"},
    {Refusal::journal_full, 503, "after"},          {Refusal::shutting_down, 503, "after"},
    {Refusal::body_memory, 503, "after"},           {Refusal::overloaded, 503, "after"},
    {Refusal::upstream_timeout, 504, ""},           {Refusal::version_not_supported, 505, "never"},
};

}  // namespace

TEST_CASE("refusals: each status has the provider's own word") {
  for (const TypeCase& expected : kTypes) {
    INFO(expected.status);
    CHECK(error_type(ErrorShape::anthropic, expected.status) == expected.anthropic);
    CHECK(error_type(ErrorShape::openai, expected.status) == expected.openai);
  }
}

TEST_CASE("refusals: every one is a whole answer in either shape") {
  for (const auto& [refusal, status, retry] : kStatuses) {
    for (const ErrorShape shape : {ErrorShape::anthropic, ErrorShape::openai}) {
      const RefusalRow& expected = row(refusal);
      INFO(std::string(expected.symbol));
      const Written written = write({.refusal = refusal, .shape = shape, .detail = "DETAIL", .request_id = "req-7"});
      CHECK(expected.status == status);
      CHECK(written.head.starts_with("HTTP/1.1 " + std::to_string(status) + " " + std::string(reason_phrase(status)) +
                                     "\r\n"));
      CHECK(reason_phrase(status) != "Error");
      CHECK(value_of(written.head, "Content-Type") == "application/json");
      CHECK(value_of(written.head, "Content-Length") == std::to_string(written.body.size()));
      CHECK(value_of(written.head, "x-should-retry") == (retry == "never" ? "false" : "(absent)"));
      CHECK(value_of(written.head, "Retry-After") == (retry == "after" ? "1" : "(absent)"));
      CHECK(written.type == error_type(shape, status));
      const size_t place = expected.text.find("{}");
      CHECK(written.message.starts_with(expected.text.substr(0, place)));
      CHECK(contains(written.message, "DETAIL") == (place != std::string_view::npos));
      CHECK_FALSE(contains(written.message, "{}"));
      CHECK((shape == ErrorShape::anthropic ? written.request_id == "req-7" : written.code == expected.symbol));
    }
  }
}

TEST_CASE("refusals: what the table says of asking again fits the status") {
  CHECK(std::size(kStatuses) == kRefusalCount - 1);  // all but `none`
  for (const auto& [refusal, status, retry] : kStatuses) {
    INFO(std::string(row(refusal).symbol));
    CHECK((retry == "after") == (status == 429 || status == 503));
    if (status == 401 || status == 403 || status == 404 || status == 413) CHECK(retry == "never");
  }
}

TEST_CASE("refusals: a detail that is missing leaves no hole in any text") {
  for (const Refusal refusal : kRefusals) {
    if (refusal == Refusal::none) continue;
    const RefusalRow& expected = row(refusal);
    INFO(std::string(expected.symbol));
    const std::string_view text = text_without_detail(expected);
    REQUIRE(text.size() >= 10);
    CHECK(expected.text.starts_with(text));
    CHECK(text.find_first_of("{}") == text.npos);
    CHECK(std::string_view(" :;,").find(text.back()) == std::string_view::npos);
    CHECK(write({.refusal = refusal}).message == text);
  }
}

TEST_CASE("refusals: the texts that the contract fixes") {
  CHECK(row(Refusal::no_authentication_key).text == "no authentication key provided");
  CHECK(row(Refusal::authorizer_unreachable).text == "could not connect to the authorizer");
  // Clients know the first word; the rest tells a user what to do.
  CHECK(row(Refusal::unauthorized).text == "unauthorized: this gateway token is unknown, expired or revoked");
  CHECK(row(Refusal::initiator_invalid).text.starts_with("unauthorized: "));
  CHECK(write({.refusal = Refusal::route_not_supported, .detail = "POST /x"}).message ==
        "route not supported: POST /x");
}

TEST_CASE("refusals: further headers are there when they are asked for") {
  const Written plain = write({.refusal = Refusal::unauthorized, .retry_after_s = 3});
  for (const std::string_view name : {"Allow", "Retry-After", "X-Weir-Interception-Id", "Connection"}) {
    CHECK(value_of(plain.head, name) == "(absent)");
  }
  const Written full = write({.refusal = Refusal::journal_full,
                              .interception_id = "int-1",
                              .allow = "POST",
                              .retry_after_s = 3,
                              .close = true});
  CHECK(value_of(full.head, "Allow") == "POST");
  CHECK(value_of(full.head, "Retry-After") == "3");
  CHECK(value_of(full.head, "X-Weir-Interception-Id") == "int-1");
  CHECK(value_of(full.head, "Connection") == "close");
}

TEST_CASE("refusals: the one of WebSocket names the protocol to use") {
  const Written kept = write({.refusal = Refusal::websocket_not_supported});
  CHECK(value_of(kept.head, "Upgrade") == "HTTP/1.1");
  CHECK(value_of(kept.head, "Connection") == "Upgrade");
  const Written closing = write({.refusal = Refusal::websocket_not_supported, .close = true});
  CHECK(value_of(closing.head, "Connection") == "Upgrade, close");
  CHECK(value_of(write({.refusal = Refusal::method_not_allowed}).head, "Upgrade") == "(absent)");
}

TEST_CASE("refusals: the answer to HEAD has the length and no body") {
  const Written get = write({.refusal = Refusal::no_authentication_key});
  const Written head = write({.refusal = Refusal::no_authentication_key, .head_request = true});
  CHECK(head.body.empty());
  CHECK(head.head == get.head);
}

TEST_CASE("refusals: any detail leaves valid JSON and one-line headers") {
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte += static_cast<char>(byte);
  for (const ErrorShape shape : {ErrorShape::anthropic, ErrorShape::openai}) {
    const Written written = write({.refusal = Refusal::malformed_target,
                                   .shape = shape,
                                   .detail = every_byte,
                                   .request_id = every_byte,
                                   .interception_id = "a\r\nInjected: 1"});
    CHECK(contains(written.message, "\"#$%&"));
    CHECK(contains(written.message, "[\\]"));
    CHECK(value_of(written.head, "Injected") == "(absent)");
  }
  CHECK(write({.refusal = Refusal::malformed_target, .detail = "gr\xc3\xbc\xc3\x9f"}).message ==
        "malformed request target: gr\xc3\xbc\xc3\x9f");
}

TEST_CASE("refusals: a long detail is cut") {
  const Written written = write({.refusal = Refusal::route_not_supported, .detail = std::string(60000, 'x')});
  CHECK(written.body.size() < 3000);
  CHECK(written.message.ends_with("x..."));
}

TEST_CASE("refusals: the error event of a broken stream") {
  ByteBuffer out;
  write_stream_error(
      {.api = Api::messages, .message = "the provider \"broke\" off", .request_id = "req-1", .line_ends = 2}, out);
  CHECK(out.view() ==
        "\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":"
        "\"the provider \\\"broke\\\" off\"},\"request_id\":\"req-1\"}\n\n");
  out.clear();
  write_stream_error({.api = Api::chat_completions, .message = "broken", .line_ends = 1}, out);
  CHECK(out.view() ==
        "\ndata: {\"error\":{\"message\":\"broken\",\"type\":\"server_error\",\"param\":null,\"code\":"
        "\"upstream_error\"}}\n\n");
  out.clear();
  write_stream_error({.api = Api::responses, .message = "broken"}, out);
  CHECK(out.view() ==
        "event: error\ndata: {\"type\":\"error\",\"code\":\"upstream_error\",\"message\":\"broken\","
        "\"param\":null}\n\n");
  out.clear();
  write_stream_error({.api = Api::responses, .message = "a \"b\"", .line_ends = 1, .as_failed_response = true}, out);
  CHECK(out.view() ==
        "\nevent: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"object\":\"response\","
        "\"status\":\"failed\",\"error\":{\"code\":\"upstream_error\",\"message\":\"a \\\"b\\\"\"}},"
        "\"error\":{\"code\":\"upstream_error\",\"message\":\"a \\\"b\\\"\"}}\n\n");
}

}  // namespace weir::gateway::test
