#include "tls/chain.h"

#include <openssl/x509v3.h>

namespace weir::tls {

namespace {

// Of a certificate that signed another; `below`: how many stand between it and the leaf, but for self-issued ones.
int issuer_fault(X509* certificate, long below) {
  const uint32_t flags = X509_get_extension_flags(certificate);
  if ((flags & EXFLAG_INVALID) != 0) return X509_V_ERR_INVALID_EXTENSION;
  if ((flags & EXFLAG_CRITICAL) != 0) return X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION;
  if ((flags & EXFLAG_CA) == 0) return X509_V_ERR_INVALID_CA;
  if ((flags & EXFLAG_KUSAGE) != 0 && (X509_get_key_usage(certificate) & KU_KEY_CERT_SIGN) == 0)
    return X509_V_ERR_KEYUSAGE_NO_CERTSIGN;
  if (X509_check_purpose(certificate, X509_PURPOSE_SSL_SERVER, /*ca=*/1) != 1) return X509_V_ERR_INVALID_PURPOSE;
  const long below_max = X509_get_pathlen(certificate);
  if (below_max >= 0 && below > below_max) return X509_V_ERR_PATH_LENGTH_EXCEEDED;
  return X509_V_OK;
}

}  // namespace

int verify_chain(X509_STORE_CTX* store_context, void* /*unused*/) {
  if (X509_verify_cert(store_context) != 1) return 0;
  const STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(store_context);
  long below = 0;
  for (size_t i = 1; i < sk_X509_num(chain); i++) {
    X509* certificate = sk_X509_value(chain, i);
    if (const int fault = issuer_fault(certificate, below); fault != X509_V_OK) {
      X509_STORE_CTX_set_error(store_context, fault);
      return 0;
    }
    if ((X509_get_extension_flags(certificate) & EXFLAG_SI) == 0) below++;
  }
  return 1;
}

}  // namespace weir::tls
