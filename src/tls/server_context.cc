#include <ctime>
#include <utility>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/assert.h"
#include "tls/context_defaults.h"
#include "tls/tls.h"

namespace weir::tls {

namespace {

// A client that offers ALPN without http/1.1 would speak something else at once: it is told so (RFC 7301 section 3.2).
int select_protocol(SSL* /*ssl*/, const uint8_t** chosen, uint8_t* chosen_size, const uint8_t* offered,
                    unsigned offered_size, void* /*argument*/) {
  uint8_t* found = nullptr;
  const int outcome =
      SSL_select_next_proto(&found, chosen_size, kAlpnHttp11, sizeof kAlpnHttp11, offered, offered_size);
  *chosen = found;
  return outcome == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// Keys are for daemons: nobody is there to type a password, and the library must not ask the terminal.
int refuse_password(char* /*buffer*/, int /*size*/, int /*writing*/, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

bssl::UniquePtr<BIO> bytes_of(const std::string& content) {
  return bssl::UniquePtr<BIO>(BIO_new_mem_buf(content.data(), static_cast<int>(content.size())));
}

std::string last_reason() {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  return reason == nullptr ? "unknown reason" : reason;
}

std::string validity_warning(const X509* certificate, const std::string& file) {
  time_t now = std::time(nullptr);
  if (X509_cmp_time(X509_get0_notAfter(certificate), &now) < 0)
    return fmt::format("{}: the certificate has expired; clients will refuse it", file);
  if (X509_cmp_time(X509_get0_notBefore(certificate), &now) > 0)
    return fmt::format("{}: the certificate is not yet valid; is the clock right?", file);
  return {};
}

// The leaf and then its chain, in the file's order. Returns the warning.
Result<std::string> use_certificates(SSL_CTX* context, const std::string& file) {
  const auto content = read_pem_file(file, "certificate");
  if (!content) return std::unexpected(content.error());
  const bssl::UniquePtr<BIO> bytes = bytes_of(*content);
  std::string warning;
  for (int index = 0;; ++index) {
    const bssl::UniquePtr<X509> certificate(PEM_read_bio_X509(bytes.get(), nullptr, nullptr, nullptr));
    if (!certificate) {
      const uint32_t code = ERR_peek_last_error();
      const bool at_end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
      if (at_end && index > 0) return warning;
      if (at_end) return fail("{}: holds no certificate (\"-----BEGIN CERTIFICATE-----\")", file);
      return fail("{}: certificate {} is not valid PEM: {}", file, index + 1, last_reason());
    }
    const int used = index == 0 ? SSL_CTX_use_certificate(context, certificate.get())
                                : SSL_CTX_add1_chain_cert(context, certificate.get());
    if (used != 1) return fail("{}: certificate {} cannot be used: {}", file, index + 1, last_reason());
    if (index == 0) warning = validity_warning(certificate.get(), file);
  }
}

Result<void> use_key(SSL_CTX* context, const std::string& file, const std::string& certificate_file) {
  const auto content = read_pem_file(file, "private key");
  if (!content) return std::unexpected(content.error());
  bool password_asked = false;
  const bssl::UniquePtr<EVP_PKEY> key(
      PEM_read_bio_PrivateKey(bytes_of(*content).get(), nullptr, refuse_password, &password_asked));
  if (password_asked)
    return fail("{}: the private key is encrypted; decrypt it with `openssl pkey -in {} -out NEW`", file, file);
  if (!key) {
    if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
      return fail("{}: holds no private key (\"-----BEGIN PRIVATE KEY-----\")", file);
    return fail("{}: the private key is not valid PEM: {}", file, last_reason());
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) == 1) return {};
  const uint32_t code = ERR_peek_last_error();
  if (ERR_GET_LIB(code) == ERR_LIB_X509)
    return fail("{}: the private key does not belong to the certificate in {}", file, certificate_file);
  return fail("{}: the private key cannot be used: {}", file, last_reason());
}

}  // namespace

Result<std::shared_ptr<ServerContext>> ServerContext::load(const std::string& certificate_file,
                                                           const std::string& key_file) {
  bssl::UniquePtr<SSL_CTX> context = make_context();
  ASSERT(context != nullptr);
  ERR_clear_error();
  auto warning = use_certificates(context.get(), certificate_file);
  ERR_clear_error();
  if (!warning) return std::unexpected(warning.error());
  const auto key_used = use_key(context.get(), key_file, certificate_file);
  ERR_clear_error();
  if (!key_used) return std::unexpected(key_used.error());

  SSL_CTX_set_alpn_select_cb(context.get(), select_protocol, nullptr);
  // Sessions live in tickets, whose keys the context makes and renews by itself: all workers share the context, so each
  // can resume another's session, and no table of sessions is kept or locked.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  // The chain is what the file says; do not look for more of it at each handshake.
  SSL_CTX_set_mode(context.get(), SSL_MODE_NO_AUTO_CHAIN);
  std::shared_ptr<ServerContext> loaded(new ServerContext(context.release()));
  loaded->warning_ = std::move(*warning);
  return loaded;
}

ServerContext::~ServerContext() {
  SSL_CTX_free(context_);
}

}  // namespace weir::tls
