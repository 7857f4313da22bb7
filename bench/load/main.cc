// weir-load: the load generator of weir's benchmark. Asks a gateway, a proxy or the mock itself as a scenario says,
// checks every answer, and prints what it measured as JSON lines.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/units.h"
#include "io/engine.h"
#include "load/loop.h"

namespace {

using namespace weir;

struct Flags {
  std::string target, reference, scenario, token, ca_file, route = "gateway";
  uint32_t connections = 0, sources = 1;
  double rate = 0, seconds = 0, warm_up = -1;
  std::string busy_poll;
  bool tls = false, any_body = false, hold = false;
  std::vector<std::string> overrides, headers;
};

int complain(const std::string& message, int code) {
  fmt::print(stderr, "weir-load: {}\n", message);
  return code;
}

void tell(const std::string& line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

void add_flags(CLI::App& app, Flags& flags) {
  app.add_option("--target", flags.target, "HOST:PORT of what is measured (addresses, no names)")->required();
  app.add_option("--scenario", flags.scenario, "a file of bench/scenarios")->required();
  app.add_option("--route", flags.route, "gateway (weir's paths) or provider (the provider's own)")
      ->check(CLI::IsMember({"gateway", "provider"}));
  app.add_option("--token", flags.token, "sent as Authorization: Bearer");
  app.add_option("--reference", flags.reference, "HOST:PORT of the mock: every answer must equal what it answers");
  app.add_option("--connections", flags.connections, "instead of the scenario's");
  app.add_option("--rate", flags.rate, "requests per second, sent by the clock (open loop)");
  app.add_option("--seconds", flags.seconds, "how long is measured");
  app.add_option("--warm-up", flags.warm_up, "seconds before that");
  app.add_flag("--tls", flags.tls, "TLS to the target, whatever the scenario says");
  app.add_option("--ca", flags.ca_file, "authority of the target's certificate (for localhost)");
  app.add_option("--sources", flags.sources, "loopback addresses to connect from (127.0.0.1, 127.0.0.2 ...)")
      ->check(CLI::Range(1, 250));
  app.add_option("--header", flags.headers, "\"Name: value\", sent with each request; repeatable")
      ->allow_extra_args(false);
  app.add_flag("--any-body", flags.any_body, "compare only the status: for gateways that write answers anew");
  app.add_flag("--hold", flags.hold, "at the end, keep all connections until standard input ends");
  app.add_option("--busy-poll", flags.busy_poll, "look for answers so long before sleeping (50us, 1s)");
  app.add_option("--set", flags.overrides, "KEY=VALUE over the scenario's top level, as TOML");
}

void lay_over(const Flags& flags, load::Scenario& scenario) {
  if (flags.connections > 0) scenario.connections = flags.connections;
  if (flags.rate > 0) {
    scenario.rate = flags.rate;
    scenario.open_loop = true;
  }
  if (flags.seconds > 0) scenario.seconds = flags.seconds;
  if (flags.warm_up >= 0) scenario.warm_up = flags.warm_up;
  if (flags.tls) scenario.tls = true;
}

Result<std::vector<load::PreparedRequest>> prepare(const load::Scenario& scenario, const Flags& flags) {
  std::vector<load::PreparedRequest> requests;
  const load::Route route = flags.route == "gateway" ? load::Route::gateway : load::Route::provider;
  for (const load::RequestKind& kind : scenario.requests) {
    load::PreparedRequest request{.kind = &kind, .bytes = load::request_bytes(kind, route, flags.token, flags.headers)};
    if (!flags.reference.empty()) {
      const auto address = io::parse_address(flags.reference);
      if (!address) return std::unexpected(address.error());
      if (auto learned = load::learn_answer(*address, request); !learned) return std::unexpected(learned.error());
      request.any_body = flags.any_body;
    }
    requests.push_back(std::move(request));
  }
  return requests;
}

Result<int> run(const Flags& flags) {
  auto scenario = load::read_scenario(flags.scenario, flags.overrides);
  if (!scenario) return std::unexpected(scenario.error());
  lay_over(flags, *scenario);
  auto requests = prepare(*scenario, flags);
  if (!requests) return std::unexpected(requests.error());
  const auto target = io::parse_address(flags.target);
  if (!target) return std::unexpected(target.error());
  std::unique_ptr<tls::ClientContext> context;
  if (scenario->tls) {
    auto made = tls::ClientContext::make(flags.ca_file, "localhost");
    if (!made) return std::unexpected(made.error());
    context = std::move(*made);
  }
  uint64_t busy_poll_ns = 0;
  if (!flags.busy_poll.empty()) {
    const auto time = parse_duration(flags.busy_poll);
    if (!time) return fail("--busy-poll: {}", time.error().message);
    busy_poll_ns = *time;
  }
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  auto engine =
      io::Engine::create({.entries = 4096, .completion_entries = 32768, .buffers = 1024, .busy_poll_ns = busy_poll_ns});
  if (!engine) return std::unexpected(engine.error());
  const load::LoopOptions options{.target = *target, .sources = flags.sources, .tls = context.get()};
  load::Loop loop(**engine, *scenario, *requests, options, tell);
  const load::Results& results = loop.run();
  tell(load::results_line(*scenario, results));
  // Whoever samples the gateway from outside does it now: closing thousands of connections is work that belongs to no
  // exchange.
  while (flags.hold && std::getchar() != EOF) {
  }
  return results.fault_count() == 0 ? 0 : 1;
}

}  // namespace

// What is thrown here is for the runtime to tell. NOLINTNEXTLINE(bugprone-exception-escape)
int main(int argc, char** argv) {
  CLI::App app("Asks as a scenario says, checks every answer, prints what it measured as JSON lines.", "weir-load");
  Flags flags;
  add_flags(app, flags);
  CLI11_PARSE(app, argc, argv);
  const auto done = run(flags);
  if (!done) return complain(done.error().message, 2);
  return *done;
}
