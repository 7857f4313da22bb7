#include "server/resolver.h"

#include <netdb.h>
#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "base/assert.h"

namespace weir::server {

namespace {

// How long the first name that is not found waits for what the look-ups of the others say.
constexpr uint64_t kTogetherNs = kNsPerSecond;

bool same(const io::Address& a, const io::Address& b) {
  return a.size == b.size && std::memcmp(&a.storage, &b.storage, a.size) == 0;
}

bool same_list(const std::vector<io::Address>& a, const std::vector<io::Address>& b) {
  return std::ranges::equal(a, b, same);
}

Resolution ask(const std::string& host, uint16_t port, int flags) {
  addrinfo wanted{};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int outcome = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &found);
  if (outcome == EAI_SYSTEM) return {.list = {}, .error = std::generic_category().message(errno)};
  if (outcome != 0) return {.list = {}, .error = gai_strerror(outcome)};
  Resolution resolution;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next)
    if (one->ai_family == AF_INET || one->ai_family == AF_INET6)
      resolution.list.push_back(io::address_from(one->ai_addr, one->ai_addrlen));
  freeaddrinfo(found);
  if (resolution.list.empty()) resolution.error = "the name has no address";
  return resolution;
}

}  // namespace

Resolution resolve_by_system(const std::string& host, uint16_t port) {
  return ask(host, port, 0);
}

void interleave_families(std::vector<io::Address>& list) {
  std::vector<io::Address> first;
  std::vector<io::Address> second;
  for (const io::Address& address : list) {
    std::vector<io::Address>& family = address.family() == list.front().family() ? first : second;
    if (std::ranges::none_of(family, [&](const io::Address& known) { return same(known, address); }))
      family.push_back(address);
  }
  list.clear();
  for (size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
    if (i < first.size()) list.push_back(first[i]);
    if (i < second.size()) list.push_back(second[i]);
  }
}

NameTable::NameTable(uint64_t ttl_ns) : ttl_ns_(ttl_ns) {
  ASSERT(ttl_ns > 0);
}

size_t NameTable::add(const std::string& host, uint16_t port, uint64_t now_ns) {
  const auto known = std::ranges::find_if(names_, [&](const Name& n) { return n.host == host && n.port == port; });
  if (known != names_.end()) return static_cast<size_t>(known - names_.begin());
  Name& name = names_.emplace_back();
  name.host = host;
  name.port = port;
  name.due_ns = now_ns;
  name.retry_pause_ns = std::min(kNsPerSecond, ttl_ns_);
  // AI_NUMERICHOST never leaves this machine, and knows all forms of a literal, scopes of IPv6 included.
  Resolution literal = ask(host, port, AI_NUMERICHOST);
  if (literal.error.empty()) {
    name.state = State::fixed;
    publish(name, std::move(literal.list), {});
  }
  return names_.size() - 1;
}

std::vector<NameTable::Lookup> NameTable::take_due(uint64_t now_ns) {
  std::vector<Lookup> due;
  for (size_t index = 0; index < names_.size(); ++index) {
    Name& name = names_[index];
    if (name.state != State::waiting || name.due_ns > now_ns) continue;
    name.state = State::looking_up;
    due.push_back({.index = index, .host = name.host, .port = name.port});
  }
  return due;
}

uint64_t NameTable::next_due_ns() const {
  uint64_t next = UINT64_MAX;
  for (const Name& name : names_)
    if (name.state == State::waiting) next = std::min(next, name.due_ns);
  return next;
}

bool NameTable::looks_up() const {
  return std::ranges::any_of(names_, [](const Name& name) { return name.state == State::looking_up; });
}

NameTable::Turn NameTable::take(size_t index, Resolution resolution, uint64_t now_ns) {
  Name& name = names_[index];
  ASSERT(name.state == State::looking_up);
  name.state = State::waiting;
  const bool had_failed = name.failing;
  name.failing = resolution.list.empty();
  if (name.failing) {
    name.due_ns = now_ns + name.retry_pause_ns;
    name.retry_pause_ns = std::min(name.retry_pause_ns * 2, ttl_ns_);
    const bool has_addresses = name.published != nullptr && !name.published->list.empty();
    if (!has_addresses) publish(name, {}, std::move(resolution.error));
    return had_failed ? Turn::none : Turn::failed;
  }
  name.due_ns = now_ns + ttl_ns_;
  name.retry_pause_ns = std::min(kNsPerSecond, ttl_ns_);
  interleave_families(resolution.list);
  publish(name, std::move(resolution.list), {});
  return had_failed ? Turn::recovered : Turn::none;
}

// Only what differs from before: workers are not woken for nothing.
void NameTable::publish(Name& name, std::vector<io::Address> list, std::string error) {
  if (name.published != nullptr && same_list(name.published->list, list) && name.published->error == error) return;
  name.published = std::make_shared<const Addresses>(
      Addresses{.list = std::move(list), .generation = ++generation_, .error = std::move(error)});
}

// What the resolver's thread, the look-ups and the callers of the resolver share.
struct Resolver::Shared {
  struct Subscriber {
    OnResolved on_resolved;
    std::vector<uint64_t> seen;  // by index: the generation it was told last
  };
  struct Answer {
    size_t index;
    Resolution resolution;
  };

  explicit Shared(uint64_t ttl_ns) : names(ttl_ns) {}

  // REQUIRES: the lock is held.
  void wake() {
    woken = true;
    changed.notify_one();
  }

  std::mutex mutex;  // of all below
  std::condition_variable changed;
  bool woken = false;  // something changed since the resolver's thread last looked
  NameTable names;
  std::deque<Subscriber> subscribers;  // grows only; references stay valid
  std::vector<Answer> answers;         // of look-ups that ended, not yet taken
  bool stopping = false;
};

struct Resolver::Thread {
  Thread(std::shared_ptr<Shared> all, Logger& to, Resolve by)
      : shared(std::move(all)), logger(to), resolve(std::move(by)), thread([this] { run(); }) {}

  void run();
  void start_lookup(NameTable::Lookup lookup);
  void take_answers();
  void tell_subscribers(std::unique_lock<std::mutex>& lock);
  void log_turn(size_t index, NameTable::Turn turn, const std::string& error);
  void tell_unresolved(uint64_t now_ns);

  struct Unresolved {
    std::string host;
    std::string error;
  };
  std::vector<Unresolved> unresolved;  // that have no address, not told yet
  uint64_t tell_at_ns = UINT64_MAX;
  std::shared_ptr<Shared> shared;
  Logger& logger;
  Resolve resolve;
  std::thread thread;  // last: it uses the others
};

void Resolver::Thread::run() {
  pthread_setname_np(pthread_self(), "weir-resolver");
  std::unique_lock lock(shared->mutex);
  while (!shared->stopping) {
    shared->woken = false;
    take_answers();
    tell_unresolved(monotonic_ns());
    for (NameTable::Lookup& due : shared->names.take_due(monotonic_ns())) start_lookup(std::move(due));
    tell_subscribers(lock);
    const auto woken = [this] { return shared->woken; };
    const uint64_t due_ns = std::min(shared->names.next_due_ns(), tell_at_ns);
    const uint64_t now_ns = monotonic_ns();
    if (due_ns == UINT64_MAX)
      shared->changed.wait(lock, woken);
    else if (due_ns > now_ns)
      shared->changed.wait_for(lock, std::chrono::nanoseconds(due_ns - now_ns), woken);
  }
}

// REQUIRES: the lock is held, here and in take_answers().
void Resolver::Thread::start_lookup(NameTable::Lookup lookup) {
  const size_t index = lookup.index;
  try {
    std::thread([all = shared, by = resolve, wanted = std::move(lookup)] {
      pthread_setname_np(pthread_self(), "weir-lookup");
      Resolution resolution = by(wanted.host, wanted.port);
      const std::scoped_lock lock(all->mutex);
      all->answers.push_back({.index = wanted.index, .resolution = std::move(resolution)});
      all->wake();
    }).detach();
  } catch (const std::system_error& error) {  // no more threads: to be tried again like any failure
    shared->answers.push_back({.index = index, .resolution = {.list = {}, .error = error.what()}});
    shared->wake();
  }
}

void Resolver::Thread::take_answers() {
  std::vector<Shared::Answer> answers;
  answers.swap(shared->answers);
  for (Shared::Answer& answer : answers) {
    const std::string error = answer.resolution.error;
    const NameTable::Turn turn = shared->names.take(answer.index, std::move(answer.resolution), monotonic_ns());
    log_turn(answer.index, turn, error);
  }
}

void Resolver::Thread::log_turn(size_t index, NameTable::Turn turn, const std::string& error) {
  const std::string& host = shared->names.host(index);
  const auto& known = shared->names.published(index);
  switch (turn) {
    case NameTable::Turn::none:
      return;
    case NameTable::Turn::failed:
      if (known->list.empty()) {
        unresolved.push_back({.host = host, .error = error});
        tell_at_ns = std::min(tell_at_ns, monotonic_ns() + kTogetherNs);
      } else {
        logger.warn("cannot resolve a host name; its last addresses stay in use",
                    {{"host", host}, {"error", error}, {"addresses", known->list.size()}});
      }
      return;
    case NameTable::Turn::recovered:
      logger.info("a host name is resolved again", {{"host", host}, {"addresses", known->list.size()}});
      return;
  }
}

// A machine without a network fails for all names at once: that is one line, not one for each provider.
void Resolver::Thread::tell_unresolved(uint64_t now_ns) {
  if (unresolved.empty() || (shared->names.looks_up() && now_ns < tell_at_ns)) return;
  std::string hosts;
  for (const Unresolved& one : unresolved) hosts += (hosts.empty() ? "" : ", ") + one.host;
  logger.warn(unresolved.size() == 1 ? "cannot resolve a host name; retrying" : "cannot resolve host names; retrying",
              {{"host", hosts}, {"error", unresolved.front().error}});
  unresolved.clear();
  tell_at_ns = UINT64_MAX;
}

void Resolver::Thread::tell_subscribers(std::unique_lock<std::mutex>& lock) {
  for (size_t i = 0; i < shared->subscribers.size(); ++i) {
    Shared::Subscriber& subscriber = shared->subscribers[i];
    for (size_t index = 0; index < shared->names.count(); ++index) {
      const std::shared_ptr<const Addresses> addresses = shared->names.published(index);
      if (subscriber.seen.size() <= index) subscriber.seen.resize(index + 1, 0);
      if (addresses == nullptr || subscriber.seen[index] == addresses->generation) continue;
      subscriber.seen[index] = addresses->generation;
      lock.unlock();  // the callback may add names
      subscriber.on_resolved(index, addresses);
      lock.lock();
      if (shared->stopping) return;
    }
  }
}

Resolver::Resolver(uint64_t ttl_ns, Logger& logger, Resolve resolve)
    : shared_(std::make_shared<Shared>(ttl_ns)),
      thread_(std::make_unique<Thread>(shared_, logger, std::move(resolve))) {}

Resolver::~Resolver() {
  {
    const std::scoped_lock lock(shared_->mutex);
    shared_->stopping = true;
    shared_->wake();
  }
  thread_->thread.join();
  // A look-up that still runs keeps the rest alive, but not what the subscribers hold.
  const std::scoped_lock lock(shared_->mutex);
  shared_->subscribers.clear();
}

size_t Resolver::add(const std::string& host, uint16_t port) {
  const std::scoped_lock lock(shared_->mutex);
  const size_t index = shared_->names.add(host, port, monotonic_ns());
  shared_->wake();
  return index;
}

void Resolver::subscribe(OnResolved on_resolved) {
  const std::scoped_lock lock(shared_->mutex);
  shared_->subscribers.push_back({.on_resolved = std::move(on_resolved), .seen = {}});
  shared_->wake();
}

}  // namespace weir::server
