#include <algorithm>
#include <climits>
#include <cstring>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/assert.h"
#include "tls/client_context.h"
#include "tls/error_text.h"
#include "tls/tls.h"

namespace weir::tls {

// The custom BIO: reads come from the lent ciphertext, writes go to the outbox. It never blocks on a write.
struct MachineAccess {
  static Machine& machine(BIO* bio) { return *static_cast<Machine*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* to, int size) {
    BIO_clear_retry_flags(bio);
    std::string_view& inbox = machine(bio).inbox_;
    if (inbox.empty()) {
      BIO_set_retry_read(bio);
      return -1;
    }
    const size_t taken = std::min(inbox.size(), static_cast<size_t>(std::max(size, 0)));
    std::memcpy(to, inbox.data(), taken);
    inbox.remove_prefix(taken);
    if (!machine(bio).handshake_done_) machine(bio).remember({to, taken});
    return static_cast<int>(taken);
  }

  static int write(BIO* bio, const char* from, int size) {
    BIO_clear_retry_flags(bio);
    machine(bio).outbox_.append(std::string_view(from, static_cast<size_t>(std::max(size, 0))));
    return size;
  }

  static long control(BIO* /*bio*/, int command, long /*number*/, void* /*argument*/) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }

  static const BIO_METHOD* method() {
    static const BIO_METHOD* const made = [] {
      BIO_METHOD* fresh = BIO_meth_new(0, "weir");
      ASSERT(fresh != nullptr);
      BIO_meth_set_read(fresh, read);
      BIO_meth_set_write(fresh, write);
      BIO_meth_set_ctrl(fresh, control);
      return fresh;
    }();
    return made;
  }
};

namespace {

// What a record holds at most: asking for more at once gains nothing.
constexpr size_t kRecordSizeMax = SSL3_RT_MAX_PLAIN_LENGTH;
// Header, authentication tag, the nonce of TLS 1.2 or the type byte of TLS 1.3.
constexpr size_t kRecordOverheadMax = 32;

}  // namespace

void Machine::attach(ssl_ctx_st* context) {
  ssl_ = SSL_new(context);
  BIO* bio = BIO_new(MachineAccess::method());
  ASSERT(ssl_ != nullptr && bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);  // takes the one reference for both directions
  // Frees the configuration, several KB, once the handshake is done: a connection is idle for most of its life.
  SSL_set_shed_handshake_config(ssl_, 1);
}

std::unique_ptr<Machine> Machine::server(const ServerContext& context) {
  std::unique_ptr<Machine> machine(new Machine());
  machine->attach(context.native());
  SSL_set_accept_state(machine->ssl_);
  return machine;
}

std::unique_ptr<Machine> Machine::client(ClientContext& context) {
  ClientContext::Impl& trust = *context.impl_;
  std::unique_ptr<Machine> machine(new Machine());
  machine->client_context_ = &context;
  machine->attach(trust.context.get());
  SSL_set_connect_state(machine->ssl_);
  // RFC 6066 section 3: no literal addresses in SNI.
  if (!trust.is_ip_literal) SSL_set_tlsext_host_name(machine->ssl_, trust.host.c_str());
  if (const auto session = trust.take()) SSL_set_session(machine->ssl_, session.get());
  return machine;
}

Machine::~Machine() {
  SSL_free(ssl_);
}

Status Machine::start() {
  if (status_ != Status::ok || handshake_done_) return status_;
  return status_ = continue_handshake();
}

Status Machine::receive(std::string_view ciphertext, ByteBuffer& plaintext) {
  if (status_ != Status::ok) return status_;
  inbox_ = ciphertext;
  if (!handshake_done_) status_ = continue_handshake();
  if (handshake_done_ && status_ == Status::ok) status_ = read_records(plaintext);
  inbox_ = {};
  return status_;
}

void Machine::remember(std::string_view bytes) {
  const size_t first = std::min(bytes.size(), sizeof first_bytes_ - first_size_);
  std::memcpy(first_bytes_ + first_size_, bytes.data(), first);
  first_size_ = static_cast<uint8_t>(first_size_ + first);
  const size_t last = std::min(bytes.size(), sizeof last_bytes_);
  std::memmove(last_bytes_, last_bytes_ + last, sizeof last_bytes_ - last);
  std::memcpy(last_bytes_ + sizeof last_bytes_ - last, bytes.data() + bytes.size() - last, last);
}

Status Machine::receive_end() {
  if (status_ != Status::ok) return status_;
  error_ = handshake_done_ ? "the peer closed the connection without close_notify: what it sent may be cut short"
                           : "handshake failed: the peer closed the connection in the middle of it";
  return status_ = Status::failed;
}

Status Machine::continue_handshake() {
  const int done = SSL_do_handshake(ssl_);
  if (done == 1) {
    handshake_done_ = true;
    return Status::ok;
  }
  const int reason = SSL_get_error(ssl_, done);
  if (reason == SSL_ERROR_WANT_READ) return Status::ok;
  // A server that no longer likes a session must not see it again.
  if (client_context_ != nullptr) client_context_->impl_->forget_sessions();
  if (reason != SSL_ERROR_ZERO_RETURN) return fail_from_queue("handshake");
  error_ = "handshake failed: the peer closed the connection in the middle of it";
  return Status::failed;
}

Status Machine::read_records(ByteBuffer& plaintext) {
  for (;;) {
    // Plaintext is never longer than its ciphertext, but the start of a record may have come earlier: it shows as
    // pending once the record is whole.
    const size_t pending = static_cast<size_t>(SSL_pending(ssl_));
    if (inbox_.empty() && pending == 0) return Status::ok;
    const size_t wanted = std::max(pending, std::min(inbox_.size(), kRecordSizeMax));
    const int got = SSL_read(ssl_, plaintext.make_room(wanted), static_cast<int>(wanted));
    if (got > 0) {
      plaintext.commit(static_cast<size_t>(got));
      continue;
    }
    switch (SSL_get_error(ssl_, got)) {
      case SSL_ERROR_WANT_READ:
        return Status::ok;
      case SSL_ERROR_ZERO_RETURN:
        return Status::closed;
      default:
        return fail_from_queue("reading");
    }
  }
}

Status Machine::send(std::string_view plaintext) {
  ASSERT(handshake_done_);
  if (status_ == Status::failed) return status_;
  const size_t record_count = plaintext.size() / kRecordSizeMax + 1;
  outbox_.make_room(plaintext.size() + record_count * kRecordOverheadMax);
  while (!plaintext.empty()) {
    const size_t size = std::min(plaintext.size(), static_cast<size_t>(INT_MAX));
    const int written = SSL_write(ssl_, plaintext.data(), static_cast<int>(size));
    if (written <= 0) return status_ = fail_from_queue("writing");
    plaintext.remove_prefix(static_cast<size_t>(written));
  }
  return Status::ok;
}

void Machine::close() {
  if (!handshake_done_ || status_ == Status::failed) return;
  if ((SSL_get_shutdown(ssl_) & SSL_SENT_SHUTDOWN) != 0) return;
  SSL_shutdown(ssl_);
  ERR_clear_error();
}

bool Machine::resumed() const {
  return handshake_done_ && SSL_session_reused(ssl_) == 1;
}

std::string_view Machine::version() const {
  return SSL_get_version(ssl_);
}

std::string_view Machine::alpn() const {
  const uint8_t* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

bool Machine::met_plain_http() const {
  if (client_context_ != nullptr || handshake_done_ || !failed()) return false;
  const std::string_view bytes(first_bytes_, first_size_);
  const std::string_view method = bytes.substr(0, bytes.find(' '));
  return method.size() >= 3 && std::ranges::all_of(method, [](char byte) { return byte >= 'A' && byte <= 'Z'; });
}

Status Machine::fail_from_queue(std::string_view doing) {
  Failure failure{.doing = doing,
                  .code = ERR_peek_error(),
                  .last_code = ERR_peek_last_error(),
                  .verify_result = SSL_get_verify_result(ssl_),
                  .is_server = client_context_ == nullptr,
                  .first_bytes = std::string_view(first_bytes_, first_size_),
                  .last_bytes = std::string_view(last_bytes_, sizeof last_bytes_),
                  .host = {},
                  .ca_file = {}};
  if (client_context_ != nullptr) {
    failure.host = client_context_->impl_->host;
    failure.ca_file = client_context_->impl_->ca_file;
  }
  error_ = describe(failure);
  ERR_clear_error();  // the queue belongs to the thread: the next connection must find it empty
  return Status::failed;
}

}  // namespace weir::tls
