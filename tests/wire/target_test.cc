#include "wire/target.h"

#include <doctest/doctest.h>

namespace {

using namespace weir::wire;

TEST_CASE("target: path and query as the client sent them") {
  const Target target = parse_target("/v1/messages?beta=true&x=%2F/../?");
  CHECK(target.fault == TargetFault::none);
  CHECK(target.path == "/v1/messages");
  CHECK(target.has_query);
  CHECK(target.query == "beta=true&x=%2F/../?");
}

TEST_CASE("base url: scheme, host, port and path") {
  const auto url = parse_base_url("https://api.openai.com/v1/");
  REQUIRE(url.has_value());
  CHECK(url->tls);
  CHECK(url->host == "api.openai.com");
  CHECK(url->port == 443);
  CHECK(url->path == "/v1");
  CHECK(url->authority == "api.openai.com");
}

}  // namespace
