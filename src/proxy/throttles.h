// What keeps the log readable while a peer does one thing again and again: every line that a client can cause has a
// throttle here, and all workers share it (spec section 9, "Bounds"). The metrics count what the log holds back.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/log_throttle.h"
#include "gateway/refusal.h"

namespace weir::proxy {

// Lines of clients that are no refusal of a request.
enum class Noise : uint8_t {
  probe,             // an unauthenticated HEAD
  connection_limit,  // closed at once: all slots are in use
  displaced,         // an idle one was closed for a new one
  address_limit,     // closed at once: too many of one address
  peer_uid,          // closed at once: not in allowed_uids
  descriptors,       // accepting waits for descriptors
  client_tls,        // TLS with a client failed
  authorizer,        // its service did not answer, or not as it should
};
inline constexpr size_t kNoiseCount = std::to_underlying(Noise::authorizer) + 1;

struct LogThrottles {
  std::array<LogThrottle, gateway::kRefusalCount> refusals;
  std::array<LogThrottle, kNoiseCount> noises;
};

}  // namespace weir::proxy
