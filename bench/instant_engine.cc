#include "instant_engine.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "base/clock.h"
#include "io/address.h"
#include "io/engine.h"

namespace weir {

namespace {

using io::Code;
using io::Completion;
using io::Token;

// One end of a connection, by its descriptor.
struct Connection {
  bool client = false;
  bool receiving = false, once = false;
  Token receive;
  std::string_view inbound;  // what has come and was not received yet
  size_t next_piece = 0;     // of the answer
  bool answering = false;
  uint64_t answered = 0;  // bytes that this client got of the answer
};

struct Instant {
  bench::Traffic* traffic = nullptr;
  bool mail = false;

  std::vector<Connection> connections;  // by descriptor
  std::deque<Completion> done;
  std::vector<int> answering;  // descriptors of the provider's connections that have pieces to send
  std::optional<Token> accept;
  std::optional<std::pair<Token, uint64_t*>> mail_read;
  int mail_descriptor = -1;
  uint32_t accepted = 0;
  bool asking = true, told_quiet = false;
  uint64_t now = 0;

  std::vector<char> memory;
  std::vector<uint16_t> free;
  io::EngineOptions options;
  io::Engine::Counters counters;

  Connection& connection(int descriptor) { return connections.at(static_cast<size_t>(descriptor)); }
  int open(bool client) {
    connections.emplace_back().client = client;
    return static_cast<int>(connections.size()) - 1;
  }

  void finish(Token token, int32_t result) { done.push_back({.token = token, .result = result}); }

  // Pieces of what is there, as long as somebody receives.
  void deliver(Connection& to) {
    while (to.receiving && !to.inbound.empty()) {
      ASSERT(!free.empty());
      const uint16_t buffer = free.back();
      free.pop_back();
      const size_t size = std::min<size_t>(to.inbound.size(), options.buffer_size);
      std::memcpy(memory.data() + static_cast<size_t>(buffer) * options.buffer_size, to.inbound.data(), size);
      to.inbound.remove_prefix(size);
      to.receiving = !to.once;
      done.push_back(
          {.token = to.receive, .more = to.receiving, .result = static_cast<int32_t>(size), .buffer = buffer});
    }
  }

  void ask(Connection& client) {
    client.answered = 0;
    if (!asking) return;
    client.inbound = traffic->request;
    deliver(client);
  }

  void next_pieces() {
    std::vector<int> now_answering;
    now_answering.swap(answering);
    for (const int descriptor : now_answering) {
      Connection& provider = connection(descriptor);
      if (provider.inbound.empty()) {
        provider.inbound = traffic->answer.at(provider.next_piece++);
        deliver(provider);
      }
      provider.answering = provider.next_piece < traffic->answer.size();
      if (provider.answering) answering.push_back(descriptor);
    }
  }

  // Both bodies end with bytes that they have nowhere else, so the last bytes tell the end.
  void sent(int descriptor, std::span<const iovec> slices) {
    Connection& from = connection(descriptor);
    const std::string_view last(static_cast<const char*>(slices.back().iov_base), slices.back().iov_len);
    const std::string_view whole = from.client ? traffic->answer.back() : traffic->request;
    const bool ended = last.ends_with(whole.substr(whole.size() - std::min<size_t>(whole.size(), 4)));
    if (from.client) {
      for (const iovec& slice : slices) from.answered += slice.iov_len;
      if (!ended) return;
      traffic->exchanges++;
      traffic->bytes = from.answered;
      ask(from);
    } else if (ended) {
      ASSERT(!from.answering);
      from.next_piece = 0;
      from.answering = true;
      answering.push_back(descriptor);
    }
  }
};

Instant& instant() {
  static Instant only;
  return only;
}

}  // namespace

namespace bench {

void use_traffic(Traffic& traffic) {
  instant() = Instant{};
  instant().traffic = &traffic;
}

void mail_posted() {
  instant().mail = true;
}

}  // namespace bench

namespace io {

struct Engine::Impl {};

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::create(const EngineOptions& options) {
  Instant& self = instant();
  self.options = options;
  self.memory.resize(static_cast<size_t>(options.buffers) * options.buffer_size);
  for (uint32_t i = options.buffers; i > 0; i--) self.free.push_back(static_cast<uint16_t>(i - 1));
  self.now = monotonic_ns();
  return std::unique_ptr<Engine>(new Engine(std::make_unique<Impl>()));
}

void Engine::accept(int listener, Token token) {
  (void)listener;
  instant().accept = token;
}
void Engine::receive(int socket, Token token) {
  Connection& to = instant().connection(socket);
  to.receive = token;
  to.once = false;
  to.receiving = true;
  instant().deliver(to);
}
void Engine::receive_once(int socket, Token token) {
  Connection& to = instant().connection(socket);
  to.receive = token;
  to.receiving = to.once = true;
  instant().deliver(to);
}
void Engine::receive_into(int socket, const Loan& loan, Token token) {
  const size_t size = loan.memory().size();
  Connection& to = instant().connection(socket);
  ASSERT(to.inbound.size() >= size);  // requests and answers come whole
  std::memcpy(loan.memory().data(), to.inbound.data(), size);
  to.inbound.remove_prefix(size);
  instant().finish(token, static_cast<int32_t>(size));
}
void Engine::send(int socket, std::span<const iovec> slices, Token token) {
  size_t size = 0;
  for (const iovec& slice : slices) size += slice.iov_len;
  instant().finish(token, static_cast<int32_t>(size));
  instant().sent(socket, slices);
}
void Engine::connect(int socket, const Address& address, Token token) {
  (void)socket;
  (void)address;
  instant().finish(token, 0);
}
void Engine::read_event(int event_descriptor, uint64_t* value, Token token) {
  instant().mail_descriptor = event_descriptor;
  instant().mail_read = {token, value};
}
void Engine::cancel(Token token) {
  Instant& self = instant();
  const auto ends = [&](Token other) { return other.pack() == token.pack(); };
  bool found = false;
  if (self.accept && ends(*self.accept)) {
    self.accept.reset();
    found = true;
  }
  for (Connection& connection : self.connections) {
    if (!connection.receiving || !ends(connection.receive)) continue;
    connection.receiving = false;
    found = true;
  }
  if (found) self.done.push_back({.token = token, .code = Code::cancelled, .error = ECANCELED});
}
void Engine::shutdown(int socket) {
  Connection& gone = instant().connection(socket);
  if (std::exchange(gone.receiving, false)) instant().finish(gone.receive, 0);
}
void Engine::shutdown_send(int socket) {
  shutdown(socket);  // the other end answers at once, with its own end
}
void Engine::shutdown_receive(int socket) {
  shutdown(socket);
}
void Engine::close(int descriptor) {
  (void)descriptor;
}

size_t Engine::wait(std::span<Completion> out, uint64_t timeout_ns) {
  Instant& self = instant();
  self.counters.enters++;
  if (self.asking && !self.traffic->on_turn()) self.asking = false;
  if (self.mail && self.mail_read) {
    self.mail = false;
    const auto [token, value] = *std::exchange(self.mail_read, std::nullopt);
    const ssize_t size = ::read(self.mail_descriptor, value, sizeof *value);
    self.finish(token, static_cast<int32_t>(size));
  } else if (self.accept && self.accepted < self.traffic->clients) {
    self.accepted++;
    self.done.push_back({.token = *self.accept, .more = true, .result = self.open(true)});
    Connection& client = self.connections.back();
    client.inbound = self.traffic->request;
  }
  if (self.done.size() < self.traffic->completions) self.next_pieces();
  if (self.done.empty() && !self.asking && self.accepted == self.traffic->clients &&
      !std::exchange(self.told_quiet, true)) {
    self.traffic->on_quiet();
  }
  self.now = self.done.empty() ? self.now + timeout_ns : std::max(self.now, monotonic_ns());
  const size_t count = std::min({out.size(), self.done.size(), static_cast<size_t>(self.traffic->completions)});
  std::copy_n(self.done.begin(), count, out.begin());
  self.done.erase(self.done.begin(), self.done.begin() + static_cast<ptrdiff_t>(count));
  self.counters.completed += count;
  return count;
}
uint64_t Engine::now_ns() const {
  return instant().now;
}
uint64_t Engine::read_clock_ns() const {
  return instant().now;
}
int64_t Engine::unix_us() {
  return weir::unix_us();
}
char* Engine::buffer_data(uint16_t buffer) {
  return instant().memory.data() + static_cast<size_t>(buffer) * instant().options.buffer_size;
}
uint32_t Engine::buffer_size() const {
  return instant().options.buffer_size;
}
void Engine::release_buffer(uint16_t buffer) {
  instant().free.push_back(buffer);
}
uint32_t Engine::buffers_free() const {
  return static_cast<uint32_t>(instant().free.size());
}
uint32_t Engine::buffers_total() const {
  return instant().options.buffers;
}
const Engine::Counters& Engine::counters() const {
  return instant().counters;
}

std::optional<Address> peer_address(int socket) {
  (void)socket;
  return *parse_address("192.0.2.7:50000");
}
std::optional<TcpState> tcp_state(int socket) {
  (void)socket;
  return std::nullopt;
}
void set_user_timeout(int socket, uint64_t timeout_ns) {
  (void)socket;
  (void)timeout_ns;
}
void reset_on_close(int socket) {
  (void)socket;
}
Result<int> open_stream(int family) {
  (void)family;
  return instant().open(false);
}
std::optional<uint32_t> peer_uid(int socket) {
  (void)socket;
  return std::nullopt;
}

}  // namespace io
}  // namespace weir
