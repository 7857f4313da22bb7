// The socket calls of address.h. Apart from the addresses themselves, because they belong to the kernel as
// engine_uring.cc does.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "base/clock.h"
#include "io/address.h"
#include "io/socket_holder.h"

namespace weir::io {

namespace {

const sockaddr* generic(const Address& address) {
  return reinterpret_cast<const sockaddr*>(&address.storage);
}

const char* path_of(const Address& address) {
  return reinterpret_cast<const sockaddr_un*>(&address.storage)->sun_path;
}

bool is_other_file(const Address& address) {
  struct stat about{};
  return address.family() == AF_UNIX && ::lstat(path_of(address), &about) == 0 && !S_ISSOCK(about.st_mode);
}

constexpr uint64_t kPortPatienceNs = kNsPerSecond;
constexpr useconds_t kPortPauseUs = 10'000;

std::string taken_advice(const Address& address, const std::optional<SocketHolder>& holder, std::string_view flag) {
  if (is_other_file(address))
    return fmt::format("a file that is no socket is there; move it or choose another {}", flag);
  if (!holder) {
    return fmt::format("another process listens there; as root, `ss -ltnp` shows which; stop it or choose another {}",
                       flag);
  }
  return fmt::format("{} with pid {} listens there; stop it or choose another {}",
                     holder->name.empty() ? "a process" : holder->name, holder->pid, flag);
}

// What usually makes bind(2) or listen(2) fail, and the way out.
std::string bind_advice(int error, const Address& address) {
  switch (error) {
    case EACCES:
      return address.family() == AF_UNIX ? "the folder is not writable for this user"
                                         : "ports below 1024 need CAP_NET_BIND_SERVICE or a higher port";
    case EADDRNOTAVAIL:
      return "no interface of this machine has that address; `ip address` lists them";
    case ENOENT:
      return "the folder of the socket does not exist; make it first";
    default:
      return "see the system's message";
  }
}

// A socket file that a dead process left behind refuses connections, as any other file does; a live one accepts them.
bool is_stale_socket(const Address& address) {
  if (is_other_file(address)) return false;
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return false;
  const bool stale = ::connect(probe, generic(address), address.size) != 0 && errno == ECONNREFUSED;
  ::close(probe);
  return stale;
}

void set(int socket, int level, int option, int value) {
  ::setsockopt(socket, level, option, &value, sizeof value);
}
void enable(int socket, int level, int option) {
  set(socket, level, option, 1);
}

// A laptop that was shut, a router that forgot: neither says a word. Sooner than load balancers and firewalls drop a
// connection that is idle (some after 350 s, most after ten minutes and more).
constexpr int kKeepAliveIdleS = 60;
constexpr int kKeepAliveIntervalS = 15;
constexpr int kKeepAliveProbes = 4;

void watch_peer(int socket) {
  enable(socket, SOL_SOCKET, SO_KEEPALIVE);
  set(socket, IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveIdleS);
  set(socket, IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveIntervalS);
  set(socket, IPPROTO_TCP, TCP_KEEPCNT, kKeepAliveProbes);
  set_user_timeout(socket, kUserTimeoutMinNs);
}

// A socket that listens, or the error as a negative number.
int open_listener(const Address& address, const ListenOptions& options) {
  const int listener = ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) return -errno;
  const bool tcp = address.family() != AF_UNIX;
  if (tcp) {
    enable(listener, SOL_SOCKET, SO_REUSEADDR);  // a restart need not wait for TIME_WAIT
    if (options.sharing == PortSharing::joins) enable(listener, SOL_SOCKET, SO_REUSEPORT);
    // Inherited by accepted sockets: no system calls for each.
    enable(listener, IPPROTO_TCP, TCP_NODELAY);
    watch_peer(listener);
    // Said in either case: what the kernel does by itself is a setting (net.ipv6.bindv6only).
    if (address.family() == AF_INET6) set(listener, IPPROTO_IPV6, IPV6_V6ONLY, options.v6only ? 1 : 0);
  } else if (is_stale_socket(address)) {
    ::unlink(path_of(address));
  }
  if (::bind(listener, generic(address), address.size) != 0 || ::listen(listener, options.backlog) != 0) {
    const int error = errno;
    ::close(listener);
    return -error;
  }
  // Only now: one socket with SO_REUSEPORT at bind(2) would share the port with any process of this user's that set it
  // too, another weir above all. From here on those of our other workers may join.
  if (tcp && options.sharing == PortSharing::first) enable(listener, SOL_SOCKET, SO_REUSEPORT);
  return listener;
}

}  // namespace

Result<int> listen_on(const Address& address, const ListenOptions& options) {
  const uint64_t deadline_ns = monotonic_ns() + kPortPatienceNs;
  ListenOptions wanted = options;
  for (;;) {
    const int listener = open_listener(address, wanted);
    if (listener >= 0) return listener;
    std::string advice;
    if (listener == -EADDRINUSE) {
      const auto holder = holder_of(address);
      if (wanted.sharing == PortSharing::first && holder && holder->pid == ::getpid()) {
        wanted.sharing = PortSharing::joins;  // another listener of ours: [::]:80 beside 0.0.0.0:80
        continue;
      }
      if (!holder && !is_other_file(address) && monotonic_ns() < deadline_ns) {
        ::usleep(kPortPauseUs);
        continue;
      }
      advice = taken_advice(address, holder, options.flag);
    } else {
      advice = bind_advice(-listener, address);
    }
    return fail("cannot listen on {}: {}: {}", address.text(), std::strerror(-listener), advice);
  }
}

Result<Address> local_address(int socket) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return fail("getsockname: {}", std::strerror(errno));
  }
  return address_from(reinterpret_cast<const sockaddr*>(&storage), size);
}

std::optional<Address> peer_address(int socket) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return std::nullopt;
  return address_from(reinterpret_cast<const sockaddr*>(&storage), size);
}

std::optional<TcpState> tcp_state(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
  return TcpState{.acknowledged_bytes = info.tcpi_bytes_acked,
                  .received_bytes = info.tcpi_bytes_received,
                  .all_acknowledged = info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0,
                  .round_trip_ns = info.tcpi_rtt * kNsPerUs};
}

void reset_on_close(int socket) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

Result<int> open_stream(int family) {
  const int stream = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (stream < 0) return fail("cannot open a socket: {}", std::strerror(errno));
  if (family != AF_UNIX) {
    enable(stream, IPPROTO_TCP, TCP_NODELAY);
    watch_peer(stream);
  }
  return stream;
}

void set_user_timeout(int socket, uint64_t timeout_ns) {
  // It ends a connection with a closed window too, however well the peer answers probes: so not before the timeout that
  // is for clients that do not read.
  const uint64_t ms = std::min<uint64_t>(std::max(timeout_ns, kUserTimeoutMinNs) / kNsPerMs, INT_MAX);
  set(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(ms));
}

std::optional<uint32_t> peer_uid(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return std::nullopt;
  return credentials.uid;
}

}  // namespace weir::io
