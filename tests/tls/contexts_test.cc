// Certificates, trust, ALPN and what goes wrong with files.
#include <initializer_list>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <openssl/ssl.h>

#include "tls/pair.h"

namespace weir::tls {
namespace {

struct Outcome {
  std::string client;
  std::string server;
};

// Of a handshake that must fail on both sides.
Outcome refused(const ServerContext& server, ClientContext& client) {
  Pair pair(server, client);
  pair.handshake();
  CHECK(pair.client.status == Status::failed);
  CHECK(pair.server.status == Status::failed);
  CHECK_FALSE(pair.client.machine->handshake_done());
  return {.client = pair.client.machine->error(), .server = pair.server.machine->error()};
}

std::string load_error(const std::string& certificate, const std::string& key) {
  const auto loaded = ServerContext::load(certificate, key);
  REQUIRE_FALSE(loaded);
  return loaded.error().message;
}

// A bare BoringSSL client, for what our own never offers.
struct ForeignClient {
  explicit ForeignClient(std::initializer_list<std::string> protocols)
      : context(SSL_CTX_new(TLS_method())), ssl(SSL_new(context.get())) {
    std::string list;
    for (const std::string& protocol : protocols) list += static_cast<char>(protocol.size()) + protocol;
    SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const uint8_t*>(list.data()), static_cast<unsigned>(list.size()));
    SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl.get());
  }
  void handshake_with(Side& server) {
    for (int turn = 0; turn < 4; ++turn) {
      SSL_do_handshake(ssl.get());
      const uint8_t* sent = nullptr;
      size_t size = 0;
      REQUIRE(BIO_mem_contents(SSL_get_wbio(ssl.get()), &sent, &size) == 1);
      server.deliver({reinterpret_cast<const char*>(sent), size});
      BIO_reset(SSL_get_wbio(ssl.get()));
      const std::string answer = server.take_outbox();
      BIO_write(SSL_get_rbio(ssl.get()), answer.data(), static_cast<int>(answer.size()));
    }
  }
  bssl::UniquePtr<SSL_CTX> context;
  bssl::UniquePtr<SSL> ssl;
};

}  // namespace

TEST_CASE("tls: a certificate for another host is refused, and the error names the wanted one") {
  const Contexts contexts({.alternative_names = "DNS:other.test,IP:127.0.0.1"});
  const Outcome outcome = refused(*contexts.server, *contexts.client);
  CHECK(outcome.client == "certificate verify failed: hostname mismatch (wanted gateway.test)");
  CHECK(outcome.server.starts_with("handshake failed: the client sent the alert \""));
}

TEST_CASE("tls: the common name is no host name") {
  const Contexts contexts({.name = "gateway.test", .alternative_names = ""});
  CHECK(refused(*contexts.server, *contexts.client).client ==
        "certificate verify failed: hostname mismatch (wanted gateway.test)");
}

TEST_CASE("tls: a wildcard stands for one label") {
  const Contexts contexts({.alternative_names = "DNS:*.gateway.test"}, "api.gateway.test");
  Pair(*contexts.server, *contexts.client).require_handshake();
  const auto deeper = contexts.make("a.b.gateway.test");
  CHECK(refused(*contexts.server, *deeper).client.find("hostname mismatch") != std::string::npos);
}

TEST_CASE("tls: IP literals are checked against addresses, with and without brackets, and go without SNI") {
  const Contexts contexts({.alternative_names = "IP:127.0.0.1,IP:::1,DNS:10.0.0.9"}, "127.0.0.1");
  for (const char* host : {"127.0.0.1", "::1", "[::1]"}) {
    const auto client = contexts.make(host);
    Pair pair(*contexts.server, *client);
    REQUIRE(pair.client.machine->start() == Status::ok);
    CHECK(pair.client.machine->outbox().view().find(host) == std::string_view::npos);
    pair.require_handshake();
  }
  const auto other = contexts.make("10.0.0.9");  // only as a DNS name in the certificate
  CHECK(refused(*contexts.server, *other).client == "certificate verify failed: IP address mismatch (wanted 10.0.0.9)");
}

TEST_CASE("tls: DNS names go into SNI, without the dot of the root") {
  const Contexts contexts({}, "gateway.test.");
  Pair pair(*contexts.server, *contexts.client);
  REQUIRE(pair.client.machine->start() == Status::ok);
  const std::string hello(pair.client.machine->outbox().view());
  CHECK(hello.find("gateway.test") != std::string::npos);
  CHECK(hello.find("gateway.test.") == std::string::npos);
  pair.require_handshake();
}

TEST_CASE("tls: an expired certificate is refused, and the listener is warned at load") {
  const Contexts contexts({.valid_from_s = -7200, .valid_until_s = -3600});
  CHECK(refused(*contexts.server, *contexts.client).client ==
        "certificate verify failed: the certificate of gateway.test has expired");
  CHECK(contexts.server->warning() ==
        contexts.ca.directory() + "/leaf.pem: the certificate has expired; clients will refuse it");
}

TEST_CASE("tls: a certificate of tomorrow is refused, and the clock is suspected") {
  const Contexts contexts({.valid_from_s = 3600, .valid_until_s = 7200});
  CHECK(refused(*contexts.server, *contexts.client).client ==
        "certificate verify failed: the certificate of gateway.test is not yet valid (is this machine's clock right?)");
  CHECK(contexts.server->warning().find("not yet valid") != std::string::npos);
}

TEST_CASE("tls: an unknown authority is refused, and the error names the file that was asked") {
  const Contexts contexts;
  const test::TestCa other;
  const auto client = ClientContext::make(other.ca_file(), "gateway.test");
  REQUIRE(client);
  const Outcome outcome = refused(*contexts.server, **client);
  CHECK(outcome.client == "certificate verify failed: unknown certificate authority: none of " + other.ca_file() +
                              " signed the certificate of gateway.test");
  CHECK(outcome.server ==
        "handshake failed: the client sent the alert \"unknown CA\" (48): it does not trust this listener's "
        "certificate");
}

TEST_CASE("tls: an alert in the clear, as OpenSSL's clients send it, is understood") {
  const Contexts contexts;
  for (Split split : {whole(), byte_by_byte()}) {
    Pair pair(*contexts.server, *contexts.client);
    REQUIRE(pair.client.machine->start() == Status::ok);
    pair.server.deliver(pair.client.take_outbox());
    pair.server.deliver(std::string_view("\x15\x03\x03\x00\x02\x02\x30", 7), split);
    CHECK(pair.server.status == Status::failed);
    CHECK(pair.server.machine->error() ==
          "handshake failed: the client sent the alert \"unknown CA\" (48): it does not trust this listener's "
          "certificate");
  }
}

TEST_CASE("tls: a connection outlives its listener's context") {
  Contexts contexts;
  Pair pair(*contexts.server, *contexts.client);
  contexts.server.reset();
  pair.require_handshake();
  CHECK(pair.to_server("still served") == "still served");
}

TEST_CASE("tls: an authority of the same name but another key is refused, and the error says so") {
  const test::TestCa real("Authority");
  const test::TestCa impostor("Authority");
  const auto server = Contexts::load(impostor.issue({}));
  const auto client = ClientContext::make(real.ca_file(), "gateway.test");
  REQUIRE(client);
  CHECK(refused(*server, **client).client == "certificate verify failed: an authority in " + real.ca_file() +
                                                 " has the name of the one that signed the certificate of "
                                                 "gateway.test, but another key");
}

TEST_CASE("tls: a self-signed certificate is refused unless the CA file holds it") {
  const Contexts contexts({.name = "selfish", .self_signed = true});
  CHECK(refused(*contexts.server, *contexts.client).client ==
        "certificate verify failed: gateway.test has a self-signed certificate that is not in " +
            contexts.ca.ca_file());
  const auto pinned = ClientContext::make(contexts.ca.directory() + "/selfish.pem", "gateway.test");
  REQUIRE(pinned);
  Pair(*contexts.server, **pinned).require_handshake();
}

// Who may sign. The same set, made with the openssl command, is judged by Python's ssl in tests/e2e/test_tls.py.
namespace {

struct ChainCase {
  const char* name;
  std::vector<test::LeafSpec> issued;  // in this order; the last is the server's
  std::vector<const char*> trusted;    // of them, beside: "ca", the authority
  const char* error;                   // a part of it; empty: accepted
};

test::LeafSpec leaf(const std::string& issuer = "") {
  return {.name = "leaf", .issuer = issuer};
}
test::LeafSpec issuing(const std::string& constraints, const std::string& key_usage = "") {
  return {.name = "issuing", .basic_constraints = constraints, .key_usage = key_usage};
}
test::LeafSpec root(const std::string& constraints, const std::string& key_usage = "") {
  return {.name = "root", .self_signed = true, .basic_constraints = constraints, .key_usage = key_usage};
}

constexpr const char* kNoCa = "no authority (basicConstraints: no CA)";

const ChainCase kChains[] = {
    {"signed by the authority", {leaf()}, {"ca"}, ""},
    {"through an intermediate", {issuing("critical,CA:TRUE", "keyCertSign"), leaf("issuing")}, {"ca"}, ""},
    {"the intermediate alone is trusted", {issuing("CA:TRUE"), leaf("issuing")}, {"issuing"}, ""},
    {"an intermediate without keyUsage", {issuing("CA:TRUE"), leaf("issuing")}, {"ca"}, ""},
    {"pinned, signed by the authority", {leaf()}, {"leaf"}, ""},
    {"pinned, and the authority is trusted too", {leaf()}, {"ca", "leaf"}, ""},
    {"pinned, self-signed", {{.name = "leaf", .self_signed = true}}, {"leaf"}, ""},
    {"pinned, self-signed, without basicConstraints",
     {{.name = "leaf", .self_signed = true, .basic_constraints = ""}},
     {"leaf"},
     ""},
    {"signed by a pinned server's certificate", {issuing("critical,CA:FALSE"), leaf("issuing")}, {"issuing"}, kNoCa},
    {"signed by it, with its authority trusted", {issuing("CA:FALSE"), leaf("issuing")}, {"ca", "issuing"}, kNoCa},
    {"signed by a pinned self-signed server's certificate", {root("CA:FALSE"), leaf("root")}, {"root"}, kNoCa},
    {"through an intermediate that is no CA", {issuing("critical,CA:FALSE"), leaf("issuing")}, {"ca"}, "CA"},
    {"through an intermediate without basicConstraints", {issuing(""), leaf("issuing")}, {"ca"}, "CA"},
    {"a root without basicConstraints", {root(""), leaf("root")}, {"root"}, kNoCa},
    {"a root whose keyUsage has no keyCertSign",
     {root("CA:TRUE", "digitalSignature"), leaf("root")},
     {"root"},
     "unknown certificate authority"},  // the library itself does not take it for an issuer
    {"an intermediate whose keyUsage has no keyCertSign",
     {issuing("CA:TRUE", "digitalSignature"), leaf("issuing")},
     {"ca"},
     "verify failed"},
    {"an X.509 v1 root", {{.name = "root", .self_signed = true, .version_1 = true}, leaf("root")}, {"root"}, kNoCa},
    {"a root that allows nothing between",
     {root("critical,CA:TRUE,pathlen:0"),
      {.name = "issuing", .issuer = "root", .basic_constraints = "CA:TRUE"},
      leaf("issuing")},
     {"root"},
     "verify failed"},
    {"a root that allows one between",
     {root("critical,CA:TRUE,pathlen:1"),
      {.name = "issuing", .issuer = "root", .basic_constraints = "CA:TRUE"},
      leaf("issuing")},
     {"root"},
     ""},
};

}  // namespace

TEST_CASE("tls: only authorities sign, whatever is in the trust store") {
  for (const ChainCase& chain : kChains) {
    INFO(std::string(chain.name));
    const test::TestCa ca;
    test::CertificateFiles server;
    for (const test::LeafSpec& spec : chain.issued) server = ca.issue(spec);
    std::string trusted;
    for (const char* name : chain.trusted) {
      const std::string pem = test::read_file(ca.directory() + "/" + name + ".pem");
      constexpr std::string_view kEnd = "-----END CERTIFICATE-----\n";
      trusted += pem.substr(0, pem.find(kEnd) + kEnd.size());  // without what signed it
    }
    const auto client = ClientContext::make(ca.write("trusted.pem", trusted), "gateway.test");
    REQUIRE(client);
    const auto context = Contexts::load(server);
    if (*chain.error == 0) {
      Pair(*context, **client).require_handshake();
    } else {
      const Outcome outcome = refused(*context, **client);
      CHECK_MESSAGE(outcome.client.starts_with("certificate verify failed: "), outcome.client);
      CHECK_MESSAGE(outcome.client.find(chain.error) != std::string::npos, outcome.client);
      CHECK_MESSAGE(outcome.server.find("the client sent the alert") != std::string::npos, outcome.server);
    }
  }
}

TEST_CASE("tls: the system's store does not trust the test's authority") {
  const Contexts contexts;
  const auto client = ClientContext::make("", "gateway.test");
  if (!client) {  // a machine without ca-certificates must say how to get it
    CHECK(client.error().message.find("install ca-certificates") != std::string::npos);
    return;
  }
  CHECK(refused(*contexts.server, **client).client.find("unknown certificate authority") != std::string::npos);
}

TEST_CASE("tls: a changed CA file is seen by new contexts, while old ones keep what they had") {
  const Contexts contexts;
  const test::TestCa other;
  const auto theirs = Contexts::load(other.issue({}));
  CHECK_FALSE(refused(*theirs, *contexts.client).client.empty());
  const std::string both = test::read_file(contexts.ca.ca_file()) + test::read_file(other.ca_file());
  contexts.ca.write("ca.pem", both);
  const auto reloaded = contexts.make("gateway.test");
  Pair(*theirs, *reloaded).require_handshake();
  CHECK_FALSE(refused(*theirs, *contexts.client).client.empty());
}

TEST_CASE("tls: a client without ALPN is served, one with http/1.1 among others gets it") {
  const Contexts contexts;
  Side silent{.machine = Machine::server(*contexts.server), .plaintext = {}};
  ForeignClient({}).handshake_with(silent);
  CHECK(silent.machine->handshake_done());
  CHECK(silent.machine->alpn().empty());

  Side many{.machine = Machine::server(*contexts.server), .plaintext = {}};
  ForeignClient({"h2", "http/1.1"}).handshake_with(many);
  CHECK(many.machine->handshake_done());
  CHECK(many.machine->alpn() == "http/1.1");
}

TEST_CASE("tls: a client that offers only h2 is refused with an alert") {
  const Contexts contexts;
  Side server{.machine = Machine::server(*contexts.server), .plaintext = {}};
  ForeignClient client({"h2"});
  client.handshake_with(server);
  CHECK_FALSE(server.machine->handshake_done());
  CHECK(server.machine->error() == "handshake failed: the client does not offer http/1.1 in ALPN");
  CHECK(SSL_do_handshake(client.ssl.get()) < 0);
}

TEST_CASE("tls: files that cannot serve are named with the reason") {
  const test::TestCa ca;
  const test::CertificateFiles one = ca.issue({.name = "one"});
  const test::CertificateFiles two = ca.issue({.name = "two"});
  const std::string text = ca.write("text", "hello\n");
  const std::string cut = ca.write("cut", test::read_file(one.certificate).substr(0, 200));
  const std::string missing = ca.directory() + "/missing";
  CHECK(load_error(missing, one.key) == missing + ": cannot read the certificate: No such file or directory");
  CHECK(load_error(one.certificate, missing) == missing + ": cannot read the private key: No such file or directory");
  CHECK(load_error(text, one.key) == text + ": holds no certificate (\"-----BEGIN CERTIFICATE-----\")");
  CHECK(load_error(one.certificate, text) == text + ": holds no private key (\"-----BEGIN PRIVATE KEY-----\")");
  CHECK(load_error(cut, one.key).starts_with(cut + ": certificate 1 is not valid PEM"));
  CHECK(load_error(one.certificate, two.key) ==
        two.key + ": the private key does not belong to the certificate in " + one.certificate);
  CHECK(load_error(ca.directory(), one.key) == ca.directory() + ": cannot read the certificate: Is a directory");
}

TEST_CASE("tls: an encrypted key is refused with the command that decrypts it, without asking a terminal") {
  const test::TestCa ca;
  const test::CertificateFiles files = ca.issue({});
  const std::string encrypted = ca.write("encrypted.key", test::encrypted_key_pem("secret"));
  CHECK(load_error(files.certificate, encrypted) ==
        encrypted + ": the private key is encrypted; decrypt it with `openssl pkey -in " + encrypted + " -out NEW`");
}

TEST_CASE("tls: CA files that cannot serve are named with the reason") {
  const test::TestCa ca;
  const std::string text = ca.write("text", "hello\n");
  const std::string missing = ca.directory() + "/missing";
  const auto error = [](const std::string& ca_file, const std::string& host = "gateway.test") {
    const auto made = ClientContext::make(ca_file, host);
    REQUIRE_FALSE(made);
    return made.error().message;
  };
  CHECK(error(missing) == missing + ": cannot read the CA file: No such file or directory");
  CHECK(error(text) == text + ": the CA file holds no certificate (\"-----BEGIN CERTIFICATE-----\")");
  const std::string broken = ca.write("broken", test::read_file(ca.ca_file()).substr(0, 300));
  CHECK(error(broken) == broken + ": certificate 1 of the CA file is not valid PEM");
  CHECK(error(ca.ca_file(), "") == "\"\" is not a host name");
}

}  // namespace weir::tls
