#include "gateway/authorizer_answer.h"

#include <memory>
#include <string>

#include <doctest/doctest.h>

#include "support/splits.h"

namespace weir::gateway::test {

namespace {

using State = AuthorizerAnswer::State;
using weir::test::for_each_delivery;
using weir::test::Pieces;

struct Read {
  State state = State::head;
  uint16_t status = 0;
  std::string body = {};
  std::string why = {};
  bool reusable = false;
  bool leftover = false;
  bool operator==(const Read&) const = default;
};

Read result_of(const AuthorizerAnswer& answer) {
  const bool whole = answer.state() == State::whole;
  return {.state = answer.state(),
          .status = whole ? answer.status() : uint16_t{0},
          .body = whole ? std::string(answer.body()) : std::string(),
          .why = std::string(answer.why()),
          .reusable = whole && answer.reusable(),
          .leftover = whole && answer.leftover()};
}

// Of each delivery of the same bytes.
void each_way(std::string_view bytes, const Read& expected, bool ended = false) {
  const auto head = std::make_unique<wire::ResponseHead>();
  AuthorizerAnswer answer;
  for_each_delivery(bytes, [&](Pieces& pieces) {
    answer.reset();
    CHECK_FALSE(answer.begun());
    pieces.each([&](std::string_view piece) { answer.take(piece, *head); });
    CHECK(answer.begun());
    if (ended) answer.end();
    CHECK(result_of(answer) == expected);
  });
}

Read whole(std::string body, uint16_t status = 200) {
  return {.state = State::whole, .status = status, .body = std::move(body), .why = {}, .reusable = true};
}
Read not_reusable(Read read) {
  read.reusable = false;
  return read;
}
Read with_leftover(Read read) {
  read.reusable = false;
  read.leftover = true;
  return read;
}
Read broken(std::string why) {
  return {.state = State::broken, .why = std::move(why)};
}

const std::string kOk = "HTTP/1.1 200 OK\r\n";

}  // namespace

TEST_CASE("authorizer answer: a body by length, in chunks, to the end") {
  each_way(kOk + "Content-Length: 2\r\n\r\n{}", whole("{}"));
  each_way(kOk + "Content-Length: 0\r\n\r\n", whole(""));
  each_way(kOk + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\nT: r\r\n\r\n", whole("{}"));
  each_way(kOk + "\r\n{}", not_reusable(whole("{}")), /*ended=*/true);
  each_way("HTTP/1.1 204 No Content\r\n\r\n", whole("", 204));
  each_way("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", whole("no", 401));
}

TEST_CASE("authorizer answer: interim responses are skipped, up to a bound") {
  const std::string early = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
  const std::string answer = kOk + "Content-Length: 2\r\n\r\n{}";
  each_way("HTTP/1.1 100 Continue\r\n\r\n" + answer, whole("{}"));
  each_way(early + early + "HTTP/1.1 102 Processing\r\n\r\n" + answer, whole("{}"));
  std::string many;
  for (uint32_t i = 0; i < AuthorizerAnswer::kInterimMax; i++) many += "HTTP/1.1 102 P\r\n\r\n";
  each_way(many + answer, whole("{}"));
  each_way(many + "HTTP/1.1 102 P\r\n\r\n" + answer, broken("too many interim responses"));
  each_way("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + answer, broken("it switched protocols"));
}

TEST_CASE("authorizer answer: what is behind it, or must not be in it, spoils the connection") {
  const std::string second = kOk + "Content-Length: 5\r\n\r\n{\"a\"}";
  each_way(kOk + "Content-Length: 2\r\n\r\n{}" + second, with_leftover(whole("{}")));
  each_way(kOk + "Content-Length: 2\r\n\r\n{}\n", with_leftover(whole("{}")));
  each_way(kOk + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second, with_leftover(whole("")));
  each_way("HTTP/1.1 204 N\r\n\r\n" + second, with_leftover(whole("", 204)));
  each_way("HTTP/1.1 204 N\r\nContent-Length: 9\r\n\r\n", not_reusable(whole("", 204)));
  each_way("HTTP/1.1 304 N\r\nTransfer-Encoding: chunked\r\n\r\n", not_reusable(whole("", 304)));
  each_way(kOk + "Connection: close\r\nContent-Length: 2\r\n\r\n{}", not_reusable(whole("{}")));
  each_way("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", not_reusable(whole("{}")));
}

TEST_CASE("authorizer answer: what cannot be read is no answer") {
  each_way(kOk + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", broken("more than one Content-Length"));
  each_way(kOk + "Content-Length: 9\r\n\r\n{}", broken("its answer was cut"), /*ended=*/true);
  each_way("HTTP/1.1 200", broken("its answer was cut"), /*ended=*/true);
  each_way(kOk + "Transfer-Encoding: chunked\r\n\r\n1\r\n{", broken("its answer was cut"), /*ended=*/true);
  each_way(kOk + "Content-Length: 262145\r\n\r\n", broken("its answer is too large"));
  AuthorizerAnswer nothing;
  CHECK(nothing.end() == State::broken);
  CHECK(nothing.why() == "it ended the connection without an answer");
}

TEST_CASE("authorizer answer: a body without a length is bounded") {
  const auto head = std::make_unique<wire::ResponseHead>();
  for (const char* framing : {"\r\n", "Transfer-Encoding: chunked\r\n\r\n40001\r\n"}) {
    AuthorizerAnswer answer;
    answer.take(kOk + framing, *head);
    const std::string piece(4096, 'x');
    for (size_t i = 0; i < AuthorizerAnswer::kBodyMax; i += piece.size())
      CHECK(answer.take(piece, *head) == State::body);
    CHECK(answer.take("x", *head) == State::broken);
    CHECK(answer.why() == "its answer is too large");
  }
}

}  // namespace weir::gateway::test
