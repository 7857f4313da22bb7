#include "proxy/origin.h"

#include <algorithm>
#include <utility>

#include "proxy/connecting.h"
#include "proxy/worker.h"

namespace weir::proxy {

Upstream* Origin::acquire(UpstreamUser& user, bool fresh) {
  if (!fresh && idle_ != nullptr) {
    Upstream* upstream = idle_;  // the last used: the others grow old and are closed
    upstream->reuse(user);
    return upstream;
  }
  if (!addresses_) {
    waiting_.push_back(&user);
    return nullptr;
  }
  connect(user);
  return nullptr;
}

void Origin::connect(UpstreamUser& user) {
  Connecting* connecting = worker_.acquire_connecting();
  if (connecting == nullptr) {
    worker_.defer_failure(user, UpstreamFault::connect, "the limit of upstream connections is reached");
    return;
  }
  connecting->begin(worker_, *this, user);
}

uint32_t Origin::preferred_index(const AddressList& list, uint32_t count) const {
  for (uint32_t i = 0; i < count; i++) {
    if (list.addresses[i] == worked_last_) return i;
  }
  return 0;
}

void Origin::note_success(const io::Address& address) {
  worked_last_ = address;
}

void Origin::log_failure(const io::Address& address, std::string_view why) {
  auto found = std::ranges::find(failing_, address, &Failing::address);
  if (found == failing_.end()) found = failing_.emplace(failing_.end(), address);
  const auto held_back = found->throttle.pass(worker_.now_ns());
  if (!held_back) return;
  worker_.log().warn("no connection to an upstream address", {{"host", std::string_view(spec_.host)},
                                                              {"address", std::string_view(address.text())},
                                                              {"reason", why},
                                                              {"held_back", *held_back}});
}

void Origin::forget(UpstreamUser& user) {
  std::erase(waiting_, &user);
}

void Origin::set_addresses(std::shared_ptr<const AddressList> list) {
  addresses_ = std::move(list);
  std::erase_if(failing_, [&](const Failing& failing) {
    return std::ranges::find(addresses_->addresses, failing.address) == addresses_->addresses.end();
  });
  for (UpstreamUser* user : std::exchange(waiting_, {})) connect(*user);
}

void Origin::set_client(std::unique_ptr<tls::ClientContext> client) {
  close_idle();
  if (client_) retired_clients_.push_back(std::move(client_));
  client_ = std::move(client);
  std::erase_if(retired_clients_, [&](const auto& retired) { return !worker_.uses_client(*retired); });
}

void Origin::close_idle() {
  while (idle_ != nullptr) idle_->abandon();
}

void Origin::put_idle(Upstream& upstream) {
  upstream.idle_previous_ = nullptr;
  upstream.idle_next_ = idle_;
  if (idle_ != nullptr) idle_->idle_previous_ = &upstream;
  idle_ = &upstream;
  idle_count_++;
}

void Origin::take_idle(Upstream& upstream) {
  if (upstream.idle_next_ != nullptr) upstream.idle_next_->idle_previous_ = upstream.idle_previous_;
  (upstream.idle_previous_ != nullptr ? upstream.idle_previous_->idle_next_ : idle_) = upstream.idle_next_;
  upstream.idle_next_ = upstream.idle_previous_ = nullptr;
  idle_count_--;
}

}  // namespace weir::proxy
