#include <fmt/core.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>

#include "base/clock.h"
#include "base/digest.h"
#include "base/ids.h"
#include "base/mask.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/gateway_token.h"
#include "cli/log_query.h"
#include "cli/print.h"
#include "cli/settings.h"
#include "cli/time_text.h"
#include "mock/json_text.h"
#include "record/store.h"

namespace weir::cli {

namespace {

Result<std::unique_ptr<record::Store>> open_store(const Arguments& arguments) {
  const Result<gateway::Config> config = read_settings(arguments);
  if (!config) return std::unexpected(config.error());
  const std::string path = database_path(*config);
  std::error_code error;
  const bool is_new = !std::filesystem::exists(path, error);
  auto store = record::Store::open(path);
  // A wrong --data-dir would go unnoticed otherwise.
  if (store && is_new) fmt::print(stderr, "made the database {}\n", path);
  return store;
}

// The user's id in earlier keys, so that all keys of a name are one user's; else the one that every node gives the
// name.
Result<std::string> initiator_of(record::Store& store, const std::string& user) {
  const auto keys = store.list_keys();
  if (!keys) return std::unexpected(keys.error());
  for (const record::GatewayKey& key : *keys) {
    if (key.username == user) return key.initiator_id;
  }
  return uuid_of_name(kUserNamespace, user).text();
}

Result<> check_user(std::string_view user) {
  if (user.empty() || user.size() > 255 || harmless(user) != user) {
    return fail("--user must be 1 to 255 bytes of text without control characters");
  }
  return {};
}

std::string state_of(const record::GatewayKey& key, int64_t now) {
  if (key.revoked_at != 0) return "revoked";
  return key.expires_at != 0 && key.expires_at <= now ? "expired" : "live";
}

std::string as_json(const record::GatewayKey& key, int64_t now) {
  std::string out = R"({"id":)";
  mock::append_json(out, key.id);
  mock::put(out, {R"(,"user":)"});
  mock::append_json(out, key.username);
  mock::put(out, {R"(,"initiator_id":)"});
  mock::append_json(out, key.initiator_id);
  mock::put(out, {R"(,"hint":)"});
  mock::append_json(out, key.hint);
  const auto moment = [&](std::string_view name, int64_t us) {
    mock::put(out, {",\"", name, "\":"});
    if (us == 0) {
      out += "null";
    } else {
      mock::append_json(out, format_rfc3339(us));
    }
  };
  moment("created_at", key.created_at);
  moment("expires_at", key.expires_at);
  moment("revoked_at", key.revoked_at);
  mock::put(out, {R"(,"state":")", state_of(key, now), "\"}"});
  return out;
}

}  // namespace

std::string make_gateway_token() {
  static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::array<uint8_t, 33> bytes{};  // 32 random ones; the last is 0 and only fills up the last group
  if (::getrandom(bytes.data(), 32, 0) != 32) return {};
  std::string token = "weir_";
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const uint32_t group = static_cast<uint32_t>(bytes[i] << 16 | bytes[i + 1] << 8 | bytes[i + 2]);
    for (const unsigned shift : {18u, 12u, 6u, 0u}) token += kAlphabet[group >> shift & 63];
  }
  token.resize(5 + 43);
  return token;
}

Result<record::GatewayKey> add_gateway_key(record::Store& store, const std::string& user, const std::string& user_id,
                                           int64_t expires_at, const std::string& token) {
  record::GatewayKey key;
  key.id = random_uuid().text();
  key.username = user;
  key.hint = mask(token);
  key.token_sha256 = sha256(token);
  key.created_at = unix_us();
  key.expires_at = expires_at;
  const Result<std::string> initiator = user_id.empty() ? initiator_of(store, user) : Result<std::string>(user_id);
  if (!initiator) return std::unexpected(initiator.error());
  key.initiator_id = *initiator;
  if (auto added = store.add_key(key); !added) return std::unexpected(added.error());
  return key;
}

int run_key_add(const Arguments& arguments) {
  int64_t expires_at = 0;
  if (const auto good = check_user(arguments.user); !good) return complain(good.error().message), kExitUsage;
  if (!arguments.user_id.empty() && !is_uuid(arguments.user_id)) {
    complain(fmt::format("--id must be a UUID such as {} (was \"{}\")", random_uuid().text(), arguments.user_id));
    return kExitUsage;
  }
  if (!arguments.expires.empty()) {
    const Result<uint64_t> span = parse_duration(arguments.expires);
    if (!span || *span == 0) {
      complain(fmt::format("--expires must be a time from now such as 30d or 12h (was \"{}\")", arguments.expires));
      return kExitUsage;
    }
    expires_at = unix_us() + static_cast<int64_t>(*span / kNsPerUs);
  }
  auto store = open_store(arguments);
  if (!store) return complain(store.error().message), kExitFailure;
  const std::string token = make_gateway_token();
  if (token.empty()) return complain("the kernel gave no random bytes; nothing was added"), kExitFailure;
  const auto key = add_gateway_key(**store, arguments.user, arguments.user_id, expires_at, token);
  if (!key) return complain(key.error().message), kExitFailure;
  fmt::print(stderr, "id={} user={} initiator_id={} hint={}{}\n", key->id, key->username, key->initiator_id, key->hint,
             expires_at == 0 ? "" : " expires=" + format_rfc3339(expires_at));
  if (!print_line(token)) {
    complain(fmt::format("the token could not be written; revoke its key: weir key revoke {}", key->id));
    return kExitFailure;
  }
  return 0;
}

int run_key_list(const Arguments& arguments) {
  const Result<std::string> path = existing_database(arguments);
  if (!path) return complain(path.error().message), kExitFailure;
  auto store = record::Store::open_to_read(*path);
  if (!store) return complain(store.error().message), kExitFailure;
  const auto keys = (*store)->list_keys();
  if (!keys) return complain(keys.error().message), kExitFailure;
  const int64_t now = unix_us();
  Table table({"ID", "USER", "TOKEN", "STATE", "CREATED", "EXPIRES"});
  for (const record::GatewayKey& key : *keys) {
    if (arguments.json) {
      print_line(as_json(key, now));
    } else {
      table.add({key.id, key.username, key.hint, state_of(key, now), format_moment(key.created_at),
                 key.expires_at == 0 ? "never" : format_moment(key.expires_at)});
    }
  }
  if (arguments.json) return 0;
  if (table.empty()) {
    fmt::print(stderr, "no keys yet; make one: weir key add --user NAME\n");
    return 0;
  }
  return print_line(table.text()) ? 0 : kExitFailure;
}

int run_key_revoke(const Arguments& arguments) {
  if (arguments.id.empty()) return complain("ID must not be empty; `weir key list` shows ids"), kExitUsage;
  const Result<std::string> path = existing_database(arguments);
  if (!path) return complain(path.error().message), kExitFailure;
  auto store = record::Store::open(*path);
  if (!store) return complain(store.error().message), kExitFailure;
  const auto revoked = (*store)->revoke_key(arguments.id, unix_us());
  if (!revoked) return complain(revoked.error().message), kExitFailure;
  if (!*revoked) {
    complain(fmt::format("no live key has the id {}; `weir key list` shows them", arguments.id));
    return kExitFailure;
  }
  fmt::print(stderr, "revoked {}\n", arguments.id);
  return 0;
}

}  // namespace weir::cli
