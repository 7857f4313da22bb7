// Configurations that change under traffic.
#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "support/gateway.h"
#include "support/net.h"

namespace weir {
namespace {

using namespace testing;

// Before any thread of the test starts: a signal to the process must find only the gateway that waits for it.
void block_reload_signal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGHUP);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

// As an operator does it.
void reload(const Gateway& gateway, const std::string& toml) {
  std::ofstream(gateway.folder() + "/weir.toml") << toml;
  REQUIRE(::kill(::getpid(), SIGHUP) == 0);
}

// What the provider saw of the rule that each round brings; empty before the first.
std::string round_of(Socket& client) {
  client.send(request("/openai/v1/chat/completions", kChat));
  const HttpMessage answer = client.read_answer();
  return answer.status() == 200 ? answer.header("x-seen") : "refused";
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("reload: exchanges go on while snapshots come and go, each under one of them") {
  block_reload_signal();
  Provider provider([](Socket& connection) {
    for (HttpMessage asked = connection.read_request(); asked.complete; asked = connection.read_request()) {
      connection.send(json_answer("{}", fmt::format("X-Seen: {}\r\n", asked.header("x-round"))));
    }
  });
  const Gateway gateway({.upstream_port = provider.port(), .workers = 2});
  const std::string base = read_file(gateway.folder() + "/weir.toml");
  std::atomic<bool> over{false};
  std::atomic<uint32_t> wrong{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 3; i++) {
    clients.emplace_back([&] {
      while (!over) {
        Socket client = gateway.connect();
        for (int j = 0; j < 10 && !over; j++) {
          const std::string seen = round_of(client);
          if (!seen.empty() && !seen.starts_with("round-")) wrong++;
        }
      }
    });
  }
  // Connections to both workers, most likely: a reload is in force when all of them say so.
  std::vector<Socket> probes;
  for (int i = 0; i < 4; i++) probes.push_back(gateway.connect());
  for (int round = 0; round < 20; round++) {
    const std::string name = fmt::format("round-{}", round);
    reload(gateway, base + fmt::format("\n[[rule]]\nname = \"round\"\nset = {{ \"x-round\" = \"{}\" }}\n", name));
    for (Socket& probe : probes) CHECK(eventually([&] { return round_of(probe) == name; }));
  }
  over = true;
  for (std::thread& client : clients) client.join();
  CHECK(wrong == 0);
}

}  // namespace weir
