// The mock provider: an HTTP/1.1 server that speaks the three bridged APIs, their lists of models and count_tokens,
// with streams at a realistic pace. `weir demo` puts it behind the gateway, tests and benchmarks drive it.
//
// Owns one thread with one engine; everything below start() runs there. Not a model, not a test double of the gateway:
// it parses strictly with wire/ and answers 400 to what is not HTTP.
//
// Control, on the same port (README, "The mock provider"): `x-mock-*` request headers (plan.h), and
//   GET  /__mock/state      {"connections":…,"streams":…,"requests":…,"broken_off":…}
//   GET  /__mock/requests   what was seen, one JSON object per line, oldest first
//   POST /__mock/script     answers for the next requests, in order (plan.h)
//   POST /__mock/next?n=1   lets so many events of step-wise streams go, one of each in turn
//   POST /__mock/reset      forgets requests, scripts and steps
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "mock/plan.h"

namespace weir::mock {

struct ProviderOptions {
  std::string address = "127.0.0.1:0";
  Plan defaults;
  // How many requests /__mock/requests remembers. 0 also saves hashing each body.
  uint32_t requests_kept = 0;
  uint32_t connections_max = 65536;
  uint64_t busy_poll_ns = 0;  // how long it looks for work before it sleeps
};

class Provider {
 public:
  // When it returns, connections are accepted.
  static Result<std::unique_ptr<Provider>> start(const ProviderOptions& options);
  ~Provider();  // ends every connection, joins the thread
  Provider(const Provider&) = delete;
  Provider& operator=(const Provider&) = delete;

  const std::string& address() const;  // port 0 resolved

 private:
  struct Impl;
  explicit Provider(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::mock
