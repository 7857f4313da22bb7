// Any text as a configuration, and as the rules of one: it is read or refused with a message that names a place, and a
// policy that compiles never lets the gateway token through.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "gateway/config.h"
#include "gateway/entry.h"
#include "gateway/policy.h"

namespace {

using namespace weir;           // NOLINT(google-build-using-namespace)
using namespace weir::gateway;  // NOLINT(google-build-using-namespace)

constexpr std::string_view kRequest =
    "POST /anthropic/v1/messages HTTP/1.1\r\nHost: gateway\r\nX-Weir-Token: the-gateway-token\r\n"
    "Authorization: Bearer own-bearer\r\nX-Internal-A: 1\r\nUser-Agent: codex/1\r\nContent-Length: 2\r\n\r\n";

// Whatever rules stand in the file: the user's credential arrives once, the gateway token never.
void forward(const Policy& policy) {
  static wire::RequestHead head;
  ASSERT(wire::parse_request_head(kRequest, 0, 64 << 10, head).status == wire::HeadStatus::complete);
  const Entry entry = enter(policy, {}, head);
  if (entry.mode != AuthMode::byok) return;  // governance_headers are the file's
  const Identity identity = Identity::make("6f1c2a52-8a0e-4a53-9a3e-8d4d1f0b7c11", "ada", "k");
  const Admission admission = admit(policy, entry, Verdict::allowed, identity, head);
  if (admission.refusal != Refusal::none) return;
  RuleValues values;
  values.username = "ada";
  UpstreamRequest request;
  request.head = &head;
  request.provider = entry.route.provider;
  request.path = entry.route.upstream_path;
  request.credential = &admission.credential;
  request.has_body = true;
  request.body_size = 2;
  ByteBuffer out;
  const ProgramKey key{.provider_index = entry.route.provider->index,
                       .mode = entry.mode,
                       .kind = entry.route.kind,
                       .api = entry.route.api,
                       .credential = admission.credential.kind};
  write_request_head(policy.rules->program(key), values, request, out);
  ASSERT(out.view().find("the-gateway-token") == std::string_view::npos);
  ASSERT(out.view().find("Bearer own-bearer") != std::string_view::npos);
  ASSERT(!policy.rules->explain(policy, key).empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto config = parse_config(text, "fuzz.toml");
  if (!config) {
    ASSERT(config.error().message.starts_with("fuzz.toml"));
    return 0;
  }
  // Keys would come from this machine's files and environment.
  for (ProviderConfig& provider : config->providers) provider.key = {};
  if (const auto policy = build_policy(std::move(*config))) {
    if (text.find("the-gateway-token") == std::string_view::npos) forward(**policy);  // else a literal of a rule's
  } else {
    ASSERT(!policy.error().message.empty());
  }
  return 0;
}
