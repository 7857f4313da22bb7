// What BoringSSL leaves unchecked in a server's chain of certificates, for the files of this folder only.
#pragma once

#include <openssl/x509.h>

namespace weir::tls {

// For SSL_CTX_set_cert_verify_callback. The library looks at the extensions of what the server has sent, and takes
// whatever is in the trust store for an authority: a server's own certificate that somebody pinned could sign for every
// host. Here every certificate above the leaf, the trust anchor included, must be a CA by its basicConstraints, may
// sign by its keyUsage (where it has one) and keeps its path length; so X.509 v1, which has no extensions, is no
// anchor. A leaf that is in the store itself is the server's own and is accepted, whoever signed it.
int verify_chain(X509_STORE_CTX* store_context, void* unused);

}  // namespace weir::tls
