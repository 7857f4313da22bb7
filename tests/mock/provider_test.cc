// The mock provider over a real socket and the real engine.
#include "mock/provider.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/address.h"

using namespace weir::mock;

namespace {

std::unique_ptr<Provider> provider() {
  ProviderOptions options;
  options.requests_kept = 100;
  auto started = Provider::start(options);
  REQUIRE(started);
  return std::move(*started);
}

// A plain blocking client.
class Client {
 public:
  explicit Client(const Provider& to) {
    const auto address = weir::io::parse_address(to.address());
    socket_ = *weir::io::open_stream(address->family());
    REQUIRE(::connect(socket_, reinterpret_cast<const sockaddr*>(&address->storage), address->size) == 0);
  }
  ~Client() { ::close(socket_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  Client& send(std::string_view bytes) {
    REQUIRE(::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
    return *this;
  }
  // Up to and with `mark`, or to the end of the stream.
  std::string until(std::string_view mark) {
    while (got_.find(mark) == std::string::npos) {
      char bytes[4096];
      const ssize_t size = ::recv(socket_, bytes, sizeof bytes, 0);
      if (size <= 0) return std::exchange(got_, "") + (size < 0 ? "<reset>" : "<end>");
      got_.append(bytes, static_cast<size_t>(size));
    }
    const size_t end = got_.find(mark) + mark.size();
    std::string found = got_.substr(0, end);
    got_.erase(0, end);
    return found;
  }
  std::string to_end() { return until("no such bytes"); }

 private:
  int socket_ = -1;
  std::string got_;
};

std::string request(std::string_view path, std::string_view headers, std::string_view body) {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: mock\r\n" + std::string(headers) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}
std::string command(const Provider& to, std::string_view path, std::string_view body = "") {
  return Client(to).send(request("/__mock/" + std::string(path), "Connection: close\r\n", body)).to_end();
}
bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

constexpr std::string_view kStream = R"({"model":"m","stream":true})";
constexpr std::string_view kBlocking = R"({"model":"m"})";

}  // namespace

TEST_CASE("mock provider: a stream, then a whole answer, on one connection") {
  const auto mock = provider();
  Client client(*mock);
  const std::string stream = client.send(request("/v1/messages", "", kStream)).until("0\r\n\r\n");
  CHECK(stream.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(has(stream, "Content-Type: text/event-stream"));
  CHECK(has(stream, "event: message_stop"));
  const std::string whole = client.send(request("/v1/responses", "", kBlocking)).until("\"metadata\":{}}");
  CHECK(has(whole, "Content-Type: application/json"));
  CHECK(has(whole, R"("status":"completed")"));
}

TEST_CASE("mock provider: events that are sent one by one are those that are sent together") {
  const auto mock = provider();
  Client client(*mock);
  const auto body = [&client](const std::string& headers) {
    client.send(request("/v1/messages", "x-mock-events: 300\r\nx-mock-id: same\r\n" + headers, kStream))
        .until("\r\n\r\n");
    return client.until("\r\n0\r\n\r\n");
  };
  const std::string together = body("");
  CHECK(has(together, "message_stop"));
  CHECK(body("x-mock-separate: 1\r\n") == together);
}

TEST_CASE("mock provider: pipelined requests are answered in order") {
  const auto mock = provider();
  Client client(*mock);
  client.send(request("/v1/chat/completions", "", kStream) + request("/v1/messages/count_tokens", "", kBlocking));
  CHECK(has(client.until("0\r\n\r\n"), "chat.completion.chunk"));
  CHECK(has(client.until("input_tokens"), "200 OK"));
}

TEST_CASE("mock provider: HEAD has no body, Expect is answered") {
  const auto mock = provider();
  Client client(*mock);
  client.send("HEAD /v1/models HTTP/1.1\r\nHost: mock\r\n\r\n");
  CHECK(has(client.until("\r\n\r\n"), "200 OK"));
  client.send("POST /v1/messages HTTP/1.1\r\nHost: mock\r\nContent-Length: 13\r\nExpect: 100-continue\r\n\r\n");
  CHECK(client.until("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
  CHECK(has(client.send(kBlocking).until("\r\n\r\n"), "200 OK"));
}

TEST_CASE("mock provider: headers of the request choose status, framing and interim answers") {
  const auto mock = provider();
  CHECK(has(Client(*mock).send(request("/v1/messages", "X-Mock-Status: 529\r\n", kStream)).until("overloaded"),
            "HTTP/1.1 529"));
  const std::string closed =
      Client(*mock).send(request("/v1/messages", "x-mock-framing: close\r\nx-mock-interim: 1\r\n", kStream)).to_end();
  CHECK(has(closed, "HTTP/1.1 103 Early Hints\r\n"));
  CHECK(has(closed, "Connection: close\r\n"));
  CHECK(has(closed, "message_stop"));
  const std::string refused =
      Client(*mock)
          .send(request("/v1/messages", "x-mock-colour: red\r\nx-mock-status: 200\r\n", kStream))
          .until("\"req_mock\"");
  CHECK(has(refused, " 400 "));
  CHECK(has(refused, "x-mock-colour is nothing that the mock provider knows"));
}

TEST_CASE("mock provider: an answer is cut, dropped or reset") {
  const auto mock = provider();
  const std::string cut = Client(*mock).send(request("/v1/messages", "x-mock-cut: 40\r\n", kStream)).to_end();
  CHECK(has(cut, "event: message_start\n"));
  CHECK_FALSE(has(cut, "0\r\n\r\n"));
  CHECK(cut.ends_with("<end>"));
  CHECK(Client(*mock).send(request("/v1/messages", "x-mock-ending: drop\r\n", kStream)).to_end() == "<end>");
  CHECK(Client(*mock).send(request("/v1/messages", "x-mock-ending: reset\r\n", kStream)).to_end() == "<reset>");
}

TEST_CASE("mock provider: a scripted answer is given once, byte for byte") {
  const auto mock = provider();
  CHECK(
      has(command(*mock, "script", R"({"status":429,"headers":[["Retry-After","7"]],"body":"slow down"})"), "200 OK"));
  const std::string scripted = Client(*mock).send(request("/v1/messages", "", kBlocking)).until("slow down");
  CHECK(has(scripted, "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 9\r\n"));
  CHECK(has(Client(*mock).send(request("/v1/messages", "", kBlocking)).until("\r\n\r\n"), "200 OK"));
  CHECK(has(command(*mock, "script", "nonsense"), "400 Bad Request"));
}

TEST_CASE("mock provider: step by step, an event goes when it is told to") {
  const auto mock = provider();
  Client client(*mock);
  client.send(request("/v1/messages", "x-mock-step: 1\r\nx-mock-events: 1\r\n", kStream));
  CHECK(client.until("\r\n\r\n").starts_with("HTTP/1.1 200"));
  command(*mock, "next");
  CHECK(has(client.until("\n\n"), "event: message_start"));
  command(*mock, "next?n=2");
  CHECK(has(client.until("\n\n"), "event: content_block_start"));
  CHECK(has(client.until("\n\n"), "event: ping"));
  command(*mock, "next?n=100");
  CHECK(has(client.until("0\r\n\r\n"), "message_stop"));
}

TEST_CASE("mock provider: what was seen is listed, reset forgets it") {
  const auto mock = provider();
  Client(*mock).send(request("/v1/messages?beta=true", "X-Api-Key: sk-1\r\n", kBlocking)).until("\r\n\r\n");
  const std::string seen = command(*mock, "requests");
  CHECK(has(seen, R"("method":"POST","target":"/v1/messages?beta=true")"));
  CHECK(has(seen, R"(["X-Api-Key","sk-1"])"));
  CHECK(has(seen, R"("body_size":13)"));
  command(*mock, "reset");
  CHECK_FALSE(has(command(*mock, "requests"), "sk-1"));
}

TEST_CASE("mock provider: a client that leaves inside a stream is counted, its connection closed") {
  const auto mock = provider();
  {
    Client client(*mock);
    client.send(request("/v1/messages", "x-mock-step: 1\r\n", kStream)).until("\r\n\r\n");
    CHECK(has(command(*mock, "state"), R"("connections":1,"streams":1,"requests":1,"broken_off":0)"));
  }
  // The provider hears of it by a completion of its own: ask until it has.
  std::string state;
  for (int i = 0; i < 10000 && !has(state, "\"connections\":0"); i++) state = command(*mock, "state");
  CAPTURE(state);
  CHECK(has(state, R"("connections":0,"streams":0,"requests":1,"broken_off":1)"));
}

TEST_CASE("mock provider: what is not HTTP gets 400 and the end of the connection") {
  const auto mock = provider();
  const std::string answer = Client(*mock).send("GET /v1/models HTTP/1.1\nHost: a\n\n").to_end();
  CHECK(has(answer, "400 Bad Request"));
  CHECK(answer.ends_with("<end>"));
}

TEST_CASE("mock provider: an address in use is an error that names it") {
  const auto mock = provider();
  ProviderOptions options;
  options.address = mock->address();
  const auto second = Provider::start(options);
  REQUIRE_FALSE(second);
  CHECK(has(second.error().message, mock->address()));
}
