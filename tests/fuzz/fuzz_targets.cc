// Any bytes as a request target and as a base URL. What is accepted must be sound by another reading of the rules.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "wire/target.h"

namespace {

using namespace weir::wire;

// `path` with its escapes resolved, as a server behind us may do it.
std::string decoded(std::string_view path) {
  std::string out;
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      out += path[i];
      continue;
    }
    ASSERT(path.size() - i > 2);
    out += static_cast<char>(std::stoi(std::string(path.substr(i + 1, 2)), nullptr, 16));
    i += 2;
  }
  return out;
}

size_t slash_count(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += c == '/' || c == '\\' ? 1 : 0;
  return count;
}

void check_target(std::string_view text) {
  const Target target = parse_target(text);
  if (target.fault != TargetFault::none) return;
  ASSERT(target.path.starts_with('/'));
  ASSERT(target.has_query || target.query.empty());
  for (const char c : text) ASSERT(c > ' ' && c < 0x7F && c != '#');
  const std::string path = decoded(target.path);
  ASSERT(slash_count(path) == slash_count(target.path));
  // Also as a server reads it that cuts the parameters off each segment first.
  std::string bare;
  bool in_parameters = false;
  for (const char c : path + "/") {
    in_parameters = c == ';' || (in_parameters && c != '/');
    if (!in_parameters) bare += c;
  }
  for (const std::string& read : {path + "/", bare}) {
    ASSERT(read.find("/./") == std::string::npos);
    ASSERT(read.find("/../") == std::string::npos);
  }
  for (const char c : path) ASSERT(static_cast<uint8_t>(c) >= 0x20 && c != 0x7F);
}

void check_base_url(std::string_view text) {
  const auto url = parse_base_url(text);
  if (!url) {
    ASSERT(!url.error().message.empty());
    return;
  }
  ASSERT(!url->host.empty() && url->port != 0 && !url->path.ends_with('/'));
  const auto again = parse_base_url((url->tls ? "https://" : "http://") + url->authority + url->path);
  ASSERT(again.has_value());
  ASSERT(again->tls == url->tls && again->host == url->host && again->port == url->port);
  ASSERT(again->path == url->path && again->authority == url->authority);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_target(text);
  check_base_url(text);
  return 0;
}
