#include "proxy/connecting.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "proxy/origin.h"
#include "proxy/worker.h"

namespace weir::proxy {

namespace {

// "Connection Attempt Delay" (RFC 8305 section 8). A handshake gets it anew: who has accepted is not dead.
constexpr uint64_t kAttemptDelayNs = 250 * kNsPerMs;
constexpr size_t kAddressesMax = 64;

}  // namespace

void Connecting::begin(Worker& worker, Origin& origin, UpstreamUser& user) {
  worker_ = &worker;
  origin_ = &origin;
  user_ = &user;
  addresses_ = origin.addresses();
  tried_ = 0;
  last_ = kNoAddress;
  attempt_count_ = 0;
  fault_ = UpstreamFault::no_address;
  last_error_ = addresses_->error;
  timer_.owner = TimerOwner::connecting;
  timer_.object = this;
  if (addresses_->addresses.empty()) worker_->count_upstream_fault(fault_);
  try_next();
}

// What worked last; then the first of the other family that was not tried, and only then one of the same family: a
// network in which one family is dead costs one delay, however many addresses it has.
uint32_t Connecting::next_address() const {
  const auto& all = addresses_->addresses;
  const auto count = static_cast<uint32_t>(std::min(all.size(), kAddressesMax));
  if (last_ == kNoAddress && count > 0) return origin_->preferred_index(*addresses_, count);
  uint32_t same_family = kNoAddress;
  for (uint32_t i = 0; i < count; i++) {
    if ((tried_ >> i & 1) != 0) continue;
    if (all[i].family() != all[last_].family()) return i;
    same_family = std::min(same_family, i);
  }
  return same_family;
}

void Connecting::try_next() {
  while (attempt_count_ < kAttemptsMax) {
    const uint32_t index = next_address();
    if (index == kNoAddress) break;
    Upstream* upstream = worker_->acquire_upstream();
    if (upstream == nullptr && attempt_count_ > 0) {  // perhaps later
      worker_->wheel().set(timer_, worker_->now_ns() + kAttemptDelayNs);
      return;
    }
    tried_ |= uint64_t{1} << index;
    last_ = index;
    if (!attempt(upstream, addresses_->addresses[index])) continue;
    if (next_address() != kNoAddress) worker_->wheel().set(timer_, worker_->now_ns() + kAttemptDelayNs);
    return;
  }
  if (attempt_count_ > 0) return;
  worker_->tell_failure_later(*std::exchange(user_, nullptr), fault_, std::move(last_error_));
  finish();
}

// False: it could not even begin.
bool Connecting::attempt(Upstream* upstream, const io::Address& address) {
  if (upstream == nullptr) {
    last_error_ = "the limit of upstream connections is reached";
  } else {
    const Result<> begun = upstream->begin(*worker_, *origin_, *this, address);
    if (begun) {
      attempts_[attempt_count_++] = upstream;
      return true;
    }
    last_error_ = begun.error().message;
  }
  fault_ = UpstreamFault::connect;
  worker_->count_upstream_fault(fault_);
  return false;
}

void Connecting::on_timer() {
  try_next();
}

void Connecting::on_connected() {
  if (timer_.deadline_ns != 0) worker_->wheel().set(timer_, worker_->now_ns() + kAttemptDelayNs);
}

void Connecting::on_ready(Upstream& upstream) {
  origin_->note_success(upstream.address());
  // Those that were begun before it and are pending still have been overtaken: to wait for them would cost everybody
  // the delay, again and again.
  for (uint32_t i = 0; attempts_[i] != &upstream; i++) {
    worker_->count().upstreams_failed_overtaken.add();
    origin_->log_failure(attempts_[i]->address(), "no answer yet when another address had answered");
  }
  take_out(upstream);
  give_up_attempts();
  UpstreamUser* user = std::exchange(user_, nullptr);
  finish();
  upstream.hand_over(*user);
}

void Connecting::on_failed(Upstream& upstream, UpstreamFault fault, std::string_view why) {
  take_out(upstream);
  worker_->count_upstream_fault(fault);
  origin_->log_failure(upstream.address(), why);
  fault_ = fault;
  last_error_ = fmt::format("{} ({})", why, upstream.address().text());
  try_next();
}

void Connecting::forget_user(const UpstreamUser& user) {
  if (user_ != &user) return;
  user_ = nullptr;
  give_up_attempts();
  finish();
}

void Connecting::take_out(Upstream& upstream) {
  const auto end = attempts_.begin() + attempt_count_;
  const auto place = std::find(attempts_.begin(), end, &upstream);
  ASSERT(place != end);
  std::copy(place + 1, end, place);
  attempt_count_--;
}

void Connecting::give_up_attempts() {
  while (attempt_count_ > 0) attempts_[--attempt_count_]->abandon();
}

void Connecting::finish() {
  worker_->wheel().remove(timer_);
  addresses_.reset();
  last_error_.clear();
  worker_->release(*this);
}

}  // namespace weir::proxy
