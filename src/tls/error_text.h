// Turns the library's error codes into sentences for operators, for the files of this folder only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weir::tls {

struct Failure {
  std::string_view doing;        // "handshake", "reading", "writing"
  uint32_t code;                 // the oldest of the error queue: the first cause. 0: none was there
  uint32_t last_code;            // the newest: what it led to
  long verify_result;            // X509_V_OK or what is wrong with the peer's certificate
  bool is_server;                // our side
  std::string_view first_bytes;  // up to five, as the peer sent them
  std::string_view last_bytes;   // seven, of the handshake
  std::string_view host;         // wanted; empty on the server
  std::string_view ca_file;      // against which it was checked
};

std::string describe(const Failure& failure);

}  // namespace weir::tls
