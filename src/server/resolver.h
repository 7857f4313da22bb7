// Host names to addresses, off the workers. A name is looked up when it is added and again each TTL; what was found
// stays in use while later look-ups fail. The names are those of the configuration, a handful; this is no DNS cache.
//
// Threads: the resolver's own thread keeps the time, publishes and logs; it never blocks in a look-up. Each look-up
// runs in a short-lived detached thread, at most one for each name: getaddrinfo(3) can hang for half a minute in a dead
// network and cannot be cancelled, and neither the other names nor the end of the process may wait for it. A detached
// thread touches only what it owns a share of, and its answer is dropped once the resolver is gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "io/address.h"

namespace weir::server {

// What is known of a name. Immutable once published, so a worker reads its copy of the pointer without a lock.
struct Addresses {
  std::vector<io::Address> list;  // in the order to try them, with the port
  uint64_t generation = 0;        // grows with each publication of the resolver, whatever the name
  std::string error;              // why the list is empty; else empty
};

// The outcome of one look-up: addresses, or an error in the words of getaddrinfo.
struct Resolution {
  std::vector<io::Address> list;
  std::string error;
};
// May block. Any thread calls it, several at once for different names.
using Resolve = std::function<Resolution(const std::string& host, uint16_t port)>;
// getaddrinfo for stream sockets. Both families are asked for even on a machine that has only one (no AI_ADDRCONFIG: it
// also drops loopback addresses there); unreachable ones sort last, and a failed connect costs nothing.
Resolution resolve_by_system(const std::string& host, uint16_t port);

// RFC 8305 section 4: the families take turns, beginning with that of the first address; within a family the order
// stays. Copies of an address are dropped.
void interleave_families(std::vector<io::Address>& list);

// When which name is looked up, and what follows from the answers. Pure: time is an argument, and the look-ups are the
// caller's.
class NameTable {
 public:
  // REQUIRES: ttl_ns > 0.
  explicit NameTable(uint64_t ttl_ns);

  // The index of the name; that of an earlier equal one if there is. IP literals are published at once, for good.
  size_t add(const std::string& host, uint16_t port, uint64_t now_ns);

  struct Lookup {
    size_t index;
    std::string host;
    uint16_t port;
  };
  // What must be looked up now. Each of them must be followed by a take() before it can become due again.
  std::vector<Lookup> take_due(uint64_t now_ns);
  // When the next look-up is due. UINT64_MAX: none is, before a take() or an add().
  uint64_t next_due_ns() const;

  enum class Turn : uint8_t {
    none,       // as before
    failed,     // the first failure after a success, or ever
    recovered,  // the first success after a failure
  };
  Turn take(size_t index, Resolution resolution, uint64_t now_ns);

  bool looks_up() const;  // a look-up is under way

  size_t count() const { return names_.size(); }
  const std::string& host(size_t index) const { return names_[index].host; }
  // The last publication, null before the first. A failure is published only while there is nothing better.
  const std::shared_ptr<const Addresses>& published(size_t index) const { return names_[index].published; }

 private:
  enum class State : uint8_t {
    fixed,       // an IP literal: nothing will ever be looked up
    waiting,     // until due_ns
    looking_up,  // a look-up is under way
  };
  struct Name {
    std::string host;
    uint16_t port = 0;
    State state = State::waiting;
    bool failing = false;
    uint64_t due_ns = 0;
    uint64_t retry_pause_ns = 0;  // after the next failure
    std::shared_ptr<const Addresses> published;
  };
  void publish(Name& name, std::vector<io::Address> list, std::string error);

  uint64_t ttl_ns_;
  uint64_t generation_ = 0;
  std::vector<Name> names_;
};

class Resolver {
 public:
  // Called on the resolver's thread, in the order of generations for a name. Must not block; may call the resolver.
  using OnResolved = std::function<void(size_t index, const std::shared_ptr<const Addresses>& addresses)>;

  // Only the resolver's thread uses `logger`, which outlives it. Signals that the caller has blocked stay blocked in
  // all its threads.
  Resolver(uint64_t ttl_ns, Logger& logger, Resolve resolve = resolve_by_system);
  ~Resolver();  // at once, whatever look-ups are under way; no callback runs afterwards
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // Both from any thread, at any time. A new subscriber is first told what is known.
  size_t add(const std::string& host, uint16_t port);
  void subscribe(OnResolved on_resolved);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  struct Thread;
  std::unique_ptr<Thread> thread_;
};

}  // namespace weir::server
