#include "server/admin.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "io/address.h"
#include "wire/head.h"

namespace weir::server {

namespace {

struct Answer {
  unsigned status = 200;
  std::string_view reason = "OK";
  std::string_view type = "text/plain; charset=utf-8";
  std::string_view more_headers = {};
  std::string body = {};
};

std::string write_answer(const Answer& answer, bool head_only) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n{}Connection: close\r\n"
      "\r\n{}",
      answer.status, answer.reason, answer.type, answer.body.size(), answer.more_headers,
      head_only ? std::string_view() : std::string_view(answer.body));
}

enum class Phase : uint8_t {
  receiving,  // its head
  sending,    // the answer
  lingering,  // our side is shut; waits for the client's end, so that no reset destroys the answer
};

struct Connection {
  int descriptor = -1;
  Phase phase = Phase::receiving;
  uint64_t deadline_ns = 0;
  std::string input;
  std::string output;
  size_t sent = 0;
};

// What a process or the machine has run out of, not the connection's own fault.
bool out_of_descriptors(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

bool would_block() {
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

}  // namespace

struct Admin::Impl {
  AdminSource source;
  std::string address;
  bool unix_socket = false;
  int listener = -1;
  int stop_event = -1;
  int spare = -1;  // given up where there is no descriptor for a connection, so that somebody can see that
  uint64_t accept_again_ns = 0;
  std::vector<Connection> connections;
  wire::RequestHead head;
  std::thread thread;

  ~Impl() {
    for (const Connection& connection : connections) ::close(connection.descriptor);
    if (listener >= 0) ::close(listener);
    if (stop_event >= 0) ::close(stop_event);
    if (spare >= 0) ::close(spare);
  }

  void run();
  void close(Connection& connection);
  void accept_one();
  bool step(Connection& connection);
  bool receive(Connection& connection);
  bool send(Connection& connection);
  bool linger(Connection& connection);
  std::string answer(wire::HeadStatus status);
};

void Admin::Impl::accept_one() {
  int descriptor = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (descriptor < 0 && out_of_descriptors(errno)) {
    if (spare >= 0) {
      ::close(std::exchange(spare, -1));
      descriptor = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    // The connection stays in the queue, and poll(2) would tell of it again at once.
    if (descriptor < 0) accept_again_ns = monotonic_ns() + kAcceptPauseNs;
  }
  if (descriptor < 0) return;
  Connection made;
  made.descriptor = descriptor;
  made.deadline_ns = monotonic_ns() + kDeadlineNs;
  connections.push_back(std::move(made));
}

void Admin::Impl::close(Connection& connection) {
  ::close(connection.descriptor);
  if (spare < 0) spare = ::dup(stop_event);
  accept_again_ns = 0;
}

std::string Admin::Impl::answer(wire::HeadStatus status) {
  if (status == wire::HeadStatus::invalid) {
    return write_answer({.status = 400, .reason = "Bad Request", .body = "bad request\n"}, false);
  }
  const bool head_only = head.method == wire::Method::head;
  if (!unix_socket) {
    const gateway::ForeignName foreign = gateway::find_foreign_name(head, {}, source.hosts, source.addresses);
    if (foreign.where != gateway::ForeignName::Where::none) {
      return write_answer(
          {.status = 403,
           .reason = "Forbidden",
           .body = fmt::format("{} \"{}\" is no name of this machine; add its name to admin.hosts if it "
                               "is meant\n",
                               foreign.where == gateway::ForeignName::Where::host ? "Host" : "Origin", foreign.name)},
          head_only);
    }
  }
  if (head.method != wire::Method::get && !head_only) {
    return write_answer({.status = 405,
                         .reason = "Method Not Allowed",
                         .more_headers = "Allow: GET, HEAD\r\n",
                         .body = "method not allowed\n"},
                        false);
  }
  const std::string_view path = head.target.substr(0, head.target.find('?'));
  if (path == "/metrics") {
    return write_answer({.type = "text/plain; version=0.0.4; charset=utf-8", .body = source.metrics()}, head_only);
  }
  if (path == "/healthz") return write_answer({.body = "ok\n"}, head_only);
  if (path == "/readyz") {
    const std::string why = source.not_ready();
    if (why.empty()) return write_answer({.body = "ready\n"}, head_only);
    return write_answer({.status = 503, .reason = "Service Unavailable", .body = why + "\n"}, head_only);
  }
  return write_answer(
      {.status = 404, .reason = "Not Found", .body = "not found; there are /metrics, /healthz and /readyz\n"},
      head_only);
}

bool Admin::Impl::receive(Connection& connection) {
  std::array<char, 2048> part;
  const ssize_t got = ::recv(connection.descriptor, part.data(), part.size(), 0);
  if (got < 0) return would_block();
  if (got == 0) return false;
  const size_t seen = connection.input.size();
  connection.input.append(part.data(), static_cast<size_t>(got));
  const wire::HeadResult result = wire::parse_request_head(connection.input, seen, kHeadMax, head);
  if (result.status == wire::HeadStatus::need_more) return true;
  connection.output = answer(result.status);
  connection.phase = Phase::sending;
  return send(connection);
}

bool Admin::Impl::send(Connection& connection) {
  while (connection.sent < connection.output.size()) {
    const ssize_t done = ::send(connection.descriptor, connection.output.data() + connection.sent,
                                connection.output.size() - connection.sent, MSG_NOSIGNAL);
    if (done < 0) return would_block();
    connection.sent += static_cast<size_t>(done);
  }
  ::shutdown(connection.descriptor, SHUT_WR);
  connection.phase = Phase::lingering;
  return true;
}

bool Admin::Impl::linger(Connection& connection) {
  std::array<char, 2048> thrown_away;
  const ssize_t got = ::recv(connection.descriptor, thrown_away.data(), thrown_away.size(), 0);
  return got > 0 || (got < 0 && would_block());
}

// False: the connection is over.
bool Admin::Impl::step(Connection& connection) {
  switch (connection.phase) {
    case Phase::receiving:
      return receive(connection);
    case Phase::sending:
      return send(connection);
    case Phase::lingering:
      return linger(connection);
  }
  std::unreachable();
}

void Admin::Impl::run() {
  std::vector<pollfd> watched;
  for (;;) {
    watched.clear();
    watched.push_back({stop_event, POLLIN, 0});
    const uint64_t now_ns = monotonic_ns();
    const bool paused = accept_again_ns > now_ns;
    const bool room = connections.size() < kConnectionsMax && !paused;
    watched.push_back({listener, static_cast<short>(room ? POLLIN : 0), 0});
    uint64_t first_ns = paused ? accept_again_ns : now_ns + kDeadlineNs;
    for (const Connection& connection : connections) {
      const bool sends = connection.phase == Phase::sending;
      watched.push_back({connection.descriptor, static_cast<short>(sends ? POLLOUT : POLLIN), 0});
      first_ns = std::min(first_ns, connection.deadline_ns);
    }
    const uint64_t wait_ns = first_ns > now_ns ? first_ns - now_ns : 0;
    const bool waits = connections.empty() && !paused;
    ::poll(watched.data(), watched.size(), waits ? -1 : static_cast<int>(wait_ns / kNsPerMs) + 1);
    if ((watched[0].revents & POLLIN) != 0) return;
    const uint64_t then_ns = monotonic_ns();
    for (size_t i = connections.size(); i-- > 0;) {
      Connection& connection = connections[i];
      const bool alive = watched[i + 2].revents == 0 || step(connection);
      if (alive && connection.deadline_ns > then_ns) continue;
      close(connection);
      connections.erase(connections.begin() + static_cast<ptrdiff_t>(i));
    }
    if ((watched[1].revents & POLLIN) != 0) accept_one();
  }
}

Admin::Admin(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Admin::~Admin() {
  if (!impl_->thread.joinable()) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(impl_->stop_event, &one, sizeof one);
  impl_->thread.join();
}

const std::string& Admin::address() const {
  return impl_->address;
}

Result<std::unique_ptr<Admin>> Admin::bind(const std::string& address) {
  auto parsed = io::parse_address(address);
  if (!parsed) return std::unexpected(parsed.error());
  auto impl = std::make_unique<Impl>();
  // Its port is its own: a second weir at the same address must hear that it is taken.
  auto listener = io::listen_on(*parsed, {.backlog = 64, .flag = "--admin"});
  if (!listener) return std::unexpected(listener.error());
  impl->listener = *listener;
  ::fcntl(impl->listener, F_SETFL, O_NONBLOCK);  // a connection may be gone between poll and accept
  impl->unix_socket = parsed->family() == AF_UNIX;
  if (!impl->unix_socket) {
    auto local = io::local_address(impl->listener);
    if (!local) return std::unexpected(local.error());
    parsed = *local;
  }
  impl->address = parsed->text();
  impl->stop_event = ::eventfd(0, EFD_CLOEXEC);
  impl->spare = ::dup(impl->stop_event);
  if (impl->stop_event < 0 || impl->spare < 0) return fail("cannot make an event for the admin thread");
  return std::unique_ptr<Admin>(new Admin(std::move(impl)));
}

void Admin::serve(AdminSource source) {
  impl_->source = std::move(source);
  impl_->thread = std::thread([self = impl_.get()] {
    ::pthread_setname_np(::pthread_self(), "weir-admin");
    self->run();
  });
}

}  // namespace weir::server
