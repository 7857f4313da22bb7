// Configurations that change under traffic.
#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <string>
#include <vector>

#include "support/gateway.h"
#include "support/net.h"

namespace weir {
namespace {

using namespace testing;

// What the provider saw of the rule that each round brings; empty before the first.
std::string round_of(Socket& client) {
  client.send(request("/openai/v1/chat/completions", kChat));
  const HttpMessage answer = client.read_answer();
  return answer.status() == 200 ? answer.header("x-seen") : "refused";
}

}  // namespace

TEST_CASE("reload: exchanges go on while snapshots come and go, each under one of them") {
  block_reload_signal();
  Provider provider([](Socket& connection) {
    for (HttpMessage asked = connection.read_request(); asked.complete; asked = connection.read_request()) {
      connection.send(json_answer("{}", fmt::format("X-Seen: {}\r\n", asked.header("x-round"))));
    }
  });
  Gateway gateway({.upstream_port = provider.port(), .workers = 2});
  const std::string base = gateway.configuration();
  std::atomic<bool> over{false};
  std::vector<std::future<size_t>> clients;  // how many answers were of no snapshot
  clients.reserve(3);
  for (int i = 0; i < 3; i++) {
    clients.push_back(std::async(std::launch::async, [&] {
      size_t wrong = 0;
      while (!over) {
        Socket client = gateway.connect();
        for (int j = 0; j < 10 && !over; j++) {
          const std::string seen = round_of(client);
          if (!seen.empty() && !seen.starts_with("round-")) wrong++;
        }
      }
      return wrong;
    }));
  }
  const AtEnd no_matter_how([&] { over = true; });
  // Connections to both workers, most likely: a reload is in force when all of them say so.
  std::vector<Socket> probes;
  probes.reserve(4);
  for (int i = 0; i < 4; i++) probes.push_back(gateway.connect());
  for (int round = 0; round < 20; round++) {
    const std::string name = fmt::format("round-{}", round);
    gateway.reload(base + fmt::format("\n[[rule]]\nname = \"round\"\nset = {{ \"x-round\" = \"{}\" }}\n", name));
    for (Socket& probe : probes) CHECK(eventually([&] { return round_of(probe) == name; }));
  }
  over = true;
  for (auto& client : clients) CHECK(client.get() == 0);
}

}  // namespace weir
