#include "cli/arguments.h"

#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iterator>

#include "cli/wrap.h"
#include "gateway/messages.h"

namespace weir::cli {

namespace {

constexpr TwinFlag kTwins[] = {
    {"--data-dir", "data_dir"},
    {"--node", "node"},
    {"--user", "user"},
    {"--sandbox", "sandbox"},
    {"--core-dumps", "core_dumps"},
    {"--workers", "workers"},
    {"--cpus", "cpus"},
    {"--ring-entries", "ring_entries"},
    {"--batch-wait", "batch_wait"},
    {"--busy-poll", "busy_poll"},
    {"--ring-without", "ring_without"},
    {"--buffers", "buffers"},
    {"--buffer-size", "buffer_size"},
    {"--max-body", "limits.max_body"},
    {"--max-head", "limits.max_head"},
    {"--event-memory", "limits.event_memory"},
    {"--body-memory", "limits.body_memory"},
    {"--connections", "limits.connections"},
    {"--body-rate", "limits.body_rate"},
    {"--send-rate", "limits.send_rate"},
    {"--address-connections", "limits.address_connections"},
    {"--address-requests", "limits.address_requests"},
    {"--address-burst", "limits.address_burst"},
    {"--initiator-requests", "limits.initiator_requests"},
    {"--initiator-burst", "limits.initiator_burst"},
    {"--initiator-exchanges", "limits.initiator_exchanges"},
    {"--dns-ttl", "dns_ttl"},
    {"--head-timeout", "timeouts.head"},
    {"--body-timeout", "timeouts.body"},
    {"--idle-timeout", "timeouts.idle"},
    {"--handshake-timeout", "timeouts.handshake"},
    {"--connect-timeout", "timeouts.connect"},
    {"--answer-timeout", "timeouts.answer"},
    {"--stream-timeout", "timeouts.stream"},
    {"--send-timeout", "timeouts.send"},
    {"--upstream-idle", "timeouts.upstream_idle"},
    {"--upstream-age", "timeouts.upstream_age"},
    {"--drain-timeout", "timeouts.drain"},
    {"--journal-size", "journal.size"},
    {"--journal-sync", "journal.sync"},
    {"--admin", "admin.address"},
    {"--log-format", "log_format"},
    {"--log-level", "log_level"},
};

// CLI11 asks for an App's help through this; ours are written by hand (help.cc).
class OwnHelp : public CLI::Formatter {
 public:
  explicit OwnHelp(std::string command) : command_(std::move(command)) {}
  std::string make_help(const CLI::App*, std::string, CLI::AppFormatMode) const override {
    return std::string(help_text(command_));
  }

 private:
  std::string command_;
};

CLI::App& add_command(CLI::App& parent, const std::string& name, const std::string& path) {
  CLI::App& command = *parent.add_subcommand(name);
  command.formatter(std::make_shared<OwnHelp>(path));
  return command;
}

// A repeatable flag that becomes a setting of `into`.
void add_twin(CLI::App& command, std::vector<Setting>& into, std::string_view flag, std::string_view key) {
  // Given twice, the last one counts, as the settings are laid over each other in their order.
  command
      .add_option_function<std::vector<std::string>>(std::string(flag),
                                                     [&into, flag, key](const std::vector<std::string>& values) {
                                                       for (const std::string& value : values) {
                                                         into.push_back({std::string(key), value, std::string(flag)});
                                                       }
                                                     })
      ->allow_extra_args(false);
}

// Where the configuration comes from: for commands that only need its data_dir too.
void add_source(CLI::App& command, Arguments& arguments) {
  command.add_option("--config", arguments.config_file);
  command
      .add_option_function<std::vector<std::string>>(
          "--set",
          [&arguments](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              const size_t equals = text.find('=');
              if (equals == std::string::npos || equals == 0) {
                throw CLI::ValidationError("--set", "takes KEY=VALUE, such as workers=2 (was \"" + text + "\")");
              }
              const std::string key = text.substr(0, equals);
              arguments.settings.push_back({key, text.substr(equals + 1), "--set " + key});
            }
          })
      ->allow_extra_args(false);
}

void add_data_dir(CLI::App& command, Arguments& arguments) {
  add_source(command, arguments);
  add_twin(command, arguments.settings, "--data-dir", "data_dir");
}

void add_server_flags(CLI::App& command, Arguments& arguments) {
  add_source(command, arguments);
  command.add_option("--listen", arguments.listen)->allow_extra_args(false);
  for (const TwinFlag& twin : kTwins) add_twin(command, arguments.settings, twin.flag, twin.key);
}

void add_mock_flags(CLI::App& command, Arguments& arguments) {
  for (const std::string_view name : {"events", "gap", "bytes", "delay"}) {
    command.add_option_function<std::string>("--" + std::string(name), [&arguments, name](const std::string& value) {
      arguments.mock.push_back({std::string(name), value, "--" + std::string(name)});
    });
  }
}

void add_key_commands(CLI::App& app, Arguments& arguments) {
  CLI::App& key = add_command(app, "key", "key");
  key.require_subcommand(1);
  CLI::App& add = add_command(key, "add", "key add");
  add.add_option("--user", arguments.user)->required();
  add.add_option("--id", arguments.user_id);
  add.add_option("--expires", arguments.expires);
  add_data_dir(add, arguments);
  add.callback([&arguments] { arguments.command = Command::key_add; });
  CLI::App& list = add_command(key, "list", "key list");
  list.add_flag("--json", arguments.json);
  add_data_dir(list, arguments);
  list.callback([&arguments] { arguments.command = Command::key_list; });
  CLI::App& revoke = add_command(key, "revoke", "key revoke");
  revoke.add_option("ID", arguments.id)->required();
  add_data_dir(revoke, arguments);
  revoke.callback([&arguments] { arguments.command = Command::key_revoke; });
}

// The message of CLI11's own says neither what is wanted nor what was meant.
CLI::Validator one_word_of(std::vector<std::string_view> known) {
  const auto judge = [known = std::move(known)](const std::string& word) -> std::string {
    if (std::ranges::find(known, word) != known.end()) return {};
    return fmt::format("must be {} (was \"{}\"){}", gateway::one_of(known), word, gateway::suggestion(word, known));
  };
  return {judge, ""};
}

void add_filters(CLI::App& command, LogQuery& query) {
  command.add_option("--user", query.user);
  command.add_option("--provider", query.provider);
  command.add_option("--model", query.model);
  command.add_option("--session", query.session);
  command.add_option("--outcome", query.outcome)
      ->check(one_word_of({"completed", "upstream_error", "client_disconnected", "gateway_error", "interrupted"}));
  command.add_option("--credential-kind", query.credential_kind)
      ->check(one_word_of({"centralized", "personal_api_key", "subscription"}));
  command.add_option("--since", query.since);
  command.add_option("--until", query.until);
}

void add_log_commands(CLI::App& app, Arguments& arguments) {
  CLI::App& log = add_command(app, "log", "log");
  LogQuery& query = arguments.log;
  add_filters(log, query);
  log.add_option("--limit", query.limit)->check(CLI::Range(1u, 1000000u));
  log.add_flag("--follow,-f", query.follow);
  log.add_flag("--json", arguments.json);
  add_data_dir(log, arguments);
  CLI::App& show = add_command(log, "show", "log show");
  show.add_option("ID", arguments.id)->required();
  show.add_flag("--json", arguments.json);
  add_data_dir(show, arguments);
  // The inner command's callback runs first; the outer one must not overrule it.
  log.callback([&arguments, &show] { arguments.command = show.parsed() ? Command::log_show : Command::log; });
}

// "user,model": each key once.
std::vector<record::UsageKey> usage_keys_of(const std::string& list) {
  std::vector<record::UsageKey> keys;
  for (size_t at = 0; at <= list.size();) {
    const size_t comma = std::min(list.find(',', at), list.size());
    const std::string name = list.substr(at, comma - at);
    at = comma + 1;
    const auto found = std::ranges::find_if(record::kUsageKeys, [&](auto key) { return text(key) == name; });
    if (found == std::end(record::kUsageKeys)) {
      throw CLI::ValidationError(
          "--by", "takes a list of user, model, provider, client, credential_kind, day (was \"" + list + "\")");
    }
    if (std::ranges::find(keys, *found) != keys.end()) throw CLI::ValidationError("--by", name + " is named twice");
    keys.push_back(*found);
  }
  return keys;
}

void add_usage_command(CLI::App& app, Arguments& arguments) {
  CLI::App& usage = add_command(app, "usage", "usage");
  usage.add_option_function<std::string>("--by",
                                         [&arguments](const std::string& list) { arguments.by = usage_keys_of(list); });
  add_filters(usage, arguments.log);
  CLI::Option* const json = usage.add_flag("--json", arguments.json);
  usage.add_flag("--csv", arguments.csv)->excludes(json);
  add_data_dir(usage, arguments);
  usage.callback([&arguments] { arguments.command = Command::usage; });
}

void add_journal_command(CLI::App& app, Arguments& arguments) {
  CLI::App& journal = add_command(app, "journal", "journal");
  journal.require_subcommand(1);
  CLI::App& dump = add_command(journal, "dump", "journal dump");
  dump.add_option("FILE", arguments.files);
  dump.add_flag("--full", arguments.full);
  dump.add_flag("--json", arguments.json);
  add_data_dir(dump, arguments);
  dump.callback([&arguments] { arguments.command = Command::journal_dump; });
}

void add_rules_command(CLI::App& app, Arguments& arguments) {
  CLI::App& rules = add_command(app, "rules", "rules");
  rules.require_subcommand(1);
  CLI::App& explain = add_command(rules, "explain", "rules explain");
  explain.add_option("--provider", arguments.provider)->required();
  explain.add_option("--auth", arguments.auth)->required()->check(one_word_of({"centralized", "byok"}));
  explain.add_option("--route", arguments.route)
      ->check(one_word_of({"bridged", "passthrough", "messages", "chat_completions", "responses"}));
  explain.add_option("--credential", arguments.credential)
      ->check(one_word_of({"centralized", "personal_api_key", "subscription"}));
  add_source(explain, arguments);
  explain.callback([&arguments] { arguments.command = Command::rules_explain; });
}

void add_commands(CLI::App& app, Arguments& arguments) {
  CLI::App& serve = add_command(app, "serve", "serve");
  add_server_flags(serve, arguments);
  serve.callback([&arguments] { arguments.command = Command::serve; });
  CLI::App& check = add_command(app, "check", "check");
  add_server_flags(check, arguments);
  check.callback([&arguments] { arguments.command = Command::check; });
  CLI::App& demo = add_command(app, "demo", "demo");
  add_server_flags(demo, arguments);
  add_mock_flags(demo, arguments);
  demo.callback([&arguments] { arguments.command = Command::demo; });
  CLI::App& mock = add_command(app, "mock", "mock");
  mock.add_option("--listen", arguments.listen)->expected(1);
  mock.add_option("--keep", arguments.requests_kept)->default_val(1000);
  mock.add_option("--busy-poll", arguments.busy_poll);
  add_mock_flags(mock, arguments);
  mock.callback([&arguments] { arguments.command = Command::mock; });
  add_key_commands(app, arguments);
  add_log_commands(app, arguments);
  add_usage_command(app, arguments);
  add_journal_command(app, arguments);
  add_rules_command(app, arguments);
  add_command(app, "version", "version").callback([&arguments] { arguments.command = Command::version; });
}

// The command that was named so far, for the hint after an error: "key add".
std::string named_command(const CLI::App& app) {
  std::string path;
  for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    path += (path.empty() ? "" : " ") + at->get_name();
  }
  return path;
}

CLI::App& last_command(CLI::App& app) {
  CLI::App* last = &app;
  while (!last->get_subcommands().empty()) last = last->get_subcommands().front();
  return *last;
}

// "unknown option '--wrokers'; did you mean '--workers'?". Empty if there is none that is unknown.
std::string unknown_option(CLI::App& app) {
  const CLI::App& command = last_command(app);
  std::vector<std::string> known;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  const std::vector<std::string_view> names(known.begin(), known.end());
  for (const std::string& word : command.remaining()) {
    if (!word.starts_with('-') || word == "-" || word == "--") continue;
    const std::string name = word.substr(0, word.find('='));
    const std::string_view nearest = gateway::nearest_of(name, names);
    return fmt::format("unknown option '{}'{}", name,
                       nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
  }
  return {};
}

// What to say when the word behind the last known command is none: "unknown command 'lgo'; did you mean 'log'?". Empty
// if something else is wrong.
std::string unknown_command(CLI::App& app) {
  const CLI::App* const last = &last_command(app);
  std::vector<std::string_view> known;
  for (const CLI::App* command : last->get_subcommands({})) known.push_back(command->get_name());
  const std::vector<std::string> rest = last->remaining();
  if (known.empty() || rest.empty() || rest.front().starts_with('-')) return {};
  const std::string path = named_command(app) + (last == &app ? "" : " ");
  const std::string_view nearest = gateway::nearest_of(rest.front(), known);
  return fmt::format("unknown command '{}{}'{}", path, rest.front(),
                     nearest.empty() ? "" : fmt::format("; did you mean '{}{}'?", path, nearest));
}

// What to say of a word where the command takes none: "unexpected 'weir.toml'; did you mean '--config weir.toml'?".
std::string unexpected_word(CLI::App& app) {
  const CLI::App& command = last_command(app);
  const std::vector<std::string> rest = command.remaining();
  if (&command == &app || rest.empty() || rest.front().starts_with('-')) return {};
  const bool configures = command.get_option_no_throw("--config") != nullptr && rest.front().ends_with(".toml");
  return fmt::format("unexpected '{}'{}", rest.front(),
                     configures ? fmt::format("; did you mean '--config {}'?", rest.front()) : "");
}

// What to say where a command is named that has commands of its own: "one of add, list or revoke is needed".
std::string missing_command(CLI::App& app) {
  const CLI::App& command = last_command(app);
  std::vector<std::string_view> known;
  for (const CLI::App* inner : command.get_subcommands({})) known.push_back(inner->get_name());
  if (command.get_require_subcommand_min() == 0 || !command.remaining().empty()) return {};
  return fmt::format("{} is needed", gateway::one_of(known));
}

// The sentence for an error, and whether it is about which commands there are.
std::string complaint_of(CLI::App& app, const CLI::Error& error) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError)) {
    if (std::string option = unknown_option(app); !option.empty()) return option;
    if (std::string word = unexpected_word(app); !word.empty()) return word;
  }
  if (std::string missing = missing_command(app); !missing.empty()) return missing;
  return error.what();
}

}  // namespace

std::span<const TwinFlag> twin_flags() {
  return kTwins;
}

Parsed parse_arguments(int argc, const char* const* argv) {
  Parsed parsed;
  CLI::App app("weir", "weir");
  app.formatter(std::make_shared<OwnHelp>(""));
  app.require_subcommand(0, 1);
  bool version = false;
  app.add_flag("--version", version);
  try {
    add_commands(app, parsed.arguments);
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", wrapped(help_text(named_command(app)), terminal_columns(STDOUT_FILENO)));
    parsed.exit_code = 0;
    return parsed;
  } catch (const CLI::Error& error) {
    const std::string command = (app.get_subcommands().empty() ? "" : " ") + named_command(app);
    if (const std::string unknown = unknown_command(app); !unknown.empty()) {
      fmt::print(stderr, "weir: {}\nweir{} --help says what there is.\n", unknown, command);
    } else {
      fmt::print(stderr, "weir{0}: {1}\nweir{0} --help says what it takes.\n", command, complaint_of(app, error));
    }
    parsed.exit_code = kExitUsage;
    return parsed;
  }
  if (version) {
    parsed.arguments.command = Command::version;
  } else if (app.get_subcommands().empty()) {
    fmt::print(stderr, "{}", wrapped(help_text(""), terminal_columns(STDERR_FILENO)));
    parsed.exit_code = kExitUsage;
  }
  return parsed;
}

}  // namespace weir::cli
