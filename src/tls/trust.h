// The certificate authorities that are trusted: CA files, parsed once for the whole process. Any thread may ask; it
// happens when contexts are made (start, reload), never on the data path.
#pragma once

#include <string>

#include <openssl/x509.h>

#include "base/result.h"

namespace weir::tls {

inline constexpr char kSystemCaFile[] = "/etc/ssl/certs/ca-certificates.crt";

// A reference to the store of `ca_file` (empty: the system's). A file that has changed since it was parsed is parsed
// again; references to the earlier store stay valid.
Result<bssl::UniquePtr<X509_STORE>> trusted_authorities(const std::string& ca_file);

}  // namespace weir::tls
