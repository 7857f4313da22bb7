#include "mock/request_reader.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace weir::mock;

namespace {

constexpr std::string_view kThree =
    "POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    "POST /v1/responses HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    "GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n";

// Feeds the bytes in pieces of `size`: "target:body" of each request.
std::vector<std::string> read_in_pieces(std::string_view bytes, size_t size) {
  RequestReader reader;
  std::vector<std::string> requests;
  std::string target;
  for (;;) {
    switch (reader.advance()) {
      case RequestReader::Status::head:
        target = reader.head().target;
        break;
      case RequestReader::Status::complete:
        requests.push_back(target + ":" + std::string(reader.body()));
        break;
      case RequestReader::Status::invalid:
        requests.emplace_back(reader.fault());
        return requests;
      case RequestReader::Status::need_more:
        if (bytes.empty()) return requests;
        reader.feed(bytes.substr(0, size));
        bytes.remove_prefix(std::min(size, bytes.size()));
        break;
    }
  }
}

}  // namespace

TEST_CASE("mock requests: read the same whole, byte by byte and in every piece size") {
  const std::vector<std::string> want = {"/v1/messages:hello", "/v1/responses:abcde", "/v1/models:"};
  for (size_t size = 1; size <= kThree.size(); size++) CHECK(read_in_pieces(kThree, size) == want);
}

TEST_CASE("mock requests: what is not HTTP is told") {
  CHECK(read_in_pieces("GET / HTTP/1.1\nHost: a\n\n", 100).size() == 1);
  CHECK(read_in_pieces("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 1).size() == 1);
}
