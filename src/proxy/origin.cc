#include "proxy/origin.h"

#include <algorithm>
#include <utility>

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
  return connect(user);
}

Upstream* Origin::connect(UpstreamUser& user) {
  Upstream* upstream = worker_.acquire_upstream();
  if (upstream == nullptr) {
    worker_.defer_failure(user, UpstreamFault::connect, "the limit of upstream connections is reached");
    return nullptr;
  }
  upstream->begin(worker_, *this, user);
  return nullptr;
}

void Origin::forget(UpstreamUser& user) {
  std::erase(waiting_, &user);
}

void Origin::set_addresses(std::shared_ptr<const AddressList> list) {
  addresses_ = std::move(list);
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
