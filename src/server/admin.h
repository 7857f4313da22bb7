// The operator's endpoint: GET /metrics, /healthz and /readyz over HTTP/1.1, one request for each connection. Off
// unless
// `[admin] address` is set; on a thread of its own, so that it answers however busy the workers are and costs them
// nothing.
//
// Bounded: at most kConnectionsMax connections (further ones wait in the listening socket's queue), kHeadMax bytes of a
// head, kDeadlineNs for a whole request with its answer. It knows no token: whoever can connect may read, but no
// web page: over TCP a Host that is no name of this machine, and a foreign Origin, are refused (403).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "gateway/local_names.h"

namespace weir::server {

struct AdminSource {
  // Called on the admin thread.
  std::function<std::string()> metrics;
  std::function<std::string()> not_ready;  // why; empty: ready
  // By which names it may be called over TCP (gateway/local_names.h).
  std::vector<std::string> hosts = {};
  gateway::Addresses addresses = gateway::Addresses::loopback;
};

class Admin {
 public:
  static constexpr size_t kConnectionsMax = 16;
  static constexpr size_t kHeadMax = 8192;
  static constexpr uint64_t kDeadlineNs = 5 * kNsPerSecond;
  static constexpr uint64_t kAcceptPauseNs = 100 * kNsPerMs;  // where no descriptor is left

  // Listens; in two steps, because a privileged starter binds and the confined process serves.
  static Result<std::unique_ptr<Admin>> bind(const std::string& address);
  void serve(AdminSource source);  // starts the thread; once
  ~Admin();                        // ends it; what is being answered is cut
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  const std::string& address() const;  // port 0 resolved

 private:
  struct Impl;
  explicit Admin(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::server
