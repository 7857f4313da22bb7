// One table says every key of the configuration: its type, its range, where its value goes and what it means. The TOML
// file and the flags both go through it, so that a key and its flag have one checker.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "gateway/config.h"

namespace weir::gateway {

using Pairs = std::vector<std::pair<std::string, std::string>>;

// Where a value goes; the type of the field decides how the text is read.
using Slot = std::variant<std::string*, std::vector<std::string>*, std::vector<uint32_t>*, Pairs*, bool*, uint32_t*,
                          uint64_t*, LogFormat*, LogLevel*, AuthorizerKind*, ProviderType*, SandboxMode*, SinkKind*,
                          Recording*, std::optional<Recording>*>;

// How a uint64_t is written: "64KiB", "30s" or "20/s". The other types need no unit.
enum class Unit : uint8_t { none, bytes, time, rate };

// A value as it was written, before its type is judged.
struct Written {
  enum class Form : uint8_t { text, integer, boolean, list, pairs, table, other };
  Form form = Form::text;
  bool flag = false;  // from a command line, where everything is text
  std::string text;   // also of an integer or a boolean
  std::vector<std::string> items;
  bool items_are_texts = true;
  Pairs pairs;
};

// Empty if the text is good, else what it must be: "an IP address and port, or unix:/path".
using Expect = std::string_view (*)(std::string_view text);

template <class T>
struct Option {
  std::string_view key;  // dotted: "limits.max_body"
  std::string_view help;
  Slot (*slot)(T&);
  Unit unit = Unit::none;
  uint64_t min = 0;
  uint64_t max = UINT64_MAX;
  Expect expect = nullptr;
  bool secret = false;  // never repeat the value in a message
};

// Stores the value, or says what it must be: "must be 4KiB..1MiB (was \"0\")".
Result<> store(const Slot& slot, const Written& written, Unit unit, uint64_t min, uint64_t max, Expect expect,
               bool secret);
template <class T>
Result<> store(const Option<T>& option, T& into, const Written& written) {
  return store(option.slot(into), written, option.unit, option.min, option.max, option.expect, option.secret);
}

std::span<const Option<Config>> config_options();
std::span<const Option<ListenerConfig>> listener_options();
std::span<const Option<ProviderConfig>> provider_options();
std::span<const Option<RuleConfig>> rule_options();
std::span<const Option<SinkConfig>> sink_options();

template <class T>
const Option<T>* find_option(std::span<const Option<T>> options, std::string_view key) {
  for (const Option<T>& option : options) {
    if (option.key == key) return &option;
  }
  return nullptr;
}
template <class T>
std::vector<std::string_view> option_keys(std::span<const Option<T>> options) {
  std::vector<std::string_view> keys;
  for (const Option<T>& option : options) keys.push_back(option.key);
  return keys;
}

// A provider of one of the default names, or an empty one of that name.
ProviderConfig provider_named(std::string_view name);
std::optional<SinkKind> sink_kind(std::string_view word);
// What a provider without a base_url gets.
std::string_view default_base_url(std::string_view name, ProviderType type);

// Appends what check_config() finds.
void find_contradictions(const Config& config, std::vector<std::string>& mistakes);

// Whether a header of this name usually bears a secret: what a rule writes into it must not stand where others read it.
bool is_secret_header(std::string_view name);

// Checks of single texts.
std::string_view expect_provider_name(std::string_view text);
std::string_view expect_listener_name(std::string_view text);
std::string_view expect_sink_name(std::string_view text);
std::string_view expect_address(std::string_view text);
std::string_view expect_host(std::string_view text);
std::string_view expect_variable_name(std::string_view text);
std::string_view expect_credential_name(std::string_view text);

bool is_unix_address(std::string_view address);
// Of an address that expect_address() accepts.
bool is_loopback_address(std::string_view address);

}  // namespace weir::gateway
