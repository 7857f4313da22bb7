// The configuration: what a file says, what flags say over it, and the defaults that suit a laptop. Plain values; the
// compiled form that workers use is the Policy (policy.h).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "gateway/provider.h"

namespace weir::gateway {

// Where in a configuration file something stands, for messages: "weir.toml:35". Of a table also where each of its keys
// was written last, by a file or by a flag: "base_url" → "weir.toml:38", "--set provider.eu.base_url".
struct Place {
  std::string file;
  uint32_t line = 0;
  std::map<std::string, std::string, std::less<>> keys{};
};

struct ListenerConfig {
  std::string name;
  std::string address;      // "0.0.0.0:4001", "[::]:4001", "unix:/run/weir/trusted.sock"
  std::string certificate;  // PEM file; empty: plaintext
  std::string key;
  bool v6only = false;   // an IPv6 address: "[::]" takes no IPv4
  bool trusted = false;  // Unix sockets only
  std::vector<uint32_t> allowed_uids;
  Place place;
};

enum class AuthorizerKind : uint8_t { store, http, none };
struct AuthorizerConfig {
  AuthorizerKind kind = AuthorizerKind::store;
  std::string url;                                       // http
  std::string header = "Authorization: Bearer {token}";  // http: what bears the token
  uint64_t timeout_ns = 5 * kNsPerSecond;
  std::string ca_file;
  std::string user_id = "00000000-0000-0000-0000-000000000001";  // none: the initiator's UUID
  std::string username = "local";
  std::vector<std::string> hosts;  // none: names besides localhost and loopback addresses (local_names.h)
  Place place;
};

struct KeySource {
  std::string env;
  std::string file;
  std::string credential;  // a name in $CREDENTIALS_DIRECTORY, where systemd puts what LoadCredential= names
  bool empty() const { return env.empty() && file.empty() && credential.empty(); }
  bool optional = false;  // of a default provider: an unset variable is no mistake
};
// What a provider records differently from [record].
struct RecordOverride {
  std::optional<Recording> prompts;
  std::optional<Recording> tools;
  std::optional<Recording> thoughts;
};
struct ProviderConfig {
  std::string name;
  ProviderType type = ProviderType::openai;
  std::string base_url;
  KeySource key;
  std::string ca_file;
  bool send_actor_headers = false;
  bool insert_usage = true;
  RecordOverride record;
  Place place;
};

struct RuleWhen {  // empty: any
  std::string provider;
  std::string type;
  std::string route;  // "bridged", "passthrough", or an API: "messages", "chat_completions", "responses"
  std::string auth;   // "centralized", "byok"
  std::string credential_kind;
  std::string client;  // "Claude Code"
};
struct RuleConfig {
  std::string name;
  RuleWhen when;
  std::string on = "request";      // or "response"
  std::vector<std::string> strip;  // a name, or "prefix*"
  std::vector<std::pair<std::string, std::string>> set;
  std::vector<std::pair<std::string, std::string>> add;
  bool response() const { return on == "response"; }
  // Built-in rules only: what stays where it stood although a rule strips its name ("{credential}").
  std::vector<std::string> keep;
  Place place;
};

struct Limits {
  uint64_t max_body = 32ull << 20;
  uint64_t max_head = 64ull << 10;
  uint32_t connections = 20000;          // downstream, all workers
  uint64_t event_memory = 256ull << 20;  // per worker: events and answers being read that are not whole
  uint64_t body_memory = 256ull << 20;   // per worker: request bodies being received or held
  uint64_t body_rate = 1024;  // bytes a second that a request body must bring, after the first timeouts.body; 0: any
  uint64_t send_rate = 1024;  // that a client must take while an answer waits for it, in each timeouts.send; 0: any

  // For each client address (of IPv6 its /64), all workers together; 0: no limit.
  uint32_t address_connections = 0;
  uint64_t address_requests = 0;  // an hour
  uint32_t address_burst = 0;     // 0: what comes in a second
  // For each initiator.
  uint64_t initiator_requests = 0;  // an hour
  uint32_t initiator_burst = 0;
  uint32_t initiator_exchanges = 0;  // at once

  bool for_initiators() const { return initiator_requests != 0 || initiator_exchanges != 0; }
};
struct Timeouts {                          // nanoseconds
  uint64_t head = 30 * kNsPerSecond;       // a request head, from its first byte
  uint64_t body = 60 * kNsPerSecond;       // without a byte of the request body
  uint64_t idle = 620 * kNsPerSecond;      // a client connection between requests; load balancers: up to 600 s
  uint64_t handshake = 10 * kNsPerSecond;  // TLS, either side
  uint64_t connect = 10 * kNsPerSecond;    // to one upstream address
  uint64_t answer = 600 * kNsPerSecond;    // until the first byte of the provider's answer
  uint64_t stream = 300 * kNsPerSecond;    // without a byte inside the provider's answer
  uint64_t send = 60 * kNsPerSecond;       // without progress towards a client that does not read
  uint64_t upstream_idle = 60 * kNsPerSecond;
  uint64_t upstream_age = 600 * kNsPerSecond;  // give or take a tenth
  uint64_t drain = 30 * kNsPerSecond;
};
struct JournalConfig {
  uint64_t size = 64ull << 20;  // per worker
  std::string sync = "off";     // "off", or an interval for msync: "1s"
};
struct AdminConfig {
  std::string address;             // of /metrics, /healthz, /readyz; empty: off
  bool allow_remote = false;       // else loopback and Unix sockets only: the endpoint asks nobody for a token
  std::vector<std::string> hosts;  // names by which it may be called, besides localhost and addresses (local_names.h)
};
enum class SinkKind : uint8_t { sqlite, jsonl, postgres };
struct SinkConfig {
  std::string name{};  // empty: the kind's
  SinkKind kind = SinkKind::sqlite;
  std::string path{};                  // sqlite: the database, default data_dir/weir.db; jsonl: the file, "-" is stdout
  uint64_t rotate_size = 64ull << 20;  // jsonl
  uint32_t keep = 5;                   // jsonl: rotated files
  std::string dsn_file{};              // postgres: the file that holds the connection string
  std::string service{};               // postgres: an entry of libpq's service file
  bool managed = true;                 // postgres: `weir serve` runs weir-sink
  Place place{};
};
std::string_view text(SinkKind);
std::string sink_name(const SinkConfig& sink);

// What weir uses of io_uring where the kernel has it, and can do without.
inline constexpr std::string_view kRingFeatures[] = {"multishot-receive", "multishot-accept", "deferred-work",
                                                     "cooperative-work", "registered-ring"};

enum class SandboxMode : uint8_t { off, on, required };

struct Config {
  std::string file;  // empty: none
  Place place;       // of what is in no array of tables: "limits.max_body"
  std::string data_dir = "./weir-data";
  uint32_t workers = 0;        // 0: one for each usable core
  std::vector<uint32_t> cpus;  // cores to pin workers to, in order; empty: not pinned
  bool allow_byok = true;
  std::vector<std::string> governance_headers = {"X-Coder-AI-Governance-Token", "X-Coder-AI-Governance-BYOK-Token",
                                                 "X-Weir-Token"};
  std::string node;  // default: the host's name
  std::string user;  // "name" or "name:group" that `weir serve` becomes; empty: nobody else
  SandboxMode sandbox = SandboxMode::on;
  bool core_dumps = false;
  uint32_t ring_entries = 1024;
  std::vector<std::string> ring_without;  // features of io_uring that are not used, by their names in kRingFeatures
  uint64_t batch_wait_ns = 0;
  uint64_t busy_poll_ns = 0;  // not both
  uint32_t buffers = 512;     // provided buffers per worker
  uint32_t buffer_size = 4096;
  uint64_t dns_ttl_ns = 30 * kNsPerSecond;
  LogFormat log_format = LogFormat::text;
  LogLevel log_level = LogLevel::info;
  std::vector<ListenerConfig> listeners;
  AuthorizerConfig authorizer;
  std::vector<ProviderConfig> providers;
  std::vector<RuleConfig> rules;
  RecordSettings record;
  Limits limits;
  Timeouts timeouts;
  JournalConfig journal;
  AdminConfig admin;
  std::vector<SinkConfig> sinks;
};

// Where gateway keys are, and records if there is a sink of kind sqlite.
std::string database_path(const Config& config);

// No file: the four default providers, keys from ANTHROPIC_API_KEY and OPENAI_API_KEY if they are set, a listener
// `public` on 127.0.0.1:4001, the store authorizer.
Config default_config();

// Parses and checks the whole file. Every mistake is reported, each on its own line, "weir.toml:35: limits.max_head
// must be 4KiB..1MiB (was \"0\")": unknown keys (with the nearest known one), wrong types, out of range,
// contradictions. A file without [[provider]] or [[listener]] gets the defaults for that part.
Result<Config> parse_config(std::string_view toml, std::string_view file_name);
Result<Config> load_config(const std::string& path);

// One "key = value" from a flag, by the dotted key of the file ("limits.max_body", "timeouts.stream", "workers"), in
// the text that TOML or the flag has. So a flag and its twin have one checker. `place` is "--max-body" for messages.
// Lists are separated by commas. What a file has in an array of tables is named: "provider.openai.base_url",
// "listener.public.address", "rule.tag.strip", "sink.sqlite.path" change that one, or make it; "rule.tag.set" takes
// "x-team=blue" and may be given several times.
Result<> set_option(Config& config, std::string_view key, std::string_view value, std::string_view place);

// Every key that set_option() takes, for flags and for help. Those of the arrays of tables have a '*' for the name:
// "provider.*.base_url".
struct OptionText {
  std::string key;
  std::string_view help;
  bool is_switch = false;  // true or false
};
std::vector<OptionText> option_texts();

// Checks what spans several parts (unique names, `none` only on loopback, trusted only on Unix sockets, journal sizes).
Result<> check_config(const Config& config);

}  // namespace weir::gateway
