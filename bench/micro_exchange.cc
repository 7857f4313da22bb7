// What one exchange costs a worker outside the kernel, ns, with everything on: token, rules, reading, journal. All of
// proxy/ runs, over an engine that has always just done what it was asked for (instant_engine.h), so caches are as warm
// as they can be: the rest of a worker's user time in `./dev bench` is what a real kernel and a recorder push out. The
// same bytes on a path that is only passed through are neither read nor recorded: the difference is what that costs.
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/log.h"
#include "gateway/policy.h"
#include "instant_engine.h"
#include "micro.h"
#include "proxy/worker.h"
#include "record/journal_file.h"

namespace {

using namespace weir;

constexpr std::string_view kToken = "weir_Ga6r0_8QbCqujHoZrFTR6hnx_4jzrEycFptT451-KGI";
constexpr uint64_t kJournalSize = 16u << 20;

constexpr std::string_view kConfiguration = R"(
[[listener]]
name = "public"
address = "127.0.0.1:4001"
[[provider]]
name = "anthropic"
type = "anthropic"
base_url = "http://anthropic.test"
key = { env = "WEIR_BENCH_KEY" }
[[provider]]
name = "openai"
type = "openai"
base_url = "http://openai.test/v1"
key = { env = "WEIR_BENCH_KEY" }
[[rule]]
name = "internal headers stay inside"
strip = ["x-internal-*"]
[[rule]]
name = "tell the provider's account which team asks"
when = { route = "bridged", auth = "centralized" }
set = { "x-team" = "{initiator.username}" }
)";

std::string repeated(std::string_view line, size_t size) {
  std::string text;
  while (text.size() + line.size() <= size) text += line;
  text.append(size - text.size(), 'x');
  return text;
}

constexpr std::string_view kCode = R"(  if (found[i] == \"end\") return parse(next, \"\\n\");  // the usual case\n)";
constexpr std::string_view kWords = "Hello from the provider: the words only travel the way that an answer does. ";

std::string request(std::string_view path, const std::string& body) {
  return fmt::format(
      "POST {} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: weir-load/1.0\r\nAccept: application/json\r\nContent-Type: "
      "application/json\r\nAuthorization: Bearer {}\r\nx-request-source: micro_exchange\r\nContent-Length: "
      "{}\r\n\r\n{}",
      path, kToken, body.size(), body);
}

std::string turn(std::string_view role, size_t size) {
  return fmt::format(R"({{"role":"{}","content":"{}"}})", role, repeated(kCode, size));
}

// A long request is a long history: the prompt that is recorded is its last message.
std::string conversation(size_t history) {
  std::string turns;
  for (size_t size = 0; size < history; size += 8000) turns += turn("user", 4000) + "," + turn("assistant", 4000) + ",";
  return turns + turn("user", 700);
}

constexpr std::string_view kBridged = "/openai/v1/chat/completions", kPassedThrough = "/openai/v1/embeddings";

std::string chat_request(size_t history, std::string_view path) {
  return request(path, R"({"model":"gpt-5.2","stream":false,"messages":[)" + conversation(history) + "]}");
}

std::string chat_answer() {
  const std::string body =
      R"({"id":"chatcmpl-bench","object":"chat.completion","created":1767225600,"model":"gpt-5.2","choices":[{"index":0,"message":{"role":"assistant","content":")" +
      repeated(kWords, 384) +
      R"(","refusal":null},"finish_reason":"stop"}],"usage":{"prompt_tokens":195,"completion_tokens":24,"total_tokens":219,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}})";
  return fmt::format(
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: req_mock0000000000000002\r\nContent-Length: "
      "{}\r\n\r\n{}",
      body.size(), body);
}

std::string chunk(std::string_view bytes) {
  return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
}

// A stream of `events` text deltas, each a chunk that comes by itself; about 80 of the last piece's bytes say the end.
std::vector<std::string> messages_answer(size_t events) {
  std::vector<std::string> pieces;
  pieces.push_back(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nrequest-id: "
      "req_1\r\n\r\n" +
      chunk(
          "event: message_start\ndata: "
          R"({"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[],"usage":{"input_tokens":25,"output_tokens":1}}})"
          "\n\n"
          "event: content_block_start\ndata: "
          R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})"
          "\n\n"));
  for (size_t i = 0; i < events; i++) {
    pieces.push_back(
        chunk("event: content_block_delta\ndata: "
              R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" and so on it goes"}})"
              "\n\n"));
  }
  pieces.push_back(
      chunk(
          "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: "
          "message_delta\ndata: "
          R"({"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}})"
          "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n") +
      "0\r\n\r\n");
  return pieces;
}

std::string message_request(std::string_view path) {
  return request(
      path, R"({"model":"claude-sonnet-4-5","max_tokens":1024,"stream":true,"messages":[)" + conversation(0) + "]}");
}

std::shared_ptr<proxy::Snapshot> snapshot() {
  setenv("WEIR_BENCH_KEY", "sk-bench-operator-key-0123", 1);  // NOLINT(concurrency-mt-unsafe): there is one thread
  auto config = gateway::parse_config(std::string(kConfiguration), "weir.toml");
  auto policy = config ? gateway::build_policy(std::move(*config)) : std::unexpected(config.error());
  if (!policy) {
    fmt::print("{}\n", policy.error().message);
    return nullptr;
  }
  auto made = std::make_shared<proxy::Snapshot>();
  made->provider_origins = {0, 1};
  made->listener_tls.resize(1);
  made->policy = std::move(*policy);
  return made;
}

template <class... Message>
void post(proxy::Worker& worker, Message&&... messages) {
  (worker.post(std::forward<Message>(messages)), ...);
  bench::mail_posted();
}

void give_addresses(proxy::Worker& worker) {
  for (uint32_t origin = 0; origin < 2; origin++) {
    auto list = std::make_shared<proxy::AddressList>();
    list->addresses.push_back(*io::parse_address("192.0.2.80:80"));
    post(worker, proxy::NewAddresses{origin, std::move(list)});
  }
}

// Rounds of `per_round` exchanges, after as many to get warm.
void measure(bench::Micro& micro, LogSink& log, const std::string& name, bench::Traffic traffic, size_t events,
             bool bridged = true) {
  if (!micro.wants(name)) return;
  micro.count_one();
  const size_t rounds_wanted = micro.smoke() ? 2 : 51;
  const uint64_t per_round = uint64_t{traffic.clients} * (micro.smoke() ? 2 : 16);

  const std::string path = fmt::format("/tmp/weir-micro-exchange-{}.journal", ::getpid());
  auto journal = record::Journal::create(path, kJournalSize, 0);
  ::unlink(path.c_str());  // the mapping is enough
  const auto policy = snapshot();
  micro.check(journal.has_value() && policy != nullptr, "there is a journal and a policy");
  if (!journal || policy == nullptr) return;

  bench::use_traffic(traffic);
  proxy::WorkerOptions options;
  options.connections = options.upstreams = 1024;
  proxy::WorkerListener listener;
  listener.name = "public";
  options.listeners.push_back(std::move(listener));
  options.journal = journal->get();
  proxy::Worker worker(std::move(options), log.make_logger());

  const auto recorded = [&] { return (*journal)->head(); };
  std::vector<double> rounds;
  uint64_t began_ns = 0, next = 4 * per_round;
  traffic.on_turn = [&] {
    (*journal)->release_to(recorded());  // a recorder that is never behind
    if (traffic.exchanges < next) return true;
    const uint64_t now = monotonic_ns();
    if (began_ns != 0) rounds.push_back(static_cast<double>(now - began_ns) / static_cast<double>(per_round));
    began_ns = now;
    next += per_round;
    return rounds.size() < rounds_wanted;
  };
  traffic.on_quiet = [&] { post(worker, proxy::Drain{0}); };

  const std::vector<gateway::TokenRow> rows = {{.key_id = "key-1",
                                                .token_sha256 = sha256(kToken),
                                                .initiator_id = "0c5a2a6b-96a5-4d6e-8f27-3a4d2b1c0d9e",
                                                .username = "bench"}};
  post(worker,
       proxy::NewSnapshot{policy,
                          {{.tls = false, .host = "anthropic.test", .port = 80, .ca_file = {}},
                           {.tls = false, .host = "openai.test", .port = 80, .ca_file = {}}},
                          std::vector<std::unique_ptr<tls::ClientContext>>(2)},
       proxy::NewTokens{std::make_shared<const gateway::TokenTable>(rows)});
  give_addresses(worker);
  const auto ran = worker.run([] {});
  micro.check(ran.has_value() && rounds.size() == rounds_wanted, "the worker served all of it, and drained");
  const proxy::WorkerCounters& counters = worker.counters();
  micro.check(counters.stale_completions.value() == 0, "no completion came for a slot's earlier user");
  size_t whole = 0;
  for (const std::string& piece : traffic.answer) whole += piece.size();
  micro.check((traffic.bytes > whole) == bridged && traffic.bytes >= whole && traffic.bytes < whole + 200,
              "an answer came whole, with the gateway's own header if it was bridged");
  micro.check((recorded() > 0) == bridged, "exchanges were journaled if they were bridged");
  if (micro.smoke() || rounds.empty()) return;
  bench::Micro::print(name, {.units = events}, std::move(rounds));
}

}  // namespace

int main(int count, char** arguments) {
  bench::Micro micro(count, arguments);
  LogSink log(2, LogFormat::text, LogLevel::warn);
  const std::vector<std::string> answer = {chat_answer()};
  const std::vector<std::string> stream = messages_answer(300);
  measure(micro, log, "chat of 1 KB, an exchange", {.request = chat_request(0, kBridged), .answer = answer}, 1);
  measure(micro, log, "the same 1 KB, passed through", {.request = chat_request(0, kPassedThrough), .answer = answer},
          1, false);
  measure(micro, log, "100 KB of history, an exchange", {.request = chat_request(100'000, kBridged), .answer = answer},
          1);
  measure(micro, log, "the same 100 KB, passed through",
          {.request = chat_request(100'000, kPassedThrough), .answer = answer}, 1, false);
  measure(micro, log, "stream of 300 events, an event",
          {.request = message_request("/anthropic/v1/messages"), .answer = stream}, 302);
  measure(micro, log, "the same stream, passed through",
          {.request = message_request("/anthropic/v1/messages/batches"), .answer = stream}, 302, false);
  return micro.finish();
}
