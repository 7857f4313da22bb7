// Any bytes as the head of a request or an answer. The first byte chooses which, and the size of the pieces they come
// in.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "wire/head_scan.h"

namespace {

using namespace weir::wire;

constexpr size_t kHeadSizeMax = 4096;

bool lies_in(std::string_view part, std::string_view whole) {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void check_same(const HeadResult& a, const HeadResult& b) {
  ASSERT(a.status == b.status);
  ASSERT(a.size == b.size);
  ASSERT(a.fault == b.fault);
  ASSERT(a.fault_offset == b.fault_offset);
}

template <class Head>
void check_same_heads(const Head& a, const Head& b) {
  ASSERT(a.framing == b.framing);
  ASSERT(a.content_length == b.content_length);
  ASSERT(a.keep_alive == b.keep_alive);
  ASSERT(a.minor_version == b.minor_version);
  ASSERT(a.header_count == b.header_count);
  for (uint32_t i = 0; i < a.header_count; ++i) {
    ASSERT(a.headers[i].name == b.headers[i].name);
    ASSERT(a.headers[i].value == b.headers[i].value);
    ASSERT(a.headers[i].id == b.headers[i].id);
  }
}

// What must hold of a complete head, whatever the bytes were.
template <class Head>
void check_head(const Head& head, std::string_view bytes) {
  size_t lengths = 0;
  size_t codings = 0;
  for (uint32_t i = 0; i < head.header_count; ++i) {
    const Header& header = head.headers[i];
    ASSERT(!header.name.empty() && lies_in(header.name, bytes) && lies_in(header.value, bytes));
    for (const char c : header.value) ASSERT((static_cast<uint8_t>(c) >= 0x20 || c == '\t') && c != 0x7F);
    for (const char c : header.name)
      ASSERT(static_cast<uint8_t>(c) > 0x20 && static_cast<uint8_t>(c) < 0x7F && c != ':');
    ASSERT(header.id == header_name(header.name));
    lengths += header.id == HeaderName::content_length ? 1 : 0;
    codings += header.id == HeaderName::transfer_encoding ? 1 : 0;
  }
  ASSERT(lengths + codings <= 1);
  ASSERT((head.framing == BodyFraming::length) == (lengths == 1));
  ASSERT((head.framing == BodyFraming::chunked) == (codings == 1));
  ASSERT(head.content_length <= INT64_MAX);
}

std::string first_line(const RequestHead& head) {
  return std::string(head.method_text) + " " + std::string(head.target) + " HTTP/1." +
         std::to_string(head.minor_version);
}
std::string first_line(const ResponseHead& head) {
  return "HTTP/1." + std::to_string(head.minor_version) + " " + std::to_string(head.status) + " " +
         std::string(head.reason);
}

// Written out again, a head is the same head.
template <class Head, class Parse>
void check_round_trip(const Head& head, Parse&& parse) {
  std::string bytes = first_line(head) + "\r\n";
  for (uint32_t i = 0; i < head.header_count; ++i) {
    bytes += std::string(head.headers[i].name) + ": " + std::string(head.headers[i].value) + "\r\n";
  }
  bytes += "\r\n";
  static auto again = std::make_unique<Head>();
  const HeadResult result = parse(bytes, 0, bytes.size(), *again);
  ASSERT(result.status == HeadStatus::complete && result.size == bytes.size());
  check_same_heads(head, *again);
}

template <class Head, class Parse, class ParseScalar>
void check(std::string_view bytes, size_t piece_size, Parse&& parse, ParseScalar&& parse_scalar) {
  static auto head = std::make_unique<Head>();
  static auto other = std::make_unique<Head>();
  const HeadResult whole = parse(bytes, 0, kHeadSizeMax, *head);
  check_same(whole, parse_scalar(bytes, 0, kHeadSizeMax, *other));
  if (whole.status == HeadStatus::complete) {
    ASSERT(whole.size <= bytes.size() && whole.size <= kHeadSizeMax);
    check_same_heads(*head, *other);
    check_head(*head, bytes);
    check_round_trip(*head, parse);
  }
  ASSERT((whole.status == HeadStatus::invalid) == (whole.fault != HeadFault::none));
  ASSERT(whole.status != HeadStatus::need_more || bytes.size() < kHeadSizeMax);
  HeadResult result;
  for (size_t seen = 0; seen < bytes.size() && result.status == HeadStatus::need_more;) {
    const size_t size = std::min(bytes.size(), seen + piece_size);
    result = parse(bytes.substr(0, size), seen, kHeadSizeMax, *other);
    seen = size;
  }
  check_same(whole, result);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t piece_size = 1 + data[0] / 2;
  if (data[0] % 2 == 0) {
    check<RequestHead>(bytes, piece_size, parse_request_head, parse_request_head_scalar);
  } else {
    check<ResponseHead>(bytes, piece_size, parse_response_head, parse_response_head_scalar);
  }
  return 0;
}
