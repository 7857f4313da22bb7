// The upstream places that the configuration names, over all reloads: an index once given stays. And what a reload
// cannot change.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "gateway/config.h"
#include "proxy/snapshot.h"
#include "server/resolver.h"

namespace weir::server {

// add() is the control thread's; keep_addresses() is called by the resolver's.
class OriginList {
 public:
  uint32_t add(const proxy::OriginSpec& spec, Resolver& resolver);
  const std::vector<proxy::OriginSpec>& specs() const { return specs_; }
  // Remembers what the resolver found; the origins that it is for.
  std::vector<uint32_t> keep_addresses(size_t resolver_index, const std::shared_ptr<const proxy::AddressList>& list);
  std::shared_ptr<const proxy::AddressList> addresses(uint32_t origin) const;  // null: not known yet

 private:
  mutable std::mutex mutex_;
  std::vector<proxy::OriginSpec> specs_;
  std::vector<size_t> resolver_indexes_;                              // by origin
  std::vector<std::shared_ptr<const proxy::AddressList>> addresses_;  // by resolver index
};

// "weir.toml:12", or the name where the setting has no place in a file.
std::string describe_place(const gateway::Place& place, const std::string& name);

// Settings that threads, sockets and files were made from at start: "listener", "workers", "data_dir", …
std::vector<std::string> parts_that_need_a_restart(const gateway::Config& old_config,
                                                   const gateway::Config& new_config);
void keep_parts_that_need_a_restart(const gateway::Config& old_config, gateway::Config& new_config);

}  // namespace weir::server
