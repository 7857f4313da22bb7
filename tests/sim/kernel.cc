#include "sim/kernel.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/clock.h"

namespace weir::sim {

namespace {

constexpr uint64_t kTurnsMax = 400'000;
constexpr uint64_t kLongJumpNs = 500 * kNsPerMs;

Kernel* the_kernel = nullptr;

std::string_view text(OpKind kind) {
  constexpr std::string_view kTexts[] = {"accept", "receive", "sized receive", "send", "connect", "mail"};
  return kTexts[static_cast<size_t>(kind)];
}

}  // namespace

Kernel::Kernel(Random& random, const Weather& weather) : random_(random), weather_(weather) {
  the_kernel = this;
}
Kernel::~Kernel() {
  the_kernel = nullptr;
}
Kernel& Kernel::current() {
  require(the_kernel != nullptr, "an engine without a simulation");
  return *the_kernel;
}

void Kernel::set_up(const io::EngineOptions& options) {
  options_ = options;
  buffers_.resize(static_cast<size_t>(options.buffers) * options.buffer_size);
  holders_.assign(options.buffers, Holder::kernel);
  for (uint32_t i = 0; i < options.buffers; i++) free_buffers_.push_back(static_cast<uint16_t>(i));
}

// --- time ---

int64_t Kernel::unix_us() {
  // Somebody sets the clock; a second forward or back.
  if (random_.percent(weather_.wall_step_percent))
    wall_offset_us_ += static_cast<int64_t>(random_.below(2'000'000)) - 1'000'000;
  return static_cast<int64_t>(now_ns_ / kNsPerUs) + wall_offset_us_;
}

void Kernel::after(uint64_t delay_ns, std::function<void()> what) {
  events_.push({now_ns_ + delay_ns, sequence_++, std::move(what)});
}

bool Kernel::run_next(uint64_t limit_ns) {
  if (events_.empty() || events_.top().due_ns > limit_ns) return false;
  const auto what = std::move(const_cast<Event&>(events_.top()).what);
  now_ns_ = std::max(now_ns_, events_.top().due_ns);
  report().now_ns = now_ns_ - kStartNs;
  events_.pop();
  what();
  return true;
}

void Kernel::run_until(uint64_t until_ns) {
  while (run_next(until_ns)) {
  }
  now_ns_ = std::max(now_ns_, until_ns);
  report().now_ns = now_ns_ - kStartNs;
}

bool Kernel::anything_ready() const {
  return !left_over_.empty() || (!ready_.empty() && ready_.top().due_ns <= now_ns_);
}

size_t Kernel::wait(std::span<io::Completion> out, uint64_t timeout_ns) {
  if (on_turn_) on_turn_();
  submit();
  unpark();
  submit();
  for (const uint16_t buffer : given_back_) free_buffers_.push_back(buffer);
  given_back_.clear();
  if (out.empty()) return 0;
  turns_++;
  require(turns_ < kTurnsMax, "no end: {} turns", turns_);
  counters_.enters++;

  const uint64_t deadline_ns = now_ns_ + timeout_ns;
  if (random_.below(10'000) < weather_.clock_jump_per_10000) {
    // The process was stopped; the world was not.
    const uint64_t jump_ns = random_.below(weather_.clock_jump_max_ns);
    trace("the clock jumps by {} ms", jump_ns / kNsPerMs);
    if (jump_ns > kLongJumpNs) faults_.long_jumps++;
    run_until(now_ns_ + jump_ns);
  } else if (weather_.turn_late_max_ns > 0) {
    run_until(now_ns_ + random_.skewed(weather_.turn_late_max_ns));
  }
  for (;;) {
    run_until(now_ns_);
    if (anything_ready() || now_ns_ >= deadline_ns) break;
    uint64_t next_ns = deadline_ns;
    if (!events_.empty()) next_ns = std::min(next_ns, events_.top().due_ns);
    if (!ready_.empty()) next_ns = std::min(next_ns, ready_.top().due_ns);
    run_until(std::max(next_ns, now_ns_));
  }
  run_until(now_ns_ + random_.between(1, 20) * kNsPerUs);
  return gather(out);
}

size_t Kernel::gather(std::span<io::Completion> out) {
  std::vector<Ready> batch;
  while (!ready_.empty() && ready_.top().due_ns <= now_ns_) {
    batch.push_back(ready_.top());
    ready_.pop();
  }
  // Any order, but for the completions of one operation: those take the places that chance gave to their operation in
  // the order in which they were made.
  std::vector<size_t> places(batch.size());
  for (size_t i = 0; i < places.size(); i++) places[i] = i;
  for (size_t i = places.size(); i > 1; i--) std::swap(places[i - 1], places[random_.below(i)]);
  std::map<uint64_t, std::vector<size_t>> by_operation;
  for (size_t i = 0; i < places.size(); i++) {
    const Ready& ready = batch[places[i]];
    if (ready.operation != 0) by_operation[ready.operation].push_back(i);
  }
  for (auto& [id, of_one] : by_operation) {
    std::vector<size_t> in_order;
    for (const size_t place : of_one) in_order.push_back(places[place]);
    std::ranges::sort(in_order);
    for (size_t i = 0; i < of_one.size(); i++) places[of_one[i]] = in_order[i];
  }
  for (const size_t place : places) left_over_.push_back(batch[place]);
  size_t limit = out.size();
  if (random_.percent(weather_.few_completions_percent)) limit = random_.size(1, 3);
  size_t count = 0;
  while (count < limit && !left_over_.empty()) {
    const Ready ready = left_over_.front();
    left_over_.pop_front();
    out[count++] = ready.completion;
    counters_.completed++;
    if (ready.completion.buffer != io::kNoBuffer) {
      holders_[ready.completion.buffer] = Holder::worker;
      buffers_held_++;
    }
    if (ready.completion.code == io::Code::no_buffers) {
      starved_ = true;
      counters_.receives_starved++;
    }
    if (Operation* operation = find(ready.operation); operation != nullptr) {
      operation->unreaped--;
      Link* link = operation->kind == OpKind::receive && !operation->finished ? operation->link : nullptr;
      if (!ready.completion.more) {
        const uint64_t key = operation->token.pack();
        tokens_.erase(operation->id);
        operations_.erase(key);
      }
      if (link != nullptr) pump_receive(*link);
    }
  }
  return count;
}

// --- operations ---

Kernel::Descriptor& Kernel::descriptor(int number, const char* use) {
  const auto index = static_cast<size_t>(number - kFirstDescriptor);
  require(number >= kFirstDescriptor && index < descriptors_.size(), "{} of descriptor {}, which never was", use,
          number);
  Descriptor& found = descriptors_[index];
  require(!found.closed, "{} of descriptor {} after its close", use, number);
  return found;
}

Operation* Kernel::find(uint64_t id) {
  const auto token = tokens_.find(id);
  return token == tokens_.end() ? nullptr : &operations_.at(token->second);
}

void Kernel::start(Operation operation) {
  const uint64_t key = operation.token.pack();
  require(!operations_.contains(key), "a second operation with the token op={} index={} generation={}",
          operation.token.op, operation.token.index, operation.token.generation);
  if (operation.kind != OpKind::read_event) {
    operation.link = descriptor(operation.descriptor, "use").link;
  }
  operation.id = next_id_++;
  const uint64_t id = operation.id;
  tokens_[id] = key;
  operations_.emplace(key, std::move(operation));
  submissions_.emplace_back([this, id] { submit_one(*find(id)); });
  if (submissions_.size() >= options_.entries) submit();
}

void Kernel::receive(int socket, io::Token token, bool once) {
  if (starved_) {
    descriptor(socket, "receive");
    parked_.push_back({socket, token, once});
    return;
  }
  Operation operation;
  operation.kind = OpKind::receive;
  operation.token = token;
  operation.descriptor = socket;
  operation.once = once;
  start(std::move(operation));
}

void Kernel::unpark() {
  if (!starved_ || buffers_free() < options_.buffers / 4) return;
  starved_ = false;
  for (const Parked& parked : std::exchange(parked_, {})) receive(parked.socket, parked.token, parked.once);
}

void Kernel::submit() {
  counters_.submitted += submissions_.size();
  for (const auto& submission : std::exchange(submissions_, {})) submission();
}

void Kernel::submit_one(Operation& operation) {
  operation.submitted = true;
  trace("descriptor {}: {} starts{}", operation.descriptor, text(operation.kind),
        operation.kind == OpKind::sized_receive ? fmt::format(" of {}", operation.size) : "");
  switch (operation.kind) {
    case OpKind::accept: {
      Descriptor& listener = descriptors_[static_cast<size_t>(operation.descriptor - kFirstDescriptor)];
      require(listener.listener && listener.accept == nullptr, "a second accept");
      listener.accept = &operation;
      pump_accept(listener);
      break;
    }
    case OpKind::receive:
    case OpKind::sized_receive:
      require(operation.link->receive_ == nullptr, "two receives on one socket");
      operation.link->receive_ = &operation;
      pump_receive(*operation.link);
      break;
    case OpKind::send:
      require(operation.link->send_ == nullptr, "two sends on one socket");
      operation.link->send_ = &operation;
      pump_send(*operation.link);
      break;
    case OpKind::connect:
      do_connect(operation);
      break;
    case OpKind::read_event:
      mail_read_ = &operation;
      if (mail_) mail_posted();
      break;
  }
}

void Kernel::post(Operation& operation, io::Completion completion, bool last) {
  completion.token = operation.token;
  completion.more = !last;
  operation.unreaped++;
  const uint64_t due_ns = std::max(operation.last_due_ns, now_ns_ + random_.skewed(weather_.late_max_ns));
  operation.last_due_ns = due_ns;
  ready_.push({due_ns, sequence_++, operation.id, completion});
  if (!last) return;
  operation.finished = true;
  trace("descriptor {}: {} ends: {} {}", operation.descriptor, text(operation.kind), io::text(completion.code),
        completion.result);
  if (operation.link != nullptr) {
    if (operation.link->receive_ == &operation) operation.link->receive_ = nullptr;
    if (operation.link->send_ == &operation) operation.link->send_ = nullptr;
  }
  if (operation.kind == OpKind::accept) {
    for (Descriptor& listener : descriptors_) {
      if (listener.accept == &operation) listener.accept = nullptr;
    }
  }
  if (mail_read_ == &operation) mail_read_ = nullptr;
}

// The last completion: a result, or a negative errno.
void Kernel::finish(Operation& operation, int result_or_error, uint16_t buffer) {
  io::Completion completion;
  completion.buffer = buffer;
  if (result_or_error < 0) {
    completion.error = -result_or_error;
    completion.code = io::code_of(completion.error);
  } else {
    completion.result = result_or_error;
  }
  post(operation, completion, /*last=*/true);
}

void Kernel::cancel(io::Token token) {
  const auto parked = std::ranges::find_if(parked_, [&](const Parked& p) { return p.token.pack() == token.pack(); });
  if (parked != parked_.end()) {
    parked_.erase(parked);
    io::Completion completion;
    completion.token = token;
    completion.code = io::Code::cancelled;
    completion.error = ECANCELED;
    left_over_.push_front({now_ns_, sequence_++, 0, completion});
    return;
  }
  submissions_.emplace_back([this, token] { do_cancel(token); });
}

void Kernel::do_cancel(io::Token token) {
  const auto found = operations_.find(token.pack());
  if (found == operations_.end() || found->second.finished) return;  // too late
  if (!found->second.submitted) return;                              // too early: it stands behind in the queue
  Operation& operation = found->second;
  operation.cancelled = true;
  const uint64_t id = operation.id;
  const auto end = [this, id] {
    Operation* running = find(id);
    if (running == nullptr || running->finished) return;  // it was faster
    // A send or a receive that has come half-way says so.
    const bool partial = running->done > 0;
    finish(*running, partial ? static_cast<int>(running->done) : -ECANCELED);
  };
  if (random_.percent(weather_.cancel_late_percent)) {
    after(random_.below(5 * kNsPerMs), end);
  } else {
    end();
  }
}

void Kernel::shutdown(int socket, bool receive, bool send) {
  trace("descriptor {}: shutdown{}{}", socket, receive ? " receive" : "", send ? " send" : "");
  Descriptor& used = descriptor(socket, "shutdown");
  if (receive && send) {
    // A parked receive has no operation that a shutdown could end.
    for (size_t i = 0; i < parked_.size();) {
      if (parked_[i].socket == socket) {
        cancel(parked_[i].token);
      } else {
        i++;
      }
    }
  }
  Link& link = *used.link;
  if (receive) link.shut_receive_ = true;
  if (send && !link.shut_send_) {
    link.shut_send_ = true;
    if (link.send_ != nullptr) fail_send(*link.send_, EPIPE);
    link.end_delivered();
  }
  // A pending receive ends when the ring next works off what it has to do: by then more bytes may have come, and are
  // written where it was told to.
  if (random_.percent(50)) {
    after(0, [this, &link] { pump_receive(link); });
  } else {
    pump_receive(link);
  }
}

void Kernel::close(int number) {
  descriptor(number, "close").closed = true;
  submissions_.emplace_back([this, number] { do_close(number); });
}

void Kernel::do_close(int number) {
  Descriptor& closed = descriptors_[static_cast<size_t>(number - kFirstDescriptor)];
  for (const auto& [key, operation] : operations_) {
    if (operation.kind == OpKind::read_event || operation.descriptor != number) continue;
    // A listener is closed behind the cancel of its accept, in one submission.
    require(operation.kind == OpKind::accept && (operation.cancelled || operation.finished),
            "descriptor {} is closed with operation {} in flight", number, operation.token.op);
  }
  for (const Parked& parked : parked_)
    require(parked.socket != number, "descriptor {} is closed with a receive that waits", number);
  if (closed.listener) {
    for (Link* waiting : closed.backlog) {
      waiting->worker_closed_ = true;
      after(delay(), [waiting] {
        if (waiting->actor_ != nullptr) std::exchange(waiting->actor_, nullptr)->on_end(true);
      });
    }
    closed.backlog.clear();
    return;
  }
  Link& link = *closed.link;
  link.worker_closed_ = true;
  if (link.actor_ == nullptr) return;
  if (link.inbox_read_ < link.inbox_.size() || link.reset_on_close_) {
    // Unread bytes: the peer is told by a reset, which may overtake what it has not read.
    trace("link {}: closed with {} unread bytes: reset", link.id_, link.inbox_.size() - link.inbox_read_);
    link.reset_arrives();
  } else if (!link.shut_send_) {
    link.shut_send_ = true;
    link.end_delivered();
  }
}

void Kernel::mail_posted() {
  mail_ = true;
  if (mail_read_ == nullptr || mail_read_->finished) return;
  mail_ = false;
  require(::read(mail_read_->descriptor, mail_read_->value, sizeof(uint64_t)) == sizeof(uint64_t),
          "the mail's eventfd is empty");
  finish(*mail_read_, sizeof(uint64_t));
}

// --- the end ---

void Kernel::run_out() {
  uint64_t count = 0;
  while (run_next(UINT64_MAX)) require(++count < kTurnsMax, "the far ends have no end");
}

void Kernel::check_quiet() const {
  for (const auto& [key, operation] : operations_) {
    // The mail's read stays as long as the ring.
    const bool stays = operation.kind == OpKind::read_event;
    require(stays, "operation {} of descriptor {} is in flight at the end", operation.token.op, operation.descriptor);
  }
  require(parked_.empty(), "a receive waits for buffers at the end");
  for (size_t i = 0; i < descriptors_.size(); i++) {
    require(descriptors_[i].closed, "descriptor {} is open at the end", kFirstDescriptor + static_cast<int>(i));
  }
  require(buffers_held_ == 0, "{} receive buffers were not given back", buffers_held_);
}

}  // namespace weir::sim
