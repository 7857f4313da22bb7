#include "wire/head.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cctype>
#include <cstring>
#include <memory>
#include <string>

#include "support/parsed_heads.h"
#include "support/splits.h"

namespace {

using namespace weir::wire;
using weir::test::kHeadSizeMax;
using weir::test::ParsedRequest;
using weir::test::ParsedResponse;

constexpr std::string_view kRequest =
    "POST /v1/messages?beta=true HTTP/1.1\r\n"
    "Host: gateway.example:4001\r\n"
    "Content-Type: application/json\r\n"
    "X-API-KEY:  secret \t\r\n"
    "Content-Length: 12\r\n"
    "x-unknown:\r\n"
    "\r\n"
    "{\"model\":1}\n";

TEST_CASE("head: a request is taken apart in place") {
  const ParsedRequest request(kRequest);
  CHECK(request.result.status == HeadStatus::complete);
  CHECK(request.result.size == kRequest.size() - 12);
  CHECK(request->method_text == "POST");
  CHECK(request->method == Method::post);
  CHECK(request->target == "/v1/messages?beta=true");
  CHECK(request->minor_version == 1);
  CHECK(request->framing == BodyFraming::length);
  CHECK(request->content_length == 12);
  CHECK(request->keep_alive);
  CHECK(request->header_count == 5);
  CHECK(request->headers[2].name == "X-API-KEY");
  CHECK(request->headers[2].value == "secret");
  CHECK(request->headers[2].id == HeaderName::x_api_key);
  CHECK(request->headers[4].id == HeaderName::other);
  CHECK(request->headers[4].value.empty());
  CHECK(request->find(HeaderName::host)->value == "gateway.example:4001");
  CHECK(request->find(HeaderName::expect) == nullptr);
  CHECK(request->headers[2].name.data() == request.bytes->data() + kRequest.find("X-API-KEY"));
}

TEST_CASE("head: a request that comes in any way is the same") {
  weir::test::for_each_growth(kRequest, [](weir::test::Growth& growth) {
    auto head = std::make_unique<RequestHead>();
    HeadResult result;
    growth.each([&](std::string_view so_far, size_t seen) {
      result = parse_request_head(so_far, seen, kHeadSizeMax, *head);
      return result.status == HeadStatus::need_more;
    });
    CHECK(result.status == HeadStatus::complete);
    CHECK(result.size == kRequest.size() - 12);
    CHECK(head->content_length == 12);
    CHECK(head->header_count == 5);
  });
}

TEST_CASE("head: an answer is taken apart") {
  const ParsedResponse response(
      "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nTransfer-Encoding: chunked\r\n\r\n");
  CHECK(response.result.status == HeadStatus::complete);
  CHECK(response->status == 429);
  CHECK(response->reason == "Too Many Requests");
  CHECK(response->framing == BodyFraming::chunked);
  CHECK(response->find(HeaderName::retry_after)->value == "3");
}

TEST_CASE("head: every known name is recognised in any case, and nothing near it") {
  size_t wrong = 0;
  for (size_t i = 1; i < static_cast<size_t>(HeaderName::count); ++i) {
    const auto id = static_cast<HeaderName>(i);
    std::string name(header_text(id));
    REQUIRE_FALSE(name.empty());
    CHECK(header_name(name) == id);
    for (size_t j = 0; j < name.size(); ++j) {
      for (int c = 0; c < 256; ++c) {
        std::string other = name;
        other[j] = static_cast<char>(c);
        const bool is_same = equals_ignoring_case(other, name);
        // session-id and session_id are one byte apart.
        const bool is_known = is_same || other == "session-id" || other == "session_id";
        if ((header_name(other) != HeaderName::other) != is_known) ++wrong;
      }
    }
    CHECK(header_name(name + "x") == HeaderName::other);
    CHECK(header_name(name.substr(1)) != id);
    CHECK(header_name(name.substr(0, name.size() - 1)) != id);
  }
  CHECK(wrong == 0);
  CHECK(header_name("") == HeaderName::other);
  CHECK(header_text(HeaderName::other).empty());
}

// --- what is accepted

struct Accepted {
  const char* lines;  // after the request line and Host
  uint64_t length;
  BodyFraming framing;
  bool keep_alive;
};

TEST_CASE("head: sound framing in every spelling") {
  constexpr Accepted kRows[] = {
      {"", 0, BodyFraming::none, true},
      {"Content-Length: 0\r\n", 0, BodyFraming::length, true},
      {"Content-Length:5\r\n", 5, BodyFraming::length, true},
      {"Content-Length: \t 5 \t \r\n", 5, BodyFraming::length, true},
      {"content-length: 5\r\n", 5, BodyFraming::length, true},
      {"CONTENT-LENGTH: 5\r\n", 5, BodyFraming::length, true},
      {"Content-Length: 0005\r\n", 5, BodyFraming::length, true},
      {"Content-Length: 00000000000000000000000000005\r\n", 5, BodyFraming::length, true},
      {"Content-Length: 4294967296\r\n", 4294967296, BodyFraming::length, true},
      {"Content-Length: 9223372036854775807\r\n", 9223372036854775807, BodyFraming::length, true},
      {"X-Content-Length: 6\r\nContent-Length: 5\r\n", 5, BodyFraming::length, true},
      {"Content-Length-X: 6\r\nContent-Length: 5\r\n", 5, BodyFraming::length, true},
      {"Transfer-Encoding: chunked\r\n", 0, BodyFraming::chunked, true},
      {"transfer-encoding:chunked\r\n", 0, BodyFraming::chunked, true},
      {"TRANSFER-ENCODING: CHUNKED\r\n", 0, BodyFraming::chunked, true},
      {"Transfer-Encoding: \t ChUnKeD \t\r\n", 0, BodyFraming::chunked, true},
      {"Transfer-Encoding: chunked\r\nX-Content-Length: 5\r\n", 0, BodyFraming::chunked, true},
      {"TE: trailers, gzip\r\n", 0, BodyFraming::none, true},
      {"Connection: close\r\n", 0, BodyFraming::none, false},
      {"Connection: CLOSE\r\n", 0, BodyFraming::none, false},
      {"Connection: x-a ,\tclose\r\n", 0, BodyFraming::none, false},
      {"Connection: keep-alive, close\r\n", 0, BodyFraming::none, false},
      {"Connection: close, keep-alive\r\n", 0, BodyFraming::none, false},
      {"Connection: close\r\nConnection: keep-alive\r\n", 0, BodyFraming::none, false},
      {"Connection: keep-alive\r\nConnection: close\r\n", 0, BodyFraming::none, false},
      {"Connection: ,,close,\r\n", 0, BodyFraming::none, false},
      {"Connection: keep-alive\r\n", 0, BodyFraming::none, true},
      {"Connection: closed\r\n", 0, BodyFraming::none, true},
      {"Connection: close;x\r\n", 0, BodyFraming::none, true},
      {"Connection: \"close\"\r\n", 0, BodyFraming::none, true},
      {"Connection:\r\n", 0, BodyFraming::none, true},
      {"Proxy-Connection: close\r\n", 0, BodyFraming::none, true},
  };
  for (const Accepted& row : kRows) {
    CAPTURE(row.lines);
    const ParsedRequest request("POST / HTTP/1.1\r\nHost: h\r\n" + std::string(row.lines) + "\r\n");
    REQUIRE(request.result.status == HeadStatus::complete);
    CHECK(request->framing == row.framing);
    CHECK(request->content_length == row.length);
    CHECK(request->keep_alive == row.keep_alive);
  }
}

TEST_CASE("head: HTTP/1.0 needs no Host and closes unless it asks otherwise") {
  CHECK_FALSE(ParsedRequest("GET / HTTP/1.0\r\n\r\n")->keep_alive);
  CHECK(ParsedRequest("GET / HTTP/1.0\r\n\r\n")->minor_version == 0);
  CHECK(ParsedRequest("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")->keep_alive);
  CHECK_FALSE(ParsedRequest("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n")->keep_alive);
  CHECK(ParsedRequest("POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n")->framing == BodyFraming::length);
}

TEST_CASE("head: methods, also unknown ones") {
  struct Row {
    const char* text;
    Method method;
  };
  constexpr Row kRows[] = {
      {"GET", Method::get},         {"HEAD", Method::head},      {"POST", Method::post},
      {"PUT", Method::put},         {"PATCH", Method::patch},    {"DELETE", Method::del},
      {"OPTIONS", Method::options}, {"TRACE", Method::other},    {"CONNECT", Method::other},
      {"get", Method::other},       {"Post", Method::other},     {"GETS", Method::other},
      {"X", Method::other},         {"M-SEARCH", Method::other}, {"!#$%&'*+-.^_`|~", Method::other}};
  for (const Row& row : kRows) {
    CAPTURE(row.text);
    const ParsedRequest request(std::string(row.text) + " / HTTP/1.1\r\nHost: h\r\n\r\n");
    REQUIRE(request.result.status == HeadStatus::complete);
    CHECK(request->method == row.method);
    CHECK(request->method_text == row.text);
  }
}

TEST_CASE("head: targets in every form are taken as they are") {
  for (const std::string target :
       {"/", "*", "/a?b=c&d", "http://h/x", "h:443", "/%2F..//\\?#\"<>[]{}|^`", "//", "?", "/HTTP/1.1"}) {
    CAPTURE(target);
    const ParsedRequest request("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n");
    REQUIRE(request.result.status == HeadStatus::complete);
    CHECK(request->target == target);
  }
}

TEST_CASE("head: Hosts that are names or addresses") {
  for (const std::string host : {"h", "api.example.com", "API.EXAMPLE.COM", "a-b_c~d", "127.0.0.1", "h:80", "h:0",
                                 "h:65535", "h:", "[::1]", "[::]", "[2001:DB8::1]:443", "[::ffff:127.0.0.1]", "h."}) {
    CAPTURE(host);
    const ParsedRequest request("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
    REQUIRE(request.result.status == HeadStatus::complete);
    CHECK(request->find(HeaderName::host)->value == host);
  }
}

TEST_CASE("head: Expect is 100-continue in HTTP/1.1 only") {
  const auto expects = [](std::string_view version, std::string_view value) {
    const ParsedRequest request("POST / HTTP/" + std::string(version) + "\r\nHost: h\r\nExpect: " + std::string(value) +
                                "\r\nContent-Length: 1\r\n\r\n");
    REQUIRE(request.result.status == HeadStatus::complete);
    return request->expect_continue;
  };
  CHECK(expects("1.1", "100-continue"));
  CHECK(expects("1.1", "100-CONTINUE"));
  CHECK_FALSE(expects("1.1", "100-continue, x"));
  CHECK_FALSE(expects("1.1", "x"));
  CHECK_FALSE(expects("1.0", "100-continue"));
}

TEST_CASE("head: one to four empty lines before a request are skipped and counted") {
  const std::string plain = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  std::string bytes = plain;
  for (int count = 1; count <= 4; ++count) {
    bytes.insert(0, "\r\n");
    const ParsedRequest request(bytes);
    REQUIRE(request.result.status == HeadStatus::complete);
    CHECK(request.result.size == bytes.size());
    CHECK(request->method_text == "GET");
  }
}

TEST_CASE("head: what follows the head is the next message's") {
  const ParsedRequest request("GET / HTTP/1.1\r\nHost: h\r\n\r\n\x01\n\r anything");
  CHECK(request.result.status == HeadStatus::complete);
  CHECK(request.result.size == 27);
}

TEST_CASE("head: 128 headers are taken") {
  std::string bytes = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (size_t i = 1; i < kHeaderCountMax; ++i) bytes += "x: y\r\n";
  const ParsedRequest request(bytes + "\r\n");
  REQUIRE(request.result.status == HeadStatus::complete);
  CHECK(request->header_count == kHeaderCountMax);
}

TEST_CASE("head: 32 names in Connection are taken, 33 in all its fields are not, in an answer neither") {
  std::string names = "Connection: a\r\nConnection: keep-alive";
  for (size_t i = 2; i < kConnectionNamesMax; ++i) names += ", b";
  const std::string start = "GET / HTTP/1.1\r\nHost: h\r\n";
  CHECK(ParsedRequest(start + names + ",,\r\n\r\n").result.status == HeadStatus::complete);
  CHECK(ParsedRequest(start + names + ", c\r\n\r\n").result.fault == HeadFault::too_many_connection_names);
  CHECK(ParsedRequest(start + names + "\r\nConnection: keep-alive\r\n\r\n").result.fault ==
        HeadFault::too_many_connection_names);
  CHECK(ParsedResponse("HTTP/1.1 200 OK\r\n" + names + "\r\n\r\n").result.status == HeadStatus::complete);
  CHECK(ParsedResponse("HTTP/1.1 200 OK\r\n" + names + ", c\r\n\r\n").result.fault ==
        HeadFault::too_many_connection_names);
}

TEST_CASE("head: a head of exactly the limit is taken, one byte more is not") {
  const std::string bytes = "GET / HTTP/1.1\r\nHost: h\r\nA: bcd\r\n\r\n";
  CHECK(ParsedRequest(bytes, bytes.size()).result.status == HeadStatus::complete);
  CHECK(ParsedRequest(bytes + "body", bytes.size()).result.status == HeadStatus::complete);
  CHECK(ParsedRequest(bytes, bytes.size() - 1).result.fault == HeadFault::head_too_large);
  CHECK(ParsedRequest(bytes.substr(0, 20), 20).result.fault == HeadFault::head_too_large);
  CHECK(ParsedRequest(bytes.substr(0, 19), 20).result.status == HeadStatus::need_more);
}

TEST_CASE("head: names and values may be as long as the head") {
  const std::string name(5000, 'n');
  const std::string value(20000, 'v');
  const ParsedRequest request("GET / HTTP/1.1\r\nHost: h\r\n" + name + ": " + value + "\r\nb: c\r\n\r\n");
  REQUIRE(request.result.status == HeadStatus::complete);
  CHECK(request->headers[1].name == name);
  CHECK(request->headers[1].value == value);
  CHECK(request->headers[2].name == "b");
}

bool is_token_byte(int byte) {
  return std::isalnum(byte) != 0 || (byte != 0 && std::strchr("!#$%&'*+-.^_`|~", byte) != nullptr);
}
bool is_value_byte(int byte) {
  return byte == '\t' || (byte >= 0x20 && byte != 0x7F);
}
bool is_target_byte(int byte) {
  return byte > 0x20 && byte < 0x7F;
}

// Every byte at one place of a request: accepted if the grammar has it there.
template <class IsAllowed>
void check_every_byte(std::string_view before, std::string_view after, IsAllowed&& is_allowed) {
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    const std::string bytes = std::string(before) + static_cast<char>(byte) + std::string(after);
    CHECK((ParsedRequest(bytes).result.status == HeadStatus::complete) == is_allowed(byte));
  }
}

TEST_CASE("head: every byte in a method, a target, a name and a value") {
  check_every_byte("G", "T / HTTP/1.1\r\nHost: h\r\n\r\n", is_token_byte);
  check_every_byte("GET /a", "b HTTP/1.1\r\nHost: h\r\n\r\n", is_target_byte);
  check_every_byte("GET /0123456789abcdef", "0123456789abcdef HTTP/1.1\r\nHost: h\r\n\r\n", is_target_byte);
  check_every_byte("GET / HTTP/1.1\r\nHost: h\r\nNa", "me: value\r\n\r\n",
                   [](int byte) { return byte == ':' || is_token_byte(byte); });
  check_every_byte("GET / HTTP/1.1\r\nHost: h\r\nName: va", "lue\r\n\r\n", is_value_byte);
  check_every_byte("GET / HTTP/1.1\r\nHost: h\r\nName:", "\r\n\r\n", is_value_byte);
}

// --- answers

TEST_CASE("head: status lines with and without a reason") {
  const auto reason = [](std::string_view line) {
    const ParsedResponse response(std::string(line) + "\r\n\r\n");
    CAPTURE(line);
    REQUIRE(response.result.status == HeadStatus::complete);
    return std::string(response->reason);
  };
  CHECK(reason("HTTP/1.1 200 OK") == "OK");
  CHECK(reason("HTTP/1.1 200 ").empty());
  CHECK(reason("HTTP/1.1 200").empty());
  CHECK(reason("HTTP/1.0 404 Not  Found\t!") == "Not  Found\t!");
  CHECK(reason("HTTP/1.1 200 \xC3\x9C"
               "ber") ==
        "\xC3\x9C"
        "ber");
  CHECK(reason("HTTP/1.1 200  OK") == " OK");
}

TEST_CASE("head: every status from 100 to 999") {
  for (int status = 0; status < 1000; ++status) {
    const ParsedResponse response(fmt::format("HTTP/1.1 {:03} x\r\n\r\n", status));
    CAPTURE(status);
    CHECK((response.result.status == HeadStatus::complete) == (status >= 100));
    if (status >= 100) CHECK(response->status == status);
  }
}

TEST_CASE("head: status lines that are none") {
  for (const std::string line :
       {"HTTP/1.1",         "HTTP/1.1 ",        "HTTP/1.1 2",       "HTTP/1.1 20",         "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK", "HTTP/1.1  200 OK", "HTTP/1.1\t200 OK", "HTTP/1.1 200OK",      "HTTP/1.1 -20 OK",
        "HTTP/1.1 2x0 OK",  "HTTP/1.1 099 x",   " HTTP/1.1 200 OK", "http/1.1 200 OK",     "HTTP/11 200 OK",
        "HTTP/1.x 200 OK",  "ICY 200 OK",       "200 OK",           "HTTP/1.1 200 a\x01!", "HTTP/1.1 200 a\x7f"}) {
    CAPTURE(line);
    CHECK(ParsedResponse(line + "\r\n\r\n").result.fault == HeadFault::bad_status_line);
  }
  CHECK(ParsedResponse("HTTP/2.0 200 OK\r\n\r\n").result.fault == HeadFault::unsupported_version);
  CHECK(ParsedResponse("HTTP/1.2 200 OK\r\n\r\n").result.fault == HeadFault::unsupported_version);
  CHECK(ParsedResponse("HTTP/1.1 200 OK\n\r\n").result.fault == HeadFault::bare_cr_or_lf);
  CHECK(ParsedResponse("HTTP/1.1 200 O\rK\r\n\r\n").result.fault == HeadFault::bare_cr_or_lf);
  CHECK(ParsedResponse("\r\nHTTP/1.1 200 OK\r\n\r\n").result.fault != HeadFault::none);
}

TEST_CASE("head: an answer's framing and connection") {
  const auto parsed = [](std::string_view version, std::string_view lines) {
    return ParsedResponse("HTTP/" + std::string(version) + " 200 OK\r\n" + std::string(lines) + "\r\n");
  };
  CHECK(parsed("1.1", "")->framing == BodyFraming::until_close);
  CHECK(parsed("1.1", "")->keep_alive);
  CHECK_FALSE(parsed("1.0", "")->keep_alive);
  CHECK(parsed("1.0", "Connection: keep-alive\r\n")->keep_alive);
  CHECK_FALSE(parsed("1.1", "Connection: close\r\n")->keep_alive);
  CHECK(parsed("1.1", "Content-Length: 7\r\n")->content_length == 7);
  CHECK(parsed("1.1", "Transfer-Encoding: Chunked\r\n")->framing == BodyFraming::chunked);
  CHECK(parsed("1.1", "Host: a\r\nHost: a b\r\nExpect: x\r\n").result.status == HeadStatus::complete);
}

TEST_CASE("head: an answer's framing is as strict as a request's") {
  const auto fault = [](std::string_view lines) {
    return ParsedResponse("HTTP/1.1 200 OK\r\n" + std::string(lines) + "\r\n").result.fault;
  };
  CHECK(fault("Content-Length: 5\r\nContent-Length: 5\r\n") == HeadFault::two_lengths);
  CHECK(fault("Content-Length: 5, 5\r\n") == HeadFault::bad_content_length);
  CHECK(fault("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") == HeadFault::length_with_chunked);
  CHECK(fault("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n") == HeadFault::length_with_chunked);
  CHECK(fault("Transfer-Encoding: gzip, chunked\r\n") == HeadFault::bad_transfer_encoding);
  CHECK(fault("Transfer-Encoding: identity\r\n") == HeadFault::bad_transfer_encoding);
  CHECK(fault("A : b\r\n") == HeadFault::bad_header_name);
  CHECK(fault("A: b\r\n c\r\n") == HeadFault::obsolete_folding);
  CHECK(fault("A: b\nC: d\r\n") == HeadFault::bare_cr_or_lf);
  CHECK(ParsedResponse("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").result.fault ==
        HeadFault::bad_transfer_encoding);
}

TEST_CASE("head: answers that have no body, whatever they say") {
  const auto framing = [](int status, Method method) {
    return body_framing(*ParsedResponse(fmt::format("HTTP/1.1 {} x\r\nContent-Length: 5\r\n\r\n", status)).head,
                        method);
  };
  CHECK(framing(200, Method::get) == BodyFraming::length);
  CHECK(framing(200, Method::head) == BodyFraming::none);
  CHECK(framing(100, Method::get) == BodyFraming::none);
  CHECK(framing(199, Method::post) == BodyFraming::none);
  CHECK(framing(204, Method::get) == BodyFraming::none);
  CHECK(framing(205, Method::get) == BodyFraming::none);
  CHECK(framing(304, Method::get) == BodyFraming::none);
  CHECK(framing(404, Method::get) == BodyFraming::length);
}

TEST_CASE("head: answers behind which a body may come though none is allowed") {
  const auto suspect = [](int status, Method method, std::string_view lines) {
    return may_carry_forbidden_body(*ParsedResponse(fmt::format("HTTP/1.1 {} x\r\n{}\r\n", status, lines)).head,
                                    method);
  };
  for (const int status : {204, 304}) {
    CHECK(suspect(status, Method::get, "Content-Length: 5\r\n"));
    CHECK(suspect(status, Method::post, "Transfer-Encoding: chunked\r\n"));
    CHECK_FALSE(suspect(status, Method::get, "Content-Length: 0\r\n"));
    CHECK_FALSE(suspect(status, Method::get, ""));
  }
  CHECK(suspect(200, Method::head, "Content-Length: 5\r\n"));
  CHECK(suspect(200, Method::head, "Transfer-Encoding: chunked\r\n"));
  CHECK_FALSE(suspect(200, Method::head, ""));
  // 205: only an announced length of 0 says that nothing comes.
  CHECK(suspect(205, Method::post, ""));
  CHECK(suspect(205, Method::post, "Content-Length: 5\r\n"));
  CHECK(suspect(205, Method::post, "Transfer-Encoding: chunked\r\n"));
  CHECK_FALSE(suspect(205, Method::post, "Content-Length: 0\r\n"));
  // These may have one.
  CHECK_FALSE(suspect(200, Method::get, "Content-Length: 5\r\n"));
  CHECK_FALSE(suspect(200, Method::get, ""));
  CHECK_FALSE(suspect(404, Method::post, "Transfer-Encoding: chunked\r\n"));
}

TEST_CASE("head: tokens of a list") {
  std::string tokens;
  for_each_token(" a, ,b\t,\tc d ,,", [&](std::string_view token) { tokens += "[" + std::string(token) + "]"; });
  CHECK(tokens == "[a][b][c d]");
  for_each_token("", [](std::string_view) { FAIL("no token in an empty list"); });
}

TEST_CASE("head: names are compared in any ASCII case, and no other") {
  CHECK(equals_ignoring_case("", ""));
  CHECK(equals_ignoring_case("X-Api-Key", "x-aPI-kEY"));
  CHECK_FALSE(equals_ignoring_case("X-Api-Key", "X-Api-Key2"));
  CHECK_FALSE(equals_ignoring_case("X-Api-Key", "X_Api_Key"));
  CHECK(looks_like("X-Api-Key", "x_aPI-kEY"));
  CHECK(looks_like("session_id", "SESSION-ID"));
  CHECK_FALSE(looks_like("X-Api-Key", "X_Api_Key_"));
  CHECK_FALSE(looks_like("X-Api-Key", "X.Api.Key"));
  CHECK_FALSE(looks_like("a-", "a\x7f"));
  CHECK_FALSE(equals_ignoring_case("a_", "a\x7f"));
  CHECK_FALSE(equals_ignoring_case("@", "`"));
  CHECK_FALSE(equals_ignoring_case("[", "{"));
  CHECK_FALSE(equals_ignoring_case("\xC4", "\xE4"));
}

}  // namespace
