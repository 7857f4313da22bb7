// The command line, read: which command, with which values. The one place that knows CLI11 is arguments.cc; help.cc has
// the texts.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "record/usage.h"

namespace weir::cli {

inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;  // also a configuration that cannot be used

enum class Command : uint8_t {
  serve,
  demo,
  key_add,
  key_list,
  key_revoke,
  log,
  log_show,
  usage,
  journal_dump,
  rules_explain,
  check,
  mock,
  version
};

// A flag that is the twin of a key of the configuration file.
struct Setting {
  std::string key;  // "limits.max_body"
  std::string value;
  std::string flag;  // "--max-body", for messages
};

// What selects rows of the log, as it was written.
struct LogQuery {
  std::string user, provider, model, outcome, credential_kind, session;
  std::string since, until;
  std::optional<uint32_t> limit;
  bool follow = false;
};

struct Arguments {
  Command command = Command::serve;
  bool json = false;
  bool csv = false;   // usage
  bool full = false;  // journal dump
  std::string config_file;
  std::vector<Setting> settings;
  std::vector<std::string> listen;  // "ADDRESS" or "NAME=ADDRESS"
  // key
  std::string user, user_id, expires;
  std::string id;  // also of `log show`
  LogQuery log;    // also of `usage`
  std::vector<record::UsageKey> by = {record::UsageKey::user, record::UsageKey::model};
  // journal dump
  std::vector<std::string> files;
  // rules explain
  std::string provider, auth, route = "bridged", credential;
  // mock, demo
  std::vector<Setting> mock;  // keys of mock::apply()
  uint32_t requests_kept = 0;
  std::string busy_poll;  // mock: a time
};

struct Parsed {
  std::optional<int> exit_code;  // there is nothing more to do: help was printed, or an error
  Arguments arguments;
};
Parsed parse_arguments(int argc, const char* const* argv);

// One flag with a twin in the file.
struct TwinFlag {
  std::string_view flag;  // "--max-body"
  std::string_view key;
};
std::span<const TwinFlag> twin_flags();

// The help of a command, "" for the whole: "key add". At most 40 lines of 100 columns.
std::string_view help_text(std::string_view command);

}  // namespace weir::cli
