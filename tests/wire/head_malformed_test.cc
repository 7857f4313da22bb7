// What the parser of heads refuses, when it says so, and that no delivery changes its mind.
#include <doctest/doctest.h>

#include <set>

#include "support/malformed_requests.h"
#include "support/parsed_heads.h"
#include "support/splits.h"

namespace {

using namespace weir::wire;
using namespace weir::test;

TEST_CASE("head: every malformed request is refused for its fault") {
  const std::vector<MalformedRequest> requests = malformed_requests();
  CHECK(requests.size() > 150);
  for (const MalformedRequest& request : requests) {
    CAPTURE(request.name);
    const ParsedRequest parsed(request.bytes);
    CHECK(parsed.result.status == HeadStatus::invalid);
    CHECK(parsed.result.fault == request.fault);
    CHECK(parsed.result.fault_offset <= request.bytes.size());
    CHECK(parsed.result.size == 0);
  }
}

TEST_CASE("head: every fault of a request is in the table") {
  std::set<HeadFault> seen;
  for (const MalformedRequest& request : malformed_requests()) seen.insert(request.fault);
  for (int i = 1; i <= static_cast<int>(HeadFault::too_many_headers); ++i) {
    const auto fault = static_cast<HeadFault>(i);
    if (fault != HeadFault::bad_status_line) CHECK(seen.contains(fault));
    CHECK_FALSE(describe(fault).empty());
  }
}

// The verdict on each prefix, told what the call before has seen, is the verdict on that prefix alone.
void check_every_delivery(const MalformedRequest& request) {
  auto head = std::make_unique<RequestHead>();
  for_each_growth(request.bytes, [&](Growth& growth) {
    HeadResult last;
    growth.each([&](std::string_view so_far, size_t seen) {
      last = parse_request_head(so_far, seen, kHeadSizeMax, *head);
      const HeadResult alone = parse_request_head(so_far, 0, kHeadSizeMax, *head);
      REQUIRE(last.status == alone.status);
      REQUIRE(last.fault_offset == alone.fault_offset);
      return last.status == HeadStatus::need_more;
    });
    REQUIRE(last.fault == request.fault);
  });
}

TEST_CASE("head: a malformed request is refused in any delivery") {
  for (const MalformedRequest& request : malformed_requests()) {
    CAPTURE(request.name);
    if (request.bytes.size() < 2000) check_every_delivery(request);
  }
}

// The size of the shortest prefix that is refused, fed byte by byte.
size_t refused_at(std::string_view bytes) {
  auto head = std::make_unique<RequestHead>();
  for (size_t size = 1; size <= bytes.size(); ++size) {
    if (parse_request_head(bytes.substr(0, size), size - 1, kHeadSizeMax, *head).status != HeadStatus::need_more) {
      return size;
    }
  }
  return 0;
}

TEST_CASE("head: a fault is reported as soon as it can be seen") {
  CHECK(refused_at("\x16\x03\x01\x02") == 1);                             // a control byte at once
  CHECK(refused_at("GET / HTTP/1.1\nHost: h\n\n") == 15);                 // a bare LF at once
  CHECK(refused_at("GET / HTTP/1.1\rHost: h\n\n") == 16);                 // a bare CR with the next byte
  CHECK(refused_at("GET / HTTP/1.1\r\nA: b\x01") == 21);                  // also inside a line
  CHECK(refused_at("GET / HTTP/1.1\r\nA : b\r\nHost: h\r\n\r\n") == 22);  // the rest with the end of its line
  CHECK(refused_at("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n") == 34);
}

TEST_CASE("head: the offset of a fault is where it is") {
  const auto offset_of = [](std::string_view bytes) { return ParsedRequest(bytes).result.fault_offset; };
  CHECK(offset_of("GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n") == 26);
  CHECK(offset_of("GET / HTTP/1.1\r\nHost: h\r\nA: b\x01\r\n\r\n") == 29);
  CHECK(offset_of("GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n") == 23);
  CHECK(offset_of("GET / HTTP/1.1\r\nHost: h\r\n A: b\r\n\r\n") == 25);
}

TEST_CASE("head: a head whose last line grows byte by byte is complete with its end") {
  auto head = std::make_unique<RequestHead>();
  const std::string bytes = "GET / HTTP/1.1\r\nHost: h\r\nA: " + std::string(60'000, 'a') + "\r\n\r\n";
  for (size_t size = 1; size < bytes.size(); ++size) {
    REQUIRE(parse_request_head({bytes.data(), size}, size - 1, kHeadSizeMax, *head).status == HeadStatus::need_more);
  }
  CHECK(parse_request_head(bytes, bytes.size() - 1, kHeadSizeMax, *head).status == HeadStatus::complete);
}

}  // namespace
