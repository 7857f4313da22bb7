// The table "choice of the provider credential" (spec section 1), every row, on bridged and passthrough routes alike.
#include "support.h"

namespace weir::gateway::test {

namespace {

struct Case {
  std::string_view what;
  std::string_view provider;  // its routes below stand for it
  std::vector<std::string> headers;
  Refusal refusal;
  CredentialKind kind;
  // What the provider gets: "(absent)" or the value.
  std::string_view authorization;
  std::string_view x_api_key;
};

constexpr std::string_view kAbsent = "(absent)";
constexpr CredentialKind kNone = CredentialKind::none;
constexpr CredentialKind kCentral = CredentialKind::centralized;
constexpr CredentialKind kPersonal = CredentialKind::personal_api_key;
constexpr CredentialKind kSubscription = CredentialKind::subscription;
constexpr Refusal kOk = Refusal::none;
constexpr Refusal k401 = Refusal::credential_missing;
constexpr Refusal k502 = Refusal::no_operator_key;

const Case kCases[] = {
    // anthropic, centralized: the operator's key as X-Api-Key; both client headers are gone.
    {"token as bearer", "anthropic", {"Authorization: Bearer t"}, kOk, kCentral, kAbsent, kOperatorAnthropic},
    {"token as API key", "anthropic", {"X-Api-Key: t"}, kOk, kCentral, kAbsent, kOperatorAnthropic},
    {"token as bearer, a user's key beside it",
     "anthropic",
     {"X-Api-Key: mine", "Authorization: Bearer t"},
     kOk,
     kCentral,
     kAbsent,
     kOperatorAnthropic},
    {"copies of both",
     "anthropic",
     {"Authorization: Bearer t", "AUTHORIZATION: Basic eA==", "authorization: Bearer u", "x-api-key: a",
      "X-API-KEY: b"},
     kOk,
     kCentral,
     kAbsent,
     kOperatorAnthropic},
    {"blank governance header",
     "anthropic",
     {"X-Weir-Token: ", "Authorization: Bearer t"},
     kOk,
     kCentral,
     kAbsent,
     kOperatorAnthropic},
    // anthropic, BYOK.
    {"own API key", "anthropic", {"X-Weir-Token: t", "X-Api-Key: mine"}, kOk, kPersonal, kAbsent, "mine"},
    {"own bearer",
     "anthropic",
     {"X-Weir-Token: t", "Authorization: Bearer mine"},
     kOk,
     kSubscription,
     "Bearer mine",
     kAbsent},
    {"own API key as a bearer, as the SDKs can send it",
     "anthropic",
     {"X-Weir-Token: t", "Authorization: Bearer sk-ant-api03-mine"},
     kOk,
     kPersonal,
     "Bearer sk-ant-api03-mine",
     kAbsent},
    {"a login's token",
     "anthropic",
     {"X-Weir-Token: t", "Authorization: Bearer sk-ant-oat01-mine"},
     kOk,
     kSubscription,
     "Bearer sk-ant-oat01-mine",
     kAbsent},
    {"another of Anthropic's kinds of keys",
     "anthropic",
     {"X-Weir-Token: t", "Authorization: Bearer sk-ant-admin01-mine"},
     kOk,
     kSubscription,
     "Bearer sk-ant-admin01-mine",
     kAbsent},
    {"prefixes have their case",
     "anthropic",
     {"X-Weir-Token: t", "Authorization: Bearer SK-ANT-API03-mine"},
     kOk,
     kSubscription,
     "Bearer SK-ANT-API03-mine",
     kAbsent},
    {"an API key wins over one sent as a bearer",
     "anthropic",
     {"X-Weir-Token: t", "Authorization: Bearer sk-ant-api03-other", "X-Api-Key: mykey"},
     kOk,
     kPersonal,
     kAbsent,
     "mykey"},
    {"GitHub's scheme is Copilot's alone",
     "anthropic",
     {"X-Weir-Token: t", "Authorization: token mine"},
     k401,
     kNone,
     "",
     ""},
    {"an API key wins over a bearer",
     "anthropic",
     {"X-Weir-Token: t", "Authorization: Bearer mine", "X-Api-Key: mykey"},
     kOk,
     kPersonal,
     kAbsent,
     "mykey"},
    {"a blank API key does not",
     "anthropic",
     {"X-Weir-Token: t", "X-Api-Key:  ", "Authorization: Bearer mine"},
     kOk,
     kSubscription,
     "Bearer mine",
     kAbsent},
    {"one of several API keys",
     "anthropic",
     {"X-Weir-Token: t", "x-api-key: first", "X-Api-Key: second"},
     kOk,
     kPersonal,
     kAbsent,
     "first"},
    {"the first valid bearer of several",
     "anthropic",
     {"X-Weir-Token: t", "Authorization: Basic eA==", "authorization: bearer mine", "Authorization: Bearer other"},
     kOk,
     kSubscription,
     "bearer mine",
     kAbsent},
    {"governance header only", "anthropic", {"X-Weir-Token: t"}, k401, kNone, "", ""},
    {"malformed Authorization", "anthropic", {"X-Weir-Token: t", "Authorization: Bearer a b"}, k401, kNone, "", ""},
    {"only copies of the gateway token",
     "anthropic",
     {"X-Weir-Token: t", "Authorization: Bearer t", "X-Api-Key: t"},
     k401,
     kNone,
     "",
     ""},
    {"a copy of the gateway token beside a key",
     "anthropic",
     {"X-Weir-Token: t", "X-Api-Key: t", "X-Api-Key: mine"},
     kOk,
     kPersonal,
     kAbsent,
     "mine"},
    // openai, centralized.
    {"token as bearer", "openai", {"Authorization: Bearer t"}, kOk, kCentral, "Bearer sk-operator-key", kAbsent},
    {"token as API key", "openai", {"X-Api-Key: t"}, kOk, kCentral, "Bearer sk-operator-key", kAbsent},
    {"an account id makes no subscription of it",
     "openai",
     {"Authorization: Bearer t", "ChatGPT-Account-Id: a"},
     kOk,
     kCentral,
     "Bearer sk-operator-key",
     kAbsent},
    // openai, BYOK.
    {"own bearer", "openai", {"X-Weir-Token: t", "Authorization: Bearer mine"}, kOk, kPersonal, "Bearer mine", kAbsent},
    {"own bearer with account id",
     "openai",
     {"X-Weir-Token: t", "Authorization: Bearer mine", "chatgpt-account-id: a"},
     kOk,
     kSubscription,
     "Bearer mine",
     kAbsent},
    {"own bearer, an API key beside it is dropped",
     "openai",
     {"X-Weir-Token: t", "Authorization: Bearer mine", "X-Api-Key: mykey"},
     kOk,
     kPersonal,
     "Bearer mine",
     kAbsent},
    {"only an API key", "openai", {"X-Weir-Token: t", "X-Api-Key: mykey"}, k401, kNone, "", ""},
    {"governance header only", "openai", {"X-Weir-Token: t"}, k401, kNone, "", ""},
    {"malformed Authorization", "openai", {"X-Weir-Token: t", "Authorization: mine"}, k401, kNone, "", ""},
    {"GitHub's scheme is Copilot's alone",
     "openai",
     {"X-Weir-Token: t", "Authorization: token mine"},
     k401,
     kNone,
     "",
     ""},
    {"a key that looks like Anthropic's",
     "openai",
     {"X-Weir-Token: t", "Authorization: Bearer sk-ant-oat01-mine"},
     kOk,
     kPersonal,
     "Bearer sk-ant-oat01-mine",
     kAbsent},
    {"the gateway token again", "openai", {"X-Weir-Token: t", "Authorization: Bearer t"}, k401, kNone, "", ""},
    // A ChatGPT backend.
    {"own bearer",
     "chatgpt",
     {"X-Weir-Token: t", "Authorization: Bearer mine"},
     kOk,
     kSubscription,
     "Bearer mine",
     kAbsent},
    {"centralized has no key", "chatgpt", {"Authorization: Bearer t"}, k502, kNone, "", ""},
    {"governance header only", "chatgpt", {"X-Weir-Token: t"}, k401, kNone, "", ""},
    // copilot: never an operator key.
    {"own bearer",
     "copilot",
     {"X-Weir-Token: t", "Authorization: Bearer mine"},
     kOk,
     kSubscription,
     "Bearer mine",
     kAbsent},
    {"own bearer, an API key beside it is dropped",
     "copilot",
     {"X-Weir-Token: t", "X-Api-Key: mykey", "Authorization: Bearer mine"},
     kOk,
     kSubscription,
     "Bearer mine",
     kAbsent},
    {"own credential in GitHub's scheme",
     "copilot",
     {"X-Weir-Token: t", "Authorization: token mine"},
     kOk,
     kSubscription,
     "token mine",
     kAbsent},
    {"in any case, forwarded as it came",
     "copilot",
     {"X-Weir-Token: t", "Authorization: Basic eA==", "authorization: ToKeN  mine", "Authorization: Bearer other"},
     kOk,
     kSubscription,
     "ToKeN  mine",
     kAbsent},
    {"GitHub's scheme is exactly two fields",
     "copilot",
     {"X-Weir-Token: t", "Authorization: token a b"},
     k401,
     kNone,
     "",
     ""},
    {"GitHub's scheme without a value", "copilot", {"X-Weir-Token: t", "Authorization: token"}, k401, kNone, "", ""},
    {"the gateway token in GitHub's scheme",
     "copilot",
     {"X-Weir-Token: t", "Authorization: token t"},
     k401,
     kNone,
     "",
     ""},
    {"GitHub's scheme beside the gateway token as API key",
     "copilot",
     {"Authorization: token mine", "X-Api-Key: t"},
     k401,
     kNone,
     "",
     ""},
    {"GitHub's scheme is no gateway token",
     "copilot",
     {"Authorization: token t"},
     Refusal::no_authentication_key,
     kNone,
     "",
     ""},
    {"governance header only", "copilot", {"X-Weir-Token: t"}, k401, kNone, "", ""},
    {"only an API key", "copilot", {"X-Weir-Token: t", "X-Api-Key: mykey"}, k401, kNone, "", ""},
    {"the only bearer is the gateway token", "copilot", {"Authorization: Bearer t"}, k401, kNone, "", ""},
    {"the gateway token as API key", "copilot", {"X-Api-Key: t"}, k401, kNone, "", ""},
};

struct Path {
  std::string_view provider;
  std::string_view bridged;
  std::string_view passthrough;
};
constexpr Path kPaths[] = {
    {"anthropic", "/anthropic/v1/messages", "/anthropic/v1/messages/count_tokens"},
    {"openai", "/openai/v1/responses", "/openai/v1/embeddings"},
    {"chatgpt", "/chatgpt/v1/responses", "/chatgpt/v1/conversations"},
    {"copilot", "/copilot/chat/completions", "/copilot/agents/x"},
};

void check_case(const Policy& policy, const Case& expected, std::string_view path) {
  INFO(std::string(expected.provider) << ": " << std::string(expected.what) << " on " << std::string(path));
  const Request request("POST", path, expected.headers);
  const Passage passage = pass(policy, request);
  CHECK(passage.refusal() == expected.refusal);
  CHECK(passage.admission.credential.kind == expected.kind);
  if (expected.refusal != Refusal::none) return;
  CHECK(value_of(passage.upstream, "Authorization") == expected.authorization);
  CHECK(value_of(passage.upstream, "X-Api-Key") == expected.x_api_key);
  CHECK(value_of(passage.upstream, "X-Weir-Token") == kAbsent);
  const std::string_view sent = expected.x_api_key == kAbsent ? expected.authorization : expected.x_api_key;
  CHECK(sent.ends_with(passage.admission.credential.secret));
  CHECK(passage.admission.credential.as_x_api_key == (expected.x_api_key != kAbsent));
  CHECK((passage.admission.credential.client_header == nullptr) == (expected.kind == kCentral));
}

}  // namespace

TEST_CASE("credential: each way of paying, on bridged and passthrough routes") {
  const auto policy = make_policy();
  for (const Case& expected : kCases) {
    for (const Path& path : kPaths) {
      if (path.provider != expected.provider) continue;
      check_case(*policy, expected, path.bridged);
      check_case(*policy, expected, path.passthrough);
    }
  }
}

TEST_CASE("credential: a delegated caller pays as others do") {
  const auto policy = make_policy();
  const Origin trusted{.trusted = true};
  const Request central("POST", "/anthropic/v1/messages",
                        {"X-Weir-Delegated-Key-Id: k", "Authorization: Bearer x", "X-Api-Key: y"});
  const Passage by_operator = pass(*policy, central, trusted);
  CHECK(by_operator.admission.credential.kind == kCentral);
  CHECK(value_of(by_operator.upstream, "X-Api-Key") == kOperatorAnthropic);
  CHECK(value_of(by_operator.upstream, "Authorization") == kAbsent);
  CHECK(value_of(by_operator.upstream, "X-Weir-Delegated-Key-Id") == kAbsent);

  const Request byok("POST", "/anthropic/v1/messages",
                     {"X-Coder-AI-Gateway-Delegated-Key-ID: k", "X-Weir-Token: t", "Authorization: Bearer own"});
  const Passage by_user = pass(*policy, byok, trusted);
  CHECK(by_user.admission.credential.kind == kSubscription);
  CHECK(value_of(by_user.upstream, "Authorization") == "Bearer own");
  CHECK(value_of(by_user.upstream, "X-Coder-AI-Gateway-Delegated-Key-ID") == kAbsent);
}

TEST_CASE("credential: a missing operator key names the provider") {
  const auto policy = make_policy("[[provider]]\nname = \"anthropic-eu\"\ntype = \"anthropic\"\n");
  const Request request("POST", "/anthropic-eu/v1/messages", {"X-Api-Key: t"});
  const Passage passage = pass(*policy, request);
  CHECK(passage.refusal() == k502);
  CHECK(passage.admission.detail == "anthropic-eu");
  CHECK(row(k502).status == 502);
  CHECK(row(k401).status == 401);
}

TEST_CASE("credential: a user's credential stays where it stood, byte for byte") {
  const auto policy = make_policy();
  const Request request("POST", "/anthropic/v1/messages",
                        {"A: 1", "authorization: Basic no", "aUTHORIZATION: bEARER  mine", "B: 2", "X-Weir-Token: t"});
  const Passage passage = pass(*policy, request);
  CHECK(contains(passage.upstream, "A: 1\r\naUTHORIZATION: bEARER  mine\r\nB: 2\r\n"));
}

}  // namespace weir::gateway::test
