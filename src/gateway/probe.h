// Requests by which clients, load balancers and browsers look whether anybody is there. They get the same answers as
// every request; their refusals are no news for an operator.
#pragma once

#include <string_view>

#include "gateway/provider.h"
#include "wire/head.h"

namespace weir::gateway {

// Any HEAD; and a GET of a path that is no route and that programs are known to ask for.
bool is_probe(wire::Method method, const Route& route, std::string_view path);

}  // namespace weir::gateway
