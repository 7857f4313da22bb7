// Socket addresses (IPv4, IPv6, Unix) and the few socket calls that are made outside the ring: at start, and once for a
// connection (sockets.cc; the simulator has its own).
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir::io {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  int family() const { return storage.ss_family; }
  bool is_loopback() const;       // Unix sockets count as such
  uint16_t port() const;          // 0 for Unix sockets
  std::string text() const;       // "127.0.0.1:4001", "[::1]:4001", "unix:/run/weir.sock"
  std::string host_text() const;  // "127.0.0.1", "::1", "unix"
  bool operator==(const Address& other) const;
};

// "0.0.0.0:4001", "[::]:4001", "unix:/run/weir/agents.sock". No names.
Result<Address> parse_address(std::string_view text);
Address address_from(const sockaddr* address, socklen_t size);

// SO_REUSEPORT: one socket for each worker. The first of them is not one that joins, so that another process's are met.
enum class PortSharing : uint8_t { none, first, joins };

struct ListenOptions {
  int backlog = 4096;
  PortSharing sharing = PortSharing::none;
  bool v6only = false;                 // [::] takes IPv6 alone
  std::string_view flag = "--listen";  // that chooses another address: for messages
};
// How long a peer may leave bytes unacknowledged, or probes unanswered: one that is gone without a word is found so.
// Two minutes are the keep-alive's idle time and its probes (sockets.cc), which end no later than this.
inline constexpr uint64_t kUserTimeoutMinNs = 120ull * 1000 * 1000 * 1000;
// At least that. Of a listening socket: of those that it will accept.
void set_user_timeout(int socket, uint64_t timeout_ns);

// A listening stream socket with TCP_NODELAY, keep-alive and the least user timeout (which accepted sockets inherit).
// Errors name the address, the likely cause and the mend. A stale Unix socket that nobody listens on is replaced; no
// other file is.
//
// A port that another process has is refused, and its pid named where it can be found. The check is the kernel's own,
// at listen(2): of two processes that start at once one is refused. If the port is taken and no process is found, it is
// tried again for a second: what a weir listened on with its ring is closed some milliseconds after its end.
Result<int> listen_on(const Address& address, const ListenOptions& options);
Result<Address> local_address(int socket);
std::optional<Address> peer_address(int socket);
// What the kernel knows of a TCP connection (TCP_INFO); of one that the peer has ended or reset too. A system call.
struct TcpState {
  uint64_t acknowledged_bytes = 0;  // by the peer, since the connection began
  uint64_t received_bytes = 0;      // in order, since then
  bool all_acknowledged = false;    // nothing is left in the send queue
  uint64_t round_trip_ns = 0;       // smoothed; 0: never measured
};
std::optional<TcpState> tcp_state(int socket);
// The socket's close() resets the connection (SO_LINGER 0), which tells the peer that what it has got is not the end.
// What it has not acknowledged by then is lost.
void reset_on_close(int socket);
// A stream socket for connect(), with the same options. An error is an exhausted descriptor table.
Result<int> open_stream(int family);
// Of the process at the other end of a Unix socket (SO_PEERCRED).
std::optional<uint32_t> peer_uid(int socket);

}  // namespace weir::io
