#include <fmt/core.h>

#include "base/units.h"
#include "cli/commands.h"
#include "cli/mock_options.h"
#include "cli/print.h"
#include "cli/signals.h"
#include "mock/provider.h"

namespace weir::cli {

Result<mock::ProviderOptions> mock_options(const Arguments& arguments) {
  mock::ProviderOptions options;
  options.defaults.gap_ns = 30'000'000;
  options.requests_kept = arguments.requests_kept;
  if (!arguments.busy_poll.empty()) {
    const Result<uint64_t> time = parse_duration(arguments.busy_poll);
    if (!time) return fail("--busy-poll: {}", time.error().message);
    options.busy_poll_ns = *time;
  }
  for (const Setting& setting : arguments.mock) {
    if (auto applied = mock::apply(options.defaults, setting.key, setting.value); !applied) {
      return fail("--{}", applied.error().message);
    }
  }
  return options;
}

int run_mock(const Arguments& arguments) {
  Result<mock::ProviderOptions> options = mock_options(arguments);
  if (!options) return complain(options.error().message), kExitUsage;
  options->address = arguments.listen.empty() ? "127.0.0.1:9900" : arguments.listen.front();
  const sigset_t signals = block_stop_signals();
  const auto provider = mock::Provider::start(*options);
  if (!provider) return complain(provider.error().message), kExitFailure;
  print_line(fmt::format("listening name=mock address={}", (*provider)->address()));
  int signal = 0;
  sigwait(&signals, &signal);
  return 0;
}

}  // namespace weir::cli
