// io/engine.h and the socket calls of io/address.h over the simulated kernel: what a program links instead of
// io/engine_uring.cc and io/sockets.cc.
#include <utility>

#include "io/address.h"
#include "io/engine.h"
#include "sim/kernel.h"

namespace weir::io {

namespace {

sim::Kernel& kernel() {
  return sim::Kernel::current();
}

sim::Operation operation(sim::OpKind kind, int descriptor, Token token) {
  sim::Operation made;
  made.kind = kind;
  made.descriptor = descriptor;
  made.token = token;
  return made;
}

}  // namespace

struct Engine::Impl {};

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::create(const EngineOptions& options) {
  kernel().set_up(options);
  return std::unique_ptr<Engine>(new Engine(std::make_unique<Impl>()));
}

void Engine::accept(int listener, Token token) {
  kernel().start(operation(sim::OpKind::accept, listener, token));
}
void Engine::receive(int socket, Token token) {
  kernel().receive(socket, token, false);
}
void Engine::receive_once(int socket, Token token) {
  kernel().receive(socket, token, true);
}
void Engine::receive_into(int socket, const Loan& loan, Token token) {
  sim::require(loan.is_out(), "a receive into memory that nobody holds");
  sim::Operation made = operation(sim::OpKind::sized_receive, socket, token);
  made.data = loan.memory().data();
  made.size = loan.memory().size();
  made.lender = loan.lender();
  made.block = loan.block();
  kernel().start(std::move(made));
}
void Engine::send(int socket, std::span<const iovec> slices, Token token) {
  sim::require(!slices.empty() && slices.size() <= kSlicesMax, "a send of {} slices", slices.size());
  sim::Operation made = operation(sim::OpKind::send, socket, token);
  made.borrowed.assign(slices.begin(), slices.end());
  for (const iovec& slice : slices) made.bytes.append(static_cast<const char*>(slice.iov_base), slice.iov_len);
  kernel().start(std::move(made));
}
void Engine::connect(int socket, const Address& address, Token token) {
  sim::Operation made = operation(sim::OpKind::connect, socket, token);
  made.address = address.text();
  kernel().start(std::move(made));
}
void Engine::read_event(int event_descriptor, uint64_t* value, Token token) {
  sim::Operation made = operation(sim::OpKind::read_event, event_descriptor, token);
  made.value = value;
  kernel().start(std::move(made));
}
void Engine::cancel(Token token) {
  kernel().cancel(token);
}
void Engine::shutdown(int socket) {
  kernel().shutdown(socket, /*receive=*/true, /*send=*/true);
}
void Engine::shutdown_send(int socket) {
  kernel().shutdown(socket, /*receive=*/false, /*send=*/true);
}
void Engine::shutdown_receive(int socket) {
  kernel().shutdown(socket, /*receive=*/true, /*send=*/false);
}
void Engine::close(int descriptor) {
  kernel().close(descriptor);
}
size_t Engine::wait(std::span<Completion> out, uint64_t timeout_ns) {
  return kernel().wait(out, timeout_ns);
}
uint64_t Engine::now_ns() const {
  return kernel().now_ns();
}
uint64_t Engine::read_clock_ns() const {
  return kernel().now_ns();
}
int64_t Engine::unix_us() {
  return kernel().unix_us();
}
char* Engine::buffer_data(uint16_t buffer) {
  return kernel().buffer_data(buffer);
}
uint32_t Engine::buffer_size() const {
  return kernel().buffer_size();
}
void Engine::release_buffer(uint16_t buffer) {
  kernel().release_buffer(buffer);
}
uint32_t Engine::buffers_free() const {
  return kernel().buffers_free();
}
uint32_t Engine::buffers_total() const {
  return kernel().buffers_total();
}
const Engine::Counters& Engine::counters() const {
  return kernel().counters();
}

std::optional<Address> peer_address(int socket) {
  const std::optional<std::string> peer = kernel().peer_of(socket);
  return peer ? std::optional(*parse_address(*peer)) : std::nullopt;
}
std::optional<TcpState> tcp_state(int socket) {
  return kernel().tcp_state(socket);
}
void set_user_timeout(int socket, uint64_t timeout_ns) {
  (void)socket;
  (void)timeout_ns;
}
void reset_on_close(int socket) {
  kernel().reset_on_close(socket);
}
Result<int> open_stream(int family) {
  (void)family;
  const int stream = kernel().open_stream();
  if (stream < 0) return fail("cannot open a socket: Too many open files");
  return stream;
}
std::optional<uint32_t> peer_uid(int socket) {
  return kernel().uid_of(socket);
}

}  // namespace weir::io
