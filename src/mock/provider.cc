#include "mock/provider.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <future>
#include <thread>

#include "io/address.h"
#include "io/engine.h"
#include "mock/loop.h"

namespace weir::mock {

struct Provider::Impl {
  ProviderOptions options;
  std::string address;
  int listener = -1;
  int stop_event = -1;
  std::promise<Result<>> started;  // here, not in start(): the thread may still be inside set_value() when that returns
  std::thread thread;

  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    if (thread.joinable()) {
      const uint64_t one = 1;
      // An eventfd takes 8 bytes or none; there is nothing to do if it takes none.
      [[maybe_unused]] const ssize_t written = ::write(stop_event, &one, sizeof one);
      thread.join();
    }
    if (listener >= 0) ::close(listener);
    if (stop_event >= 0) ::close(stop_event);
  }
};

namespace {

// The engine belongs to the thread that makes it, so it is made here; `started` says how that went.
void run_loop(int listener, int stop_event, const ProviderOptions& options, std::promise<Result<>>& started) {
  io::EngineOptions engine_options;
  engine_options.entries = 2048;
  engine_options.completion_entries = 16384;
  engine_options.buffers = 2048;
  engine_options.busy_poll_ns = options.busy_poll_ns;
  Result<std::unique_ptr<io::Engine>> engine = io::Engine::create(engine_options);
  if (!engine) return started.set_value(std::unexpected(engine.error()));
  Loop loop(**engine, listener, stop_event, options);
  started.set_value({});
  loop.run();
}

}  // namespace

Result<std::unique_ptr<Provider>> Provider::start(const ProviderOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  const Result<io::Address> wanted = io::parse_address(options.address);
  if (!wanted) return std::unexpected(wanted.error());
  Result<int> listener = io::listen_on(*wanted, {});
  if (!listener) return std::unexpected(listener.error());
  impl->listener = *listener;
  const Result<io::Address> bound = io::local_address(*listener);
  if (!bound) return std::unexpected(bound.error());
  impl->address = bound->text();
  impl->stop_event = ::eventfd(0, EFD_CLOEXEC);
  if (impl->stop_event < 0) return fail("cannot make an eventfd: {}", std::strerror(errno));
  std::future<Result<>> outcome = impl->started.get_future();
  impl->thread = std::thread(
      [state = impl.get()] { run_loop(state->listener, state->stop_event, state->options, state->started); });
  if (Result<> result = outcome.get(); !result) return std::unexpected(result.error());
  return std::unique_ptr<Provider>(new Provider(std::move(impl)));
}

Provider::Provider(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Provider::~Provider() = default;

const std::string& Provider::address() const {
  return impl_->address;
}

}  // namespace weir::mock
