// An operator's rules over a peer's head: "<mode><route>\n", header lines, "----\n", then [[rule]] tables. '@' in the
// value of a header stands for the gateway token. Whatever rules the compiler takes and whatever the head has, the
// framing is weir's, the chosen credential arrives once, nothing that looks like one of weir's own headers goes to a
// provider, and neither does the gateway token in a header named like a credential's, nor a credential that lost.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "gateway/config.h"
#include "gateway/entry.h"
#include "gateway/option.h"
#include "gateway/policy.h"
#include "gateway/ruleset.h"

namespace {

using namespace weir;           // NOLINT(google-build-using-namespace)
using namespace weir::gateway;  // NOLINT(google-build-using-namespace)

constexpr std::string_view kToken = "wgt-the-gateway-token";
constexpr std::string_view kOwn = "own-credential-of-the-user";
constexpr std::string_view kOperator = "key-of-the-operator";
constexpr std::string_view kProviders =
    "[[provider]]\nname='anthropic'\ntype='anthropic'\nbase_url='https://a.example'\nkey={env='WEIR_FUZZ_KEY'}\n"
    "[[provider]]\nname='openai'\ntype='openai'\nbase_url='https://o.example/v1'\nkey={env='WEIR_FUZZ_KEY'}\n"
    "send_actor_headers=true\n"
    "[[provider]]\nname='copilot'\ntype='copilot'\nbase_url='https://c.example'\n";
constexpr std::string_view kTargets[] = {
    "/anthropic/v1/messages?beta=true", "/anthropic/v1/models",      "/openai/v1/responses",
    "/openai/v1/chat/completions",      "/copilot/chat/completions", "/copilot/models"};

std::string_view take_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

size_t occurrences(std::string_view text, std::string_view part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// Of the fuzzer's text: header lines, with the line ends that a head has, and the token for '@' behind the name.
std::string lines_of(std::string_view& text) {
  std::string lines;
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    if (line == "----") break;
    if (line.empty()) continue;
    const size_t name_end = std::min(line.find(':'), line.size());
    lines.append(line.substr(0, name_end));
    for (const char c : line.substr(name_end)) c == '@' ? lines.append(kToken) : lines.append(1, c);
    lines.append("\r\n");
  }
  return lines;
}

size_t count_of(const wire::RequestHead& head, std::string_view name) {
  size_t count = 0;
  for (uint32_t i = 0; i < head.header_count; ++i) {
    if (wire::looks_like(head.headers[i].name, name)) ++count;
  }
  return count;
}

bool begins_like(std::string_view name, std::string_view prefix) {
  return name.size() >= prefix.size() && wire::looks_like(name.substr(0, prefix.size()), prefix);
}

void check_names(const wire::RequestHead& head, bool acts) {
  ASSERT(count_of(head, "Host") == 1 && count_of(head, "Content-Length") == 1);
  ASSERT(count_of(head, "Authorization") + count_of(head, "X-Api-Key") == 1);
  for (const char* name : {"Connection", "Transfer-Encoding", "Keep-Alive", "Upgrade", "TE", "Expect"}) {
    ASSERT(count_of(head, name) == 0);
  }
  size_t actor_headers = 0;
  for (uint32_t i = 0; i < head.header_count; ++i) {
    const std::string_view name = head.headers[i].name;
    for (const char* own : {"X-Weir-", "X-Coder-AI-Governance-", "X-Coder-AI-Gateway-"}) {
      ASSERT(!begins_like(name, own));
    }
    actor_headers += begins_like(name, "X-AI-Bridge-Actor-") ? 1 : 0;
  }
  ASSERT(actor_headers <= (acts ? 2u : 0u));  // a rule may strip them
}

// In headers of other names it is the client's own doing.
void check_copies(const wire::RequestHead& head) {
  for (uint32_t i = 0; i < head.header_count; ++i) {
    const wire::Header& header = head.headers[i];
    if (!is_secret_header(header.name)) continue;
    const bool cookie = wire::equals_ignoring_case(header.name, "cookie");
    std::string_view rest = header.value;
    while (cookie && !rest.empty()) {
      const size_t end = std::min(rest.find(';'), rest.size());
      const std::string_view one = rest.substr(0, end);
      ASSERT(!one.substr(std::min(one.find('='), one.size())).contains(kToken));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    ASSERT(cookie || !header.value.contains(kToken));
  }
}

void check_upstream_head(std::string_view written, const Entry& entry, const Credential& credential) {
  static wire::RequestHead head;
  ASSERT(wire::parse_request_head(written, 0, 1 << 20, head).status == wire::HeadStatus::complete);
  check_names(head, entry.route.provider->send_actor_headers);
  // Else the fuzzer's own was first, and this one may be a credential.
  if (entry.token == kToken) check_copies(head);
  // The fuzzer may have brought a third one, say in X-Api-Key, that was chosen; what it says may stand elsewhere too.
  ASSERT(written.contains(credential.secret));
  for (const std::string_view known : {kOwn, kOperator}) {
    ASSERT(occurrences(written, known) == (credential.secret == known ? 1u : 0u));
  }
}

void forward(const Policy& policy, const wire::RequestHead& head) {
  const Entry entry = enter(policy, {}, head);
  const Identity identity = Identity::make("6f1c2a52-8a0e-4a53-9a3e-8d4d1f0b7c11", "ada\r\nX-Injected: 1", "k");
  const Admission admission = admit(policy, entry, Verdict::allowed, identity, head);
  if (admission.refusal != Refusal::none) return;
  const Caller caller = identify_caller(head);
  const RuleValues values{.initiator_id = identity.initiator_id(),
                          .username = identity.username(),
                          .request_id = entry.request_id,
                          .interception_id = "int-1",
                          .client_address = "192.0.2.7",
                          .client_host = "gateway",
                          .client_tls = false,
                          .client_index = caller.client_index};
  const UpstreamRequest request{.head = &head,
                                .provider = entry.route.provider,
                                .path = entry.route.upstream_path,
                                .query = entry.target.query,
                                .has_query = entry.target.has_query,
                                .credential = &admission.credential,
                                .gateway_token = entry.token,
                                .has_body = true,
                                .body_size = 2};
  const ProgramKey key{.provider_index = entry.route.provider->index,
                       .mode = entry.mode,
                       .kind = entry.route.kind,
                       .api = entry.route.api,
                       .credential = admission.credential.kind};
  const Program& program = policy.rules->program(key);
  ByteBuffer out;
  write_request_head(program, values, request, out);
  check_upstream_head(out.view(), entry, admission.credential);
  ASSERT(!policy.rules->explain(policy, key).empty());
}

// The same lines as a provider's answer.
void answer(const Policy& policy, const std::string& lines, uint16_t provider_index) {
  const std::string bytes = "HTTP/1.1 200 OK\r\n" + lines + "\r\n";
  static wire::ResponseHead head;
  if (wire::parse_response_head(bytes, 0, 64 << 10, head).status != wire::HeadStatus::complete) return;
  const ProgramKey key{.provider_index = provider_index, .credential = CredentialKind::centralized};
  const DownstreamAnswer written{
      .head = &head, .framing = AnswerFraming::chunked, .close = true, .interception_id = "int-1"};
  ByteBuffer out;
  write_response_head(policy.rules->program(key), {}, written, out);
  static wire::ResponseHead again;
  ASSERT(wire::parse_response_head(out.view(), 0, 1 << 20, again).status == wire::HeadStatus::complete);
  size_t codings = 0;
  size_t ids = 0;
  for (uint32_t i = 0; i < again.header_count; ++i) {
    const std::string_view name = again.headers[i].name;
    ASSERT(!wire::equals_ignoring_case(name, "Content-Length"));
    ASSERT(!wire::equals_ignoring_case(name, "Keep-Alive"));
    if (wire::equals_ignoring_case(name, "Connection")) ASSERT(again.headers[i].value == "close");
    codings += wire::equals_ignoring_case(name, "Transfer-Encoding") ? 1 : 0;
    ids += wire::equals_ignoring_case(name, "X-Weir-Interception-Id") ? 1 : 0;
  }
  ASSERT(codings == 1 && ids == 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int set = setenv("WEIR_FUZZ_KEY", std::string(kOperator).c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  ASSERT(set == 0);
  std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const std::string_view secret : {kToken, kOwn, kOperator}) {
    if (text.contains(secret)) return 0;  // then it may well be in what is written
  }
  const std::string_view how = take_line(text);
  if (how.size() < 2) return 0;
  const bool byok = how[0] == 'b';
  const size_t route = static_cast<unsigned char>(how[1]) % std::size(kTargets);
  const std::string lines = lines_of(text);
  // The rest are rules, and nothing but rules: other tables may change what the invariants are about.
  auto config = parse_config(std::string(kProviders) + std::string(text), "fuzz.toml");
  if (!config || config->providers.size() != 3) return 0;
  auto plain = parse_config(kProviders, "fuzz.toml");
  ASSERT(plain.has_value());
  plain->rules = config->rules;
  const auto policy = build_policy(std::move(*plain));
  if (!policy) {
    ASSERT(!policy.error().message.empty());
    return 0;
  }
  std::string bytes("POST ");
  bytes.append(kTargets[route]).append(" HTTP/1.1\r\nHost: gateway\r\nContent-Length: 2\r\n");
  if (byok) {
    bytes.append("X-Weir-Token: ").append(kToken).append("\r\nAuthorization: Bearer ").append(kOwn).append("\r\n");
  } else {
    bytes.append("Authorization: Bearer ").append(kToken).append("\r\n");
  }
  bytes.append(lines).append("\r\n");
  static wire::RequestHead head;
  if (wire::parse_request_head(bytes, 0, 64 << 10, head).status == wire::HeadStatus::complete) forward(**policy, head);
  answer(**policy, lines, static_cast<uint16_t>(route % 3));
  return 0;
}
