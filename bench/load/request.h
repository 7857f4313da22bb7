// The bytes of a request, and what the answer to it must be.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/address.h"
#include "load/scenario.h"

namespace weir::load {

enum class Route : uint8_t { gateway, provider };  // weir's paths, or the provider's own

struct PreparedRequest {
  const RequestKind* kind = nullptr;
  std::string bytes;  // head and body
  // Of the answer, as the provider itself gives it. Stamped answers differ in their hash each time.
  uint16_t status = 0;
  uint64_t body_size = 0;
  uint32_t body_hash = 0;
  bool any_body = false;  // only the status must be the provider's
};

// `headers` are whole lines, "Name: value".
std::string request_bytes(const RequestKind& kind, Route route, const std::string& token,
                          const std::vector<std::string>& headers = {});
// Asks the provider once, blocking, and keeps what it answered.
Result<> learn_answer(const io::Address& reference, PreparedRequest& request);

}  // namespace weir::load
