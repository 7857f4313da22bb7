// The inside of ClientContext, for the files of this folder only: its SSL_CTX and the sessions to resume.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>

#include <openssl/ssl.h>

#include "tls/tls.h"

namespace weir::tls {

struct ClientContext::Impl {
  // A connection uses up a TLS 1.3 session and is given two by most servers; a pool that opens several at once takes
  // several. The oldest is dropped when full.
  static constexpr size_t kSessionCountMax = 8;

  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void keep(bssl::UniquePtr<SSL_SESSION> session);
  // The newest session, or null. One that must not be used twice (TLS 1.3: an observer could link the connections,
  // RFC 8446 appendix C.4) leaves the store; another stays.
  bssl::UniquePtr<SSL_SESSION> take();
  void forget_sessions();

  std::string host;
  std::string ca_file;  // as messages name it
  bool is_ip_literal = false;
  bssl::UniquePtr<SSL_CTX> context;
  std::array<bssl::UniquePtr<SSL_SESSION>, kSessionCountMax> sessions;  // [0, session_count), the newest last
  size_t session_count = 0;
};

}  // namespace weir::tls
