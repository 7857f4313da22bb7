#include "server/origins.h"

#include <algorithm>
#include <tuple>

namespace weir::server {

namespace {

bool same_sinks(const gateway::Config& one, const gateway::Config& other) {
  return std::ranges::equal(one.sinks, other.sinks, [](const gateway::SinkConfig& a, const gateway::SinkConfig& b) {
    const auto parts = [](const gateway::SinkConfig& sink) {
      return std::tie(sink.name, sink.kind, sink.path, sink.rotate_size, sink.keep, sink.dsn_file, sink.service,
                      sink.managed);
    };
    return parts(a) == parts(b);
  });
}

bool same_sockets(const gateway::Config& a, const gateway::Config& b) {
  return std::ranges::equal(a.listeners, b.listeners, [](const auto& x, const auto& y) {
    return x.name == y.name && x.address == y.address && x.v6only == y.v6only && x.trusted == y.trusted &&
           x.allowed_uids == y.allowed_uids && x.certificate.empty() == y.certificate.empty();
  });
}

}  // namespace

uint32_t OriginList::add(const proxy::OriginSpec& spec, Resolver& resolver) {
  const auto found = std::ranges::find(specs_, spec);
  if (found != specs_.end()) return static_cast<uint32_t>(found - specs_.begin());
  const std::lock_guard lock(mutex_);
  specs_.push_back(spec);
  // The answer may come before this returns; whoever subscribes later is told what is known.
  resolver_indexes_.push_back(resolver.add(spec.host, spec.port));
  return static_cast<uint32_t>(specs_.size() - 1);
}

std::vector<uint32_t> OriginList::keep_addresses(size_t resolver_index,
                                                 const std::shared_ptr<const proxy::AddressList>& list) {
  const std::lock_guard lock(mutex_);
  if (addresses_.size() <= resolver_index) addresses_.resize(resolver_index + 1);
  addresses_[resolver_index] = list;
  std::vector<uint32_t> origins;
  for (uint32_t i = 0; i < resolver_indexes_.size(); i++) {
    if (resolver_indexes_[i] == resolver_index) origins.push_back(i);
  }
  return origins;
}

std::shared_ptr<const proxy::AddressList> OriginList::addresses(uint32_t origin) const {
  const std::lock_guard lock(mutex_);
  const size_t index = resolver_indexes_[origin];
  return index < addresses_.size() ? addresses_[index] : nullptr;
}

std::string describe_place(const gateway::Place& place, const std::string& name) {
  return place.file.empty() ? name : fmt::format("{}:{}", place.file, place.line);
}

std::vector<std::string> parts_that_need_a_restart(const gateway::Config& old_config,
                                                   const gateway::Config& new_config) {
  std::vector<std::string> parts;
  const auto check = [&](bool same, const char* name) {
    if (!same) parts.emplace_back(name);
  };
  check(same_sockets(old_config, new_config), "listener");
  check(old_config.workers == new_config.workers, "workers");
  check(old_config.cpus == new_config.cpus, "cpus");
  check(old_config.data_dir == new_config.data_dir, "data_dir");
  check(old_config.user == new_config.user, "user");
  check(old_config.sandbox == new_config.sandbox, "sandbox");
  check(old_config.core_dumps == new_config.core_dumps, "core_dumps");
  check(old_config.node == new_config.node, "node");
  check(old_config.ring_entries == new_config.ring_entries, "ring_entries");
  check(old_config.ring_without == new_config.ring_without, "ring_without");
  check(old_config.batch_wait_ns == new_config.batch_wait_ns, "batch_wait");
  check(old_config.busy_poll_ns == new_config.busy_poll_ns, "busy_poll");
  check(old_config.buffers == new_config.buffers, "buffers");
  check(old_config.buffer_size == new_config.buffer_size, "buffer_size");
  check(old_config.limits.connections == new_config.limits.connections, "limits.connections");
  check(old_config.journal.size == new_config.journal.size && old_config.journal.sync == new_config.journal.sync,
        "journal");
  check(old_config.admin.address == new_config.admin.address &&
            old_config.admin.allow_remote == new_config.admin.allow_remote &&
            old_config.admin.hosts == new_config.admin.hosts,
        "admin");
  check(same_sinks(old_config, new_config), "sink");
  check(old_config.log_format == new_config.log_format, "log_format");
  check(old_config.log_level == new_config.log_level, "log_level");
  check(old_config.dns_ttl_ns == new_config.dns_ttl_ns, "dns_ttl");
  return parts;
}

void keep_parts_that_need_a_restart(const gateway::Config& old_config, gateway::Config& new_config) {
  if (!same_sockets(old_config, new_config)) new_config.listeners = old_config.listeners;
  new_config.workers = old_config.workers;
  new_config.cpus = old_config.cpus;
  new_config.data_dir = old_config.data_dir;
  new_config.node = old_config.node;
  new_config.user = old_config.user;
  new_config.sandbox = old_config.sandbox;
  new_config.core_dumps = old_config.core_dumps;
  new_config.ring_entries = old_config.ring_entries;
  new_config.ring_without = old_config.ring_without;
  new_config.batch_wait_ns = old_config.batch_wait_ns;
  new_config.busy_poll_ns = old_config.busy_poll_ns;
  new_config.buffers = old_config.buffers;
  new_config.buffer_size = old_config.buffer_size;
  new_config.limits.connections = old_config.limits.connections;
  new_config.journal = old_config.journal;
  new_config.admin = old_config.admin;
  new_config.sinks = old_config.sinks;
  new_config.log_format = old_config.log_format;
  new_config.log_level = old_config.log_level;
  new_config.dns_ttl_ns = old_config.dns_ttl_ns;
}

}  // namespace weir::server
