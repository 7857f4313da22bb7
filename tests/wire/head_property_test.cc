// The two classifiers are one, and the parsers that they make too; incremental equals whole.
#include <doctest/doctest.h>

#include <memory>

#include "support/malformed_requests.h"
#include "support/parsed_heads.h"
#include "support/random.h"
#include "support/splits.h"
#include "wire/head_scan.h"

namespace {

using namespace weir::wire;
using namespace weir::test;

constexpr std::string_view kAlphabet = "\r\n\t :,;=/[]\x7f\x80HhTtCc015-";

// What a caller can see of a head, as text.
template <class Head>
std::string shown(const HeadResult& result, const Head& head) {
  std::string text = std::to_string(static_cast<int>(result.status)) + ' ' + std::to_string(result.size) + ' ' +
                     std::to_string(static_cast<int>(result.fault)) + ' ' + std::to_string(result.fault_offset);
  if (result.status != HeadStatus::complete) return text;
  text += ' ' + std::to_string(head.minor_version) + std::to_string(static_cast<int>(head.framing)) +
          std::to_string(static_cast<int>(head.keep_alive)) + std::to_string(head.content_length) + '\n';
  for (uint32_t i = 0; i < head.header_count; ++i) {
    text += std::string(head.headers[i].name) + '=' + std::string(head.headers[i].value) +
            std::to_string(static_cast<int>(head.headers[i].id)) + '\n';
  }
  return text;
}

std::vector<std::string> sound_requests() {
  return {
      "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
      "POST /v1/messages?beta=true HTTP/1.1\r\nHost: gateway.example:4001\r\nContent-Length: 12\r\n"
      "Authorization: Bearer 0123456789\r\nConnection: keep-alive, x\r\nx-stainless-lang: js\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n0\r\n\r\n",
      "\r\nGET /a HTTP/1.0\r\nA: " + std::string(700, 'x') + "\r\n" + std::string(130, 'n') + ":v\r\n\r\n",
  };
}

#if defined(__x86_64__)
bool classify_alike(std::string_view bytes, size_t offset) {
  const BlockMasks scalar = ScalarClassifier::block(bytes, offset);
  const BlockMasks simd = Avx2Classifier::block(bytes, offset);
  return scalar.non_token == simd.non_token && scalar.control == simd.control;
}

TEST_CASE("head: AVX2 and scalar classify every byte at every place alike") {
  if (!__builtin_cpu_supports("avx2")) return;
  size_t wrong = 0;
  for (size_t size = 1; size <= 200; ++size) {
    std::string bytes(size, 'a');
    for (size_t at = 0; at < size; ++at) {
      for (int byte = 0; byte < 256; byte += size < 70 ? 1 : 13) {
        bytes[at] = static_cast<char>(byte);
        const size_t offset = at / kBlock * kBlock;
        if (!classify_alike(bytes, offset)) ++wrong;
      }
      bytes[at] = 'a';
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("head: AVX2 and scalar classify random bytes alike, up to a guard page") {
  if (!__builtin_cpu_supports("avx2")) return;
  Random random(1);
  GuardedBuffer buffer(600);
  size_t wrong = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string_view bytes = buffer.place(random.bytes(1 + random.below(300)));
    for (size_t offset = 0; offset < bytes.size(); offset += 1 + random.below(64)) {
      if (!classify_alike(bytes, offset)) ++wrong;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("head: AVX2 and scalar parsers agree on mutated requests and answers") {
  if (!__builtin_cpu_supports("avx2")) return;
  Random random(2);
  GuardedBuffer buffer(size_t{80} * 1024);
  auto scalar = std::make_unique<RequestHead>();
  auto simd = std::make_unique<RequestHead>();
  auto scalar_answer = std::make_unique<ResponseHead>();
  auto simd_answer = std::make_unique<ResponseHead>();
  const auto check_request = [&](std::string_view text) {
    const std::string_view bytes = buffer.place(text);
    const HeadResult by_scalar = parse_request_head_scalar(bytes, 0, kHeadSizeMax, *scalar);
    const HeadResult by_simd = parse_request_head_avx2(bytes, 0, kHeadSizeMax, *simd);
    REQUIRE(shown(by_scalar, *scalar) == shown(by_simd, *simd));
  };
  for (const MalformedRequest& request : malformed_requests()) check_request(request.bytes);
  const std::vector<std::string> requests = sound_requests();
  const std::string answer =
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nrequest-id: r\r\n\r\n";
  for (int i = 0; i < 20'000; ++i) {
    check_request(random.mutated(requests[random.below(requests.size())], kAlphabet));
    const std::string_view bytes = buffer.place(random.mutated(answer, kAlphabet));
    const HeadResult by_scalar = parse_response_head_scalar(bytes, 0, kHeadSizeMax, *scalar_answer);
    const HeadResult by_simd = parse_response_head_avx2(bytes, 0, kHeadSizeMax, *simd_answer);
    REQUIRE(shown(by_scalar, *scalar_answer) == shown(by_simd, *simd_answer));
  }
}
#endif

TEST_CASE("head: a mutated request in random pieces is judged as it is whole") {
  Random random(3);
  GuardedBuffer buffer(size_t{80} * 1024);
  auto head = std::make_unique<RequestHead>();
  const std::vector<std::string> requests = sound_requests();
  for (int i = 0; i < 5'000; ++i) {
    const std::string bytes = random.mutated(requests[random.below(requests.size())], kAlphabet);
    size_t seen = 0;
    HeadResult result;
    while (result.status == HeadStatus::need_more && seen < bytes.size()) {
      const size_t size = std::min(bytes.size(), seen + 1 + random.below(40));
      const std::string_view so_far = buffer.place(std::string_view(bytes).substr(0, size));
      result = parse_request_head(so_far, seen, kHeadSizeMax, *head);
      const std::string incremental = shown(result, *head);
      REQUIRE(incremental == shown(parse_request_head_scalar(so_far, 0, kHeadSizeMax, *head), *head));
      seen = size;
    }
    REQUIRE(parse_request_head(bytes, 0, kHeadSizeMax, *head).fault == result.fault);
  }
}

TEST_CASE("head: a sound request is need_more at every prefix and complete at its end") {
  auto head = std::make_unique<RequestHead>();
  for (const std::string& bytes : sound_requests()) {
    const size_t size = parse_request_head(bytes, 0, kHeadSizeMax, *head).size;
    REQUIRE(size > 0);
    for (size_t prefix = 0; prefix < size; ++prefix) {
      REQUIRE(parse_request_head({bytes.data(), prefix}, 0, kHeadSizeMax, *head).status == HeadStatus::need_more);
    }
    REQUIRE(parse_request_head({bytes.data(), size}, 0, kHeadSizeMax, *head).status == HeadStatus::complete);
  }
}

}  // namespace
