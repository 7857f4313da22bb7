// Towards providers, over real sockets: connections that die, streams that break, clients that leave or do not read.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <future>
#include <string>
#include <vector>

#include "base/clock.h"
#include "support/gateway.h"
#include "support/stream_answer.h"

namespace weir {
namespace {

using namespace testing;

TEST_CASE("upstream: a kept connection that dies before an answer is tried once more on a fresh one") {
  std::atomic<int> connection_number{0};
  Provider provider([&](Socket& connection) {
    const int number = connection_number++;
    connection.read_request();
    connection.send(json_answer(R"({"id":"1"})"));
    if (number == 0) {
      connection.read_request();  // the second one is never answered: the connection ends as it comes
      return;
    }
    while (connection.read_request().complete) connection.send(json_answer(R"({"id":"2"})"));
  });
  Gateway gateway({.upstream_port = provider.port()});
  Socket client = gateway.connect();
  for (int i = 0; i < 2; i++) {
    client.send(request("/openai/v1/chat/completions", kChat));
    CHECK(client.read_answer().status() == 200);
  }
  const auto rows = gateway.rows(2);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].attempts == 1);
  CHECK(rows[1].attempts == 2);
  CHECK(rows[1].outcome == "completed");
}

TEST_CASE("upstream: a fresh connection that ends without an answer is 502, and is not tried again") {
  std::atomic<int> requests{0};
  Provider provider([&](Socket& connection) {
    if (connection.read_request().complete) requests++;
  });
  Gateway gateway({.upstream_port = provider.port()});
  Socket client = gateway.connect();
  client.send(request("/openai/v1/responses", R"({"model":"m","input":"x"})"));
  const HttpMessage answer = client.read_answer();
  CHECK(answer.status() == 502);
  CHECK(answer.header("x-weir-interception-id").size() == 36);
  CHECK(requests == 1);
  const auto rows = gateway.rows(1);
  CHECK(rows[0].outcome == "upstream_error");
  CHECK(rows[0].error_type == "network");
  CHECK_FALSE(rows[0].upstream_status.has_value());
  CHECK_FALSE(rows[0].first_byte_us.has_value());
}

TEST_CASE("upstream: nobody listens there: 502, one clear log line, the connection goes on") {
  uint16_t port = 0;
  {
    const Provider gone([](Socket&) {});
    port = gone.port();
  }
  Gateway gateway({.upstream_port = port});
  Socket client = gateway.connect();
  for (int i = 0; i < 3; i++) {
    client.send(request("/anthropic/v1/messages", kMessage));
    const HttpMessage answer = client.read_answer();
    CHECK(answer.status() == 502);
    CHECK(answer.body.find("connection refused") != std::string::npos);
  }
  CHECK(gateway.rows(3)[2].attempts == 0);
  CHECK(gateway.log().find("connection refused (127.0.0.1:") != std::string::npos);
}

TEST_CASE("upstream: an answer that is no HTTP is 502") {
  Provider provider([](Socket& connection) {
    connection.read_request();
    connection.send("SSH-2.0-OpenSSH\r\n\r\n");
    connection.wait_end();
  });
  Gateway gateway({.upstream_port = provider.port()});
  Socket client = gateway.connect();
  client.send(request("/openai/v1/chat/completions", kChat));
  CHECK(client.read_answer().status() == 502);
}

TEST_CASE("upstream: no answer in time is 504, a stalled stream ends with an error event") {
  Provider provider([](Socket& connection) {
    const HttpMessage asked = connection.read_request();
    if (asked.body.find("\"stream\":true") != std::string::npos) connection.send(kStreamHead + chunk(kStart));
    connection.wait_end();
  });
  Gateway gateway({.upstream_port = provider.port(), .toml = "[timeouts]\nanswer = \"200ms\"\nstream = \"200ms\"\n"});
  Socket client = gateway.connect();
  client.send(request("/anthropic/v1/messages", kMessage));
  CHECK(client.read_answer().status() == 504);
  client.send(request("/anthropic/v1/messages", kStreaming));
  const HttpMessage stalled = client.read_answer();
  CHECK(stalled.status() == 200);
  CHECK(stalled.complete);
  CHECK(stalled.body.find("event: error") != std::string::npos);
  const auto rows = gateway.rows(2);
  CHECK(rows[0].error_type == "timeout");
  CHECK(rows[1].error_type == "timeout");
  CHECK(rows[1].outcome == "upstream_error");
}

// 40 KB of event need more than half of an event memory of 64 KiB, 100 KB more than all of it.
constexpr const char* kLittleEventMemory = "[limits]\nevent_memory = \"64KiB\"\n";
std::string giant(size_t size) {
  return event("ping", R"(,"x":")" + std::string(size, 'x') + "\"");
}

TEST_CASE("upstream: events over the event memory are forwarded whole, recorded as unreadable, and counted") {
  const std::string body = kStart + giant(100000) + giant(100000) + kStop;
  Provider provider([&](Socket& connection) {
    while (connection.read_request().complete) {
      connection.send(kStreamHead);
      for (size_t at = 0; at < body.size(); at += 30000) connection.send(chunk(body.substr(at, 30000)));
      connection.send("0\r\n\r\n");
    }
  });
  Gateway gateway({.upstream_port = provider.port(), .toml = kLittleEventMemory});
  Socket client = gateway.connect();
  for (int i = 0; i < 2; i++) {
    client.send(request("/anthropic/v1/messages", kStreaming));
    const HttpMessage answer = client.read_answer();
    CHECK(answer.complete);
    CHECK((answer.body == body));
  }
  for (const auto& row : gateway.rows(2)) {
    CHECK(row.outcome == "completed");
    CHECK(row.error_type == "unreadable");
  }
  const std::string log = gateway.log();
  CHECK(log.find("events too large to be read") != log.npos);
  CHECK(log.find("events=2 events_of_worker=2 ") != log.npos);
  CHECK(log.find("events=2 events_of_worker=4 ") != log.npos);
}

TEST_CASE("upstream: the event memory is the worker's: what one stream holds another has not, until it is given back") {
  const std::string body = kStart + giant(40000) + kStop;
  constexpr size_t kFirstPart = 39000;  // inside the giant
  std::promise<void> go_on;
  std::future<void> gone_on = go_on.get_future();
  Provider provider([&](Socket& connection) {
    for (HttpMessage asked; (asked = connection.read_request()).complete;) {
      connection.send(kStreamHead + chunk(body.substr(0, kFirstPart)));
      if (asked.header("x-ask") == "wait") gone_on.wait();
      connection.send(chunk(body.substr(kFirstPart)) + "0\r\n\r\n");
    }
  });
  Gateway gateway({.upstream_port = provider.port(), .toml = kLittleEventMemory});
  Socket holder = gateway.connect();
  holder.send(request("/anthropic/v1/messages", kStreaming, "x-ask: wait\r\n"));
  // What the client has received, the reader has seen.
  std::string received;
  while (std::ranges::count(received, 'x') < 38000) received += holder.receive();
  Socket other = gateway.connect();
  other.send(request("/anthropic/v1/messages", kStreaming));
  CHECK((other.read_answer().body == body));
  go_on.set_value();
  while (!received.ends_with("\r\n0\r\n\r\n")) received += holder.receive();
  CHECK(gateway.rows(2).size() == 2);
  other.send(request("/anthropic/v1/messages", kStreaming));
  CHECK((other.read_answer().body == body));
  const auto rows = gateway.rows(3);
  REQUIRE(rows.size() == 3);
  size_t unreadable = 0;
  for (const auto& row : rows) unreadable += row.error_type == "unreadable" ? 1 : 0;
  CHECK(unreadable == 1);
}

TEST_CASE("upstream: every event reaches the client before the next one is sent") {
  std::atomic<int> received{0};
  Provider provider([&](Socket& connection) {
    connection.read_request();
    connection.send(std::string(kStreamHead) + chunk(kStart));
    for (int i = 1; i <= 50; i++) {
      if (!eventually([&] { return received >= i; })) return;
      connection.send(chunk(i == 50 ? kStop : event("ping")));
    }
    connection.send("0\r\n\r\n");
    connection.wait_end();
  });
  Gateway gateway({.upstream_port = provider.port()});
  Socket client = gateway.connect();
  client.send(request("/anthropic/v1/messages", kStreaming));
  std::string body;
  while (body.find("0\r\n\r\n") == std::string::npos) {
    body += client.receive();
    const size_t events = [&] {
      size_t n = 0;
      for (size_t at = 0; (at = body.find("\n\n", at)) != std::string::npos; at += 2) n++;
      return n;
    }();
    received = static_cast<int>(events);
  }
  CHECK(received >= 50);
}

TEST_CASE("upstream: a stream cut at any byte keeps what came, ends with one error event and proper framing") {
  const std::string stream = kStart + event("ping") + kStop;
  std::atomic<size_t> cut{0};
  Provider provider([&](Socket& connection) {
    while (connection.read_request().complete) {
      connection.send(kStreamHead + fmt::format("{:x}\r\n", stream.size()) + stream.substr(0, cut));
      return;
    }
  });
  Gateway gateway({.upstream_port = provider.port()});
  for (cut = 0; cut < stream.size(); cut = cut + 13) {
    CAPTURE(cut.load());
    Socket client = gateway.connect();
    client.send(request("/anthropic/v1/messages", kStreaming));
    const HttpMessage answer = client.read_answer();
    CHECK(answer.status() == 200);
    CHECK(answer.complete);
    CHECK(answer.body.starts_with(stream.substr(0, cut)));
    const size_t at = answer.body.rfind("event: error\ndata: ");
    CHECK(at != std::string::npos);
    CHECK(answer.body.ends_with("\n\n"));
  }
}

TEST_CASE("upstream: a plain answer cut short stays unfinished for the client") {
  Provider provider([](Socket& connection) {
    connection.read_request();
    connection.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"id\":");
  });
  Gateway gateway({.upstream_port = provider.port()});
  Socket client = gateway.connect();
  client.send(request("/openai/v1/chat/completions", kChat));
  const HttpMessage answer = client.read_answer();
  CHECK(answer.body == "{\"id\":");
  CHECK_FALSE(answer.complete);
  CHECK(gateway.rows(1)[0].error_type == "network");
}

TEST_CASE("upstream: a client that leaves closes the upstream connection within a second") {
  for (const bool hard : {false, true}) {
    std::atomic<uint64_t> left_ns{0};
    std::atomic<uint64_t> seen_ns{0};
    Provider provider([&](Socket& connection) {
      connection.read_request();
      connection.send(std::string(kStreamHead) + chunk(kStart));
      connection.wait_end();
      seen_ns = monotonic_ns();
    });
    Gateway gateway({.upstream_port = provider.port()});
    Socket client = gateway.connect();
    client.send(request("/anthropic/v1/messages", kStreaming));
    client.receive();
    left_ns = monotonic_ns();
    if (hard) {
      client.reset();
    } else {
      client.close();
    }
    REQUIRE(eventually([&] { return seen_ns != 0; }));
    CHECK(seen_ns - left_ns < kNsPerSecond);
    const auto rows = gateway.rows(1);
    CHECK(rows[0].outcome == "client_disconnected");
  }
}

TEST_CASE("upstream: a client that leaves with the last event, before the framing ends, had its whole answer") {
  struct Case {
    std::string_view last;
    std::string_view outcome, error_type;
  };
  const std::string error = event("error", R"(,"error":{"type":"overloaded_error","message":"busy"})");
  for (const Case& of : {Case{kStop, "completed", ""}, Case{error, "upstream_error", "overloaded"}}) {
    std::atomic<bool> broken_off{false};
    Provider provider([&](Socket& connection) {
      connection.read_request();
      connection.send(std::string(kStreamHead) + chunk(kStart) + chunk(of.last));
      connection.wait_end();  // the last chunk is still owed
      broken_off = true;
    });
    Gateway gateway({.upstream_port = provider.port()});
    Socket client = gateway.connect();
    client.send(request("/anthropic/v1/messages", kStreaming));
    std::string got;
    while (got.find(of.last) == got.npos) got += client.receive();
    client.close();
    const auto rows = gateway.rows(1);
    CHECK(rows[0].outcome == of.outcome);
    CHECK(rows[0].error_type == of.error_type);
    CHECK(eventually([&] { return broken_off.load(); }));
  }
}

TEST_CASE("upstream: a client that leaves while the connection is being made, or before an answer, ends the exchange") {
  std::atomic<int> open{0};
  Provider provider([&](Socket& connection) {
    open++;
    connection.read_request();
    connection.wait_end();
    open--;
  });
  Gateway gateway({.upstream_port = provider.port()});
  for (int i = 0; i < 20; i++) {
    Socket client = gateway.connect();
    client.send(request("/anthropic/v1/messages", kMessage));
    if (i % 2 == 0) eventually([&] { return open > 0; });
    client.reset();
  }
  const auto rows = gateway.rows(20);
  CHECK(rows.size() == 20);
  for (const auto& row : rows) CHECK(row.outcome == "client_disconnected");
  CHECK(eventually([&] { return open == 0; }));
}

TEST_CASE("upstream: slow clients do not hold up the others, and lose nothing") {
  constexpr size_t kEvents = 15000;  // more than the sockets' buffers hold
  Provider provider([](Socket& connection) {
    while (connection.read_request().complete) {
      connection.send(std::string(kStreamHead) + chunk(kStart));
      for (size_t i = 0; i < kEvents; i++) {
        if (!connection.try_send(
                chunk(event("ping", fmt::format(",\"n\":{},\"pad\":\"{}\"", i, std::string(400, 'p'))))))
          return;
      }
      connection.send(chunk(kStop) + "0\r\n\r\n");
    }
  });
  Gateway gateway({.upstream_port = provider.port(), .buffers = 16});
  std::vector<Socket> slow;
  for (int i = 0; i < 12; i++) {
    slow.push_back(gateway.connect());
    slow.back().send(request("/anthropic/v1/messages", kStreaming));
  }
  for (int i = 0; i < 5; i++) {
    Socket quick = gateway.connect();
    quick.send(request("/anthropic/v1/messages", kStreaming));
    const HttpMessage answer = quick.read_answer();
    CHECK(answer.complete);
    CHECK(answer.body.ends_with(kStop));
  }
  for (Socket& client : slow) {
    const HttpMessage answer = client.read_answer();
    CHECK(answer.complete);
    CHECK(answer.body.size() > kEvents * 400);
    CHECK(answer.body.ends_with(kStop));
  }
}

TEST_CASE("upstream: 1xx answers are passed on or dropped, and the final one follows") {
  Provider provider([](Socket& connection) {
    while (connection.read_request().complete) {
      connection.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" +
                      json_answer(R"({"id":"1"})"));
    }
  });
  Gateway gateway({.upstream_port = provider.port()});
  Socket client = gateway.connect();
  client.send(request("/openai/v1/chat/completions", kChat));
  const HttpMessage early = client.read_answer();
  CHECK(early.status() == 103);
  CHECK(early.header("link") == "</x>");
  CHECK(client.read_answer().status() == 200);
}

TEST_CASE("upstream: an answer delimited by close becomes chunked") {
  Provider provider([](Socket& connection) {
    connection.read_request();
    connection.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"id\":");
    connection.send("\"1\"}");
  });
  Gateway gateway({.upstream_port = provider.port()});
  Socket client = gateway.connect();
  for (int i = 0; i < 2; i++) {
    client.send(request("/openai/v1/chat/completions", kChat));
    const HttpMessage answer = client.read_answer();
    CHECK(answer.header("transfer-encoding") == "chunked");
    CHECK(answer.body == R"({"id":"1"})");
  }
}

TEST_CASE("upstream: an early refusal by the provider reaches the client though the request was not read") {
  Provider provider([](Socket& connection) {
    connection.receive(100);
    connection.send("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
    connection.shutdown_send();
    connection.wait_end();
  });
  Gateway gateway({.upstream_port = provider.port()});
  Socket client = gateway.connect();
  const std::string body =
      R"({"model":"m","messages":[{"role":"user","content":")" + std::string(2u << 20, 'y') + "\"}]}";
  client.send(request("/openai/v1/chat/completions", body));
  CHECK(client.read_answer().status() == 413);
  CHECK(gateway.rows(1)[0].error_type == "bad_request");
}

TEST_CASE("upstream: 300 streams at once on one worker, two workers share the load") {
  for (const uint32_t workers : {1u, 2u}) {
    Provider provider([](Socket& connection) {
      while (connection.read_request().complete) {
        connection.send(std::string(kStreamHead) + chunk(kStart));
        for (int i = 0; i < 5; i++) connection.send(chunk(event("ping")));
        connection.send(chunk(kStop) + "0\r\n\r\n");
      }
    });
    Gateway gateway({.upstream_port = provider.port(), .workers = workers});
    std::vector<Socket> clients;
    for (int i = 0; i < 300; i++) {
      clients.push_back(gateway.connect());
      clients.back().send(request("/anthropic/v1/messages", kStreaming));
    }
    for (Socket& client : clients) {
      const HttpMessage answer = client.read_answer();
      CHECK(answer.complete);
      CHECK(answer.body.ends_with(kStop));
    }
    CHECK(gateway.rows(300).size() == 300);
  }
}

}  // namespace
}  // namespace weir
