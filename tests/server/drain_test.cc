// The way to the end: a drain with exchanges that run, and one in the middle of traffic and reloads.
#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "support/gateway.h"
#include "support/stream_answer.h"

namespace weir {
namespace {

using namespace testing;

// How the requests of one client ended.
struct Tally {
  size_t whole = 0;
  size_t refused = 0;  // 503, or the connection closed before a byte of an answer
  std::vector<std::string> wrong;
};

// Until it is refused: streams, on connections of three requests each.
Tally ask_until_refused(const Gateway& gateway) {
  Tally tally;
  while (tally.refused == 0) {
    try {
      Socket client = gateway.connect();
      for (int i = 0; i < 3 && tally.refused == 0; i++) {
        const bool sent = client.try_send(request("/anthropic/v1/messages", kStreaming));
        const HttpMessage answer = sent ? client.read_answer() : HttpMessage{};
        if (answer.start.empty() || answer.status() == 503) {
          tally.refused++;
        } else if (answer.status() == 200 && answer.complete && answer.body.ends_with(kStop)) {
          tally.whole++;
        } else {
          tally.wrong.push_back(answer.start + answer.body);
        }
      }
    } catch (const std::exception& gone) {  // nobody listens any more, or a reset
      tally.refused++;
    }
  }
  return tally;
}

TEST_CASE("drain: running exchanges finish, new ones are refused, the exit code is 0") {
  std::atomic<bool> go{false};
  Provider provider([&](Socket& connection) {
    connection.read_request();
    connection.send(std::string(kStreamHead) + chunk(kStart));
    eventually([&] { return go.load(); });
    connection.send(chunk(kStop) + "0\r\n\r\n");
    connection.wait_end();
  });
  Gateway gateway({.upstream_port = provider.port()});
  Socket idle = gateway.connect();
  Socket client = gateway.connect();
  client.send(request("/anthropic/v1/messages", kStreaming));
  client.receive(10);
  std::thread stopping([&] { CHECK(gateway.stop() == 0); });
  CHECK(idle.wait_end());
  go = true;
  std::string rest;
  for (std::string part = client.receive(); !part.empty(); part = client.receive()) rest += part;
  CHECK(rest.ends_with("0\r\n\r\n"));
  stopping.join();
  CHECK(gateway.rows(1)[0].outcome == "completed");
}

TEST_CASE("drain: after the timeout what still runs is ended and recorded") {
  Provider provider([&](Socket& connection) {
    connection.read_request();
    connection.send(std::string(kStreamHead) + chunk(kStart));
    connection.wait_end();
  });
  Gateway gateway({.upstream_port = provider.port(), .toml = "[timeouts]\ndrain = \"100ms\"\n"});
  Socket client = gateway.connect();
  client.send(request("/anthropic/v1/messages", kStreaming));
  client.receive(10);
  CHECK(gateway.stop() == 0);
  CHECK(gateway.rows(1)[0].outcome == "gateway_error");
}

TEST_CASE("drain: under traffic that reloads have met, every exchange ends whole and is recorded once") {
  block_reload_signal();
  Provider provider([](Socket& connection) {
    while (connection.read_request().complete) {
      connection.send(std::string(kStreamHead) + chunk(kStart));
      for (int i = 0; i < 5; i++) connection.send(chunk(event("ping")));
      connection.send(chunk(kStop) + "0\r\n\r\n");
    }
  });
  Gateway gateway({.upstream_port = provider.port(), .workers = 2, .toml = "[admin]\naddress = \"127.0.0.1:0\"\n"});
  std::vector<std::future<Tally>> clients;
  clients.reserve(4);
  for (int i = 0; i < 4; i++) clients.push_back(std::async(std::launch::async, ask_until_refused, std::cref(gateway)));
  // Reads every worker's counters and the journals while they work.
  std::atomic<bool> over{false};
  auto watching = std::async(std::launch::async, [&, port = gateway.admin_port()] {
    size_t read = 0;
    while (!over) {
      Socket admin = Socket::connect(port);
      admin.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
      if (admin.read_answer().status() == 200) read++;
    }
    return read;
  });
  const AtEnd no_matter_how([&] {  // before the futures, which wait for these threads
    over = true;
    gateway.stop();
  });
  for (int i = 0; i < 8; i++) gateway.reload(gateway.configuration());
  CHECK(gateway.stop() == 0);
  over = true;
  CHECK(watching.get() > 0);
  size_t whole = 0;
  for (auto& client : clients) {
    const Tally tally = client.get();
    whole += tally.whole;
    for (const std::string& wrong : tally.wrong) FAIL_CHECK(wrong);
  }
  CHECK(whole > 0);
  const auto rows = gateway.rows(whole);
  CHECK(rows.size() == whole);
  for (const auto& row : rows) CHECK(row.outcome == "completed");
}

}  // namespace
}  // namespace weir
