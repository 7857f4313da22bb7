// HTTP/1.1 towards clients, over real sockets: framing, keep-alive, pipelining, refusals, and what reaches the
// provider.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <vector>

#include "support/gateway.h"

namespace weir {
namespace {

using namespace testing;

constexpr const char* kReply =
    R"({"id":"r1","model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}})";

// Answers every request with the same JSON and keeps what it saw.
struct Echo {
  std::mutex mutex;
  std::vector<HttpMessage> seen;
  Provider provider{[this](Socket& connection) {
    for (;;) {
      HttpMessage request = connection.read_request();
      if (!request.complete) return;
      const bool head = request.start.starts_with("HEAD");
      {
        const std::lock_guard lock(mutex);
        seen.push_back(std::move(request));
      }
      const std::string answer = json_answer(kReply);
      connection.send(head ? answer.substr(0, answer.find("\r\n\r\n") + 4) : answer);
    }
  }};
  size_t count() {
    const std::lock_guard lock(mutex);
    return seen.size();
  }
};

TEST_CASE("http: a request is forwarded with the operator's key and without the gateway token") {
  Echo echo;
  Gateway gateway({.upstream_port = echo.provider.port()});
  Socket client = gateway.connect();
  client.send(request("/openai/v1/chat/completions", kChat, "X-Odd-CASE:  kept \r\n"));
  const HttpMessage answer = client.read_answer();
  CHECK(answer.status() == 200);
  CHECK(answer.body == kReply);
  CHECK(answer.header("x-weir-interception-id").size() == 36);
  REQUIRE(echo.count() == 1);
  const HttpMessage& seen = echo.seen[0];
  CHECK(seen.start == "POST /v1/chat/completions HTTP/1.1");
  CHECK(seen.body == kChat);
  CHECK(seen.header("authorization") == "Bearer sk-operator-0123456789abcdef");
  CHECK(seen.header("X-Odd-CASE") == "kept");
  CHECK(seen.count("authorization") == 1);
  for (const auto& [name, value] : seen.headers) CHECK(value.find(kToken) == std::string::npos);
  const auto rows = gateway.rows(1);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].id == answer.header("x-weir-interception-id"));
  CHECK(rows[0].outcome == "completed");
  CHECK(rows[0].credential_kind == "centralized");
  CHECK(rows[0].username == "ann");
  CHECK(rows[0].attempts == 1);
  CHECK(rows[0].first_byte_us.has_value());
}

TEST_CASE("http: a connection serves many requests, and upstream connections are used again") {
  Echo echo;
  Gateway gateway({.upstream_port = echo.provider.port()});
  Socket client = gateway.connect();
  for (int i = 0; i < 20; i++) {
    client.send(request("/openai/v1/chat/completions", kChat));
    REQUIRE(client.read_answer().status() == 200);
  }
  CHECK(echo.count() == 20);
  CHECK(echo.provider.connections() == 1);
  CHECK(gateway.rows(20).size() == 20);
}

TEST_CASE("http: a request arrives byte by byte") {
  Echo echo;
  Gateway gateway({.upstream_port = echo.provider.port()});
  Socket client = gateway.connect();
  for (const char byte : request("/anthropic/v1/messages", kMessage)) client.send(std::string_view(&byte, 1));
  CHECK(client.read_answer().status() == 200);
  REQUIRE(echo.count() == 1);
  CHECK(echo.seen[0].body == kMessage);
}

TEST_CASE("http: a request split at any one place is the same request") {
  Echo echo;
  Gateway gateway({.upstream_port = echo.provider.port()});
  Socket client = gateway.connect();
  const std::string whole = request("/openai/v1/chat/completions", kChat);
  for (size_t split = 1; split < whole.size(); split++) {
    client.send(whole.substr(0, split));
    std::this_thread::sleep_for(
        std::chrono::milliseconds(1));  // so that the parts are likely two reads; correct either way
    client.send(whole.substr(split));
    REQUIRE(client.read_answer().status() == 200);
  }
  CHECK(echo.count() == whole.size() - 1);
}

TEST_CASE("http: pipelined requests are answered in order") {
  std::atomic<int> number{0};
  Provider provider([&](Socket& connection) {
    while (connection.read_request().complete) connection.send(json_answer(fmt::format(R"({{"id":"{}"}})", number++)));
  });
  Gateway gateway({.upstream_port = provider.port()});
  Socket client = gateway.connect();
  std::string all;
  for (int i = 0; i < 50; i++) all += request("/openai/v1/chat/completions", kChat);
  client.send(all);
  for (int i = 0; i < 50; i++) CHECK(client.read_answer().body == fmt::format(R"({{"id":"{}"}})", i));
}

TEST_CASE("http: a chunked request body goes upstream with its length, in any split of the chunks") {
  Echo echo;
  Gateway gateway({.upstream_port = echo.provider.port()});
  for (const size_t size : {size_t{1}, size_t{7}, size_t{1000}}) {
    std::string body = fmt::format(
        "POST /openai/v1/chat/completions HTTP/1.1\r\nHost: gw\r\nX-Api-Key: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        kToken);
    for (size_t at = 0; at < kChat.size(); at += size) {
      const std::string_view part = kChat.substr(at, size);
      body += fmt::format("{:x};ext=1\r\n{}\r\n", part.size(), part);
    }
    body += "0\r\nTrailer: dropped\r\n\r\n";
    Socket client = gateway.connect();
    client.send(body);
    CHECK(client.read_answer().status() == 200);
    const HttpMessage& seen = echo.seen.back();
    CHECK(seen.body == kChat);
    CHECK(seen.header("content-length") == std::to_string(kChat.size()));
    CHECK(seen.header("transfer-encoding").empty());
    CHECK(seen.header("trailer").empty());
  }
}

TEST_CASE("http: Expect: 100-continue is answered before the body is sent") {
  Echo echo;
  Gateway gateway({.upstream_port = echo.provider.port()});
  Socket client = gateway.connect();
  const std::string whole = request("/openai/v1/chat/completions", kChat, "Expect: 100-continue\r\n");
  const size_t head = whole.find("\r\n\r\n") + 4;
  client.send(whole.substr(0, head));
  CHECK(client.read_answer().status() == 100);
  client.send(whole.substr(head));
  CHECK(client.read_answer().status() == 200);
  CHECK(echo.seen[0].header("expect").empty());
}

TEST_CASE("http: a refusal answers Expect: 100-continue at once") {
  Echo echo;
  Gateway gateway({.upstream_port = echo.provider.port()});
  Socket client = gateway.connect();
  client.send(
      "POST /openai/v1/chat/completions HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  const HttpMessage answer = client.read_answer();
  CHECK(answer.status() == 400);
  CHECK(client.wait_end());
}

TEST_CASE("http: HTTP/1.0 clients get close-delimited or length-delimited answers") {
  Echo echo;
  Gateway gateway({.upstream_port = echo.provider.port()});
  Socket client = gateway.connect();
  client.send(fmt::format("POST /openai/v1/chat/completions HTTP/1.0\r\nX-Api-Key: {}\r\nContent-Length: {}\r\n\r\n{}",
                          kToken, kChat.size(), kChat));
  const HttpMessage answer = client.read_answer();
  CHECK(answer.status() == 200);
  CHECK(answer.body == kReply);
  CHECK(client.wait_end());
}

TEST_CASE("http: HEAD on a passthrough route has no body and keeps the connection") {
  Echo echo;
  Gateway gateway({.upstream_port = echo.provider.port()});
  Socket client = gateway.connect();
  for (int i = 0; i < 3; i++) {
    client.send(fmt::format("HEAD /openai/v1/models HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {}\r\n\r\n", kToken));
    const HttpMessage answer = client.read_answer(true);
    CHECK(answer.status() == 200);
    CHECK(answer.header("content-length") == std::to_string(std::string(kReply).size()));
  }
  CHECK(gateway.row_count() == 0);
}

TEST_CASE("http: a body over max_body is refused with 413 and an orderly end, however it is framed") {
  Echo echo;
  Gateway gateway({.upstream_port = echo.provider.port(), .toml = "[limits]\nmax_body = \"64KiB\"\n"});
  {
    Socket client = gateway.connect();
    client.send(request("/openai/v1/chat/completions", std::string(3u << 20, 'x')));
    const HttpMessage answer = client.read_answer();
    CHECK(answer.status() == 413);
    CHECK(answer.body.find("64KiB") != std::string::npos);
    CHECK(client.wait_end());
  }
  {
    Socket client = gateway.connect();
    client.send(fmt::format(
        "POST /openai/v1/chat/completions HTTP/1.1\r\nHost: gw\r\nX-Api-Key: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        kToken));
    for (int i = 0; i < 100; i++) client.try_send("1000\r\n" + std::string(4096, 'x') + "\r\n");
    CHECK(client.read_answer().status() == 413);
  }
  CHECK(echo.count() == 0);
}

TEST_CASE("http: large bodies arrive whole, in one piece or slowly") {
  Echo echo;
  Gateway gateway({.upstream_port = echo.provider.port()});
  Socket client = gateway.connect();
  for (const size_t size : {size_t{15000}, size_t{20000}, size_t{100000}, size_t{3u << 20}, size_t{20u << 20}}) {
    const std::string body =
        R"({"model":"m","messages":[{"role":"user","content":")" + std::string(size, 'y') + "\"}]}";
    const std::string whole = request("/openai/v1/chat/completions", body);
    for (size_t at = 0; at < whole.size(); at += 70001) client.send(std::string_view(whole).substr(at, 70001));
    REQUIRE(client.read_answer().status() == 200);
    CHECK(echo.seen.back().body == body);
  }
}

TEST_CASE("http: a refused request's small body is skipped and the connection goes on") {
  Echo echo;
  Gateway gateway({.upstream_port = echo.provider.port()});
  Socket client = gateway.connect();
  client.send(request("/openai/v1/files", std::string(100000, 'x')));
  CHECK(client.read_answer().status() == 404);
  client.send(request("/openai/v1/chat/completions", kChat));
  CHECK(client.read_answer().status() == 200);
}

TEST_CASE(
    "http: behind a refused request whose body may be too long to skip, the answer says that the connection ends") {
  Echo echo;
  Gateway gateway({.upstream_port = echo.provider.port()});
  const std::string chunks = "5\r\nabcde\r\n";
  struct Row {
    std::string head;
    std::string body;
  };
  const Row rows[] = {{"Content-Length: 300000", std::string(300000, 'x')},
                      {"Transfer-Encoding: chunked", chunks + "0\r\n\r\n"},
                      {"Transfer-Encoding: chunked", chunks},  // and no end
                      {"Transfer-Encoding: chunked", "80000\r\n" + std::string(0x80000, 'x') + "\r\n0\r\n\r\n"}};
  for (const Row& row : rows) {
    Socket client = gateway.connect();
    client.send(fmt::format("POST /nowhere HTTP/1.1\r\nHost: gw\r\nX-Api-Key: {}\r\n{}\r\n\r\n", kToken, row.head));
    client.try_send(row.body);
    const HttpMessage answer = client.read_answer();
    CHECK(answer.status() == 404);
    CHECK(answer.header("connection") == "close");
    CHECK(client.wait_end());
  }
}

TEST_CASE("http: refusals have the status, the text and the shape of the route's API") {
  Echo echo;
  Gateway gateway({.upstream_port = echo.provider.port()});
  struct Row {
    std::string bytes;
    int status;
    const char* text;
    bool anthropic;
  };
  const auto bare = [](const char* method, const char* path, const char* headers = "") {
    return fmt::format("{} {} HTTP/1.1\r\nHost: gw\r\n{}\r\n", method, path, headers);
  };
  const std::vector<Row> rows = {
      {bare("GET", "/anthropic/v1/models"), 400, "no authentication key provided", true},
      {bare("GET", "/openai/v1/models"), 400, "no authentication key provided", false},
      {bare("GET", "/openai/v1/models", "Authorization: Basic x\r\n"), 400, "no authentication key provided", false},
      {bare("GET", "/openai/v1/models", "Authorization: Bearer wrong\r\n"), 403, "unauthorized", false},
      {request("/openai/v1/files", ""), 404, "route not supported: GET /openai/v1/files", false},
      {request("/anthropic/v1/messages", ""), 405, "method not allowed", true},
      {request("/anthropic/v1/messages", "[]"), 400, "not a JSON object", true},
      {request("/anthropic/v1/messages", "{\"model\":tru}"), 400, "at byte", true},
      {request("/openai/v1/chat/completions", "{"), 400, "not valid JSON", false},
      {request("/copilot/chat/completions", kChat), 401, "credential", false},
      {request("/anthropic/v1/%2e%2e/models", ""), 400, "dot segment", true},
      {request("/openai/v1%2Fmodels", ""), 400, "encoded slash", false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.bytes);
    Socket client = gateway.connect();
    client.send(row.bytes);
    const HttpMessage answer = client.read_answer();
    CHECK(answer.status() == row.status);
    CHECK(answer.header("content-type") == "application/json");
    CHECK(answer.body.find(row.text) != std::string::npos);
    CHECK((answer.body.find(R"("type":"error")") != std::string::npos) == row.anthropic);
    CHECK(answer.header("x-weir-interception-id").empty());
  }
  CHECK(echo.count() == 0);
  CHECK(gateway.row_count() == 0);
}

TEST_CASE("http: what is no HTTP gets 400 and the end of the connection, and reaches nobody") {
  Echo echo;
  Gateway gateway({.upstream_port = echo.provider.port()});
  const std::string auth = fmt::format("Authorization: Bearer {}\r\n", kToken);
  for (const std::string& bytes : std::vector<std::string>{
           "GARBAGE\r\n\r\n", "GET / HTTP/1.1\nHost: gw\n\n", "GET / HTTP/1.1\r\nHost : gw\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
           "POST /openai/v1/chat/completions HTTP/1.1\r\nHost: gw\r\n" + auth +
               "Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
           "POST /openai/v1/chat/completions HTTP/1.1\r\nHost: gw\r\n" + auth +
               "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           "POST /openai/v1/chat/completions HTTP/1.1\r\nHost: gw\r\n" + auth +
               "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
           "POST /openai/v1/chat/completions HTTP/1.1\r\nHost: gw\r\n" + auth +
               "Transfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX",
           "GET / HTTP/1.1\r\nHost: gw\r\nX: a\r\n b\r\n\r\n", "GET / HTTP/1.1\r\nHost: gw\r\nX: a\rb\r\n\r\n"}) {
    CAPTURE(bytes);
    Socket client = gateway.connect();
    client.send(bytes);
    CHECK(client.read_answer().status() == 400);
    CHECK(client.wait_end());
  }
  CHECK(echo.count() == 0);
}

TEST_CASE("http: too large a head is 431, slow or at once") {
  Gateway gateway({.upstream_port = 1});
  Socket client = gateway.connect();
  client.send("GET / HTTP/1.1\r\nHost: gw\r\nX: ");
  client.try_send(std::string(70000, 'a'));
  CHECK(client.read_answer().status() == 431);
  Socket many = gateway.connect();
  std::string head = "GET / HTTP/1.1\r\nHost: gw\r\n";
  for (int i = 0; i < 200; i++) head += fmt::format("x-{}: 1\r\n", i);
  many.send(head + "\r\n");
  CHECK(many.read_answer().status() == 431);
}

TEST_CASE(
    "http: a client that shuts its side before the answer has left; after the answer is complete it still gets it") {
  Echo echo;
  Gateway gateway({.upstream_port = echo.provider.port()});
  Socket client = gateway.connect();
  client.send("GET /nowhere HTTP/1.1\r\nHost: gw\r\n\r\n");
  client.shutdown_send();
  CHECK(client.read_answer().status() == 400);
}

TEST_CASE("http: connections over the limit are closed, and the others go on") {
  Echo echo;
  Gateway gateway({.upstream_port = echo.provider.port(), .toml = "[limits]\nconnections = 4\n"});
  std::vector<Socket> clients;
  for (int i = 0; i < 4; i++) {
    clients.push_back(gateway.connect());
    clients.back().send(request("/openai/v1/chat/completions", kChat));
    REQUIRE(clients.back().read_answer().status() == 200);
  }
  Socket over = gateway.connect();
  CHECK(over.wait_end());
  clients[0].send(request("/openai/v1/chat/completions", kChat));
  CHECK(clients[0].read_answer().status() == 200);
}

}  // namespace
}  // namespace weir
