// How long the parsers of wire take, in nanoseconds per call.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "micro.h"
#include "wire/chunk.h"
#include "wire/head_scan.h"
#include "wire/target.h"

namespace {

using namespace weir;

// The shape of a coding agent's request.
constexpr std::string_view kRequest =
    "POST /anthropic/v1/messages?beta=true HTTP/1.1\r\n"
    "Host: gateway.internal.example:4001\r\n"
    "User-Agent: claude-cli/2.0.14 (external, cli)\r\n"
    "Accept: application/json\r\n"
    "Authorization: Bearer wk_0123456789abcdefghijklmnopqrstu\r\n"
    "Content-Type: application/json\r\n"
    "anthropic-beta: fine-grained-tool-streaming-2025-05-14\r\n"
    "anthropic-version: 2023-06-01\r\n"
    "x-app: cli\r\n"
    "X-Claude-Code-Session-Id: 6f1c1f5e-7b1d-4a6e-9c59-0d0f6a1b2c3d\r\n"
    "x-stainless-lang: js\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
    "Connection: keep-alive\r\n"
    "Content-Length: 1024\r\n\r\n";
static_assert(kRequest.size() == 513);

constexpr std::string_view kResponse =
    "HTTP/1.1 200 OK\r\n"
    "Date: Sun, 22 Nov 2026 01:57:00 GMT\r\n"
    "Content-Type: text/event-stream; charset=utf-8\r\n"
    "Transfer-Encoding: chunked\r\n"
    "Connection: keep-alive\r\n"
    "Cache-Control: no-cache\r\n"
    "anthropic-ratelimit-requests-limit: 4000\r\n"
    "anthropic-ratelimit-requests-remaining: 3999\r\n"
    "request-id: req_011CVMPzn2cYm6jT7z9Qxy1A\r\n\r\n";

template <class ParseRequest, class ParseResponse>
void measure_heads(bench::Micro& micro, std::string_view name, ParseRequest&& parse_request,
                   ParseResponse&& parse_response) {
  // A body follows in the same buffer, as it does in the receive buffer.
  const std::string with_body = std::string(kRequest) + std::string(1024, 'x');
  auto request = std::make_unique<wire::RequestHead>();
  auto response = std::make_unique<wire::ResponseHead>();
  const auto one = [&](const std::string& title, std::string_view head, size_t size, auto&& parse, auto& into) {
    size_t read = 0;
    if (micro.measure(title, {.bytes = size}, [&] { return read = parse(head, 0, 65536, *into).size; })) {
      micro.check(read == size, title);
    }
  };
  one(fmt::format("request head, {} bytes, {}", kRequest.size(), name), kRequest, kRequest.size(), parse_request,
      request);
  one(fmt::format("the same, its body in the buffer, {}", name), with_body, kRequest.size(), parse_request, request);
  one(fmt::format("response head, {} bytes, {}", kResponse.size(), name), kResponse, kResponse.size(), parse_response,
      response);
}

}  // namespace

int main(int count, char** arguments) {
  bench::Micro micro(count, arguments);
  measure_heads(micro, "best", wire::parse_request_head, wire::parse_response_head);
  measure_heads(micro, "scalar", wire::parse_request_head_scalar, wire::parse_response_head_scalar);
  constexpr auto kNames = static_cast<size_t>(wire::HeaderName::count);
  size_t found = 0;
  const auto find_names = [&] {
    found = 0;
    for (size_t i = 1; i < kNames; ++i) {
      const auto name = static_cast<wire::HeaderName>(i);
      found += wire::header_name(wire::header_text(name)) == name ? 1u : 0u;
    }
    return found;
  };
  if (micro.measure("all known header names", {}, find_names)) {
    micro.check(found == kNames - 1, "every known name is found by its text");
  }

  std::string_view path;
  const auto parse_target = [&] { return (path = wire::parse_target("/anthropic/v1/messages?beta=true").path).size(); };
  if (micro.measure("target", {}, parse_target)) {
    micro.check(path == "/anthropic/v1/messages", "the target's path ends before its query");
  }

  std::string chunks;
  for (int i = 0; i < 10; ++i) chunks += "78\r\n" + std::string(0x78, 'e') + "\r\n";
  chunks += "0\r\n\r\n";
  size_t payload = 0;
  const auto decode = [&] {
    wire::ChunkDecoder decoder;
    payload = 0;
    for (size_t offset = 0; !decoder.ended();) payload += decoder.next(chunks, offset).payload.size();
    return payload;
  };
  if (micro.measure("a body of ten chunks of 120 bytes", {.bytes = chunks.size()}, decode)) {
    micro.check(payload == 1200, "the chunks' payload is 1,200 bytes");
  }
  return micro.finish();
}
