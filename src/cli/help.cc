// Every command's help. By hand, because a page that fits a screen and is in a sensible order beats a generated one; a
// test holds it against the flags that exist.
#include <utility>

#include "cli/arguments.h"

namespace weir::cli {

namespace {

constexpr std::string_view kMain =
    R"(weir: an AI gateway between AI clients (Claude Code, Codex, SDKs) and AI providers

Usage: weir COMMAND [OPTIONS]

Run
  serve                 run the gateway: weir serve --config weir.toml
  demo                  try it: the gateway, a mock provider behind it, a token, lines to paste
  mock                  only the demo's mock provider, for trying and load testing

Operate
  key add|list|revoke   the gateway tokens that users call with
  log                   what went through: a table or JSON, with filters; --follow
  log show ID           one interception: prompt, tools, thoughts, usage
  log --session ID      a client's session as a tree of agents and tool calls
  usage                 tokens by user, model, provider, client, credential kind, day

Check
  journal dump          the records of the journal files, also damaged ones; while weir runs too
  check                 whether a configuration can be used, with file and line of each mistake
  rules explain         what happens to each header of a request
  version               also --version: commit, and what the kernel offers

weir COMMAND --help says more. Exit status: 0 done, 1 failure, 2 usage or configuration.
)";

constexpr std::string_view kServe = R"(Run the gateway until SIGTERM or SIGINT; SIGHUP reads the configuration again.

Usage: weir serve [--config FILE] [OPTIONS]

Every flag is the twin of a key in the file and wins over it. Sizes: 64KiB. Times: 250ms, 30s, 5m.

  --config FILE            none: four providers, keys from ANTHROPIC_API_KEY and OPENAI_API_KEY
  --set KEY=VALUE          any key: --set provider.openai.base_url=http://127.0.0.1:9900/v1
  --listen [NAME=]ADDRESS  instead of the file's; repeatable. Default: public=127.0.0.1:4001
  --data-dir DIR           weir.db (tokens and records) and the journal. Default: ./weir-data
  --node NAME              this node in the records. Default: the host's name
Privileges
  --user NAME[:GROUP]      become this user once listeners and keys are open
  --sandbox MODE           off, on or required (on)     --core-dumps true|false  of a crash (false)
Workers
  --workers N              default: each usable core    --ring-entries N       to submit (1024)
  --cpus LIST              pin workers to these cores, in order: 0,2,4
  --batch-wait TIME        gather completions so long before acting: less CPU, later events (0)
  --busy-poll TIME         look for work so long before sleeping: sooner events, more CPU (0)
  --ring-without LIST      features of io_uring not to use, for diagnosis: multishot-receive,
                           multishot-accept, deferred-work, cooperative-work, registered-ring
  --buffers N              to receive, a worker's (512) --buffer-size SIZE     of one (4KiB)
Limits
  --max-body SIZE          of a request body (32MiB)    --max-head SIZE        of a head (64KiB)
  --connections N          of all clients (20000)       --body-rate SIZE       a second (1KiB)
  --event-memory SIZE      a worker's, to read (256MiB) --body-memory SIZE     of bodies (256MiB)
  --address-requests N/s   of one client (any)          --address-burst N      at once
  --initiator-requests N/m of one user (any)            --initiator-burst N    at once
  --initiator-exchanges N  of one user at once (any)    --address-connections N  of one client (any)
  --send-rate SIZE         a second, of an answer (1KiB)
Timeouts
  --head-timeout TIME      for a request head (30s)     --body-timeout TIME    a silent body (60s)
  --idle-timeout TIME      between requests (620s)      --handshake-timeout TIME  TLS (10s)
  --connect-timeout TIME   to one address (10s)         --answer-timeout TIME  first byte (600s)
  --stream-timeout TIME    a silent answer (300s)       --send-timeout TIME    a deaf client (60s)
  --upstream-idle TIME     pooled connections (60s)     --upstream-age TIME    at most (10m)
  --drain-timeout TIME     at the end (30s)             --dns-ttl TIME         of a name (30s)
Journal, log, metrics
  --journal-size SIZE      of each worker (64MiB)       --journal-sync off|TIME  to disk (off)
  --log-format text|json   on standard error (text)     --log-level LEVEL      debug|info|warn|error
  --admin ADDRESS          /metrics, /healthz, /readyz on loopback or a Unix socket. Default: off
)";

constexpr std::string_view kDemo =
    R"(Try weir: the gateway, a mock provider behind it, one token, and lines to paste for clients.

Usage: weir demo [OPTIONS]

Nothing leaves this machine. Each interception is printed as it ends; Ctrl-C stops.

  --listen ADDRESS    default: 127.0.0.1:4001
  --data-dir DIR      default: ./weir-demo; `weir log --data-dir weir-demo` reads it afterwards
  --events N          pieces of text in an answer (24)
  --gap TIME          between two of them (30ms)
  --bytes N           of text in each (16)
  --config, --set, and all other options of `weir serve` are taken too.
)";

constexpr std::string_view kMock =
    R"(Run the mock provider alone: Anthropic Messages, Chat Completions, Responses; streaming and whole.

Usage: weir mock [OPTIONS]

No model and no key: fixed text at the pace you ask for. Its address is a provider's base_url
(OpenAI's with /v1).

  --listen ADDRESS    default: 127.0.0.1:9900; port 0 takes a free one. Printed when it is ready
  --events N          pieces of text in an answer (24)
  --gap TIME          between two of them (30ms); 0: as fast as the client reads
  --bytes N           of text in each piece (16)
  --delay TIME        before the answer begins (0)
  --keep N            requests that /__mock/requests remembers (1000; 0 is faster)
  --busy-poll TIME    look for work so long before sleeping, for load tests (0)

A request's own headers decide for that request: x-mock-status, -delay, -events, -gap, -bytes,
-thinking, -tool, -framing (chunked, length, close), -cut BYTES, -ending (drop, reset, hang),
-step, -interim, -body, -id, -stamped (events hold the time at which they were written),
-separate (each event is a send of its own, also with a gap of 0).
Control: GET /__mock/state and /__mock/requests, POST /__mock/script, /__mock/next, /__mock/reset.
)";

constexpr std::string_view kKey = R"(The gateway tokens that users call with (the `store` authorizer).

Usage: weir key add --user NAME [OPTIONS]   make a token; it is printed once, on standard output
       weir key list [--json]               all of them, without the tokens
       weir key revoke ID                   end one within a second; an ID's first characters do

  --data-dir DIR, --config FILE, --set KEY=VALUE   where weir.db is, as for `weir serve`
)";

constexpr std::string_view kKeyAdd =
    R"(Make a gateway token. It is printed once, alone on standard output; only its SHA-256 is kept.

Usage: weir key add --user NAME [OPTIONS]

  --user NAME      who calls with it; stands in every record
  --id UUID        the user's id (initiator_id). Default: that of earlier keys here, else one made
                   of the name (UUIDv5), which is the same on every node
  --expires TIME   from now: 30d, 12h. Default: never
  --data-dir DIR, --config FILE, --set KEY=VALUE   where weir.db is, as for `weir serve`
)";

constexpr std::string_view kLog = R"(What went through the gateway, newest first.

Usage: weir log [OPTIONS]
       weir log show ID [--json]   one interception with its prompt, tools, thoughts and usage
       weir log --session ID       a session as a tree: by agent, and below each interception
                                   those that bring the results of its tool calls; ↳ goes on

  --user NAME              a username or an initiator id
  --provider NAME          --model NAME
  --outcome OUTCOME        completed, upstream_error, client_disconnected, gateway_error,
                           interrupted
  --credential-kind KIND   centralized, personal_api_key, subscription
  --since TIME             2026-11-22, 2026-11-22T10:00:00Z, or how long ago: 1h, 30m, 7d
  --until TIME             the same
  --limit N                (50; of a session: all)
  --follow                 wait for more and print each as it ends (a session's without a tree)
  --json                   one JSON object per line, with every column; a session is one object:
                           agents, their threads of turns, and the threads that branch off below
  --data-dir DIR, --config FILE, --set KEY=VALUE   where weir.db is, as for `weir serve`
)";

constexpr std::string_view kUsage = R"(Sums of tokens over what went through the gateway.

Usage: weir usage [--by LIST] [OPTIONS]

  --by LIST                of user, model, provider, client, credential_kind, day (UTC), with
                           commas and in this order. Default: user,model
  --json                   one JSON object per line          --csv   as in RFC 4180
                           (both without the table's line of totals)
Only these interceptions
  --user NAME              a username or an initiator id
  --provider NAME          --model NAME            --session ID
  --outcome OUTCOME        completed, upstream_error, client_disconnected, gateway_error,
                           interrupted
  --credential-kind KIND   centralized, personal_api_key, subscription
  --since TIME             2026-11-22, 2026-11-22T10:00:00Z, or how long ago: 1h, 30m, 7d
  --until TIME             the same
  --data-dir DIR, --config FILE, --set KEY=VALUE   where weir.db is, as for `weir serve`

failed: upstream_error, gateway_error, interrupted. input: without what came from the cache.
)";

constexpr std::string_view kJournal =
    R"(What is in the journal files: each record with its place, and what is damaged.

Usage: weir journal dump [FILE...] [OPTIONS]

Only reads: weir may go on serving, or be dead. Without a FILE: all journals in data_dir/journal.
A FILE may also be one that was set aside (*.bad-*). A line for each record: offset in the file,
position (its place among all records, in bytes), delivered (in the database), pending or
unknown (where the file's positions are damaged), kind, interception, fields.
src/record/JOURNAL.md describes the format.

  --full    prompts, arguments and thoughts themselves; else their sizes
  --json    one JSON object per line: files, records, damage
  --data-dir DIR, --config FILE, --set KEY=VALUE   where the journal is, as for `weir serve`

Damage (torn, flipped or missing bytes, a foreign file) is told on standard error with its
offset; what can be read is printed all the same, and the exit status is 1.
)";

constexpr std::string_view kRules = R"(What happens to each header of a request, and which rule says so.

Usage: weir rules explain --provider NAME --auth centralized|byok [OPTIONS]

  --provider NAME      of the configuration: anthropic
  --auth MODE          centralized or byok
  --route ROUTE        bridged (default), passthrough, messages, chat_completions, responses
  --credential KIND    personal_api_key or subscription; default: each that the provider takes
  --config FILE, --set KEY=VALUE   as for `weir serve`
)";

constexpr std::string_view kCheck = R"(Whether a configuration can be used: keys, ranges, rules, files. Starts nothing.

Usage: weir check --config FILE [OPTIONS]

Every mistake is printed with its file and line. Exit status 0: good; 2: not.
All options of `weir serve` are taken.
)";

constexpr std::string_view kVersion = R"(The version, the commit it was built from, and what this kernel offers.

Usage: weir version
)";

constexpr std::pair<std::string_view, std::string_view> kTexts[] = {
    {"", kMain},
    {"serve", kServe},
    {"demo", kDemo},
    {"mock", kMock},
    {"key", kKey},
    {"key add", kKeyAdd},
    {"key list", kKey},
    {"key revoke", kKey},
    {"log", kLog},
    {"log show", kLog},
    {"usage", kUsage},
    {"journal", kJournal},
    {"journal dump", kJournal},
    {"rules", kRules},
    {"rules explain", kRules},
    {"check", kCheck},
    {"version", kVersion},
};

}  // namespace

std::string_view help_text(std::string_view command) {
  for (const auto& [name, text] : kTexts) {
    if (name == command) return text;
  }
  return kMain;
}

}  // namespace weir::cli
