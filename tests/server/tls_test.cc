// TLS on both sides of a running gateway, with a certificate authority of the test's own.
#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>

#include "support/gateway.h"
#include "support/test_ca.h"
#include "tls/tls.h"

namespace weir {
namespace {

using namespace testing;

// TLS over a blocking socket, by the same machine that weir uses; other implementations are tests/e2e's.
class TlsSocket {
 public:
  TlsSocket(Socket& socket, std::unique_ptr<tls::Machine> machine) : socket_(socket), machine_(std::move(machine)) {}

  bool handshake(bool client) {
    if (client && machine_->start() == tls::Status::failed) return false;
    flush();
    while (!machine_->handshake_done()) {
      if (!fill()) return false;
    }
    return true;
  }
  void send(std::string_view bytes) {
    if (machine_->send(bytes) == tls::Status::failed) throw std::runtime_error(machine_->error());
    flush();
  }
  // Plaintext until `end` has come, or the connection has ended.
  std::string receive_until(std::string_view end) {
    while (plain_.view().find(end) == std::string_view::npos) {
      if (!fill()) break;
    }
    std::string out(plain_.view());
    plain_.clear();
    return out;
  }
  void close() {
    machine_->close();
    flush();
  }
  tls::Machine& machine() { return *machine_; }

 private:
  void flush() {
    socket_.send(machine_->outbox().view());
    machine_->outbox().clear();
  }
  bool fill() {
    const std::string bytes = socket_.receive();
    if (bytes.empty()) return false;
    const tls::Status status = machine_->receive(bytes, plain_);
    socket_.try_send(machine_->outbox().view());
    machine_->outbox().clear();
    return status == tls::Status::ok;
  }
  Socket& socket_;
  std::unique_ptr<tls::Machine> machine_;
  ByteBuffer plain_;
};

std::string tls_listener(const test::CertificateFiles& files) {
  return fmt::format(
      "\n[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"{}\", key = \"{}\" }}\n",
      files.certificate, files.key);
}

// A provider that speaks TLS with the given certificate.
struct TlsProvider {
  std::shared_ptr<tls::ServerContext> context;
  std::atomic<int> requests{0};
  std::atomic<int> resumed{0};
  bool close_notify = true;
  std::string answer = json_answer(R"({"id":"1"})");
  bool once = false;
  Provider provider{[this](Socket& connection) {
    TlsSocket secure(connection, tls::Machine::server(*context));
    if (!secure.handshake(false)) return;
    if (secure.machine().resumed()) resumed++;
    while (secure.receive_until("}]}").find("}]}") != std::string::npos) {
      requests++;
      secure.send(answer);
      if (once) break;
    }
    if (close_notify) secure.close();
  }};
  explicit TlsProvider(const test::CertificateFiles& files) {
    auto loaded = tls::ServerContext::load(files.certificate, files.key);
    REQUIRE(loaded.has_value());
    context = *loaded;
  }
};

TEST_CASE("tls: a client over TLS gets the same answers, and the record names the listener") {
  const test::TestCa ca;
  Provider provider([](Socket& connection) {
    while (connection.read_request().complete) connection.send(json_answer(R"({"id":"1"})"));
  });
  Gateway gateway(
      {.upstream_port = provider.port(), .listeners = tls_listener(ca.issue({.alternative_names = "DNS:localhost"}))});
  auto context = tls::ClientContext::make(ca.ca_file(), "localhost");
  REQUIRE(context.has_value());
  for (int i = 0; i < 2; i++) {
    Socket socket = gateway.connect();
    TlsSocket client(socket, tls::Machine::client(**context));
    REQUIRE(client.handshake(true));
    for (int n = 0; n < 3; n++) {
      client.send(request("/openai/v1/chat/completions", kChat));
      CHECK(client.receive_until("\"1\"}").starts_with("HTTP/1.1 200"));
    }
    CHECK(client.machine().resumed() == (i == 1));
    client.close();
  }
  const auto rows = gateway.rows(6);
  REQUIRE(rows.size() == 6);
  CHECK(rows[0].source == "secure");
}

TEST_CASE("tls: a large body and a large answer pass, over TLS on both sides") {
  const test::TestCa ca;
  const auto files = ca.issue({.alternative_names = "DNS:localhost"});
  TlsProvider provider(files);
  provider.answer = json_answer("{\"id\":\"" + std::string(700000, 'z') + "\"}");
  Gateway gateway(
      {.upstream_port = provider.provider.port(), .ca_file = ca.ca_file(), .listeners = tls_listener(files)});
  auto context = tls::ClientContext::make(ca.ca_file(), "localhost");
  Socket socket = gateway.connect();
  TlsSocket client(socket, tls::Machine::client(**context));
  REQUIRE(client.handshake(true));
  const std::string body =
      R"({"model":"m","messages":[{"role":"user","content":")" + std::string(500000, 'y') + "\"}]}";
  client.send(request("/openai/v1/chat/completions", body));
  const std::string answer = client.receive_until("zz\"}");
  CHECK(answer.size() > 700000);
  CHECK(answer.ends_with("z\"}"));
}

TEST_CASE("tls: plain HTTP on a TLS port is told so, and others go on") {
  const test::TestCa ca;
  Gateway gateway({.upstream_port = 1, .listeners = tls_listener(ca.issue({.alternative_names = "DNS:localhost"}))});
  Socket plain = gateway.connect();
  plain.send("GET / HTTP/1.1\r\nHost: gw\r\n\r\n");
  std::string said;
  for (std::string part = plain.receive(); !part.empty(); part = plain.receive()) said += part;
  CHECK(said.starts_with("HTTP/1.1 400 "));
  CHECK(said.find("this port speaks TLS: use https://") != std::string::npos);
  auto context = tls::ClientContext::make(ca.ca_file(), "localhost");
  Socket socket = gateway.connect();
  TlsSocket client(socket, tls::Machine::client(**context));
  CHECK(client.handshake(true));
}

TEST_CASE("tls: upstream is verified and resumed") {
  const test::TestCa ca;
  TlsProvider provider(ca.issue({.alternative_names = "DNS:localhost"}));
  provider.once = true;
  Gateway gateway({.upstream_port = provider.provider.port(), .ca_file = ca.ca_file()});
  Socket client = gateway.connect();
  for (int i = 0; i < 3; i++) {
    client.send(request("/openai/v1/chat/completions", kChat));
    CHECK(client.read_answer().status() == 200);
  }
  CHECK(provider.requests >= 3);
  CHECK(provider.resumed >= 1);
}

TEST_CASE("tls: an upstream that cannot be trusted is 502 with the reason in the log, and sees no request") {
  const test::TestCa ca;
  const test::TestCa stranger;
  struct Row {
    test::CertificateFiles files;
    const char* reason;
  };
  for (const Row& row :
       {Row{ca.issue({.name = "host", .alternative_names = "DNS:other.test"}), "hostname mismatch"},
        Row{ca.issue(
                {.name = "old", .alternative_names = "DNS:localhost", .valid_from_s = -7200, .valid_until_s = -3600}),
            "expired"},
        Row{stranger.issue({.name = "alien", .alternative_names = "DNS:localhost"}), "certificate"}}) {
    TlsProvider provider(row.files);
    Gateway gateway({.upstream_port = provider.provider.port(), .ca_file = ca.ca_file()});
    Socket client = gateway.connect();
    client.send(request("/openai/v1/chat/completions", kChat));
    const HttpMessage answer = client.read_answer();
    CHECK(answer.status() == 502);
    CHECK(provider.requests == 0);
    const auto rows = gateway.rows(1);
    CHECK(rows[0].error_type == "network");
    const std::string log = gateway.log();
    CAPTURE(log);
    CHECK(log.find("exchange failed") != std::string::npos);
    CHECK(log.find(row.reason) != std::string::npos);
  }
}

TEST_CASE("tls: a close-delimited answer ends with close_notify; without it, it was cut") {
  const test::TestCa ca;
  for (const bool orderly : {true, false}) {
    TlsProvider provider(ca.issue({.name = orderly ? "a" : "b", .alternative_names = "DNS:localhost"}));
    provider.answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"id\":\"1\"}";
    provider.once = true;
    provider.close_notify = orderly;
    Gateway gateway({.upstream_port = provider.provider.port(), .ca_file = ca.ca_file()});
    Socket client = gateway.connect();
    client.send(request("/openai/v1/chat/completions", kChat));
    CHECK(client.read_answer().complete == orderly);
    CHECK(gateway.rows(1)[0].outcome == (orderly ? "completed" : "upstream_error"));
  }
}

}  // namespace
}  // namespace weir
