// Defaults, and the table of every key.
#include "gateway/config.h"

#include <algorithm>

#include "base/ids.h"
#include "base/units.h"
#include "gateway/messages.h"
#include "gateway/option.h"

namespace weir::gateway {

namespace {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kGiB = 1024 * kMiB;
constexpr uint64_t kTimeoutMin = 10 * kNsPerMs;  // one turn of the workers' timer wheel
constexpr uint64_t kHour = 3600 * kNsPerSecond;
constexpr uint64_t kDay = 24 * kHour;
constexpr uint64_t kRateMax = 3600ull * 1000000;  // a million a second
constexpr uint64_t kBurstMax = 1000000;

struct DefaultProvider {
  std::string_view name;
  ProviderType type;
  std::string_view base_url;
  std::string_view key_env;
};
constexpr DefaultProvider kDefaultProviders[] = {
    {"anthropic", ProviderType::anthropic, "https://api.anthropic.com", "ANTHROPIC_API_KEY"},
    {"openai", ProviderType::openai, "https://api.openai.com/v1", "OPENAI_API_KEY"},
    {"chatgpt", ProviderType::openai, "https://chatgpt.com/backend-api/codex", ""},
    {"copilot", ProviderType::copilot, "https://api.individual.githubcopilot.com", ""},
};

std::string_view expect_sync(std::string_view text) {
  const auto interval = parse_duration(text);
  if (text == "off" || (interval && *interval >= kTimeoutMin && *interval <= kHour)) return {};
  return "\"off\" or an interval 10ms..1h";
}
std::string_view expect_uuid(std::string_view text) {
  return is_uuid(text) ? "" : "a UUID in its 36 characters";
}
std::string_view expect_side(std::string_view text) {
  return text == "request" || text == "response" ? "" : "\"request\" or \"response\"";
}
std::string_view expect_ring_feature(std::string_view text) {
  const bool known = std::ranges::find(kRingFeatures, text) != std::end(kRingFeatures);
  return known ? "" : "multishot-receive, multishot-accept, deferred-work, cooperative-work, registered-ring";
}
std::string_view expect_not_empty(std::string_view text) {
  return text.empty() ? "a text that is not empty" : "";
}
std::string_view expect_admin_address(std::string_view text) {
  return text.empty() ? "" : expect_address(text);
}
std::string_view expect_header_line(std::string_view text) {
  const size_t colon = text.find(": ");
  const bool one_line =
      std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
  const bool good = one_line && colon != std::string_view::npos && colon > 0 &&
                    text.substr(0, colon).find(' ') == std::string_view::npos &&
                    text.find("{token}", colon) != std::string_view::npos;
  return good ? "" : "one header line with {token} in its value, such as \"Authorization: Bearer {token}\"";
}

// A type and a member: neither can be in parentheses. NOLINTNEXTLINE(bugprone-macro-parentheses)
#define WEIR_SLOT(type, field) [](type& config) -> Slot { return &config.field; }

constexpr Option<Config> kConfigOptions[] = {
    {.key = "data_dir",
     .help = "where weir.db and the journal are kept",
     .slot = WEIR_SLOT(Config, data_dir),
     .expect = expect_not_empty},
    {.key = "workers",
     .help = "worker threads; 0 is one for each usable core",
     .slot = WEIR_SLOT(Config, workers),
     .max = 1024},
    {.key = "cpus", .help = "cores to pin workers to, in order", .slot = WEIR_SLOT(Config, cpus), .max = 4095},
    {.key = "allow_byok", .help = "whether users may bring their own key", .slot = WEIR_SLOT(Config, allow_byok)},
    {.key = "governance_headers",
     .help = "headers that bear the gateway token of a user who brings their own key",
     .slot = WEIR_SLOT(Config, governance_headers)},
    {.key = "node", .help = "this node's name in records; default: the host's", .slot = WEIR_SLOT(Config, node)},
    {.key = "user",
     .help = "the user that `weir serve` becomes once its listeners and keys are open: NAME or NAME:GROUP",
     .slot = WEIR_SLOT(Config, user)},
    {.key = "sandbox", .help = "off, on (as far as the kernel can) or required", .slot = WEIR_SLOT(Config, sandbox)},
    {.key = "core_dumps", .help = "whether a crash may leave a core", .slot = WEIR_SLOT(Config, core_dumps)},
    {.key = "ring_entries",
     .help = "entries of a worker's submission queue, a power of two",
     .slot = WEIR_SLOT(Config, ring_entries),
     .min = 64,
     .max = 32768},
    {.key = "ring_without",
     .help = "features of io_uring not to use, for diagnosis: multishot-receive, multishot-accept, deferred-work, "
             "cooperative-work, registered-ring",
     .slot = WEIR_SLOT(Config, ring_without),
     .expect = expect_ring_feature},
    {.key = "batch_wait",
     .help = "how long a worker gathers completions before it acts; 0 acts at once",
     .slot = WEIR_SLOT(Config, batch_wait_ns),
     .unit = Unit::time,
     .max = 10 * kNsPerMs},
    {.key = "busy_poll",
     .help = "how long a worker without work looks for some before it sleeps; 0 sleeps at once",
     .slot = WEIR_SLOT(Config, busy_poll_ns),
     .unit = Unit::time,
     .max = kNsPerSecond},
    {.key = "buffers",
     .help = "receive buffers of a worker, a power of two",
     .slot = WEIR_SLOT(Config, buffers),
     .min = 16,
     .max = 32768},
    {.key = "buffer_size",
     .help = "bytes of a receive buffer",
     .slot = WEIR_SLOT(Config, buffer_size),
     .unit = Unit::bytes,
     .min = kKiB,
     .max = kMiB},
    {.key = "dns_ttl",
     .help = "how long a provider's addresses are used",
     .slot = WEIR_SLOT(Config, dns_ttl_ns),
     .unit = Unit::time,
     .min = kNsPerSecond,
     .max = kDay},
    {.key = "log_format", .help = "text or json", .slot = WEIR_SLOT(Config, log_format)},
    {.key = "log_level", .help = "debug, info, warn or error", .slot = WEIR_SLOT(Config, log_level)},
    {.key = "authorizer.kind",
     .help = "who checks gateway tokens: store, http or none",
     .slot = WEIR_SLOT(Config, authorizer.kind)},
    {.key = "authorizer.url", .help = "http: the service that is asked", .slot = WEIR_SLOT(Config, authorizer.url)},
    {.key = "authorizer.header",
     .help = "http: the header that bears the token, with {token} in its value",
     .slot = WEIR_SLOT(Config, authorizer.header),
     .expect = expect_header_line},
    {.key = "authorizer.timeout",
     .help = "http: how long the service may take",
     .slot = WEIR_SLOT(Config, authorizer.timeout_ns),
     .unit = Unit::time,
     .min = kTimeoutMin,
     .max = kHour},
    {.key = "authorizer.ca_file",
     .help = "http: certificates to trust; default: the system's",
     .slot = WEIR_SLOT(Config, authorizer.ca_file)},
    {.key = "authorizer.user",
     .help = "none: the name of every caller",
     .slot = WEIR_SLOT(Config, authorizer.username)},
    {.key = "authorizer.user_id",
     .help = "none: the UUID of every caller",
     .slot = WEIR_SLOT(Config, authorizer.user_id),
     .expect = expect_uuid},
    {.key = "authorizer.hosts",
     .help = "none: names by which weir may be called, besides localhost and loopback addresses",
     .slot = WEIR_SLOT(Config, authorizer.hosts),
     .expect = expect_host},
    {.key = "record.prompts", .help = "full, length or off", .slot = WEIR_SLOT(Config, record.prompts)},
    {.key = "record.tools", .help = "full, length or off", .slot = WEIR_SLOT(Config, record.tools)},
    {.key = "record.thoughts", .help = "full, length or off", .slot = WEIR_SLOT(Config, record.thoughts)},
    {.key = "limits.max_body",
     .help = "the largest request body",
     .slot = WEIR_SLOT(Config, limits.max_body),
     .unit = Unit::bytes,
     .min = kKiB,
     .max = 2 * kGiB},
    {.key = "limits.max_head",
     .help = "the largest request head",
     .slot = WEIR_SLOT(Config, limits.max_head),
     .unit = Unit::bytes,
     .min = 4 * kKiB,
     .max = kMiB},
    {.key = "limits.event_memory",
     .help = "what a worker holds of events and answers to read them; beyond it they are forwarded unread",
     .slot = WEIR_SLOT(Config, limits.event_memory),
     .unit = Unit::bytes,
     .min = 64 * kKiB,
     .max = 1024 * kGiB},
    {.key = "limits.body_memory",
     .help = "what a worker holds of request bodies; beyond it requests get 503",
     .slot = WEIR_SLOT(Config, limits.body_memory),
     .unit = Unit::bytes,
     .min = 64 * kKiB,
     .max = 1024 * kGiB},
    {.key = "limits.connections",
     .help = "client connections of all workers together",
     .slot = WEIR_SLOT(Config, limits.connections),
     .min = 1,
     .max = 4000000},
    {.key = "limits.body_rate",
     .help = "bytes a second that a request body must bring; 0: any",
     .slot = WEIR_SLOT(Config, limits.body_rate),
     .unit = Unit::bytes,
     .max = kGiB},
    {.key = "limits.send_rate",
     .help = "bytes a second that a client must take of an answer that waits for it; 0: any",
     .slot = WEIR_SLOT(Config, limits.send_rate),
     .unit = Unit::bytes,
     .max = kGiB},
    {.key = "limits.address_connections",
     .help = "connections of one client address at once; 0: no limit",
     .slot = WEIR_SLOT(Config, limits.address_connections),
     .max = 4000000},
    {.key = "limits.address_requests",
     .help = "requests of one client address, such as 50/s; 0: no limit",
     .slot = WEIR_SLOT(Config, limits.address_requests),
     .unit = Unit::rate,
     .max = kRateMax},
    {.key = "limits.address_burst",
     .help = "of these, how many at once; 0: those of a second",
     .slot = WEIR_SLOT(Config, limits.address_burst),
     .max = kBurstMax},
    {.key = "limits.initiator_requests",
     .help = "requests of one user, such as 100/m; 0: no limit",
     .slot = WEIR_SLOT(Config, limits.initiator_requests),
     .unit = Unit::rate,
     .max = kRateMax},
    {.key = "limits.initiator_burst",
     .help = "of these, how many at once; 0: those of a second",
     .slot = WEIR_SLOT(Config, limits.initiator_burst),
     .max = kBurstMax},
    {.key = "limits.initiator_exchanges",
     .help = "requests of one user that are answered at once; 0: no limit",
     .slot = WEIR_SLOT(Config, limits.initiator_exchanges),
     .max = 4000000},
#define WEIR_TIMEOUT(name, text)             \
  {.key = "timeouts." #name,                 \
   .help = (text),                           \
   .slot = WEIR_SLOT(Config, timeouts.name), \
   .unit = Unit::time,                       \
   .min = kTimeoutMin,                       \
   .max = kDay}
    WEIR_TIMEOUT(head, "for a request head, from its first byte"),
    WEIR_TIMEOUT(body, "without a byte of the request body"),
    WEIR_TIMEOUT(idle, "for a client connection between requests"),
    WEIR_TIMEOUT(handshake, "for TLS, on either side"),
    WEIR_TIMEOUT(connect, "to one address of a provider"),
    WEIR_TIMEOUT(answer, "until the first byte of the provider's answer"),
    WEIR_TIMEOUT(stream, "without a byte inside the provider's answer"),
    WEIR_TIMEOUT(send, "without progress towards a client that does not read"),
    WEIR_TIMEOUT(upstream_idle, "for a provider connection between requests"),
    WEIR_TIMEOUT(upstream_age, "for a provider connection from its beginning, give or take a tenth"),
    WEIR_TIMEOUT(drain, "for exchanges to end when weir stops"),
#undef WEIR_TIMEOUT
    {.key = "journal.size",
     .help = "bytes of a worker's journal",
     .slot = WEIR_SLOT(Config, journal.size),
     .unit = Unit::bytes,
     .min = kMiB,
     .max = 64 * kGiB},
    {.key = "journal.sync",
     .help = "off, or how often the journal is written to the disk",
     .slot = WEIR_SLOT(Config, journal.sync),
     .expect = expect_sync},
    {.key = "admin.address",
     .help = "where /metrics, /healthz and /readyz are; empty: nowhere",
     .slot = WEIR_SLOT(Config, admin.address),
     .expect = expect_admin_address},
    {.key = "admin.allow_remote",
     .help = "whether admin.address may be reached from other machines",
     .slot = WEIR_SLOT(Config, admin.allow_remote)},
    {.key = "admin.hosts",
     .help = "names by which admin.address may be called, besides localhost and loopback addresses",
     .slot = WEIR_SLOT(Config, admin.hosts),
     .expect = expect_host},
};

constexpr Option<ListenerConfig> kListenerOptions[] = {
    {.key = "name",
     .help = "becomes `source` in logs and records",
     .slot = WEIR_SLOT(ListenerConfig, name),
     .expect = expect_listener_name},
    {.key = "address",
     .help = "an IP address and port, or unix:/path",
     .slot = WEIR_SLOT(ListenerConfig, address),
     .expect = expect_address},
    {.key = "tls.certificate", .help = "a PEM file", .slot = WEIR_SLOT(ListenerConfig, certificate)},
    {.key = "tls.key", .help = "a PEM file", .slot = WEIR_SLOT(ListenerConfig, key)},
    {.key = "v6only",
     .help = "whether [::] takes IPv6 alone, and not IPv4 as well",
     .slot = WEIR_SLOT(ListenerConfig, v6only)},
    {.key = "trusted", .help = "callers may name a delegated key id", .slot = WEIR_SLOT(ListenerConfig, trusted)},
    {.key = "allowed_uids",
     .help = "who may connect to a trusted Unix socket",
     .slot = WEIR_SLOT(ListenerConfig, allowed_uids),
     .max = UINT32_MAX - 1},
};

constexpr Option<ProviderConfig> kProviderOptions[] = {
    {.key = "name",
     .help = "the first segment of the provider's paths",
     .slot = WEIR_SLOT(ProviderConfig, name),
     .expect = expect_provider_name},
    {.key = "type", .help = "anthropic, openai or copilot", .slot = WEIR_SLOT(ProviderConfig, type)},
    {.key = "base_url", .help = "where requests go", .slot = WEIR_SLOT(ProviderConfig, base_url)},
    {.key = "key.file", .help = "the file that holds the operator's key", .slot = WEIR_SLOT(ProviderConfig, key.file)},
    {.key = "key.env",
     .help = "the environment variable that holds the operator's key",
     .slot = WEIR_SLOT(ProviderConfig, key.env),
     .expect = expect_variable_name,
     .secret = true},  // a key that was pasted here by mistake must not be repeated
    {.key = "key.credential",
     .help = "the systemd credential that holds the operator's key",
     .slot = WEIR_SLOT(ProviderConfig, key.credential),
     .expect = expect_credential_name,
     .secret = true},
    {.key = "ca_file",
     .help = "certificates to trust; default: the system's",
     .slot = WEIR_SLOT(ProviderConfig, ca_file)},
    {.key = "send_actor_headers",
     .help = "tell the provider who the caller is",
     .slot = WEIR_SLOT(ProviderConfig, send_actor_headers)},
    {.key = "insert_usage",
     .help = "ask the provider for the usage of Chat streams whose client did not, and take it out of the answer",
     .slot = WEIR_SLOT(ProviderConfig, insert_usage)},
    {.key = "record.prompts", .help = "full, length or off", .slot = WEIR_SLOT(ProviderConfig, record.prompts)},
    {.key = "record.tools", .help = "full, length or off", .slot = WEIR_SLOT(ProviderConfig, record.tools)},
    {.key = "record.thoughts", .help = "full, length or off", .slot = WEIR_SLOT(ProviderConfig, record.thoughts)},
};

constexpr Option<RuleConfig> kRuleOptions[] = {
    {.key = "name", .help = "for messages", .slot = WEIR_SLOT(RuleConfig, name), .expect = expect_not_empty},
    {.key = "on", .help = "request or response", .slot = WEIR_SLOT(RuleConfig, on), .expect = expect_side},
    {.key = "when.provider", .help = "a provider's name", .slot = WEIR_SLOT(RuleConfig, when.provider)},
    {.key = "when.type", .help = "anthropic, openai or copilot", .slot = WEIR_SLOT(RuleConfig, when.type)},
    {.key = "when.route", .help = "bridged, passthrough or an API", .slot = WEIR_SLOT(RuleConfig, when.route)},
    {.key = "when.auth", .help = "centralized or byok", .slot = WEIR_SLOT(RuleConfig, when.auth)},
    {.key = "when.credential_kind",
     .help = "centralized, personal_api_key or subscription",
     .slot = WEIR_SLOT(RuleConfig, when.credential_kind)},
    {.key = "when.client", .help = "a client's name, such as Claude Code", .slot = WEIR_SLOT(RuleConfig, when.client)},
    {.key = "strip", .help = "header names, or prefixes such as x-internal-*", .slot = WEIR_SLOT(RuleConfig, strip)},
    {.key = "set", .help = "headers to write in place of the peer's", .slot = WEIR_SLOT(RuleConfig, set)},
    {.key = "add", .help = "headers to write beside the peer's", .slot = WEIR_SLOT(RuleConfig, add)},
};

constexpr Option<SinkConfig> kSinkOptions[] = {
    {.key = "kind", .help = "sqlite, jsonl or postgres", .slot = WEIR_SLOT(SinkConfig, kind)},
    {.key = "name",
     .help = "for logs, and where several are of one kind; default: the kind",
     .slot = WEIR_SLOT(SinkConfig, name),
     .expect = expect_sink_name},
    {.key = "path",
     .help = "sqlite: the database, default weir.db in data_dir; jsonl: the file, or - for standard output",
     .slot = WEIR_SLOT(SinkConfig, path),
     .expect = expect_not_empty},
    {.key = "rotate_size",
     .help = "jsonl: bytes after which a new file is begun",
     .slot = WEIR_SLOT(SinkConfig, rotate_size),
     .unit = Unit::bytes,
     .min = 64 * kKiB,
     .max = 1024 * kGiB},
    {.key = "keep", .help = "jsonl: how many full files are kept", .slot = WEIR_SLOT(SinkConfig, keep), .max = 10000},
    {.key = "dsn_file",
     .help = "postgres: the file that holds the connection string; default: WEIR_SINK_DSN in the environment",
     .slot = WEIR_SLOT(SinkConfig, dsn_file),
     .expect = expect_not_empty},
    {.key = "service",
     .help = "postgres: an entry of libpq's service file, instead",
     .slot = WEIR_SLOT(SinkConfig, service),
     .expect = expect_not_empty},
    {.key = "managed", .help = "postgres: whether weir runs weir-sink itself", .slot = WEIR_SLOT(SinkConfig, managed)},
};

#undef WEIR_SLOT

}  // namespace

std::span<const Option<Config>> config_options() {
  return kConfigOptions;
}
std::span<const Option<ListenerConfig>> listener_options() {
  return kListenerOptions;
}
std::span<const Option<ProviderConfig>> provider_options() {
  return kProviderOptions;
}
std::span<const Option<RuleConfig>> rule_options() {
  return kRuleOptions;
}
std::span<const Option<SinkConfig>> sink_options() {
  return kSinkOptions;
}

std::string_view default_base_url(std::string_view name, ProviderType type) {
  std::string_view by_type;
  for (const DefaultProvider& known : kDefaultProviders) {
    if (known.type != type) continue;
    if (known.name == name) return known.base_url;
    if (by_type.empty()) by_type = known.base_url;
  }
  return by_type;
}

std::string sink_name(const SinkConfig& sink) {
  return sink.name.empty() ? std::string(text(sink.kind)) : sink.name;
}

std::string database_path(const Config& config) {
  for (const SinkConfig& sink : config.sinks) {
    if (sink.kind == SinkKind::sqlite && !sink.path.empty()) return sink.path;
  }
  return config.data_dir + "/weir.db";
}

ProviderConfig provider_named(std::string_view name) {
  ProviderConfig provider;
  provider.name = name;
  for (const DefaultProvider& known : kDefaultProviders) {
    if (known.name == name) provider.type = known.type;
  }
  return provider;
}

Config default_config() {
  Config config;
  ListenerConfig listener;
  listener.name = "public";
  listener.address = "127.0.0.1:4001";
  listener.place = {.file = "default", .line = 0};
  config.listeners.push_back(std::move(listener));
  for (const DefaultProvider& known : kDefaultProviders) {
    ProviderConfig provider;
    provider.name = known.name;
    provider.type = known.type;
    provider.base_url = known.base_url;
    provider.key = {.env = std::string(known.key_env), .file = {}, .credential = {}, .optional = true};
    provider.place = {.file = "default", .line = 0};
    config.providers.push_back(std::move(provider));
  }
  config.authorizer.place = {.file = "default", .line = 0};
  config.sinks.emplace_back().place = {.file = "default", .line = 0};
  return config;
}

}  // namespace weir::gateway
