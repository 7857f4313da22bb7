// An upstream place as one worker sees it: its addresses and which of them worked last, its TLS context, its idle
// connections (the last used first), and who waits for the addresses to be known.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "base/log_throttle.h"
#include "proxy/snapshot.h"
#include "proxy/upstream.h"

namespace weir::proxy {

class Worker;

class Origin {
 public:
  Origin(Worker& worker, OriginSpec spec) : worker_(worker), spec_(std::move(spec)) {}
  Origin(const Origin&) = delete;
  Origin& operator=(const Origin&) = delete;

  // Gives the user a connection by and by: an idle one (unless `fresh`) or a new one. Returns it if it is ready now;
  // otherwise null, and the user hears of it. forget() takes a waiting user out again.
  Upstream* acquire(UpstreamUser& user, bool fresh);
  void forget(UpstreamUser& user);

  void set_addresses(std::shared_ptr<const AddressList> list);
  void set_client(std::unique_ptr<tls::ClientContext> client);
  void close_idle();

  // Of the first `count` addresses: the one that worked last, else the first.
  uint32_t preferred_index(const AddressList& list, uint32_t count) const;
  void note_success(const io::Address& address);
  // At most once a minute for each address.
  void log_failure(const io::Address& address, std::string_view why);

  const OriginSpec& spec() const { return spec_; }
  const std::shared_ptr<const AddressList>& addresses() const { return addresses_; }
  tls::ClientContext* client() { return client_.get(); }
  uint32_t idle_count() const { return idle_count_; }

  void put_idle(Upstream& upstream);
  void take_idle(Upstream& upstream);

 private:
  struct Failing {
    explicit Failing(const io::Address& failed) : address(failed) {}
    io::Address address;
    LogThrottle throttle{60 * kNsPerSecond};
  };
  void connect(UpstreamUser& user);

  Worker& worker_;
  OriginSpec spec_;
  std::shared_ptr<const AddressList> addresses_;
  std::unique_ptr<tls::ClientContext> client_;
  std::vector<std::unique_ptr<tls::ClientContext>> retired_clients_;  // connections of theirs may still run
  std::vector<UpstreamUser*> waiting_;
  io::Address worked_last_;
  std::list<Failing> failing_;  // those that have ever failed, while they are in the list
  Upstream* idle_ = nullptr;
  uint32_t idle_count_ = 0;
};

}  // namespace weir::proxy
