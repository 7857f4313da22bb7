// TLS as a machine from bytes to bytes, on BoringSSL (1.2 and 1.3, ALPN http/1.1). Pure: it never touches a descriptor
// or a clock (BoringSSL's own reading of the time for certificates is the exception).
//
// Ciphertext in: receive() lends the machine a view of what the socket delivered; a custom BIO reads straight from it.
// Ciphertext out: a custom BIO appends to the caller's ByteBuffer. No memory BIO in between.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/byte_buffer.h"
#include "base/result.h"

struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;

namespace weir::tls {

// Certificates and settings of one listener. Immutable; a reload makes a new one. Thread-safe to share between workers.
class ServerContext {
 public:
  // PEM files: the certificate with its chain, the private key. Errors name the file and what is wrong with it
  // (missing, not PEM, the key does not belong to the certificate, expired is a warning only).
  static Result<std::shared_ptr<ServerContext>> load(const std::string& certificate_file, const std::string& key_file);
  ~ServerContext();
  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;
  ssl_ctx_st* native() const { return context_; }
  // What is wrong with the certificate, but not fatal: "node.pem: the certificate has expired". Normally empty.
  const std::string& warning() const { return warning_; }

 private:
  explicit ServerContext(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* context_;
  std::string warning_;
};

// Trust settings towards one upstream origin. Owned by one worker, which also keeps the origin's last sessions in it
// (resumption). The parsed certificates of a CA file are shared by all contexts of the process; a context made after
// the file has changed sees the new ones, so a reload makes new contexts.
class ClientContext {
 public:
  // `ca_file` empty: the system's store (/etc/ssl/certs/ca-certificates.crt; an error tells to install
  // ca-certificates). `host`: a DNS name or an IP literal, the latter with or without brackets.
  static Result<std::unique_ptr<ClientContext>> make(const std::string& ca_file, const std::string& host);
  ~ClientContext();
  ClientContext(const ClientContext&) = delete;
  ClientContext& operator=(const ClientContext&) = delete;

 private:
  friend class Machine;
  struct Impl;
  explicit ClientContext(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

enum class Status : uint8_t {
  ok,      // made progress, or nothing is left to do
  closed,  // the peer sent close_notify: an orderly end
  failed,  // error() says why; what is in the outbox (an alert) may still be sent
};

class Machine {
 public:
  // Each worker builds its own. What the machine needs of the context lives on when the context goes (a reload).
  static std::unique_ptr<Machine> server(const ServerContext& context);
  // SNI and host-name check for the context's host; resumes its last session. The context outlives the machine.
  static std::unique_ptr<Machine> client(ClientContext& context);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // Starts the handshake of a client (fills the outbox).
  Status start();

  // Takes ciphertext as it came; borrows it until it returns. Continues the handshake, then appends all plaintext that
  // it yields to `plaintext`. Everything of `ciphertext` is consumed. The outbox may have grown (handshake, alerts,
  // tickets, key updates). After `closed` and after `failed` it stays so, and drops what still comes.
  Status receive(std::string_view ciphertext, ByteBuffer& plaintext);
  // The socket ended: closed if close_notify had come, else failed with a sentence that says what was cut off.
  Status receive_end();

  // Encrypts everything in as few records as possible (one SSL_write), into the outbox. REQUIRES: the handshake is done
  // and close() was not called. Still works after the peer's close_notify.
  Status send(std::string_view plaintext);
  // Queues close_notify, once; nothing before the handshake is done or after a failure.
  void close();

  // Ciphertext that must go to the peer, in order. The caller takes it away by outbox().clear() once it is sent.
  ByteBuffer& outbox() { return outbox_; }
  bool handshake_done() const { return handshake_done_; }
  bool resumed() const;
  std::string_view version() const;  // "TLSv1.3"
  std::string_view alpn() const;     // "http/1.1" or ""
  // After `failed`: what the client sent begins like a request of HTTP without TLS.
  bool met_plain_http() const;
  bool failed() const { return status_ == Status::failed; }
  // For the log and refusals: "certificate verify failed: hostname mismatch (wanted api.example.com)". Never a secret.
  const std::string& error() const { return error_; }

 private:
  Machine() = default;
  friend struct MachineAccess;  // the BIO's callbacks
  void attach(ssl_ctx_st* context);
  void remember(std::string_view bytes);
  Status continue_handshake();
  Status read_records(ByteBuffer& plaintext);
  Status fail_from_queue(std::string_view doing);

  ssl_st* ssl_ = nullptr;
  ClientContext* client_context_ = nullptr;  // null on the server's side
  std::string_view inbox_;                   // what is left of the ciphertext that receive() lends; else empty
  ByteBuffer outbox_;
  Status status_ = Status::ok;
  bool handshake_done_ = false;
  // Of what the peer sent until the handshake was done, for the error: the first bytes tell plain HTTP from broken TLS,
  // the last ones may be an alert that could not be read.
  uint8_t first_size_ = 0;
  char first_bytes_[5] = {};
  char last_bytes_[7] = {};
  std::string error_;
};

}  // namespace weir::tls
