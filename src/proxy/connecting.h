// The making of one upstream connection for a user (RFC 8305): attempts at the origin's addresses, each an Upstream of
// its own, begun as soon as the one before has failed or has been pending for 250 ms. The first that is connected and
// has completed its TLS handshake is the user's; the others are given up. A slot of the worker's.
//
// Invariants: (1) the user hears once: on_upstream_ready(), or on_upstream_failed() from the worker's list, never from
// within begin(); (2) every attempt's Upstream points back here until it is over; (3) each address is tried once.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/slot_pool.h"
#include "proxy/snapshot.h"
#include "proxy/timer_wheel.h"
#include "proxy/upstream.h"

namespace weir::proxy {

class Connecting : public Slot {
 public:
  // REQUIRES: the origin's addresses are known.
  void begin(Worker& worker, Origin& origin, UpstreamUser& user);
  void on_timer();  // the attempts so far have had their time
  // Its user wants no connection any more.
  void forget_user(const UpstreamUser& user);

  // --- for its attempts ---
  void on_connected();  // TCP; the handshake follows
  void on_ready(Upstream& upstream);
  // `upstream` closes itself. `why`: "connection refused".
  void on_failed(Upstream& upstream, UpstreamFault fault, std::string_view why);

 private:
  static constexpr uint32_t kAttemptsMax = 16;  // at once; with all of them pending the next waits for one to fail
  static constexpr uint32_t kNoAddress = 0xFFFFFFFF;

  uint32_t next_address() const;
  void try_next();
  bool attempt(Upstream* upstream, const io::Address& address);
  void take_out(Upstream& upstream);
  void give_up_attempts();
  void finish();

  Worker* worker_ = nullptr;
  Origin* origin_ = nullptr;
  UpstreamUser* user_ = nullptr;
  std::shared_ptr<const AddressList> addresses_;
  uint64_t tried_ = 0;  // a bit for each address; those beyond the 64th are not tried
  uint32_t last_ = kNoAddress;
  std::array<Upstream*, kAttemptsMax> attempts_{};  // in the order of their beginnings
  uint32_t attempt_count_ = 0;
  UpstreamFault fault_ = UpstreamFault::no_address;
  std::string last_error_;  // of the last attempt that failed, with its address
  Timer timer_;
};

}  // namespace weir::proxy
