// What the rules cost a request, ns: the head of a coding agent's request taken through the entry (whose token, which
// route, whose credential) and written anew by the compiled ruleset; the answer's head likewise. With the built-in
// rules alone, with two of an operator, and with fifty.
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "base/byte_buffer.h"
#include "gateway/entry.h"
#include "gateway/policy.h"
#include "micro.h"
#include "wire/head.h"

namespace {

using namespace weir;
using namespace weir::gateway;

constexpr std::string_view kRequest =
    "POST /anthropic/v1/messages?beta=true HTTP/1.1\r\n"
    "Host: gateway.internal.example:4001\r\n"
    "User-Agent: claude-cli/2.0.14 (external, cli)\r\n"
    "Accept: application/json\r\n"
    "Authorization: Bearer weir-token-of-a-user\r\n"
    "Content-Type: application/json\r\n"
    "anthropic-beta: fine-grained-tool-streaming-2025-05-14\r\n"
    "anthropic-version: 2023-06-01\r\n"
    "x-app: cli\r\n"
    "x-internal-trace: 4bf92f3577b34da6\r\n"
    "X-Claude-Code-Session-Id: 6f1c1f5e-7b1d-4a6e-9c59-0d0f6a1b2c3d\r\n"
    "x-stainless-lang: js\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
    "Connection: keep-alive\r\n"
    "Content-Length: 1024\r\n\r\n";

constexpr std::string_view kAnswer =
    "HTTP/1.1 200 OK\r\n"
    "Date: Sun, 22 Nov 2026 01:57:00 GMT\r\n"
    "Content-Type: text/event-stream; charset=utf-8\r\n"
    "Transfer-Encoding: chunked\r\n"
    "Connection: keep-alive\r\n"
    "Cache-Control: no-cache\r\n"
    "anthropic-ratelimit-requests-limit: 4000\r\n"
    "request-id: req_011CVMPzn2cYm6jT7z9Qxy1A\r\n\r\n";

constexpr std::string_view kTwoRules = R"(
[[rule]]
name = "internal headers stay inside"
strip = ["x-internal-*"]
[[rule]]
name = "tell the team"
when = { route = "bridged", auth = "centralized" }
set = { "x-team" = "{initiator.username}" }
)";

// Of which none names a header that the request has.
std::string many_rules() {
  std::string text(kTwoRules);
  for (int i = 0; i < 48; ++i) {
    text += fmt::format("[[rule]]\nname = \"rule {0}\"\nstrip = [\"x-legacy-{0}\"]\n", i);
  }
  return text;
}

std::unique_ptr<Policy> policy_of(std::string_view rules) {
  constexpr std::string_view kProvider = R"(
[[provider]]
name = "anthropic"
type = "anthropic"
base_url = "https://api.anthropic.com"
key = { env = "WEIR_BENCH_KEY" }
)";
  setenv("WEIR_BENCH_KEY", "sk-ant-operator", 1);  // NOLINT(concurrency-mt-unsafe): there is one thread
  auto config = parse_config(std::string(kProvider) + std::string(rules), "weir.toml");
  auto policy = config ? build_policy(std::move(*config)) : std::unexpected(config.error());
  if (policy) return std::move(*policy);
  fmt::print("{}\n", policy.error().message);
  return nullptr;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

struct Fixture {
  wire::RequestHead request;
  wire::ResponseHead answer;
  Identity identity = Identity::make("6f1c2a52-8a0e-4a53-9a3e-8d4d1f0b7c11", "ada", "key-1");
  RuleValues values{.initiator_id = identity.initiator_id(),
                    .username = "ada",
                    .request_id = "01890a5d-ac96-774b-bcce-b302099a8057",
                    .interception_id = "01890a5d-ac96-774b-bcce-b302099a8058",
                    .client_address = "192.0.2.7",
                    .client_host = "gateway.internal.example:4001"};
  Entry entry;
  Admission admission;
  ByteBuffer out;

  Fixture() {
    wire::parse_request_head(kRequest, 0, 64 << 10, request);
    wire::parse_response_head(kAnswer, 0, 64 << 10, answer);
  }
  Refusal let_in(const Policy& policy) {
    entry = enter(policy, {}, request);
    admission = admit(policy, entry, Verdict::allowed, identity, request);
    return admission.refusal;
  }
  const Program& program(const Policy& policy) const {
    return policy.rules->program({.provider_index = entry.route.provider->index,
                                  .mode = entry.mode,
                                  .kind = entry.route.kind,
                                  .api = entry.route.api,
                                  .credential = admission.credential.kind});
  }
  size_t write_request(const Policy& policy) {
    out.clear();
    write_request_head(program(policy), values,
                       {.head = &request,
                        .provider = entry.route.provider,
                        .path = entry.route.upstream_path,
                        .query = entry.target.query,
                        .has_query = entry.target.has_query,
                        .credential = &admission.credential,
                        .gateway_token = entry.token,
                        .has_body = true,
                        .body_size = 1024},
                       out);
    return out.size();
  }
  size_t write_answer(const Policy& policy) {
    out.clear();
    write_response_head(program(policy), values,
                        {.head = &answer, .framing = AnswerFraming::chunked, .interception_id = values.interception_id},
                        out);
    return out.size();
  }
};

void measure(bench::Micro& micro, std::string_view rules_name, std::string_view rules, bool operators) {
  const auto policy = policy_of(rules);
  micro.check(policy != nullptr, "the policy is built");
  if (!policy) return;
  auto fixture = std::make_unique<Fixture>();
  const Refusal refusal = fixture->let_in(*policy);
  micro.check(refusal == Refusal::none, "the request is let in");
  if (refusal != Refusal::none) return;
  if (micro.measure(fmt::format("entry, {}", rules_name), {}, [&] { return fixture->let_in(*policy); })) {
    micro.check(fixture->admission.credential.secret == "sk-ant-operator", "the operator's key pays");
  }
  if (micro.measure(fmt::format("request head anew, {}", rules_name), {},
                    [&] { return fixture->write_request(*policy); })) {
    const std::string_view head = fixture->out.view();
    micro.check(contains(head, "sk-ant-operator") && !contains(head, "weir-token-of-a-user"),
                "the provider gets the operator's key, and not the gateway token");
    micro.check(contains(head, "anthropic-version: 2023-06-01\r\n"), "what no rule names is forwarded");
    micro.check(contains(head, "x-team: ada\r\n") == operators && contains(head, "x-internal-trace") != operators,
                "the operator's rules are obeyed where there are any");
  }
  if (micro.measure(fmt::format("answer head anew, {}", rules_name), {},
                    [&] { return fixture->write_answer(*policy); })) {
    micro.check(contains(fixture->out.view(), "request-id: req_011CVMPzn2cYm6jT7z9Qxy1A\r\n"),
                "the answer's headers stay");
  }
}

}  // namespace

int main(int count, char** arguments) {
  bench::Micro micro(count, arguments);
  measure(micro, "built-in rules", "", false);
  measure(micro, "two more", kTwoRules, true);
  measure(micro, "fifty more", many_rules(), true);
  return micro.finish();
}
