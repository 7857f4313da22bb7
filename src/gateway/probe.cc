#include "gateway/probe.h"

#include <algorithm>

namespace weir::gateway {

namespace {

// Below a provider's prefix, or without one.
constexpr std::string_view kPaths[] = {
    "",
    "/",
    "/api/hello",  // Claude Code, before its first call and in its doctor
    "/favicon.ico",
    "/robots.txt",
    "/health",  // load balancers, orchestrators, LiteLLM's clients
    "/healthz",
    "/livez",
    "/readyz",
    "/ping",
    "/api/tags",  // is this Ollama?
    "/api/version",
    "/api/v0/models",  // LM Studio?
    "/props",          // llama.cpp?
};

}  // namespace

bool is_probe(wire::Method method, const Route& route, std::string_view path) {
  if (method == wire::Method::head) return true;
  if (method != wire::Method::get || route.found) return false;
  const std::string_view rest = route.provider != nullptr ? route.upstream_path : path;
  return std::ranges::find(kPaths, rest) != std::end(kPaths);
}

}  // namespace weir::gateway
