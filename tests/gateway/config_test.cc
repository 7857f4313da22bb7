#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "support.h"

namespace weir::gateway::test {

namespace {

Config parse(std::string_view toml) {
  auto config = parse_config(toml, "weir.toml");
  if (!config) FAIL(config.error().message);
  return std::move(*config);
}

struct Mistake {
  std::string_view toml;
  std::string_view message;  // the whole of it, or its beginning if it ends with "…"
};
const Mistake kMistakes[] = {
    {"workers = -1", "weir.toml:1: workers must be a number 0..1024 (was -1)"},
    {"workers = \"8\"", "weir.toml:1: workers must be a number 0..1024 (was \"8\")"},
    {"workers = 8.5", "weir.toml:1: workers must be a number 0..1024 (was of another type)"},
    {"workers = 100000", "weir.toml:1: workers must be a number 0..1024 (was 100000)"},
    {"\nworker = 8", "weir.toml:2: unknown key worker; did you mean \"workers\"?"},
    {"zzzzzzzzz = 8", "weir.toml:1: unknown key zzzzzzzzz"},
    {"listeners = []", "weir.toml:1: unknown key listeners; did you mean \"listener\"?"},
    {"[limits]\nmax_head = \"0\"", "weir.toml:2: limits.max_head must be 4KiB..1MiB (was \"0\")"},
    {"[limits]\nmax_body = \"32 apples\"", "weir.toml:2: limits.max_body must be 1KiB..2GiB (was \"32 apples\")"},
    {"[limits]\nmax_hed = \"64KiB\"", "weir.toml:2: unknown key limits.max_hed; did you mean \"limits.max_head\"?"},
    {"limits = 5", "weir.toml:1: limits must be a table with max_body, …"},
    {"[limits]\nconnections = 0", "weir.toml:2: limits.connections must be a number 1..4000000 (was 0)"},
    {"[admin]\naddress = \"0.0.0.0:4002\"",
     "weir.toml:2: admin.address \"0.0.0.0:4002\" can be reached from other machines and asks nobody …"},
    {"[admin]\naddress = \"localhost\"", "weir.toml:2: admin.address must be an IP address and port such as …"},
    {"[limits]\naddress_requests = \"20/d\"",
     "weir.toml:2: limits.address_requests must be a rate 0..1000000/s, such as \"20/s\" or \"100/m\" (was \"20/d\")"},
    {"[limits]\ninitiator_burst = -1", "weir.toml:2: limits.initiator_burst must be a number 0..1000000 (was -1)"},
    {"[limit]\nmax_head = \"64KiB\"", "weir.toml:1: unknown key limit; …"},
    {"[timeouts]\nidle = 30", "weir.toml:2: timeouts.idle must be a duration 10ms..…"},
    {"[timeouts]\nidle = \"1ms\"", "weir.toml:2: timeouts.idle must be a duration 10ms..…"},
    {"allow_byok = \"yes\"", "weir.toml:1: allow_byok must be true or false (was \"yes\")"},
    {"allow_byok = 1", "weir.toml:1: allow_byok must be true or false (was 1)"},
    {"data_dir = \"\"", "weir.toml:1: data_dir must be a text that is not empty (was \"\")"},
    {"data_dir = [\"a\"]", "weir.toml:1: data_dir must be a text (was a list)"},
    {"cpus = [\"0\"]", "weir.toml:1: cpus must be a list of numbers 0..4095 (one was \"0\")"},
    {"cpus = [0, 1, 0]", "weir.toml:1: cpus names a core twice"},
    {"workers = 4\ncpus = [0, 1]", "weir.toml:2: workers is 4 but cpus names only 2; …"},
    {"ring_entries = 1000", "weir.toml:1: ring_entries must be a power of two (was 1000)"},
    {"ring_without = [\"multishot\"]",
     "weir.toml:1: ring_without must hold only multishot-receive, multishot-accept, deferred-work, …"},
    {"batch_wait = \"1ms\"\nbusy_poll = \"50us\"", "weir.toml:2: batch_wait lets events wait to save CPU, …"},
    {"busy_poll = \"2s\"", "weir.toml:1: busy_poll must be a duration 0..1s…"},
    {"buffers = 100", "weir.toml:1: buffers must be a power of two (was 100)"},
    {"buffer_size = \"2GiB\"", "weir.toml:1: buffer_size must be 1KiB..1MiB (was \"2GiB\")"},
    {"log_level = \"warning\"", "weir.toml:1: log_level must be debug, info, warn or error (was \"warning\")…"},
    {"log_format = \"xml\"", "weir.toml:1: log_format must be text or json (was \"xml\")"},
    {"[record]\nprompts = \"lenght\"",
     "weir.toml:2: record.prompts must be full, length or off (was \"lenght\"); did you mean \"length\"?"},
    {"[journal]\nsize = \"1KiB\"", "weir.toml:2: journal.size must be 1MiB..64GiB (was \"1KiB\")"},
    {"[journal]\nsync = \"always\"",
     "weir.toml:2: journal.sync must be \"off\" or an interval 10ms..1h (was \"always\")"},
    {"[[sink]]\nkind = \"oracle\"", "weir.toml:2: sink.kind must be sqlite, jsonl or postgres (was \"oracle\")"},
    {"[[sink]]\nkind = \"jsonl\"\npath = \"a\"\n[[sink]]\nkind = \"jsonl\"\npath = \"b\"",
     "weir.toml:4: sink \"jsonl\": the name is taken by another sink; give each a name of its own"},
    {"[[sink]]\nkind = \"sqlite\"\n[[sink]]\nname = \"b\"",
     "weir.toml:3: sink \"b\": there may be only one sink of kind sqlite"},
    {"[[sink]]\nkind = \"jsonl\"",
     "weir.toml:1: sink \"jsonl\": kind = \"jsonl\" needs a path: a file, or \"-\" for standard output"},
    {"[[sink]]\nkind = \"jsonl\"\npath = \"a\"\n[[sink]]\npath = \"a\"",
     "weir.toml:4: sink \"sqlite\": path \"a\" is taken by another sink"},
    {"[[sink]]\nkind = \"jsonl\"\npath = \"-\"\nrotate_size = \"1KiB\"",
     "weir.toml:4: sink.rotate_size must be 64KiB..1024GiB (was \"1KiB\")"},
    {"[[sink]]\nkeep = 3", "weir.toml:1: sink \"sqlite\": keep is only used with kind = \"jsonl\""},
    {"[[sink]]\nmanaged = false", "weir.toml:1: sink \"sqlite\": managed is only used with kind = \"postgres\""},
    {"[[sink]]\nkind = \"postgres\"\nservice = \"a\"\ndsn_file = \"b\"",
     "weir.toml:1: sink \"postgres\": has both dsn_file and service; keep one"},
    {"[[sink]]\nkind = \"postgres\"\npath = \"b\"",
     "weir.toml:1: sink \"postgres\": path is not used with kind = \"postgres\""},
    {"[[sink]]\nname = \"a/b\"",
     "weir.toml:2: sink.name must be letters, digits and - _ . only, at most 31 (was \"a/b\")"},
    {"governance_headers = [\"Authorization\"]",
     "weir.toml:1: governance_headers may not name Authorization: it means something else in every request"},
    {"governance_headers = [\"x y\"]", "weir.toml:1: governance_headers has \"x y\", which is not a header name"},
    {"governance_headers = [\"X-A\", \"x-a\"]", "weir.toml:1: governance_headers names x-a twice …"},
    {"governance_headers = [\"X-A\", \"x_a\"]", "weir.toml:1: governance_headers names x_a twice …"},
    {"governance_headers = [\"X_Api_Key\"]", "weir.toml:1: governance_headers may not name X-Api-Key: …"},
    {"governance_headers = \"X-A\"", "weir.toml:1: governance_headers must be a list of texts …"},
    // Listeners.
    {"[listener]\nname = \"a\"", "weir.toml:1: listener must be written [[listener]], once for each"},
    {"[[listener]]\naddress = \"127.0.0.1:1\"", "weir.toml:1: [[listener]] needs name"},
    {"[[listener]]\nname = \"a\"", "weir.toml:1: [[listener]] needs address"},
    {"[[listener]]\nname = \"a\"\naddress = \"localhost:4001\"",
     "weir.toml:3: listener.address must be an IP address and port such as …"},
    {"[[listener]]\nname = \"a\"\naddress = \"127.0.0.1\"", "weir.toml:3: listener.address must be …"},
    {"[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:70000\"", "weir.toml:3: listener.address must be …"},
    {"[[listener]]\nname = \"a\"\naddress = \"::1:80\"", "weir.toml:3: listener.address must be …"},
    {"[[listener]]\nname = \"a\"\naddress = \"unix:\"", "weir.toml:3: listener.address must be unix: and a path …"},
    {"[[listener]]\nname = \"a b\"\naddress = \"127.0.0.1:1\"", "weir.toml:2: listener.name must be letters, …"},
    {"[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:2\"",
     "weir.toml:4: listener \"a\": the name is taken by another listener"},
    {"[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n[[listener]]\nname = \"b\"\naddress = \"127.0.0.1:1\"",
     "weir.toml:4: listener \"b\": address \"127.0.0.1:1\" is taken by another listener"},
    {"[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\ntrusted = true",
     "weir.toml:1: listener \"a\": trusted works on Unix sockets only, …"},
    {"[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\nallowed_uids = [1]",
     "weir.toml:1: listener \"a\": allowed_uids works on Unix sockets only, …"},
    {"[[listener]]\nname = \"a\"\naddress = \"unix:/x\"\ntrusted = true",
     "weir.toml:1: listener \"a\": trusted = true needs allowed_uids, or nobody could connect"},
    {"[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\ntls = { certificate = \"c\" }",
     "weir.toml:1: listener \"a\": tls needs both certificate and key; key is missing"},
    {"[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\ntls = { certificate = \"c\", key = \"k\", ca = \"x\" }",
     "weir.toml:4: unknown key listener.tls.ca"},
    // The authorizer.
    {"[authorizer]\nkind = \"htpp\"", "weir.toml:2: authorizer.kind must be store, http or none (was \"htpp\"); did …"},
    {"[authorizer]\nkind = \"http\"", "weir.toml:1: authorizer.kind = \"http\" needs authorizer.url"},
    {"[authorizer]\nurl = \"http://x\"", "weir.toml:2: authorizer.url is only used with authorizer.kind = \"http\"; …"},
    {"[authorizer]\nkind = \"http\"\nurl = \"ftp://x\"",
     "weir.toml:3: authorizer.url \"ftp://x\" must begin with https:// or http://"},
    {"[authorizer]\nkind = \"http\"\nurl = \"http://x/a?b\"",
     "weir.toml:3: authorizer.url \"http://x/a?b\" must have no query"},
    {"[authorizer]\nkind = \"http\"\nurl = \"http://x:99999\"",
     "weir.toml:3: authorizer.url \"http://x:99999\" must have a port of 1 to 65535"},
    {"[authorizer]\nkind = \"http\"\nurl = \"http://me:secret@x\"",
     "weir.toml:3: authorizer.url (not shown) must have no user information before '@'"},
    {"[authorizer]\nkind = \"http\"\nurl = \"http://x y\"",
     "weir.toml:3: authorizer.url \"http://x y\" may have only letters, …"},
    {"[authorizer]\nkind = \"http\"\nurl = \"http://x/a b\"",
     "weir.toml:3: authorizer.url \"http://x/a b\" has a control byte, …"},
    {"[journal]\nsize = \"3MiB\"", "weir.toml:2: journal.size must be a power of two, such as 2MiB (was 3MiB)"},
    {"[admin]\naddress = \"127.0.0.1:4001\"",
     "weir.toml:2: admin.address \"127.0.0.1:4001\" is that of listener \"public\"; choose another port"},
    {"[authorizer]\nkind = \"http\"\nurl = \"http://x\"\nheader = \"Authorization: Bearer\"",
     "weir.toml:4: authorizer.header must be one header line with {token} in its value, …"},
    {"[authorizer]\nkind = \"none\"\nuser_id = \"ada\"", "weir.toml:3: authorizer.user_id must be a UUID …"},
    {"[authorizer]\nkind = \"none\"\n[[listener]]\nname = \"a\"\naddress = \"0.0.0.0:4001\"",
     "weir.toml:1: authorizer.kind = \"none\" lets everybody in, so it is for loopback listeners only; listener \"a\" "
     "…"},
    {"[authorizer]\nhosts = [\"weir.example\"]", "weir.toml:1: authorizer.hosts is only used with authorizer.kind = …"},
    {"[authorizer]\nkind = \"none\"\nhosts = [\"http://weir.example\"]",
     "weir.toml:3: authorizer.hosts must hold only names or addresses alone, …"},
    {"[admin]\nhosts = [\"weir.example:4002\"]", "weir.toml:2: admin.hosts must hold only names or addresses alone, …"},
    // Providers.
    {"[[provider]]\ntype = \"openai\"", "weir.toml:1: [[provider]] needs name…"},
    {"[[provider]]\nname = \"acme\"", "weir.toml:1: [[provider]] needs type"},
    {"[[provider]]\nname = \"acme\"\ntype = \"gemini\"",
     "weir.toml:3: provider.type must be anthropic, openai or copilot (was \"gemini\")"},
    {"[[provider]]\nname = \"Acme\"\ntype = \"openai\"", "weir.toml:2: provider.name must be small letters, …"},
    {"[[provider]]\nname = \"a--b\"\ntype = \"openai\"", "weir.toml:2: provider.name must be small letters, …"},
    {"[[provider]]\nname = \"api\"\ntype = \"copilot\"", "weir.toml:2: provider.name must be another name: …"},
    {"[[provider]]\nname = \"openai\"\n[[provider]]\nname = \"openai\"",
     "weir.toml:3: provider \"openai\": the name is taken by another provider"},
    {"[[provider]]\nname = \"openai\"\nkey = \"sk-secret\"",
     "weir.toml:3: provider.key must be a table with file, env or credential: key = { file = … }"},
    {"[[provider]]\nname = \"openai\"\nkey = { env = \"sk-proj-secret\" }",
     "weir.toml:3: provider.key.env must be the name of an environment variable, such as \"OPENAI_API_KEY\", not the "
     "key itself (was not shown)"},
    {"[[provider]]\nname = \"openai\"\nkey = { env = \"A\", file = \"b\" }",
     "weir.toml:1: provider \"openai\": key has more than one of env, file and credential; keep one"},
    {"[[provider]]\nname = \"openai\"\nurl = \"http://x\"", "weir.toml:3: unknown key provider.url…"},
    // Rules and TOML itself.
    {"[[rule]]\nstrip = [\"x\"]", "weir.toml:1: [[rule]] needs name"},
    {"[[rule]]\nname = \"a\"\non = \"both\"",
     "weir.toml:3: rule.on must be \"request\" or \"response\" (was \"both\")"},
    {"[[rule]]\nname = \"a\"\nset = { x = 1 }", "weir.toml:3: rule.set must be a table of texts …"},
    {"[[rule]]\nname = \"a\"\nstrip = [1]", "weir.toml:3: rule.strip must be a list of texts …"},
    {"[[rule]]\nname = \"a\"\n[[rule]]\nname = \"a\"", "weir.toml:3: rule \"a\": the name is taken by another rule"},
    {"[[rule]]\nname = \"a\"\nwhen = { user = \"x\" }", "weir.toml:3: unknown key rule.when.user…"},
    {"[[rule]]\nname = \"a\"\nkeep = [\"{credential}\"]", "weir.toml:3: unknown key rule.keep…"},
    {"a = 1\nb = = 2", "weir.toml:2: not valid TOML: …"},
    {"a = 1\na = 2", "weir.toml:2: not valid TOML: …"},
};

// A temporary file that is removed again.
class File {
 public:
  explicit File(std::string_view content) {
    char name[] = "/tmp/weir-config-XXXXXX";
    const int descriptor = mkstemp(name);
    REQUIRE(descriptor >= 0);
    close(descriptor);
    path = name;
    std::ofstream(path, std::ios::binary) << content;
  }
  ~File() { std::remove(path.c_str()); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  std::string path;
};

}  // namespace

TEST_CASE("config: no file is the four providers, one loopback listener and the store") {
  const Config config = default_config();
  CHECK(check_config(config).has_value());
  REQUIRE(config.providers.size() == 4);
  CHECK(config.providers[0].base_url == "https://api.anthropic.com");
  CHECK(config.providers[1].base_url == "https://api.openai.com/v1");
  CHECK(config.providers[2].base_url == "https://chatgpt.com/backend-api/codex");
  CHECK(config.providers[3].base_url == "https://api.individual.githubcopilot.com");
  REQUIRE(config.listeners.size() == 1);
  CHECK(config.listeners[0].name == "public");
  CHECK(config.listeners[0].address == "127.0.0.1:4001");
  CHECK(config.authorizer.kind == AuthorizerKind::store);
  CHECK(config.data_dir == "./weir-data");
  CHECK(config.sinks.size() == 1);
}

TEST_CASE("config: the contract's example is read whole") {
  const Config config = parse(R"(
data_dir = "/var/lib/weir"
workers = 8
allow_byok = false
governance_headers = ["X-Coder-AI-Governance-Token", "X-Weir-Token"]
cpus = [0, 1, 2, 3, 4, 5, 6, 7]
node = "n1"
dns_ttl = "5s"
log_format = "json"
log_level = "debug"
ring_entries = 2048
ring_without = ["multishot-receive", "registered-ring"]
busy_poll = "50us"
buffers = 256
buffer_size = "8KiB"

[[listener]]
name = "public"
address = "[::]:4001"
tls = { certificate = "node.pem", key = "node.key" }

[[listener]]
name = "agents"
address = "unix:/run/weir/agents.sock"
trusted = true
allowed_uids = [998]

[authorizer]
kind = "http"
url = "https://auth.example/check"
header = "Coder-Session-Token: {token}"
timeout = "2s"
ca_file = "ca.pem"

[[provider]]
name = "anthropic"
type = "anthropic"
base_url = "https://api.anthropic.com"
key = { file = "/etc/weir/anthropic.key" }
ca_file = "/etc/ssl/certs/ca-certificates.crt"
send_actor_headers = true
insert_usage = false
record = { prompts = "off" }

[[rule]]
name = "tag the team's traffic"
when = { provider = "anthropic", route = "bridged", auth = "centralized" }
strip = ["x-internal-*"]
set = { "x-team" = "{initiator.username}" }

[record]
prompts = "length"
tools = "off"

[limits]
max_body = "16MiB"
max_head = 8192
event_memory = "1GiB"
body_memory = "512MiB"
connections = 100

[timeouts]
stream = "2m"

[journal]
size = "128MiB"
sync = "1s"

[[sink]]
kind = "sqlite"
path = "/var/lib/weir/other.db"
)");
  CHECK(config.workers == 8);
  CHECK_FALSE(config.allow_byok);
  CHECK(config.governance_headers.size() == 2);
  CHECK(config.cpus.back() == 7);
  CHECK(config.dns_ttl_ns == 5 * kNsPerSecond);
  CHECK(config.log_format == LogFormat::json);
  CHECK(config.log_level == LogLevel::debug);
  CHECK(config.buffer_size == 8192);
  REQUIRE(config.listeners.size() == 2);
  CHECK(config.listeners[0].certificate == "node.pem");
  CHECK(config.listeners[0].key == "node.key");
  CHECK(config.listeners[1].trusted);
  CHECK(config.listeners[1].allowed_uids == std::vector<uint32_t>{998});
  CHECK(config.authorizer.kind == AuthorizerKind::http);
  CHECK(config.authorizer.header == "Coder-Session-Token: {token}");
  CHECK(config.authorizer.timeout_ns == 2 * kNsPerSecond);
  REQUIRE(config.providers.size() == 1);
  CHECK(config.providers[0].send_actor_headers);
  CHECK_FALSE(config.providers[0].insert_usage);
  CHECK(config.providers[0].key.file == "/etc/weir/anthropic.key");
  CHECK(config.providers[0].record.prompts == Recording::off);
  CHECK_FALSE(config.providers[0].record.tools.has_value());
  REQUIRE(config.rules.size() == 1);
  CHECK(config.rules[0].when.auth == "centralized");
  CHECK(config.rules[0].set == std::vector<std::pair<std::string, std::string>>{{"x-team", "{initiator.username}"}});
  CHECK(config.record.prompts == Recording::length);
  CHECK(config.record.tools == Recording::off);
  CHECK(config.record.thoughts == Recording::full);
  CHECK(config.limits.max_body == 16u << 20);
  CHECK(config.limits.max_head == 8192);
  CHECK(config.limits.event_memory == 1u << 30);
  CHECK(config.limits.body_memory == 512u << 20);
  CHECK(config.timeouts.stream == 120 * kNsPerSecond);
  CHECK(config.timeouts.idle == 620 * kNsPerSecond);
  CHECK(config.journal.sync == "1s");
  CHECK(config.sinks[0].path == "/var/lib/weir/other.db");
}

TEST_CASE("config: a part that the file leaves out has its defaults") {
  CHECK(parse("").providers.size() == 4);
  CHECK(parse("").listeners.size() == 1);
  const Config listener_only = parse("[[listener]]\nname = \"x\"\naddress = \"127.0.0.1:9\"");
  CHECK(listener_only.listeners.size() == 1);
  CHECK(listener_only.listeners[0].name == "x");
  CHECK(listener_only.providers.size() == 4);
  const Config provider_only = parse("[[provider]]\nname = \"chatgpt\"");
  REQUIRE(provider_only.providers.size() == 1);
  CHECK(provider_only.providers[0].type == ProviderType::openai);
}

TEST_CASE("config: every mistake names its place, what is wrong and what is right") {
  for (const Mistake& mistake : kMistakes) {
    INFO(std::string(mistake.toml));
    const auto config = parse_config(mistake.toml, "weir.toml");
    REQUIRE_FALSE(config.has_value());
    const std::string& message = config.error().message;
    constexpr std::string_view kMore = "…";
    if (mistake.message.ends_with(kMore)) {
      const std::string begin(mistake.message.substr(0, mistake.message.size() - kMore.size()));
      INFO(message);
      CHECK(message.starts_with(begin));
    } else {
      CHECK(message == mistake.message);
    }
  }
}

TEST_CASE("config: all mistakes of a file are told together") {
  const auto config = parse_config("worker = 1\nallow_byok = 2\n[limits]\nmax_head = \"1\"\nring = 1\n", "weir.toml");
  REQUIRE_FALSE(config.has_value());
  const std::string& message = config.error().message;
  INFO(message);
  CHECK(std::count(message.begin(), message.end(), '\n') == 3);
  for (const std::string_view place : {"weir.toml:1:", "weir.toml:2:", "weir.toml:4:", "weir.toml:5:"}) {
    CHECK(contains(message, place));
  }
}

TEST_CASE("config: a secret that stands in the wrong place is not repeated") {
  for (const std::string_view toml : {"[[provider]]\nname = \"openai\"\nkey = \"sk-proj-hidden\"",
                                      "[[provider]]\nname = \"openai\"\nkey = { env = \"sk-proj-hidden\" }",
                                      "[[provider]]\nname = \"openai\"\nkey = { value = \"sk-proj-hidden\" }",
                                      "[[provider]]\nname = \"openai\"\nkey = { env = 5, x = \"sk-proj-hidden\" }"}) {
    const auto config = parse_config(toml, "weir.toml");
    REQUIRE_FALSE(config.has_value());
    INFO(config.error().message);
    CHECK_FALSE(contains(config.error().message, "hidden"));
  }
  auto url = try_policy("[[provider]]\nname = \"x\"\ntype = \"openai\"\nbase_url = \"https://me:hidden@host/v1\"\n");
  REQUIRE_FALSE(url.has_value());
  CHECK_FALSE(contains(url.error().message, "hidden"));
}

TEST_CASE("config: flags have the file's keys, checks and messages") {
  struct Case {
    std::string_view key, value, mistake;  // no mistake: accepted
  };
  const Case cases[] = {
      {"workers", "4", ""},
      {"workers", "four", "--flag must be a number 0..1024 (was \"four\")"},
      {"allow_byok", "false", ""},
      {"allow_byok", "no", "--flag must be true or false (was \"no\")"},
      {"limits.max_head", "8KiB", ""},
      {"limits.max_head", "0", "--flag must be 4KiB..1MiB (was \"0\")"},
      {"timeouts.stream", "90s", ""},
      {"cpus", "0, 2", ""},
      {"cpus", "0,x", "--flag must be a list of numbers 0..4095 (one was \"x\")"},
      {"governance_headers", "X-A,X-B", ""},
      {"log_level", "debug", ""},
      {"listener.public.address", "127.0.0.1:0", ""},
      {"listener.agents.address", "unix:/run/a.sock", ""},
      {"listener.public.address", "here", "--flag must be an IP address…"},
      {"provider.openai.base_url", "http://127.0.0.1:9/v1", ""},
      {"provider.openai.key.env", "MY_KEY", ""},
      {"provider.openai.record.prompts", "off", ""},
      {"rule.tag the team.set", "x-team={initiator.username}", ""},
      {"rule.tag the team.set", "x-team", "--flag must be a table of texts…"},
      {"rule.tag the team.when.auth", "byok", ""},
      {"sink.sqlite.path", "/x.db", ""},
      {"sink.jsonl.path", "-", ""},
      {"provider.openai.url", "x", "--flag is not known; it takes a name and one of name, type…"},
      {"worker", "4", "--flag is not known; did you mean \"workers\"?"},
      {"providers.openai.base_url", "x", "--flag is not known; did you mean \"provider\"?"},
      {"limit.max_head", "8KiB", "--flag is not known; did you mean \"limits.max_head\"?"},
  };
  for (const Case& expected : cases) {
    INFO(std::string(expected.key) << " = " << std::string(expected.value));
    Config config = default_config();
    const auto result = set_option(config, expected.key, expected.value, "--flag");
    const std::string message = result ? "" : result.error().message;
    constexpr std::string_view kMore = "…";
    if (expected.mistake.ends_with(kMore)) {
      INFO(message);
      CHECK(message.starts_with(expected.mistake.substr(0, expected.mistake.size() - kMore.size())));
    } else {
      CHECK(message == expected.mistake);
    }
  }
}

TEST_CASE("config: the mistakes of a file are in the order of its lines") {
  const auto config = parse_config(
      "buffers = 100\n[limits]\nmax_hed = 1\n[[provider]]\nname = \"openai\"\nurl = \"x\"\n[journal]\nsize = "
      "3\n[[rule]]\n",
      "a:1/weir.toml");
  REQUIRE_FALSE(config.has_value());
  std::vector<int> lines;
  std::string_view rest = config.error().message;
  constexpr std::string_view kFile = "a:1/weir.toml:";
  while (!rest.empty()) {
    INFO(std::string(rest));
    REQUIRE(rest.starts_with(kFile));
    lines.push_back(std::atoi(rest.data() + kFile.size()));
    rest.remove_prefix(std::min(rest.find('\n'), rest.size() - 1) + 1);
  }
  CHECK(lines == std::vector<int>{1, 3, 6, 8, 9});
}

TEST_CASE("config: a name that only a flag knows is taken for a typing error, unless the flags say what it is") {
  struct Case {
    std::vector<std::pair<std::string_view, std::string_view>> flags;
    std::string_view mistake;  // its beginning; empty: none
  };
  const Case cases[] = {
      {{{"provider.opnai.base_url", "http://127.0.0.1:9/v1"}},
       "--flag: there is no provider \"opnai\"; did you mean \"openai\"? A new one needs its type: --set "
       "provider.opnai.type=openai"},
      {{{"provider.opnai.base_url", "http://127.0.0.1:9/v1"}, {"provider.opnai.type", "openai"}}, ""},
      {{{"provider.openai.base_url", "http://127.0.0.1:9/v1"}}, ""},
      {{{"listener.publc.tls.key", "k"}}, "--flag: there is no listener \"publc\"; did you mean \"public\"?"},
      {{{"listener.more.address", "127.0.0.1:9"}}, ""},
      {{{"sink.sqlit.path", "x"}}, "--flag: there is no sink \"sqlit\"; did you mean \"sqlite\"?"},
      {{{"sink.lines.path", "x"}, {"sink.lines.kind", "jsonl"}}, ""},
      {{{"sink.jsonl.path", "x"}}, ""},
  };
  for (const Case& expected : cases) {
    Config config = default_config();
    for (const auto& [key, value] : expected.flags) REQUIRE(set_option(config, key, value, "--flag").has_value());
    const auto good = check_config(config);
    const std::string message = good ? "" : good.error().message;
    INFO(message);
    CHECK(good.has_value() == expected.mistake.empty());
    CHECK(message.starts_with(expected.mistake));
  }
}

TEST_CASE("config: a variable that a flag names must be set") {
  Config config = default_config();
  REQUIRE(set_option(config, "provider.openai.key.env", "WEIR_TEST_UNSET_KEY", "--flag").has_value());
  const auto policy = build_policy(config);
  REQUIRE_FALSE(policy.has_value());
  CHECK(policy.error().message.starts_with("--flag: provider \"openai\": key.env \"WEIR_TEST_UNSET_KEY\" is not set"));
}

TEST_CASE("config: a rule that may not be is told to go, not to be kept private") {
  const File file("[[rule]]\nname = \"a\"\nset = { Authorization = \"Bearer x\" }\n");
  REQUIRE(chmod(file.path.c_str(), 0644) == 0);
  const auto config = load_config(file.path);
  REQUIRE_MESSAGE(config.has_value(), (config ? "" : config.error().message));
  const auto policy = build_policy(*config);
  REQUIRE_FALSE(policy.has_value());
  CHECK(contains(policy.error().message, "would replace or contradict the chosen credential"));
}

TEST_CASE("config: flags win over the file") {
  Config config = parse("workers = 2\n[[listener]]\nname = \"public\"\naddress = \"127.0.0.1:1\"");
  REQUIRE(set_option(config, "workers", "3", "--workers").has_value());
  REQUIRE(set_option(config, "listener.public.address", "127.0.0.1:2", "--listener.public.address").has_value());
  REQUIRE(set_option(config, "listener.agents.address", "unix:/a", "--listener.agents.address").has_value());
  REQUIRE(set_option(config, "rule.r.set", "x-a=1", "--rule").has_value());
  REQUIRE(set_option(config, "rule.r.set", "x-b=2=3", "--rule").has_value());
  CHECK(config.workers == 3);
  REQUIRE(config.listeners.size() == 2);
  CHECK(config.listeners[0].address == "127.0.0.1:2");
  CHECK(config.listeners[1].name == "agents");
  REQUIRE(config.rules.size() == 1);
  CHECK(config.rules[0].set == std::vector<std::pair<std::string, std::string>>{{"x-a", "1"}, {"x-b", "2=3"}});
}

TEST_CASE("config: every key can be set by a flag") {
  for (const OptionText& option : option_texts()) {
    INFO(option.key);
    std::string key = option.key;
    if (const size_t star = key.find('*'); star != std::string::npos) {
      key.replace(star, 1, key.starts_with("sink.") ? "sqlite" : "x");
    }
    Config config = default_config();
    const auto result = set_option(config, key, "\x01", "--flag");
    // Either the value is judged, or any text is good; never is the key unknown.
    CHECK((result.has_value() || !contains(result.error().message, "is not known")));
    CHECK_FALSE(option.help.empty());
  }
}

TEST_CASE("config: keys come from the environment or a file, and their absence is told kindly") {
  const File key("  sk-from-file\r\n");
  const auto provider = [](std::string_view source) {
    return fmt::format("[[provider]]\nname = \"x\"\ntype = \"openai\"\nkey = {{ {} }}\n", source);
  };
  CHECK(make_policy(provider("file = \"" + key.path + "\""))->providers[4]->key.view() == "sk-from-file");
  CHECK(make_policy(provider("env = \"WEIR_TEST_OPENAI_KEY\""))->providers[4]->key.view() == kOperatorOpenai);

  const auto missing = try_policy(provider("env = \"WEIR_TEST_UNSET_KEY\""));
  REQUIRE_FALSE(missing.has_value());
  CHECK(
      contains(missing.error().message, "provider \"x\": key.env \"WEIR_TEST_UNSET_KEY\" is not set; start weir with"));
  CHECK(missing.error().message.starts_with("weir.toml:"));
  const auto unreadable = try_policy(provider("file = \"/nonexistent/key\""));
  REQUIRE_FALSE(unreadable.has_value());
  CHECK(contains(unreadable.error().message, "cannot read key.file \"/nonexistent/key\": No such file"));
  const File empty(" \n");
  CHECK_FALSE(try_policy(provider("file = \"" + empty.path + "\"")).has_value());
  const File two_lines("sk-hidden\nX-Evil: 1\n");
  const auto evil = try_policy(provider("file = \"" + two_lines.path + "\""));
  REQUIRE_FALSE(evil.has_value());
  CHECK_FALSE(contains(evil.error().message, "sk-hidden"));
}

TEST_CASE("config: default providers do without a key; others may not have one") {
  unsetenv("ANTHROPIC_API_KEY");              // NOLINT(concurrency-mt-unsafe)
  setenv("OPENAI_API_KEY", "sk-default", 1);  // NOLINT(concurrency-mt-unsafe)
  const auto policy = build_policy(default_config());
  unsetenv("OPENAI_API_KEY");  // NOLINT(concurrency-mt-unsafe)
  REQUIRE(policy.has_value());
  CHECK((*policy)->providers[0]->key.empty());
  CHECK((*policy)->providers[1]->key.view() == "sk-default");
  CHECK((*policy)->providers[2]->chatgpt_backend);
  CHECK_FALSE((*policy)->providers[1]->chatgpt_backend);

  const auto with_key = [](std::string_view head) {
    return try_policy(std::string(head) + "key = { env = \"WEIR_TEST_OPENAI_KEY\" }\n");
  };
  const auto copilot = with_key("[[provider]]\nname = \"c\"\ntype = \"copilot\"\n");
  REQUIRE_FALSE(copilot.has_value());
  CHECK(contains(copilot.error().message, "Copilot takes users' own tokens only; remove `key`"));
  const auto codex =
      with_key("[[provider]]\nname = \"c\"\ntype = \"openai\"\nbase_url = \"http://h/backend-api/codex\"\n");
  REQUIRE_FALSE(codex.has_value());
  CHECK(contains(codex.error().message, "users' subscriptions only; remove `key`"));
}

TEST_CASE("config: a provider records what it says itself, else what [record] says") {
  const auto policy = make_policy(
      "[[provider]]\nname = \"x\"\ntype = \"openai\"\nrecord = { prompts = \"off\" }\n[record]\ntools = \"length\"\n");
  const RecordSettings own = policy->providers[4]->record;
  CHECK(own.prompts == Recording::off);
  CHECK(own.tools == Recording::length);
  CHECK(own.thoughts == Recording::full);
  CHECK(policy->providers[0]->record.prompts == Recording::full);
}

TEST_CASE("config: a base URL that is none is told with its provider") {
  const auto policy = try_policy("[[provider]]\nname = \"x\"\ntype = \"openai\"\nbase_url = \"api.openai.com\"\n");
  REQUIRE_FALSE(policy.has_value());
  CHECK(policy.error().message ==
        "weir.toml:26: provider \"x\": base_url \"api.openai.com\" must begin with https:// or http://");
}

TEST_CASE("config: a file is loaded under its own name") {
  const File file("workers = 3\n");
  const auto config = load_config(file.path);
  REQUIRE(config.has_value());
  CHECK(config->workers == 3);
  CHECK(config->file == file.path);
  const auto missing = load_config("/nonexistent/weir.toml");
  REQUIRE_FALSE(missing.has_value());
  CHECK(contains(missing.error().message, "/nonexistent/weir.toml"));
}

}  // namespace weir::gateway::test
