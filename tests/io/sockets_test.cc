// Options of real sockets, as the kernel has them.
#include <doctest/doctest.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "base/clock.h"
#include "io/address.h"

namespace weir::io {
namespace {

struct Descriptor {
  int number;
  explicit Descriptor(int made) : number(made) { REQUIRE(number >= 0); }
  ~Descriptor() { ::close(number); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
};

int option(const Descriptor& socket, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  REQUIRE(::getsockopt(socket.number, level, name, &value, &size) == 0);
  return value;
}

void check_watched(const Descriptor& socket, int user_timeout_ms) {
  CHECK(option(socket, IPPROTO_TCP, TCP_NODELAY) != 0);
  CHECK(option(socket, SOL_SOCKET, SO_KEEPALIVE) != 0);
  CHECK(option(socket, IPPROTO_TCP, TCP_KEEPIDLE) == 60);
  CHECK(option(socket, IPPROTO_TCP, TCP_KEEPINTVL) == 15);
  CHECK(option(socket, IPPROTO_TCP, TCP_KEEPCNT) == 4);
  CHECK(option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT) == user_timeout_ms);
}

struct Connection {
  Descriptor listener{*listen_on(*parse_address("127.0.0.1:0"), {})};
  Descriptor client{*open_stream(AF_INET)};
  Descriptor accepted{accept()};

  int accept() {
    const Address address = *local_address(listener.number);
    REQUIRE(::connect(client.number, reinterpret_cast<const sockaddr*>(&address.storage), address.size) == 0);
    return ::accept4(listener.number, nullptr, nullptr, SOCK_CLOEXEC);
  }
};

TEST_CASE("sockets: an accepted socket has its listener's keep-alive, and so has one that connects") {
  const Connection connection;
  check_watched(connection.accepted, 120'000);
  check_watched(connection.client, 120'000);
}

TEST_CASE("sockets: the user timeout is that of clients that do not read, and never less than keep-alive takes") {
  const Descriptor listener{*listen_on(*parse_address("127.0.0.1:0"), {})};
  set_user_timeout(listener.number, 300 * kNsPerSecond);
  check_watched(listener, 300'000);
  set_user_timeout(listener.number, 5 * kNsPerSecond);
  check_watched(listener, 120'000);
  set_user_timeout(listener.number, UINT64_MAX);
  CHECK(option(listener, IPPROTO_TCP, TCP_USER_TIMEOUT) == 2'147'483'647);
}

TEST_CASE("sockets: a close that resets") {
  Connection connection;
  reset_on_close(connection.accepted.number);
  const int closed = ::dup(connection.accepted.number);
  ::close(connection.accepted.number);
  char byte = 0;
  CHECK(::recv(connection.client.number, &byte, 1, MSG_DONTWAIT) < 0);  // the duplicate keeps it open
  ::close(closed);
  CHECK(::recv(connection.client.number, &byte, 1, 0) < 0);
  CHECK(errno == ECONNRESET);
  connection.accepted.number = ::dup(connection.client.number);
}

TEST_CASE("sockets: what the kernel knows of a connection") {
  const Connection connection;
  const auto fresh = tcp_state(connection.client.number);
  REQUIRE(fresh.has_value());
  CHECK(fresh->all_acknowledged);
  CHECK(fresh->round_trip_ns > 0);
  REQUIRE(::send(connection.client.number, "12345", 5, 0) == 5);
  char bytes[5];
  REQUIRE(::recv(connection.accepted.number, bytes, sizeof bytes, MSG_WAITALL) == 5);
  for (int i = 0; i < 1000 && !tcp_state(connection.client.number)->all_acknowledged; i++) ::usleep(1000);
  CHECK(tcp_state(connection.client.number)->acknowledged_bytes - fresh->acknowledged_bytes == 5);
  CHECK(tcp_state(connection.accepted.number)->received_bytes == 5);
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
  CHECK_FALSE(tcp_state(ends[0]).has_value());
  for (const int end : ends) ::close(end);
}

}  // namespace
}  // namespace weir::io
