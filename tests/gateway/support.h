// Fixtures that speak the domain: a policy from a few lines of TOML, a request from a few header lines, and the whole
// way from head to what the provider gets.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/entry.h"
#include "gateway/policy.h"
#include "gateway/ruleset.h"

namespace weir::gateway::test {

inline constexpr std::string_view kOperatorAnthropic = "sk-ant-operator-key";
inline constexpr std::string_view kOperatorOpenai = "sk-operator-key";
inline constexpr std::string_view kInitiator = "6f1c2a52-8a0e-4a53-9a3e-8d4d1f0b7c11";

inline constexpr std::string_view kProviders = R"(
[[provider]]
name = "anthropic"
type = "anthropic"
base_url = "https://api.anthropic.com"
key = { env = "WEIR_TEST_ANTHROPIC_KEY" }

[[provider]]
name = "openai"
type = "openai"
base_url = "https://api.openai.com/v1"
key = { env = "WEIR_TEST_OPENAI_KEY" }

[[provider]]
name = "chatgpt"
type = "openai"
base_url = "https://chatgpt.com/backend-api/codex"

[[provider]]
name = "copilot"
type = "copilot"
base_url = "https://api.individual.githubcopilot.com"
)";

inline void set_operator_keys() {
  setenv("WEIR_TEST_ANTHROPIC_KEY", std::string(kOperatorAnthropic).c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  setenv("WEIR_TEST_OPENAI_KEY", std::string(kOperatorOpenai).c_str(), 1);        // NOLINT(concurrency-mt-unsafe)
}

// The four providers, and what `toml` says besides. Keys of the top level go into `top`.
inline Result<std::unique_ptr<Policy>> try_policy(std::string_view toml = {}, std::string_view top = {}) {
  set_operator_keys();
  std::string text(top);
  text += kProviders;
  text += toml;
  auto config = parse_config(text, "weir.toml");
  if (!config) return std::unexpected(config.error());
  return build_policy(std::move(*config));
}

inline std::unique_ptr<Policy> make_policy(std::string_view toml = {}, std::string_view top = {}) {
  auto policy = try_policy(toml, top);
  if (!policy) FAIL(policy.error().message);
  return std::move(*policy);
}

// A parsed request; owns its bytes.
class Request {
 public:
  // `headers`: lines without line ends. "Host: gateway" stands before them.
  Request(std::string_view method, std::string_view target, const std::vector<std::string>& headers) {
    bytes_ = std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: gateway:4001\r\n";
    for (const std::string& header : headers) bytes_ += header + "\r\n";
    bytes_ += "\r\n";
    const wire::HeadResult result = wire::parse_request_head(bytes_, 0, 64 << 10, head);
    INFO(bytes_);
    REQUIRE(result.status == wire::HeadStatus::complete);
  }
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  wire::RequestHead head;

 private:
  std::string bytes_;
};

inline Identity allowed_identity() {
  return Identity::make(kInitiator, "ada", "key-1");
}

// What became of a request at the entry, and what the provider would get.
struct Passage {
  Entry entry;
  Admission admission;
  std::string upstream;  // the head; empty if it was refused
  Refusal refusal() const { return admission.refusal; }
};

inline RuleValues rule_values() {
  RuleValues values;
  values.initiator_id = kInitiator;
  values.username = "ada";
  values.request_id = "req-1";
  values.interception_id = "int-1";
  values.client_address = "192.0.2.7";
  values.client_host = "gateway:4001";
  return values;
}

inline ProgramKey program_key(const Entry& entry, const Admission& admission) {
  return {.provider_index = entry.route.provider->index,
          .mode = entry.mode,
          .kind = entry.route.kind,
          .api = entry.route.api,
          .credential = admission.credential.kind};
}

inline Passage pass(const Policy& policy, const Request& request, const Origin& origin = {},
                    Verdict verdict = Verdict::allowed, RuleValues values = rule_values()) {
  values.client_index = identify_caller(request.head).client_index;
  Passage passage;
  passage.entry = enter(policy, origin, request.head);
  passage.admission = admit(policy, passage.entry, verdict, allowed_identity(), request.head);
  if (passage.admission.refusal != Refusal::none) return passage;
  UpstreamRequest upstream;
  upstream.head = &request.head;
  upstream.provider = passage.entry.route.provider;
  upstream.path = passage.entry.route.upstream_path;
  upstream.query = passage.entry.target.query;
  upstream.has_query = passage.entry.target.has_query;
  upstream.credential = &passage.admission.credential;
  upstream.gateway_token = passage.entry.token;
  upstream.has_body = request.head.method == wire::Method::post;
  upstream.body_size = upstream.has_body ? 17 : 0;
  ByteBuffer out;
  write_request_head(policy.rules->program(program_key(passage.entry, passage.admission)), values, upstream, out);
  passage.upstream = out.view();
  return passage;
}

// The values of all headers of this name (in any case) of a written head.
inline std::vector<std::string> values_of(std::string_view head, std::string_view name) {
  std::vector<std::string> values;
  size_t at = head.find("\r\n");
  while (at != std::string_view::npos && at + 2 < head.size()) {
    const size_t end = head.find("\r\n", at + 2);
    const std::string_view line = head.substr(at + 2, end - at - 2);
    const size_t colon = line.find(": ");
    if (colon != std::string_view::npos && wire::equals_ignoring_case(line.substr(0, colon), name)) {
      values.emplace_back(line.substr(colon + 2));
    }
    at = end;
  }
  return values;
}
inline std::string value_of(std::string_view head, std::string_view name) {
  const auto values = values_of(head, name);
  if (values.empty()) return "(absent)";
  return values.size() == 1 ? values.front() : "(several)";
}

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace weir::gateway::test
