#include "tls/client_context.h"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/assert.h"
#include "tls/chain.h"
#include "tls/context_defaults.h"
#include "tls/trust.h"

namespace weir::tls {

namespace {

// The name as certificates and SNI have it: no brackets around an IPv6 literal, no dot at the end.
std::string normalised(std::string_view host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host.size() > 1 && host.back() == '.') host.remove_suffix(1);
  return std::string(host);
}

struct IpLiteral {
  uint8_t bytes[16];
  size_t size;  // 4, 16, or 0: not an IP literal
};

IpLiteral parse_ip(const std::string& host) {
  IpLiteral ip{};
  if (inet_pton(AF_INET, host.c_str(), ip.bytes) == 1)
    ip.size = 4;
  else if (inet_pton(AF_INET6, host.c_str(), ip.bytes) == 1)
    ip.size = 16;
  return ip;
}

}  // namespace

void ClientContext::Impl::keep(bssl::UniquePtr<SSL_SESSION> session) {
  if (session_count == kSessionCountMax) {
    std::ranges::move(sessions.begin() + 1, sessions.end(), sessions.begin());
    --session_count;
  }
  sessions[session_count++] = std::move(session);
}

bssl::UniquePtr<SSL_SESSION> ClientContext::Impl::take() {
  if (session_count == 0) return nullptr;
  bssl::UniquePtr<SSL_SESSION>& newest = sessions[session_count - 1];
  if (SSL_SESSION_should_be_single_use(newest.get()) == 0) return bssl::UpRef(newest);
  --session_count;
  return std::move(newest);
}

void ClientContext::Impl::forget_sessions() {
  for (; session_count > 0; --session_count) sessions[session_count - 1].reset();
}

Result<std::unique_ptr<ClientContext>> ClientContext::make(const std::string& ca_file, const std::string& host) {
  auto store = trusted_authorities(ca_file);
  if (!store) return std::unexpected(store.error());
  auto impl = std::make_unique<Impl>();
  impl->host = normalised(host);
  impl->ca_file = ca_file.empty() ? kSystemCaFile : ca_file;
  impl->context = make_context();
  ASSERT(impl->context != nullptr);
  SSL_CTX* context = impl->context.get();
  SSL_CTX_set_cert_store(context, store->release());
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(context, verify_chain, nullptr);

  X509_VERIFY_PARAM* verify = SSL_CTX_get0_param(context);
  // An operator may pin an intermediate, which is as good as a root, or a server's own certificate, which stands for
  // itself alone (verify_chain).
  X509_VERIFY_PARAM_set_flags(verify, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
  const IpLiteral ip = parse_ip(impl->host);
  impl->is_ip_literal = ip.size > 0;
  // NEVER_CHECK_SUBJECT: the common name is no host name (RFC 9525 section 2).
  X509_VERIFY_PARAM_set_hostflags(verify, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  const int taken = impl->is_ip_literal ? X509_VERIFY_PARAM_set1_ip(verify, ip.bytes, ip.size)
                                        : X509_VERIFY_PARAM_set1_host(verify, impl->host.data(), impl->host.size());
  ERR_clear_error();
  if (impl->host.empty() || taken != 1) return fail("\"{}\" is not a host name", host);

  const int offered = SSL_CTX_set_alpn_protos(context, kAlpnHttp11, sizeof kAlpnHttp11);
  ASSERT(offered == 0);  // BoringSSL keeps OpenSSL's inverted sense here
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_set_app_data(context, impl.get());
  SSL_CTX_sess_set_new_cb(context, [](SSL* ssl, SSL_SESSION* session) {
    static_cast<Impl*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)))->keep(bssl::UniquePtr<SSL_SESSION>(session));
    return 1;  // the session is ours now
  });
  return std::unique_ptr<ClientContext>(new ClientContext(std::move(impl)));
}

ClientContext::ClientContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ClientContext::~ClientContext() = default;

}  // namespace weir::tls
