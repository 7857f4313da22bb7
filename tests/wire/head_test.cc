#include "wire/head.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "support/splits.h"

namespace {

using namespace weir::wire;

constexpr size_t kHeadSizeMax = size_t{64} * 1024;

// A parsed request; heads are large, so on the heap.
struct ParsedRequest {
  explicit ParsedRequest(std::string_view bytes, size_t head_size_max = kHeadSizeMax)
      : head(std::make_unique<RequestHead>()), result(parse_request_head(bytes, 0, head_size_max, *head)) {}
  const RequestHead* operator->() const { return head.get(); }

  std::unique_ptr<RequestHead> head;
  HeadResult result;
};

struct ParsedResponse {
  explicit ParsedResponse(std::string_view bytes)
      : head(std::make_unique<ResponseHead>()), result(parse_response_head(bytes, 0, kHeadSizeMax, *head)) {}
  const ResponseHead* operator->() const { return head.get(); }

  std::unique_ptr<ResponseHead> head;
  HeadResult result;
};

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
  CHECK(request->headers[2].name.data() == kRequest.data() + kRequest.find("X-API-KEY"));
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
        REQUIRE((header_name(other) != HeaderName::other) == is_known);
      }
    }
    CHECK(header_name(name + "x") == HeaderName::other);
    CHECK(header_name(name.substr(1)) != id);
    CHECK(header_name(name.substr(0, name.size() - 1)) != id);
  }
  CHECK(header_name("") == HeaderName::other);
  CHECK(header_text(HeaderName::other).empty());
}

}  // namespace
