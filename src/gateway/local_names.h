// By which names a request may reach what asks nobody for a token: the authorizer `none` and the admin endpoint.
//
// A web page can have its own name resolve to 127.0.0.1 and then call what listens there as its own site (DNS
// rebinding): it would spend the operator's key from a user's browser. But a browser always says which name it called
// (Host) and, when it matters, which page calls (Origin), and no page can call itself "localhost" or an address.
// A request without Host (HTTP/1.0) comes from no browser. Unix sockets are out of a page's reach: callers leave the
// check out there.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "wire/head.h"

namespace weir::gateway {

enum class Addresses : uint8_t {
  loopback,
  any,  // also other addresses written as such: what was opened to other machines on purpose
};

struct ForeignName {
  enum class Where : uint8_t { none, host, origin };
  Where where = Where::none;
  std::string_view name;  // the header's value; a view into the head
};

// Whether "host", "host:port" or "[v6]:port" is "localhost", such an address, or one of `names` (in any case).
bool is_local_name(std::string_view authority, std::span<const std::string> names, Addresses addresses);

// The first of Host, the target's own authority (absolute form) and all copies of Origin that is none of these.
// `target_authority`: wire::Target::authority.
ForeignName find_foreign_name(const wire::RequestHead& head, std::string_view target_authority,
                              std::span<const std::string> names, Addresses addresses);

}  // namespace weir::gateway
