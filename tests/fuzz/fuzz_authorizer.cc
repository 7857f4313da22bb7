// Any bytes as an authorizer's answer. As a body: allowed only with a name (the id's form is admit()'s to judge), and
// never a read past the padding. As a connection (first byte 0x80 and above): in pieces it reads the same as whole,
// within its bounds, and says of a connection with anything left on it that it may not be used again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/assert.h"
#include "base/byte_buffer.h"
#include "gateway/authorizer_answer.h"
#include "gateway/token_table.h"

namespace {

using namespace weir;           // NOLINT(google-build-using-namespace)
using namespace weir::gateway;  // NOLINT(google-build-using-namespace)

void read_body(uint8_t first, std::string_view bytes) {
  constexpr uint16_t kStatuses[] = {200, 201, 204, 301, 401, 403, 404, 500};
  const uint16_t status = kStatuses[first % std::size(kStatuses)];
  ByteBuffer body;
  body.reserve(bytes.size() + 1);
  body.append(bytes);
  const AuthorizerReply reply = read_authorizer_answer(status, body.view());
  ASSERT((reply.verdict == Verdict::allowed) == reply.why.empty());
  if (reply.verdict == Verdict::allowed) {
    ASSERT(status < 300);
    ASSERT(!reply.identity.username().empty());
  }
}

void read_in_pieces(AuthorizerAnswer& answer, std::string_view bytes, size_t piece_size, wire::ResponseHead& head) {
  while (!bytes.empty()) {
    const size_t size = std::min(bytes.size(), piece_size);
    const std::unique_ptr<char[]> lent(new char[size]);  // so that a view that is kept is seen
    bytes.copy(lent.get(), size);
    answer.take({lent.get(), size}, head);
    bytes.remove_prefix(size);
  }
}

void read_connection(uint8_t first, std::string_view bytes) {
  static wire::ResponseHead head;
  AuthorizerAnswer whole;
  AuthorizerAnswer pieces;
  read_in_pieces(whole, bytes, bytes.size() + 1, head);
  read_in_pieces(pieces, bytes, 1 + (first & 0x3F), head);
  for (const bool ended : {false, true}) {
    if (ended) {
      whole.end();
      pieces.end();
      ASSERT(whole.state() == AuthorizerAnswer::State::whole || whole.state() == AuthorizerAnswer::State::broken);
    }
    ASSERT(whole.state() == pieces.state());
    ASSERT(whole.why() == pieces.why());
    ASSERT((whole.state() == AuthorizerAnswer::State::broken) != whole.why().empty());
    if (whole.state() != AuthorizerAnswer::State::whole) continue;
    ASSERT(whole.status() >= 200 && whole.status() == pieces.status());
    ASSERT(whole.body() == pieces.body() && whole.body().size() <= AuthorizerAnswer::kBodyMax);
    ASSERT(whole.leftover() == pieces.leftover() && whole.reusable() == pieces.reusable());
    ASSERT(!(whole.reusable() && (whole.leftover() || ended)));
    read_authorizer_answer(whole.status(), whole.body());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] < 0x80) {
    read_body(data[0], bytes);
  } else {
    read_connection(data[0], bytes);
  }
  return 0;
}
