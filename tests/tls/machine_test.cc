// The machines against each other: handshake, data, ends, alterations.
#include <algorithm>
#include <array>
#include <random>
#include <string>

#include <doctest/doctest.h>
#include <openssl/ssl.h>

#include "tls/pair.h"

namespace weir::tls {
namespace {

std::string random_bytes(size_t size) {
  std::mt19937 random(7);
  std::string bytes(size, '\0');
  std::ranges::generate(bytes, [&] { return static_cast<char>(random()); });
  return bytes;
}

struct Version {
  uint16_t number;
  const char* name;
};
constexpr Version kVersions[] = {{TLS1_2_VERSION, "TLSv1.2"}, {TLS1_3_VERSION, "TLSv1.3"}};

void check_exchange(Pair& pair, const char* version) {
  pair.require_handshake();
  CHECK(pair.client.machine->version() == version);
  CHECK(pair.server.machine->version() == version);
  CHECK(pair.client.machine->alpn() == "http/1.1");
  CHECK(pair.server.machine->alpn() == "http/1.1");
  CHECK(pair.to_server("GET / HTTP/1.1\r\n\r\n") == "GET / HTTP/1.1\r\n\r\n");
  CHECK(pair.to_client("HTTP/1.1 204 No Content\r\n\r\n") == "HTTP/1.1 204 No Content\r\n\r\n");
}

}  // namespace

TEST_CASE("tls: handshake and data arrive whatever the split, in both versions") {
  for (const Version& version : kVersions) {
    const Contexts contexts;
    SSL_CTX_set_max_proto_version(contexts.server->native(), version.number);
    for (const Split& split : {whole(), byte_by_byte(), random_split(1), random_split(2), random_split(3)}) {
      const auto client = contexts.make("gateway.test");  // fresh: nothing to resume
      Pair pair(*contexts.server, *client, split);
      check_exchange(pair, version.name);
    }
  }
}

TEST_CASE("tls: five megabytes come out as they went in, in as few records as possible") {
  for (const Version& version : kVersions) {
    const Contexts contexts;
    SSL_CTX_set_max_proto_version(contexts.server->native(), version.number);
    Pair pair(*contexts.server, *contexts.client, random_split(4));
    pair.require_handshake();
    const std::string body = random_bytes(5000000);
    CHECK((pair.to_server(body) == body));
    CHECK((pair.to_client(body) == body));

    REQUIRE(pair.client.machine->send(body) == Status::ok);
    const size_t record_count = (body.size() + 16383) / 16384;
    const size_t overhead = pair.client.machine->outbox().size() - body.size();
    CHECK(overhead <= record_count * 32);
  }
}

TEST_CASE("tls: what is sent before the peer's last handshake flight is read with it") {
  const Contexts contexts;
  Pair pair(*contexts.server, *contexts.client);
  REQUIRE(pair.client.machine->start() == Status::ok);
  pair.server.deliver(pair.client.take_outbox());
  pair.client.deliver(pair.server.take_outbox());
  REQUIRE(pair.client.machine->handshake_done());
  REQUIRE_FALSE(pair.server.machine->handshake_done());
  REQUIRE(pair.client.machine->send("early") == Status::ok);
  pair.server.deliver(pair.client.take_outbox());
  CHECK(pair.server.machine->handshake_done());
  CHECK(pair.server.plaintext.view() == "early");
}

TEST_CASE("tls: sending nothing makes no record") {
  const Contexts contexts;
  Pair pair(*contexts.server, *contexts.client);
  pair.require_handshake();
  CHECK(pair.client.machine->send("") == Status::ok);
  CHECK(pair.client.machine->outbox().empty());
}

TEST_CASE("tls: a second connection resumes, in both versions") {
  for (const Version& version : kVersions) {
    const Contexts contexts;
    SSL_CTX_set_max_proto_version(contexts.server->native(), version.number);
    Pair first(*contexts.server, *contexts.client);
    check_exchange(first, version.name);
    CHECK_FALSE(first.client.machine->resumed());
    Pair second(*contexts.server, *contexts.client);
    check_exchange(second, version.name);
    CHECK(second.client.machine->resumed());
    CHECK(second.server.machine->resumed());
  }
}

TEST_CASE("tls: a TLS 1.3 session serves one connection only") {
  const Contexts contexts;
  Pair first(*contexts.server, *contexts.client);
  check_exchange(first, "TLSv1.3");
  // Two tickets came with the first connection; these three do not read the server's answer and so get no new ones.
  std::array<bool, 3> resumed{};
  for (bool& one : resumed) {
    Pair next(*contexts.server, *contexts.client);
    next.require_handshake();
    one = next.client.machine->resumed();
  }
  CHECK(resumed == std::array{true, true, false});
}

TEST_CASE("tls: a listener's new context knows no old session, and the handshake is full again") {
  test::TestCa ca;
  const test::CertificateFiles files = ca.issue({});
  const auto before = Contexts::load(files);
  const auto after = Contexts::load(files);
  auto client = ClientContext::make(ca.ca_file(), "gateway.test");
  REQUIRE(client);
  Pair first(*before, **client);
  check_exchange(first, "TLSv1.3");
  Pair second(*after, **client);
  check_exchange(second, "TLSv1.3");
  CHECK_FALSE(second.client.machine->resumed());
}

TEST_CASE("tls: close_notify ends each direction in order, and the other still works") {
  for (const Version& version : kVersions) {
    const Contexts contexts;
    SSL_CTX_set_max_proto_version(contexts.server->native(), version.number);
    Pair pair(*contexts.server, *contexts.client, byte_by_byte());
    check_exchange(pair, version.name);
    pair.client.machine->close();
    pair.client.machine->close();  // once is enough
    pair.pump();
    CHECK(pair.server.status == Status::closed);
    CHECK(pair.server.machine->receive_end() == Status::closed);
    CHECK(pair.to_client("the rest of the answer") == "the rest of the answer");
    pair.server.machine->close();
    pair.pump();
    CHECK(pair.client.status == Status::closed);
    CHECK(pair.client.machine->error().empty());
  }
}

TEST_CASE("tls: an end without close_notify is a failure that says so") {
  const Contexts contexts;
  Pair pair(*contexts.server, *contexts.client);
  check_exchange(pair, "TLSv1.3");
  CHECK(pair.client.machine->receive_end() == Status::failed);
  CHECK(pair.client.machine->error() ==
        "the peer closed the connection without close_notify: what it sent may be cut short");
}

TEST_CASE("tls: a handshake cut at any byte waits, and its end is a failure that says so") {
  const Contexts contexts;
  Pair probe(*contexts.server, *contexts.client);
  REQUIRE(probe.client.machine->start() == Status::ok);
  const size_t hello_size = probe.client.machine->outbox().size();
  for (size_t cut = 0; cut < hello_size; cut += 7) {
    Pair pair(*contexts.server, *contexts.client);
    REQUIRE(pair.client.machine->start() == Status::ok);
    pair.server.deliver(pair.client.take_outbox().substr(0, cut));
    CHECK(pair.server.status == Status::ok);
    CHECK(pair.server.machine->receive_end() == Status::failed);
    CHECK(pair.server.machine->error() == "handshake failed: the peer closed the connection in the middle of it");
  }
}

TEST_CASE("tls: closing before the handshake is done sends nothing") {
  const Contexts contexts;
  Pair pair(*contexts.server, *contexts.client);
  pair.server.machine->close();
  CHECK(pair.server.machine->outbox().empty());
}

TEST_CASE("tls: a record altered at any byte is refused with an alert, which names itself to the peer") {
  for (const Version& version : kVersions) {
    const Contexts contexts;
    SSL_CTX_set_max_proto_version(contexts.server->native(), version.number);
    Pair pair(*contexts.server, *contexts.client);
    check_exchange(pair, version.name);
    REQUIRE(pair.client.machine->send("transfer 100 to Alice") == Status::ok);
    std::string record = pair.client.take_outbox();
    record[record.size() / 2] = static_cast<char>(record[record.size() / 2] ^ 1);
    pair.server.plaintext.clear();
    pair.server.deliver(record);
    CHECK(pair.server.status == Status::failed);
    CHECK(pair.server.plaintext.empty());
    CHECK(pair.server.machine->error() == "reading failed: a record was altered on its way");
    pair.client.deliver(pair.server.take_outbox());
    CHECK(pair.client.status == Status::failed);
    CHECK(pair.client.machine->error() == "reading failed: the server sent the alert \"bad record mac\" (20)");
    CHECK(pair.server.machine->send("more") == Status::failed);
    CHECK(pair.server.machine->receive("more", pair.server.plaintext) == Status::failed);
  }
}

TEST_CASE("tls: plain HTTP on a TLS port is recognised, whole and byte by byte") {
  const Contexts contexts;
  for (const char* request :
       {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /v1/messages HTTP/1.1\r\n\r\n", "CONNECT a:443 HTTP/1.1\r\n\r\n"}) {
    for (Split split : {whole(), byte_by_byte()}) {
      Side server{.machine = Machine::server(*contexts.server), .plaintext = {}};
      server.deliver(request, split);
      CHECK(server.status == Status::failed);
      CHECK(server.machine->error() == "plain http request on a TLS port");
      CHECK(server.machine->met_plain_http());
    }
  }
}

TEST_CASE("tls: any method of HTTP is taken for plain HTTP, and nothing else is") {
  const Contexts contexts;
  const auto met = [&](std::string_view bytes, Split split) {
    Side server{.machine = Machine::server(*contexts.server), .plaintext = {}};
    server.deliver(bytes, split);
    CHECK(server.status == Status::failed);
    return server.machine->met_plain_http();
  };
  for (Split split : {whole(), byte_by_byte()}) {
    for (const char* request :
         {"DELETE /x HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\n", "PATCH / H"})
      CHECK(met(request, split));
    for (const char* other : {"SSH-2.0-x\r\n", "get / HTTP/1.1\r\n", "  GET / HTTP"}) CHECK_FALSE(met(other, split));
  }
  Pair pair(*contexts.server, *contexts.client);
  pair.require_handshake();
  pair.server.deliver("GET / HTTP/1.1\r\n\r\n");
  CHECK(pair.server.machine->failed());
  CHECK_FALSE(pair.server.machine->met_plain_http());
}

TEST_CASE("tls: an upstream that answers in plain HTTP is recognised") {
  const Contexts contexts;
  for (Split split : {whole(), byte_by_byte()}) {
    Side client{.machine = Machine::client(*contexts.client), .plaintext = {}};
    REQUIRE(client.machine->start() == Status::ok);
    client.deliver("HTTP/1.1 400 Bad Request\r\n\r\n", split);
    CHECK(client.status == Status::failed);
    CHECK(client.machine->error() == "plain http answer: the server does not speak TLS on this port");
  }
}

TEST_CASE("tls: garbage is refused, never accepted") {
  const Contexts contexts;
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    std::string bytes(std::uniform_int_distribution<size_t>(6, 600)(random), '\0');
    std::ranges::generate(bytes, [&] { return static_cast<char>(random()); });
    if (seed % 2 == 0) bytes.replace(0, 3, "\x16\x03\x01");  // half of them begin as a record does
    Side server{.machine = Machine::server(*contexts.server), .plaintext = {}};
    Split split = random_split(seed);
    server.deliver(bytes, split);
    CHECK_FALSE(server.machine->handshake_done());
    CHECK(server.plaintext.empty());
    if (seed % 2 == 1) CHECK(server.status == Status::failed);
  }
}

TEST_CASE("tls: older versions are refused on both sides, and each says why") {
  const Contexts contexts;
  SSL_CTX_set_min_proto_version(contexts.server->native(), TLS1_1_VERSION);
  SSL_CTX_set_max_proto_version(contexts.server->native(), TLS1_1_VERSION);
  Pair pair(*contexts.server, *contexts.client);
  pair.handshake();
  CHECK(pair.server.status == Status::failed);
  CHECK(pair.client.status == Status::failed);
  CHECK(pair.server.machine->error() ==
        "handshake failed: protocol mismatch, the client does not speak TLS 1.2 or 1.3");
  CHECK(pair.client.machine->error() ==
        "handshake failed: the server sent the alert \"protocol version\" (70): protocol mismatch, it does not speak "
        "TLS 1.2 or 1.3");
}

TEST_CASE("tls: an idle machine keeps no buffers of its own") {
  const Contexts contexts;
  Pair pair(*contexts.server, *contexts.client);
  check_exchange(pair, "TLSv1.3");
  pair.server.machine->outbox().release();
  CHECK(pair.server.machine->outbox().capacity() == 0);
  CHECK(pair.to_client("still there") == "still there");
}

}  // namespace weir::tls
