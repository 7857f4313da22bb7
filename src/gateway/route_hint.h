// What the 404 of an unknown path says besides: which route was probably meant and which base URL would be right (spec
// section 9, "A wrong base URL"), or whose API it is, if it is one that weir does not speak. Asked for refused requests
// only; the cost is bounded whatever the path.
#pragma once

#include <string>
#include <string_view>

#include "gateway/provider.h"
#include "wire/head.h"

namespace weir::gateway {

// "Gemini": the API that has this path and that weir does not speak. Empty: none that is known.
std::string_view foreign_api(std::string_view path);

struct MissingRoute {
  std::string_view method;
  std::string_view path;          // as the client sent it, without the query
  std::string_view host;          // of the Host field; empty: base URLs are told without it
  bool tls = false;               // of the listener
  bool anthropic_client = false;  // its headers are those of an Anthropic SDK: decides where both APIs have the path
};
MissingRoute missing_route(const wire::RequestHead& head, std::string_view path, bool tls);

// "POST /v1/messages; did you mean /anthropic/v1/messages? base URL: http://HOST/anthropic"
std::string describe(const RouteTable& routes, const MissingRoute& missing);

}  // namespace weir::gateway
