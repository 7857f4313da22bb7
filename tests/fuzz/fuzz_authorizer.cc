// Any bytes as an authorizer's answer: allowed only with a name (the id's form is admit()'s to judge), and never a read
// past the padding.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "base/byte_buffer.h"
#include "gateway/token_table.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir;           // NOLINT(google-build-using-namespace)
  using namespace weir::gateway;  // NOLINT(google-build-using-namespace)
  if (size < 1) return 0;
  constexpr uint16_t kStatuses[] = {200, 201, 204, 301, 401, 403, 404, 500};
  const uint16_t status = kStatuses[data[0] % std::size(kStatuses)];
  ByteBuffer body;
  body.reserve(size);
  body.append({reinterpret_cast<const char*>(data) + 1, size - 1});
  const AuthorizerReply reply = read_authorizer_answer(status, body.view());
  ASSERT((reply.verdict == Verdict::allowed) == reply.why.empty());
  if (reply.verdict == Verdict::allowed) {
    ASSERT(status < 300);
    ASSERT(!reply.identity.username().empty());
  }
  return 0;
}
