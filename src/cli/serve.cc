#include <fmt/core.h>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/commit.h"
#include "cli/notify.h"
#include "cli/print.h"
#include "cli/settings.h"
#include "cli/signals.h"
#include "server/machine.h"
#include "server/privileges.h"
#include "server/server.h"
#include "server/start_check.h"

namespace weir::cli {

int run_serve(const Arguments& arguments) {
  Result<gateway::Config> config = read_settings(arguments);
  if (!config) {
    complain(config.error().message);
    return kExitUsage;
  }
  // Keys of certificates are read here already.
  server::allow_core_dumps(config->core_dumps);
  if (auto good = server::check_start(*config); !good) return complain(good.error().message), kExitUsage;
  if (auto possible = server::check_machine(*config); !possible) return complain(possible.error().message), kExitUsage;
  block_stop_signals();
  // Before the server: it logs from the first step on, and its last lines must still be written after it is gone.
  // The server starts its thread, when the process has given up what it does not need.
  LogSink log(2, config->log_format, config->log_level, LogSink::Start::later);
  const auto logger = log.make_logger();
  server::ServerOptions options;
  options.config = std::move(*config);
  options.confined = true;
  options.version = WEIR_VERSION;
  options.reload = [&arguments] {
    notify_reloading();
    Result<gateway::Config> again = read_settings(arguments);
    notify_ready();
    return again;
  };
  options.on_draining = [] { notify_service("STOPPING=1"); };
  auto server = server::Server::start(std::move(options), log);
  if (!server) {
    log.flush();
    complain(server.error().message);
    return kExitFailure;
  }
  if (*server == nullptr) return 0;  // told to stop meanwhile
  logger->info("ready", {{"memory", (*server)->memory_summary()}});
  for (const auto& listener : (*server)->listening()) {
    print_line(fmt::format("listening name={} address={}", listener.name, listener.address));
  }
  if (const std::string& admin = (*server)->admin_address(); !admin.empty()) {
    print_line(fmt::format("admin address={}", admin));
  }
  notify_ready();
  return (*server)->run();
}

}  // namespace weir::cli
