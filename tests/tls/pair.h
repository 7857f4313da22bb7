// A client and a server machine against each other in memory, with any split of the ciphertext between them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>

#include <doctest/doctest.h>

#include "base/byte_buffer.h"
#include "support/test_ca.h"
#include "tls/tls.h"

namespace weir::tls {

// How many of the bytes that wait are delivered by the next receive().
class Split {
 public:
  // 0: all of them; 1: byte by byte; else at random, up to that many.
  explicit Split(size_t size_max, unsigned seed = 0) : size_max_(size_max), random_(seed) {}
  size_t operator()(size_t waiting) {
    if (size_max_ == 0) return waiting;
    return std::uniform_int_distribution<size_t>(1, std::min(waiting, size_max_))(random_);
  }

 private:
  size_t size_max_;
  std::mt19937 random_;
};
inline Split whole() {
  return Split(0);
}
inline Split byte_by_byte() {
  return Split(1);
}
inline Split random_split(unsigned seed) {
  return Split(3000, seed);
}

struct Side {
  std::unique_ptr<Machine> machine;
  ByteBuffer plaintext;
  Status status = Status::ok;

  // Delivers `bytes` from a copy that ends where they end, so that the sanitizer sees a view that is kept or overrun.
  void deliver(std::string_view bytes, Split& split) {
    while (!bytes.empty()) {
      const size_t size = split(bytes.size());
      const std::unique_ptr<char[]> lent(new char[size]);
      bytes.copy(lent.get(), size);
      status = machine->receive({lent.get(), size}, plaintext);
      bytes.remove_prefix(size);
    }
  }
  void deliver(std::string_view bytes) {
    Split split = whole();
    deliver(bytes, split);
  }
  std::string take_outbox() const {
    std::string bytes(machine->outbox().view());
    machine->outbox().clear();
    return bytes;
  }
};

class Pair {
 public:
  Pair(const ServerContext& server_context, ClientContext& client_context, Split split = whole()) : split_(split) {
    server.machine = Machine::server(server_context);
    client.machine = Machine::client(client_context);
  }

  // Carries ciphertext to and fro until both outboxes are empty.
  void pump() {
    while (!client.machine->outbox().empty() || !server.machine->outbox().empty()) {
      server.deliver(client.take_outbox(), split_);
      client.deliver(server.take_outbox(), split_);
    }
  }
  void handshake() {
    client.status = client.machine->start();
    pump();
  }
  void require_handshake() {
    handshake();
    INFO("client: ", client.machine->error(), ", server: ", server.machine->error());
    REQUIRE(client.machine->handshake_done());
    REQUIRE(server.machine->handshake_done());
  }
  std::string to_server(std::string_view text) { return carry(client, server, text); }
  std::string to_client(std::string_view text) { return carry(server, client, text); }

  Side client;
  Side server;

 private:
  std::string carry(Side& from, Side& to, std::string_view text) {
    to.plaintext.clear();
    REQUIRE(from.machine->send(text) == Status::ok);
    pump();
    return std::string(to.plaintext.view());
  }

  Split split_;
};

// The contexts of a listener for gateway.test and of a client that trusts its authority.
struct Contexts {
  explicit Contexts(const test::LeafSpec& spec = {}, const std::string& host = "gateway.test") {
    const test::CertificateFiles files = ca.issue(spec);
    server = load(files);
    client = make(host);
  }
  static std::shared_ptr<ServerContext> load(const test::CertificateFiles& files) {
    auto loaded = ServerContext::load(files.certificate, files.key);
    INFO((loaded ? std::string() : loaded.error().message));
    REQUIRE(loaded);
    return std::move(*loaded);
  }
  std::unique_ptr<ClientContext> make(const std::string& host) const {
    auto made = ClientContext::make(ca.ca_file(), host);
    INFO((made ? std::string() : made.error().message));
    REQUIRE(made);
    return std::move(*made);
  }

  test::TestCa ca;
  std::shared_ptr<ServerContext> server;
  std::unique_ptr<ClientContext> client;
};

}  // namespace weir::tls
