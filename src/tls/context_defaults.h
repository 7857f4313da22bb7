// What the contexts of both sides have in common, for the files of this folder only.
#pragma once

#include <string>

#include <openssl/ssl.h>

#include "base/result.h"

namespace weir::tls {

// TLS 1.2 and 1.3, AEAD ciphers with forward secrecy. Null only without memory.
bssl::UniquePtr<SSL_CTX> make_context();

// The ALPN list of the only protocol that weir speaks, in wire form.
inline constexpr unsigned char kAlpnHttp11[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

// The whole file. Errors name it and the reason.
Result<std::string> read_pem_file(const std::string& path, const char* what);

}  // namespace weir::tls
