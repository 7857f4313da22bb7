// What one value alone cannot tell: contradictions between the parts of a configuration.
#include <arpa/inet.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <set>
#include <utility>

#include "base/units.h"
#include "gateway/messages.h"
#include "gateway/option.h"
#include "wire/head.h"
#include "wire/target.h"

namespace weir::gateway {

namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr size_t kSinksMax = 8;       // a journal has places for as many consumers
constexpr size_t kUnixPathMax = 107;  // sockaddr_un::sun_path and its terminator

struct HostPort {
  std::string host;  // without brackets
  bool ipv6 = false;
  bool valid = false;
};

HostPort split_address(std::string_view address) {
  HostPort result;
  const size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return result;
  std::string_view host = address.substr(0, colon);
  const std::string_view port = address.substr(colon + 1);
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (port.empty() || error != std::errc() || end != port.data() + port.size()) return result;
  if (host.starts_with('[') && host.ends_with(']')) {
    result.ipv6 = true;
    host = host.substr(1, host.size() - 2);
  }
  result.host = host;
  in6_addr parsed{};
  result.valid = inet_pton(result.ipv6 ? AF_INET6 : AF_INET, result.host.c_str(), &parsed) == 1;
  return result;
}

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

class Contradictions {
 public:
  Contradictions(const Config& config, std::vector<std::string>& mistakes) : config_(config), mistakes_(mistakes) {}

  void find() {
    check_workers();
    check_governance_headers();
    check_listeners();
    check_authorizer();
    check_providers();
    check_rule_names();
    check_admin();
    check_sinks();
  }

 private:
  template <class... Args>
  void mistake(fmt::format_string<Args...> format, Args&&... args) {
    mistakes_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  std::string_view file() const { return config_.file.empty() ? "configuration" : std::string_view(config_.file); }
  // Made by a flag, and so perhaps by a typing error in the name of another.
  static bool comes_from_flags(const Place& place) { return place.line == 0 && !place.keys.empty(); }
  static bool has_default_name(const ProviderConfig& provider) {
    return std::ranges::any_of(default_config().providers,
                               [&](const ProviderConfig& known) { return known.name == provider.name; });
  }
  // "; did you mean \"openai\"? A", of the names of others, or "; a".
  template <class T>
  static std::string near(const std::string& name, const std::vector<T>& all) {
    std::vector<std::string> names;
    for (const T& item : all) {
      if (item.name != name) names.push_back(name_of(item));
    }
    const std::string meant = suggestion(name, std::vector<std::string_view>(names.begin(), names.end()));
    return meant.empty() ? "; a" : meant + " A";
  }
  template <class T>
  static std::string name_of(const T& item) {
    return item.name;
  }
  static std::string name_of(const SinkConfig& sink) { return sink_name(sink); }
  // Where a key outside the arrays of tables was written.
  std::string at(std::string_view key) const {
    const auto found = config_.place.keys.find(key);
    return found == config_.place.keys.end() ? std::string(file()) : found->second;
  }

  void check_workers() {
    if (!std::has_single_bit(config_.ring_entries)) {
      mistake("{}: ring_entries must be a power of two (was {})", at("ring_entries"), config_.ring_entries);
    }
    if (!std::has_single_bit(config_.buffers)) {
      mistake("{}: buffers must be a power of two (was {})", at("buffers"), config_.buffers);
    }
    if (!std::has_single_bit(config_.journal.size)) {
      mistake("{}: journal.size must be a power of two, such as {} (was {})", at("journal.size"),
              format_size(std::bit_floor(config_.journal.size)), format_size(config_.journal.size));
    }
    if (config_.batch_wait_ns > 0 && config_.busy_poll_ns > 0) {
      mistake("{}: batch_wait lets events wait to save CPU, busy_poll spends CPU so that none waits; set one of them",
              at("busy_poll"));
    }
    if (std::set(config_.cpus.begin(), config_.cpus.end()).size() != config_.cpus.size()) {
      mistake("{}: cpus names a core twice", at("cpus"));
    }
    if (!config_.cpus.empty() && config_.workers > config_.cpus.size()) {
      mistake("{}: workers is {} but cpus names only {}; give each worker a core, or leave cpus out", at("cpus"),
              config_.workers, config_.cpus.size());
    }
  }

  void check_governance_headers() {
    constexpr std::string_view kTaken[] = {"Authorization", "X-Api-Key",         "Host",   "Content-Length",
                                           "Connection",    "Transfer-Encoding", "Cookie", "Content-Type"};
    constexpr std::string_view kMarks = "!#$%&'+-.^_`|~";
    for (size_t i = 0; i < config_.governance_headers.size(); ++i) {
      const std::string& name = config_.governance_headers[i];
      const bool token = !name.empty() && std::ranges::all_of(name, [&](char c) {
        return is_word(c) || kMarks.find(c) != std::string_view::npos;
      });
      if (!token)
        mistake("{}: governance_headers has \"{}\", which is not a header name", at("governance_headers"), name);
      for (const std::string_view taken : kTaken) {
        if (!wire::looks_like(taken, name)) continue;
        mistake("{}: governance_headers may not name {}: it means something else in every request",
                at("governance_headers"), taken);
      }
      for (size_t j = 0; j < i; ++j) {
        if (!wire::looks_like(config_.governance_headers[j], name)) continue;
        mistake("{}: governance_headers names {} twice ('_' counts as '-', and letters have no case)",
                at("governance_headers"), name);
        break;
      }
    }
  }

  void check_listeners() {
    if (config_.listeners.empty()) mistake("{}: there is no listener; add a [[listener]]", file());
    std::set<std::string> names;
    std::set<std::string> addresses;
    for (const ListenerConfig& listener : config_.listeners) {
      const std::string at = fmt::format("{}: listener \"{}\"", where(listener.place), listener.name);
      const std::string_view wanted = listener.name.empty() ? "" : expect_listener_name(listener.name);
      if (!wanted.empty()) mistake("{}: name must be {}", at, wanted);
      const bool taken = !listener.name.empty() && !names.insert(listener.name).second;
      if (taken) mistake("{}: the name is taken by another listener", at);
      const bool any_port = !is_unix_address(listener.address) && listener.address.ends_with(":0");
      if (!any_port && !addresses.insert(listener.address).second) {
        mistake("{}: address \"{}\" is taken by another listener", at, listener.address);
      }
      check_listener(listener, at);
    }
  }

  void check_listener(const ListenerConfig& listener, const std::string& at) {
    const std::string_view wanted = expect_address(listener.address);
    if (listener.address.empty() && comes_from_flags(listener.place)) {
      mistake("{}: there is no listener \"{}\"{} new one needs its address: --listen {}=127.0.0.1:4002",
              where(listener.place), listener.name, near(listener.name, config_.listeners), listener.name);
      return;
    }
    if (!wanted.empty()) {
      mistake("{}: address must be {} (was \"{}\")", at, wanted, listener.address);
      return;
    }
    if (listener.certificate.empty() != listener.key.empty()) {
      mistake("{}: tls needs both certificate and key; {} is missing", at,
              listener.certificate.empty() ? "certificate" : "key");
    }
    if (listener.v6only && !listener.address.starts_with('[')) {
      mistake("{}: v6only is for an IPv6 address such as \"[::]:4001\" (address is \"{}\")", at, listener.address);
    }
    if (!is_unix_address(listener.address) && (listener.trusted || !listener.allowed_uids.empty())) {
      mistake("{}: {} works on Unix sockets only, where the kernel tells who connects; use address = \"unix:/path\"",
              at, listener.trusted ? "trusted" : "allowed_uids");
    } else if (listener.trusted && listener.allowed_uids.empty()) {
      mistake("{}: trusted = true needs allowed_uids, or nobody could connect", at);
    }
  }

  void check_authorizer() {
    const AuthorizerConfig& authorizer = config_.authorizer;
    const std::string at = where(authorizer.place);
    const std::string at_url =
        where(config_.place.keys.contains("authorizer.url") ? config_.place : authorizer.place, "authorizer.url");
    if (authorizer.kind == AuthorizerKind::http && authorizer.url.empty()) {
      mistake("{}: authorizer.kind = \"http\" needs authorizer.url", at);
    }
    if (authorizer.kind != AuthorizerKind::http && !authorizer.url.empty()) {
      mistake("{}: authorizer.url is only used with authorizer.kind = \"http\"; set the kind, or remove the url",
              at_url);
    }
    if (authorizer.kind == AuthorizerKind::http && !authorizer.url.empty()) {
      if (const auto url = wire::parse_base_url(authorizer.url); !url) {
        mistake("{}: authorizer.url {} {}", at_url, shown_url(authorizer.url), url.error().message);
      }
    }
    if (authorizer.kind != AuthorizerKind::none && !authorizer.hosts.empty()) {
      mistake("{}: authorizer.hosts is only used with authorizer.kind = \"none\"; set the kind, or remove the hosts",
              at);
    }
    if (authorizer.kind != AuthorizerKind::none) return;
    for (const ListenerConfig& listener : config_.listeners) {
      if (!expect_address(listener.address).empty() || is_loopback_address(listener.address)) continue;
      mistake(
          "{}: authorizer.kind = \"none\" lets everybody in, so it is for loopback listeners only; listener \"{}\" "
          "({}) is open to others: bind it to 127.0.0.1, or use kind = \"store\"",
          at, listener.name, listener.address);
    }
  }

  void check_providers() {
    if (config_.providers.empty()) mistake("{}: there is no provider; add a [[provider]]", file());
    if (config_.providers.size() > UINT16_MAX) mistake("{}: there are more than 65535 providers", file());
    std::set<std::string> names;
    for (const ProviderConfig& provider : config_.providers) {
      const std::string at = fmt::format("{}: provider \"{}\"", where(provider.place), provider.name);
      // A name that a file gives wrongly has been told there and is empty here; this one came in a flag's key.
      const std::string_view wanted = provider.name.empty() ? "" : expect_provider_name(provider.name);
      if (!wanted.empty()) mistake("{}: name must be {}", at, wanted);
      const bool taken = !provider.name.empty() && !names.insert(provider.name).second;
      if (taken) mistake("{}: the name is taken by another provider", at);
      if (comes_from_flags(provider.place) && !has_default_name(provider) && !provider.place.keys.contains("type")) {
        mistake("{}: there is no provider \"{}\"{} new one needs its type: --set provider.{}.type=openai",
                where(provider.place), provider.name, near(provider.name, config_.providers), provider.name);
      }
      const KeySource& key = provider.key;
      if (!key.env.empty() + !key.file.empty() + !key.credential.empty() > 1) {
        mistake("{}: key has more than one of env, file and credential; keep one", at);
      }
    }
  }

  void check_admin() {
    const std::string& address = config_.admin.address;
    for (const ListenerConfig& listener : config_.listeners) {
      if (address.empty() || listener.address != address || address.ends_with(":0")) continue;
      mistake("{}: admin.address \"{}\" is that of listener \"{}\"; choose another port", at("admin.address"), address,
              listener.name);
    }
    if (address.empty() || config_.admin.allow_remote || !expect_address(address).empty()) return;
    if (is_loopback_address(address)) return;
    mistake(
        "{}: admin.address \"{}\" can be reached from other machines and asks nobody for a token; bind it to 127.0.0.1 "
        "or a Unix socket, or set admin.allow_remote = true",
        at("admin.address"), address);
  }

  void check_rule_names() {
    std::set<std::string> names;
    for (const RuleConfig& rule : config_.rules) {
      if (names.insert(rule.name).second) continue;
      mistake("{}: rule \"{}\": the name is taken by another rule", where(rule.place), rule.name);
    }
  }

  void check_sinks() {
    if (config_.sinks.empty()) mistake("{}: there is no sink; add a [[sink]]", file());
    if (config_.sinks.size() > kSinksMax) mistake("{}: there are more than {} sinks", file(), kSinksMax);
    std::set<std::string> names;
    std::set<std::string> paths;
    bool sqlite = false;
    for (const SinkConfig& sink : config_.sinks) {
      const std::string at = fmt::format("{}: sink \"{}\"", where(sink.place), sink_name(sink));
      const std::string_view wanted = sink.name.empty() ? "" : expect_sink_name(sink.name);
      if (!wanted.empty()) mistake("{}: name must be {}", at, wanted);
      if (comes_from_flags(sink.place) && !sink.place.keys.contains("kind") && !sink_kind(sink_name(sink))) {
        mistake("{}: there is no sink \"{}\"{} new one needs its kind: --set sink.{}.kind=jsonl", where(sink.place),
                sink.name, near(sink.name, config_.sinks), sink.name);
        continue;
      }
      const bool taken = !names.insert(sink_name(sink)).second;
      if (taken) mistake("{}: the name is taken by another sink; give each a name of its own", at);
      if (sink.kind == SinkKind::sqlite && std::exchange(sqlite, true)) {
        mistake("{}: there may be only one sink of kind sqlite", at);
      }
      if (sink.kind == SinkKind::jsonl && sink.path.empty()) {
        mistake("{}: kind = \"jsonl\" needs a path: a file, or \"-\" for standard output", at);
      } else if (!sink.path.empty() && !paths.insert(sink.path).second) {
        mistake("{}: path \"{}\" is taken by another sink", at, sink.path);
      }
      check_sink_keys(sink, at);
    }
  }

  // Keys that the kind does not have.
  void check_sink_keys(const SinkConfig& sink, const std::string& at) {
    const SinkConfig usual;
    const auto only = [&](SinkKind kind, bool is_set, std::string_view key) {
      if (sink.kind != kind && is_set) mistake("{}: {} is only used with kind = \"{}\"", at, key, text(kind));
    };
    only(SinkKind::jsonl, sink.rotate_size != usual.rotate_size, "rotate_size");
    only(SinkKind::jsonl, sink.keep != usual.keep, "keep");
    only(SinkKind::postgres, !sink.dsn_file.empty(), "dsn_file");
    only(SinkKind::postgres, !sink.service.empty(), "service");
    only(SinkKind::postgres, sink.managed != usual.managed, "managed");
    if (sink.kind != SinkKind::postgres) return;
    if (!sink.path.empty()) mistake("{}: path is not used with kind = \"postgres\"", at);
    if (!sink.dsn_file.empty() && !sink.service.empty()) mistake("{}: has both dsn_file and service; keep one", at);
  }

  const Config& config_;
  std::vector<std::string>& mistakes_;
};

}  // namespace

std::string_view expect_provider_name(std::string_view text) {
  constexpr std::string_view kWanted = "small letters, digits and single dashes between them, such as \"openai-eu\"";
  bool dash = true;  // as if one stood before: none may come first
  for (const char c : text) {
    if (c == '-' ? dash : !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) return kWanted;
    dash = c == '-';
  }
  if (dash || text.size() > 64) return kWanted;
  if (text == "api") return "another name: paths under /api/ belong to the platform";
  return {};
}

std::string_view expect_listener_name(std::string_view text) {
  const bool good = !text.empty() && text.size() <= 64 &&
                    std::ranges::all_of(text, [](char c) { return is_word(c) || c == '-' || c == '_' || c == '.'; });
  return good ? "" : "letters, digits and - _ . only, at most 64";
}

std::string_view expect_sink_name(std::string_view text) {
  return expect_listener_name(text).empty() && text.size() <= 31 && text.front() != '.'
             ? ""
             : "letters, digits and - _ . only, at most 31";
}

std::string_view expect_address(std::string_view text) {
  if (is_unix_address(text)) {
    const std::string_view path = text.substr(kUnixPrefix.size());
    if (path.empty() || path.size() > kUnixPathMax || path.find('\0') != std::string_view::npos) {
      return "unix: and a path of at most 107 bytes";
    }
    return {};
  }
  return split_address(text).valid
             ? ""
             : "an IP address and port such as \"127.0.0.1:4001\" or \"[::1]:4001\", or unix:/path";
}

std::string_view expect_host(std::string_view text) {
  const std::string copy(text);
  in6_addr v6{};
  const bool name = !text.empty() && text.size() <= 253 &&
                    std::ranges::all_of(text, [](char c) { return is_word(c) || c == '-' || c == '.' || c == '_'; });
  return name || inet_pton(AF_INET6, copy.c_str(), &v6) == 1
             ? ""
             : "names or addresses alone, without scheme, port and brackets, such as \"weir.example\"";
}

std::string_view expect_variable_name(std::string_view text) {
  const bool good = !text.empty() && !(text.front() >= '0' && text.front() <= '9') &&
                    std::ranges::all_of(text, [](char c) { return is_word(c) || c == '_'; });
  return good ? "" : "the name of an environment variable, such as \"OPENAI_API_KEY\", not the key itself";
}

std::string_view expect_credential_name(std::string_view text) {
  const bool good = !text.empty() && text.size() <= 255 && text.front() != '.' &&
                    std::ranges::all_of(text, [](char c) { return is_word(c) || c == '-' || c == '_' || c == '.'; });
  return good ? "" : "the name of a systemd credential, such as \"anthropic\", not the key itself";
}

bool is_secret_header(std::string_view name) {
  constexpr std::string_view kMarks[] = {"authorization", "key", "token", "secret", "password", "cookie", "credential"};
  const auto is_at = [&](size_t offset, std::string_view mark) {
    return wire::equals_ignoring_case(name.substr(offset, mark.size()), mark);
  };
  const bool marked = std::ranges::any_of(kMarks, [&](std::string_view mark) {
    for (size_t i = 0; i + mark.size() <= name.size(); ++i) {
      if (is_at(i, mark)) return true;
    }
    return false;
  });
  // Words that are also parts of others ("author").
  constexpr std::string_view kWords[] = {"auth", "authentication", "bearer", "jwt", "passwd"};
  return marked || std::ranges::any_of(kWords, [&](std::string_view word) {
           for (size_t i = 0; i + word.size() <= name.size(); ++i) {
             const size_t end = i + word.size();
             const bool whole = (i == 0 || !is_word(name[i - 1])) && (end == name.size() || !is_word(name[end]));
             if (whole && is_at(i, word)) return true;
           }
           return false;
         });
}

bool is_unix_address(std::string_view address) {
  return address.starts_with(kUnixPrefix);
}

bool is_loopback_address(std::string_view address) {
  if (is_unix_address(address)) return true;
  const HostPort parts = split_address(address);
  return parts.valid && (parts.ipv6 ? parts.host == "::1" : parts.host.starts_with("127."));
}

void find_contradictions(const Config& config, std::vector<std::string>& mistakes) {
  Contradictions(config, mistakes).find();
}

Result<> check_config(const Config& config) {
  std::vector<std::string> mistakes;
  find_contradictions(config, mistakes);
  return all_mistakes(mistakes);
}

}  // namespace weir::gateway
