// `weir demo`: the whole gateway on one machine, with a mock provider behind it and a token made for it.
#include <fmt/core.h>
#include <unistd.h>

#include <cstdlib>

#include "base/clock.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/gateway_token.h"
#include "cli/interception_text.h"
#include "cli/mock_options.h"
#include "cli/notify.h"
#include "cli/print.h"
#include "cli/settings.h"
#include "cli/signals.h"
#include "record/store.h"
#include "server/server.h"

namespace weir::cli {

namespace {

constexpr const char* kKeyVariable = "WEIR_DEMO_OPERATOR_KEY";
constexpr std::string_view kUser = "demo";

// The four default providers with the mock behind each.
gateway::Config demo_config(const std::string& mock_address) {
  gateway::Config config = gateway::default_config();
  config.data_dir = "./weir-demo";
  config.log_level = LogLevel::warn;
  for (gateway::ProviderConfig& provider : config.providers) {
    provider.base_url = "http://" + mock_address + (provider.type == gateway::ProviderType::openai ? "/v1" : "");
    if (provider.name == "anthropic" || provider.name == "openai")
      provider.key = {.env = kKeyVariable, .file = {}, .credential = {}};
  }
  return config;
}

// A demo's token is shown once, so each run makes one and ends those of earlier runs.
Result<std::string> demo_token(record::Store& store) {
  const auto keys = store.list_keys();
  if (!keys) return std::unexpected(keys.error());
  for (const record::GatewayKey& key : *keys) {
    if (key.username != kUser || key.revoked_at != 0) continue;
    if (auto revoked = store.revoke_key(key.id, unix_us()); !revoked) return std::unexpected(revoked.error());
  }
  std::string token = make_gateway_token();
  if (token.empty()) return fail("the kernel gave no random bytes");
  if (auto key = add_gateway_key(store, std::string(kUser), "", 0, token); !key) return std::unexpected(key.error());
  return token;
}

void print_lines_to_paste(const std::string& address, const std::string& token, const std::string& data_dir) {
  print_line(fmt::format(R"(
weir demo: gateway on {0}, mock provider behind it, records in {2}/weir.db

Open a second terminal and paste one of these there. They bear a gateway token that was made for this demo; no key of a
provider is needed, and nothing is paid, because the mock answers.

Claude Code:
  ANTHROPIC_BASE_URL=http://{0}/anthropic ANTHROPIC_AUTH_TOKEN={1} claude -p hi

Codex:
  WEIR_TOKEN={1} codex exec --skip-git-repo-check -c model_provider=weir -c model_providers.weir.name=weir \
    -c model_providers.weir.base_url=http://{0}/openai/v1 -c model_providers.weir.env_key=WEIR_TOKEN \
    -c model_providers.weir.wire_api=responses hi

curl, streaming, and with a key of your own (the governance header bears the token then):
  curl -N http://{0}/openai/v1/chat/completions -H 'Authorization: Bearer {1}' \
    -H 'Content-Type: application/json' -d '{{"model":"gpt-5.1","stream":true,"messages":[{{"role":"user","content":"hi"}}]}}'
  curl http://{0}/anthropic/v1/messages -H 'X-Weir-Token: {1}' -H 'X-Api-Key: sk-ant-my-own-key-0123456789' \
    -H 'Content-Type: application/json' -d '{{"model":"claude-opus-4-8","max_tokens":50,"messages":[{{"role":"user","content":"hi"}}]}}'

Each call is told below in one line as it ends; `weir log --data-dir {2}` reads them again. Ctrl-C stops the demo.)",
                         address, token, data_dir));
}

}  // namespace

int run_demo(const Arguments& arguments) {
  const Result<mock::ProviderOptions> mock_settings = mock_options(arguments);
  if (!mock_settings) return complain(mock_settings.error().message), kExitUsage;
  block_stop_signals();
  // A demo's operator key is no secret, but it takes the way of one.
  ::setenv(kKeyVariable, "sk-demo-operator-0123456789", 1);
  const auto mock = mock::Provider::start(*mock_settings);
  if (!mock) return complain(mock.error().message), kExitFailure;
  Result<gateway::Config> config = read_settings(arguments, demo_config((*mock)->address()));
  if (!config) return complain(config.error().message), kExitUsage;
  auto store = record::Store::open(database_path(*config));
  if (!store) return complain(store.error().message), kExitFailure;
  const Result<std::string> token = demo_token(**store);
  if (!token) return complain(token.error().message), kExitFailure;
  store->reset();

  const std::string data_dir = config->data_dir;
  LogSink log(2, config->log_format, config->log_level);
  server::ServerOptions options;
  options.config = std::move(*config);
  const Colour colour = ::isatty(STDOUT_FILENO) != 0 ? Colour::on : Colour::off;
  options.on_ended = [colour](const record::InterceptionRow& row) { print_line(interception_line(row, colour)); };
  auto server = server::Server::start(std::move(options), log);
  if (!server) {
    log.flush();
    complain(server.error().message);
    return kExitFailure;
  }
  if (*server == nullptr) return 0;
  for (const auto& listener : (*server)->listening()) {
    print_line(fmt::format("listening name={} address={}", listener.name, listener.address));
  }
  print_lines_to_paste((*server)->listening().front().address, *token, data_dir);
  notify_ready();
  return (*server)->run();
}

}  // namespace weir::cli
