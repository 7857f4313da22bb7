// Feeds a TLS server machine whatever a peer may send, in two parts, before any handshake is done. The first byte of
// the input says where it is cut. The certificate is made at start; its bytes differ from run to run, which no input
// can see.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "base/byte_buffer.h"
#include "support/test_ca.h"
#include "tls/tls.h"

namespace {

const weir::tls::ServerContext& server_context() {
  static const std::shared_ptr<weir::tls::ServerContext> context = [] {
    const weir::test::TestCa ca;
    const weir::test::CertificateFiles files = ca.issue({});
    auto loaded = weir::tls::ServerContext::load(files.certificate, files.key);
    if (!loaded) std::abort();
    return *loaded;
  }();
  return *context;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t cut = input.size() * data[0] / 255;
  const auto machine = weir::tls::Machine::server(server_context());
  weir::ByteBuffer plaintext;
  machine->receive(input.substr(0, cut), plaintext);
  const auto status = machine->receive(input.substr(cut), plaintext);
  // Nobody without our key reaches the end of a handshake, and nothing is plaintext before it.
  if (machine->handshake_done() || !plaintext.empty()) std::abort();
  if ((status == weir::tls::Status::failed) == machine->error().empty()) std::abort();
  return 0;
}
