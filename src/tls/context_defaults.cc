#include "tls/context_defaults.h"

#include "base/assert.h"
#include "base/whole_file.h"

namespace weir::tls {

namespace {

// TLS 1.2 only; BoringSSL fixes those of TLS 1.3, by whether AES is in hardware. AES-128 first: it costs least with
// hardware AES, which every server has. Brackets: equal, so a client without it may have ChaCha20.
constexpr char kCiphers[] =
    "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]:"
    "[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";

}  // namespace

bssl::UniquePtr<SSL_CTX> make_context() {
  bssl::UniquePtr<SSL_CTX> context(SSL_CTX_new(TLS_method()));
  if (!context) return nullptr;
  SSL_CTX* raw = context.get();
  const bool accepted = SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION) == 1 &&
                        SSL_CTX_set_max_proto_version(raw, TLS1_3_VERSION) == 1 &&
                        SSL_CTX_set_strict_cipher_list(raw, kCiphers) == 1;
  ASSERT(accepted);
  // BoringSSL releases its buffers between records and refuses renegotiation without being asked; the mode is for
  // whoever builds on OpenSSL's API and looks for it.
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(raw, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_RENEGOTIATION);
  return context;
}

Result<std::string> read_pem_file(const std::string& path, const char* what) {
  auto content = read_whole_file(path);
  if (!content) return fail("{}: cannot read the {}: {}", path, what, content.error().message);
  return content;
}

}  // namespace weir::tls
