// How long the parsers of wire take, in nanoseconds per call: the median and the fastest of many rounds.
//
//   meson setup build-release --buildtype=release && ninja -C build-release bench/micro_wire &&
//   build-release/bench/micro_wire
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/clock.h"
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

std::string_view only;  // of the measurements, those whose name holds this
constexpr int kRounds = 201;
constexpr int kCallsPerRound = 2000;

// `call` returns something that depends on its work.
template <class Call>
void measure(std::string_view name, Call&& call) {
  if (name.find(only) == std::string_view::npos) return;
  std::vector<double> rounds;
  uint64_t sink = 0;
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t start = monotonic_ns();
    for (int i = 0; i < kCallsPerRound; ++i) {
      sink += call();
      asm volatile("" ::: "memory");  // each call reads its input anew
    }
    rounds.push_back(static_cast<double>(monotonic_ns() - start) / kCallsPerRound);
  }
  std::sort(rounds.begin(), rounds.end());
  fmt::print("{:<44} median {:8.1f} ns   fastest {:8.1f} ns{}\n", name, rounds[kRounds / 2], rounds.front(),
             sink == 0 ? " (nothing done)" : "");
}

template <class ParseRequest, class ParseResponse>
void measure_heads(std::string_view name, ParseRequest&& parse_request, ParseResponse&& parse_response) {
  // A body follows in the same buffer, as it does in the receive buffer.
  const std::string with_body = std::string(kRequest) + std::string(1024, 'x');
  auto request = std::make_unique<wire::RequestHead>();
  auto response = std::make_unique<wire::ResponseHead>();
  measure(fmt::format("request head, {} bytes, {}", kRequest.size(), name),
          [&] { return parse_request(kRequest, 0, 65536, *request).size; });
  measure(fmt::format("the same, its body in the buffer, {}", name),
          [&] { return parse_request(with_body, 0, 65536, *request).size; });
  measure(fmt::format("response head, {} bytes, {}", kResponse.size(), name),
          [&] { return parse_response(kResponse, 0, 65536, *response).size; });
}

}  // namespace

// usage: micro_wire [PART OF A NAME]
int main(int count, char** arguments) {
  if (count > 1) only = arguments[1];
  measure_heads("best", wire::parse_request_head, wire::parse_response_head);
  measure_heads("scalar", wire::parse_request_head_scalar, wire::parse_response_head_scalar);
  measure("all known header names", [] {
    uint64_t found = 0;
    for (size_t i = 1; i < static_cast<size_t>(wire::HeaderName::count); ++i) {
      found += static_cast<uint64_t>(wire::header_name(wire::header_text(static_cast<wire::HeaderName>(i))));
    }
    return found;
  });
  measure("target", [] { return wire::parse_target("/anthropic/v1/messages?beta=true").path.size(); });
  std::string chunks;
  for (int i = 0; i < 10; ++i) chunks += "78\r\n" + std::string(0x78, 'e') + "\r\n";
  chunks += "0\r\n\r\n";
  measure("a body of ten chunks of 120 bytes", [&] {
    wire::ChunkDecoder decoder;
    uint64_t bytes = 0;
    for (size_t offset = 0; !decoder.ended();) bytes += decoder.next(chunks, offset).raw.size();
    return bytes;
  });
}
