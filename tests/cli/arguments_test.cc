#include "cli/arguments.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "cli/settings.h"

using namespace weir;
using namespace weir::cli;

namespace {

Parsed parse(std::vector<const char*> words) {
  words.insert(words.begin(), "weir");
  return parse_arguments(static_cast<int>(words.size()), words.data());
}
Arguments arguments(std::vector<const char*> words) {
  Parsed parsed = parse(std::move(words));
  CHECK_FALSE(parsed.exit_code);
  return parsed.arguments;
}
bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

TEST_CASE("arguments: every twin flag stands in serve's help and is known to the configuration") {
  for (const TwinFlag& twin : twin_flags()) {
    INFO(twin.flag);
    CHECK(has(help_text("serve"), twin.flag));
    gateway::Config config = gateway::default_config();
    const auto set = gateway::set_option(config, twin.key, "\x01", twin.flag);
    CHECK((set || !has(set.error().message, "is not known")));
  }
}

TEST_CASE("arguments: every help fits 100 columns and a screen of 40 lines, serve's with its headings 45") {
  for (const char* command :
       {"", "serve", "demo", "mock", "key", "key add", "log", "usage", "journal", "rules", "check", "version"}) {
    std::string_view text = help_text(command);
    CHECK(std::ranges::count(text, '\n') <= (std::string_view(command) == "serve" ? 45 : 40));
    for (size_t end = 0; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) {
      CHECK(end <= 100);
    }
  }
}

TEST_CASE("arguments: each command is told apart") {
  CHECK(arguments({"serve"}).command == Command::serve);
  CHECK(arguments({"demo"}).command == Command::demo);
  CHECK(arguments({"mock"}).command == Command::mock);
  CHECK(arguments({"key", "add", "--user", "a"}).command == Command::key_add);
  CHECK(arguments({"key", "list"}).command == Command::key_list);
  CHECK(arguments({"key", "revoke", "id"}).command == Command::key_revoke);
  CHECK(arguments({"log"}).command == Command::log);
  CHECK(arguments({"log", "show", "id"}).command == Command::log_show);
  CHECK(arguments({"usage"}).command == Command::usage);
  CHECK(arguments({"journal", "dump", "a", "b"}).command == Command::journal_dump);
  CHECK(arguments({"rules", "explain", "--provider", "p", "--auth", "byok"}).command == Command::rules_explain);
  CHECK(arguments({"check"}).command == Command::check);
  CHECK(arguments({"--version"}).command == Command::version);
}

TEST_CASE("arguments: a flag becomes the setting of its key, and given twice the last one counts") {
  const Arguments read = arguments(
      {"serve", "--max-body", "1MiB", "--set", "provider.openai.base_url=http://a/v1?x=1", "--max-body", "2MiB"});
  REQUIRE(read.settings.size() == 3);
  const auto find = [&](std::string_view key) { return std::ranges::find(read.settings, key, &Setting::key); };
  CHECK(find("limits.max_body")->flag == "--max-body");
  CHECK(find("limits.max_body")->value == "1MiB");
  CHECK(std::next(find("limits.max_body"))->value == "2MiB");
  CHECK(find("provider.openai.base_url")->value == "http://a/v1?x=1");
}

TEST_CASE("arguments: what is not known or missing is a usage error") {
  CHECK(parse({"serve", "--nonsense"}).exit_code == kExitUsage);
  CHECK(parse({"key", "add"}).exit_code == kExitUsage);
  CHECK(parse({"key"}).exit_code == kExitUsage);
  CHECK(parse({"nonsense"}).exit_code == kExitUsage);
  CHECK(parse({}).exit_code == kExitUsage);
  CHECK(parse({"log", "--limit", "0"}).exit_code == kExitUsage);
  CHECK(parse({"serve", "--set", "=1"}).exit_code == kExitUsage);
}

TEST_CASE("arguments: usage is summed by keys in their order, each once") {
  using record::UsageKey;
  CHECK(arguments({"usage"}).by == std::vector{UsageKey::user, UsageKey::model});
  CHECK(arguments({"usage", "--by", "day,credential_kind"}).by ==
        std::vector{UsageKey::day, UsageKey::credential_kind});
  for (const char* wrong : {"", ",", "user,", "user,user", "users", "user model"}) {
    CHECK(parse({"usage", "--by", wrong}).exit_code == kExitUsage);
  }
  CHECK(parse({"usage", "--json", "--csv"}).exit_code == kExitUsage);
}

TEST_CASE("settings: flags win over the defaults, listeners are replaced") {
  const auto config = read_settings(arguments(
      {"serve", "--workers", "3", "--listen", "127.0.0.1:1", "--listen", "six=[::1]:2", "--journal-sync", "1s"}));
  REQUIRE(config);
  CHECK(config->workers == 3);
  CHECK(config->journal.sync == "1s");
  REQUIRE(config->listeners.size() == 2);
  CHECK(config->listeners[0].name == "public");
  CHECK(config->listeners[0].address == "127.0.0.1:1");
  CHECK(config->listeners[1].name == "six");
  CHECK(config->listeners[1].address == "[::1]:2");
}

TEST_CASE("settings: a mistake names the flag") {
  const auto name_of_flag = [](std::vector<const char*> words) {
    const auto config = read_settings(arguments(std::move(words)));
    REQUIRE_FALSE(config);
    return config.error().message;
  };
  CHECK(has(name_of_flag({"serve", "--max-head", "1"}), "--max-head"));
  CHECK(has(name_of_flag({"serve", "--listen", "nowhere"}), "--listen"));
  CHECK(has(name_of_flag({"serve", "--listen", "a=127.0.0.1:1", "--listen", "a=127.0.0.1:2"}), "--listen"));
  CHECK(has(name_of_flag({"serve", "--set", "wrokers=2"}), "workers"));
}

TEST_CASE("settings: a named listener keeps its trust when a flag moves it") {
  gateway::Config defaults = gateway::default_config();
  defaults.listeners.front().name = "agents";
  defaults.listeners.front().address = "unix:/run/a.sock";
  defaults.listeners.front().trusted = true;
  defaults.listeners.front().allowed_uids = {7};
  const auto config = read_settings(arguments({"serve", "--listen", "agents=unix:/run/b.sock"}), defaults);
  REQUIRE(config);
  CHECK(config->listeners.front().trusted);
  CHECK(config->listeners.front().address == "unix:/run/b.sock");
}
