// Sockets: accepting, connecting, receiving, sending, and the links that their bytes go through.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/clock.h"
#include "sim/kernel.h"

namespace weir::sim {

namespace {

constexpr uint64_t kAttemptDelayNs = 250 * kNsPerMs;
constexpr uint32_t kReceivesAtOnce = 32;  // completions that one multishot receive gives before they are taken

}  // namespace

// --- accepting and connecting ---

int Kernel::add_listener(Family family) {
  Descriptor& made = descriptors_.emplace_back();
  made.listener = true;
  made.unix_socket = family == Family::unix_socket;
  return kFirstDescriptor + static_cast<int>(descriptors_.size()) - 1;
}

Link& Kernel::dial(int listener, Actor& actor, uint32_t peer) {
  Link& link = links_.emplace_back(*this, static_cast<uint32_t>(links_.size()));
  link.actor_ = &actor;
  link.peer_ = peer;
  const size_t index = static_cast<size_t>(listener - kFirstDescriptor);
  link.unix_socket_ = descriptors_[index].unix_socket;
  after(delay(), [this, index, &link] {
    Descriptor& listening = descriptors_[index];
    if (listening.closed) {
      if (link.actor_ != nullptr) std::exchange(link.actor_, nullptr)->on_end(true);
      return;
    }
    listening.backlog.push_back(&link);
    if (link.actor_ != nullptr) link.actor_->on_open();
    pump_accept(listening);
  });
  return link;
}

void Kernel::pump_accept(Descriptor& listener) {
  while (listener.accept != nullptr && !listener.backlog.empty()) {
    Operation& operation = *listener.accept;
    if (random_.percent(weather_.accept_fail_percent)) {
      constexpr int kErrors[] = {EMFILE, ENFILE, ECONNABORTED, ENOMEM};
      const int error = kErrors[random_.below(4)];
      trace("accept fails: {}", std::strerror(error));
      faults_.accepts++;
      finish(operation, -error);
      return;
    }
    Link* link = listener.backlog.front();
    listener.backlog.pop_front();
    const int number = kFirstDescriptor + static_cast<int>(descriptors_.size());
    link->descriptor_ = number;
    descriptors_.emplace_back().link = link;
    trace("link {}: accepted as descriptor {}", link->id_, number);
    io::Completion completion;
    completion.result = number;
    post(operation, completion, random_.percent(weather_.multishot_end_percent));
  }
}

int Kernel::open_stream() {
  if (random_.percent(weather_.descriptor_fail_percent)) {
    faults_.descriptors++;
    return -1;
  }
  Link& link = links_.emplace_back(*this, static_cast<uint32_t>(links_.size()));
  link.descriptor_ = kFirstDescriptor + static_cast<int>(descriptors_.size());
  descriptors_.emplace_back().link = &link;
  return link.descriptor_;
}

std::optional<std::string> Kernel::peer_of(int socket) {
  const Link& link = *descriptor(socket, "getpeername").link;
  if (link.unix_socket_) return std::nullopt;
  return fmt::format("10.9.{}.{}:5000", link.peer_ / 250, link.peer_ % 250 + 1);
}

std::optional<uint32_t> Kernel::uid_of(int socket) {
  const Link& link = *descriptor(socket, "getsockopt").link;
  return link.unix_socket_ ? std::optional(link.peer_) : std::nullopt;
}

std::optional<io::TcpState> Kernel::tcp_state(int socket) {
  const Link& link = *descriptor(socket, "getsockopt").link;
  if (link.unix_socket_) return std::nullopt;
  return io::TcpState{.acknowledged_bytes = link.read_bytes_,
                      .received_bytes = link.inbox_.size(),
                      .all_acknowledged = link.unread_.empty() && link.on_the_way_ == 0,
                      .round_trip_ns = 2 * weather_.delay_max_ns};
}

void Kernel::reset_on_close(int socket) {
  Link& link = *descriptor(socket, "setsockopt").link;
  link.reset_on_close_ = !link.unix_socket_;
}

void Kernel::do_connect(Operation& operation) {
  const uint64_t id = operation.id;
  const auto fail_later = [this, id](int error) {
    faults_.connects++;
    after(delay(), [this, id, error] {
      if (Operation* running = find(id); running != nullptr && !running->finished) finish(*running, -error);
    });
  };
  connect_counts_[operation.address]++;
  if (const auto hole = holes_.find(operation.address); hole != holes_.end()) {
    connect_to_hole(operation, hole->second);
    return;
  }
  const auto service = services_.find(operation.address);
  if (service == services_.end()) {
    fail_later(ECONNREFUSED);
    return;
  }
  if (random_.percent(weather_.connect_fail_percent)) {
    constexpr int kErrors[] = {ECONNREFUSED, EHOSTUNREACH, ETIMEDOUT, ECONNRESET};
    const uint64_t kind = random_.below(5);
    trace("link {}: connect to {} {}", operation.link->id_, operation.address,
          kind < 4 ? std::strerror(kErrors[kind]) : "is never answered");
    if (kind < 4) {
      fail_later(kErrors[kind]);
    } else {
      faults_.connects++;
    }
    return;
  }
  after(delay(), [this, id, answerer = service->second] {
    Operation* running = find(id);
    if (running == nullptr || running->finished) return;
    Link& link = *running->link;
    link.actor_ = answerer(link);
    first_connected_ns_.try_emplace(running->address, now_ns_);
    trace("link {}: connected to {}", link.id_, running->address);
    finish(*running, 0);
    link.actor_->on_open();
  });
}

void Kernel::connect_to_hole(const Operation& operation, const std::string& other) {
  trace("link {}: nothing answers at {}", operation.link->id_, operation.address);
  const bool steady = weather_.clock_jump_per_10000 == 0 && weather_.connect_fail_percent == 0;
  if (!steady) return;
  const auto connected = first_connected_ns_.find(other);
  const bool known = connected != first_connected_ns_.end() && now_ns_ > connected->second + 2 * kAttemptDelayNs;
  require(!known, "{} is tried first, though {} has worked", operation.address, other);
  after(2 * kAttemptDelayNs,
        [this, id = operation.id, address = operation.address, other, count = connect_counts_[other]] {
          const Operation* pending = find(id);
          require(pending == nullptr || pending->finished || connect_counts_[other] > count,
                  "nothing answers at {}, and {} is not tried", address, other);
        });
}

// --- receiving ---

void Kernel::pump_receive(Link& link) {
  Operation* operation = link.receive_;
  if (operation == nullptr) return;
  if (operation->kind == OpKind::sized_receive) {
    pump_sized(link, *operation);
    return;
  }
  while (link.inbox_read_ < link.inbox_.size()) {
    if (operation->unreaped >= kReceivesAtOnce) return;
    if (free_buffers_.empty()) {
      trace("link {}: no receive buffer", link.id_);
      finish(*operation, -ENOBUFS);
      return;
    }
    const uint16_t buffer = free_buffers_.front();
    free_buffers_.pop_front();
    require(holders_[buffer] == Holder::kernel, "receive buffer {} is used twice", buffer);
    holders_[buffer] = Holder::completion;
    const size_t size = piece(std::min<size_t>(link.inbox_.size() - link.inbox_read_, options_.buffer_size));
    std::memcpy(buffer_data(buffer), link.inbox_.data() + link.inbox_read_, size);
    link.inbox_read_ += size;
    io::Completion completion;
    completion.result = static_cast<int32_t>(size);
    completion.buffer = buffer;
    const bool last = random_.percent(weather_.multishot_end_percent) || operation->once;
    post(*operation, completion, last);
    if (last) return;
  }
  if (link.reset_arrived_) {
    finish(*operation, -ECONNRESET);
  } else if (link.end_arrived_ || link.shut_receive_) {
    finish(*operation, 0);
  }
}

void Kernel::pump_sized(Link& link, Operation& operation) {
  const size_t there = link.inbox_.size() - link.inbox_read_;
  const size_t size = std::min(there, operation.size - operation.done);
  std::memcpy(operation.data + operation.done, link.inbox_.data() + link.inbox_read_, size);
  link.inbox_read_ += size;
  operation.done += size;
  if (operation.done == operation.size) {
    finish(operation, static_cast<int>(operation.done));
  } else if (link.reset_arrived_ || link.end_arrived_ || link.shut_receive_) {
    finish(operation, operation.done > 0 ? static_cast<int>(operation.done) : link.reset_arrived_ ? -ECONNRESET : 0);
  }
}

void Kernel::release_buffer(uint16_t buffer) {
  require(buffer < options_.buffers, "receive buffer {} never was", buffer);
  require(holders_[buffer] == Holder::worker, "receive buffer {} is released by somebody who does not hold it", buffer);
  holders_[buffer] = Holder::kernel;
  buffers_held_--;
  // Whoever still looks at it sees that it is not his.
  std::memset(buffer_data(buffer), '#', options_.buffer_size);
  given_back_.push_back(buffer);
}

// --- sending ---

void Kernel::check_borrowed(const Operation& operation, size_t from, size_t size) const {
  size_t offset = 0;
  for (const iovec& slice : operation.borrowed) {
    const size_t begin = std::max(from, offset);
    const size_t end = std::min(from + size, offset + slice.iov_len);
    if (begin < end) {
      require(std::memcmp(static_cast<const char*>(slice.iov_base) + (begin - offset), operation.bytes.data() + begin,
                          end - begin) == 0,
              "the bytes of a send have changed while it was in flight (link {})", operation.link->id_);
    }
    offset += slice.iov_len;
  }
}

void Kernel::fail_send(Operation& operation, int error) {
  finish(operation, operation.done > 0 ? static_cast<int>(operation.done) : -error);
}

void Kernel::pump_send(Link& link) {
  Operation* operation = link.send_;
  if (operation == nullptr) return;
  if (link.reset_arrived_) {
    fail_send(*operation, random_.percent(50) ? EPIPE : ECONNRESET);
    return;
  }
  if (link.shut_send_) {
    fail_send(*operation, EPIPE);
    return;
  }
  while (operation->done < operation->bytes.size()) {
    const size_t used = link.unread_.size() + link.on_the_way_;
    if (used >= link.window_) return;
    const size_t size = piece(std::min(link.window_ - used, operation->bytes.size() - operation->done));
    check_borrowed(*operation, operation->done, size);
    std::string bytes = operation->bytes.substr(operation->done, size);
    operation->done += size;
    link.on_the_way_ += size;
    link.to_actor_due_ = std::max(link.to_actor_due_, now_ns_ + delay());
    after(link.to_actor_due_ - now_ns_,
          [&link, moved = std::move(bytes)]() mutable { link.deliver(std::move(moved)); });
  }
  finish(*operation, static_cast<int>(operation->done));
}

// --- links ---

void Link::write(std::string bytes) {
  if (finished_ || actor_ == nullptr || bytes.empty()) return;
  written_ += bytes.size();
  size_t offset = 0;
  while (offset < bytes.size()) {
    const size_t size = kernel_.piece(bytes.size() - offset);
    to_worker_due_ = std::max(to_worker_due_, kernel_.now_ns() + kernel_.delay());
    kernel_.after(to_worker_due_ - kernel_.now_ns(), [this, part = bytes.substr(offset, size)] { arrive(part); });
    offset += size;
  }
}

void Link::arrive(std::string_view bytes) {
  if (reset_arrived_) return;
  if (worker_closed_) {
    reset_arrives();
    return;
  }
  inbox_ += bytes;
  kernel_.pump_receive(*this);
}

void Link::finish() {
  if (finished_) return;
  finished_ = true;
  to_worker_due_ = std::max(to_worker_due_, kernel_.now_ns() + kernel_.delay());
  kernel_.after(to_worker_due_ - kernel_.now_ns(), [this] {
    end_arrived_ = true;
    kernel_.pump_receive(*this);
  });
}

void Link::reset() {
  if (actor_ == nullptr) return;
  actor_ = nullptr;
  finished_ = true;
  // It may overtake what was written before: those bytes are lost then.
  const bool overtakes = kernel_.random_.percent(50);
  const uint64_t due_ns = kernel_.now_ns() + kernel_.delay();
  if (!overtakes) to_worker_due_ = std::max(to_worker_due_, due_ns);
  kernel_.after((overtakes ? due_ns : to_worker_due_) - kernel_.now_ns(), [this, overtakes] {
    if (reset_arrived_) return;
    reset_arrived_ = true;
    if (overtakes) inbox_.resize(inbox_read_);
    kernel_.pump_receive(*this);
    kernel_.pump_send(*this);
  });
}

void Link::close() {
  if (actor_ == nullptr) return;
  if (!unread_.empty()) {
    reset();
    return;
  }
  finish();
  actor_ = nullptr;
}

void Link::read_slowly(size_t window, size_t chunk, uint64_t pause_ns) {
  window_ = window;
  read_chunk_ = chunk;
  read_pause_ns_ = pause_ns;
}

void Link::hold_reading(uint64_t until_ns) {
  hold_until_ns_ = until_ns;
}

// Bytes of the worker's come to the actor's socket.
void Link::deliver(std::string bytes) {
  on_the_way_ -= bytes.size();
  if (actor_ == nullptr) {
    // Nobody is there any more: a reset goes back.
    kernel_.after(kernel_.delay(), [this] {
      if (reset_arrived_) return;
      reset_arrived_ = true;
      kernel_.pump_receive(*this);
      kernel_.pump_send(*this);
    });
    return;
  }
  unread_ += bytes;
  read();
}

void Link::read() {
  while (actor_ != nullptr && !unread_.empty() && !read_planned_) {
    if (kernel_.now_ns() < hold_until_ns_) {
      read_planned_ = true;
      kernel_.after(hold_until_ns_ - kernel_.now_ns(), [this] {
        read_planned_ = false;
        read();
      });
      return;
    }
    const size_t size = read_chunk_ == 0 ? unread_.size() : std::min(read_chunk_, unread_.size());
    const std::string bytes = unread_.substr(0, size);
    unread_.erase(0, size);
    read_bytes_ += size;
    if (read_pause_ns_ > 0) {
      read_planned_ = true;
      kernel_.after(read_pause_ns_, [this] {
        read_planned_ = false;
        read();
      });
    }
    actor_->on_bytes(bytes);
    kernel_.pump_send(*this);
  }
  if (actor_ != nullptr && unread_.empty() && end_pending_) {
    end_pending_ = false;
    Actor* actor = actor_;
    if (worker_closed_ && finished_) actor_ = nullptr;
    actor->on_end(false);
  }
}

// The worker has ended its direction: the actor hears it behind the last byte.
void Link::end_delivered() {
  to_actor_due_ = std::max(to_actor_due_, kernel_.now_ns() + kernel_.delay());
  kernel_.after(to_actor_due_ - kernel_.now_ns(), [this] {
    end_pending_ = true;
    read();
  });
}

// The worker's end is gone and answers with a reset.
void Link::reset_arrives() {
  const bool overtakes = kernel_.random_.percent(50);
  const uint64_t due_ns = kernel_.now_ns() + kernel_.delay();
  if (!overtakes) to_actor_due_ = std::max(to_actor_due_, due_ns);
  kernel_.after((overtakes ? due_ns : to_actor_due_) - kernel_.now_ns(), [this] {
    if (actor_ == nullptr) return;
    unread_.clear();
    std::exchange(actor_, nullptr)->on_end(true);
  });
}

}  // namespace weir::sim
