// What callers are told who put a credential in the wrong place.
#include "support.h"

namespace weir::gateway::test {

namespace {

struct Case {
  std::string_view path;
  std::vector<std::string> headers;
  Verdict verdict;
  Refusal refusal;
  std::vector<std::string_view> said;
  std::vector<std::string_view> unsaid = {};
};

constexpr std::string_view kMessages = "/anthropic/v1/messages";
constexpr std::string_view kResponses = "/openai/v1/responses";
constexpr std::string_view kGovernance = "X-Coder-AI-Governance-Token";

void check(const Policy& policy, const Case& expected) {
  const Request request("POST", expected.path, expected.headers);
  const Entry entry = enter(policy, {}, request.head);
  const Admission admission = admit(policy, entry, expected.verdict, allowed_identity(), request.head);
  INFO(std::string(expected.path) << ": " << std::string(admission.detail));
  CHECK(admission.refusal == expected.refusal);
  for (const std::string_view part : expected.said) {
    INFO(std::string(part));
    CHECK(contains(admission.detail, part));
  }
  for (const std::string_view part : expected.unsaid) CHECK_FALSE(contains(admission.detail, part));
  for (const std::string_view secret : {"SECRET", "gateway-token-0123456789"}) {
    CHECK_FALSE(contains(admission.detail, secret));
  }
}

}  // namespace

TEST_CASE("advice: a provider's credential in the place of the gateway token") {
  const auto policy = make_policy();
  constexpr Verdict kNo = Verdict::refused;
  constexpr Refusal kHint = Refusal::credential_as_token;
  const Case cases[] = {
      {kMessages, {"Authorization: Bearer sk-ant-api03-SECRET"}, kNo, kHint, {"an Anthropic API key", kGovernance}},
      {kMessages, {"X-Api-Key: sk-ant-api03-SECRET"}, kNo, kHint, {"an Anthropic API key", kGovernance}},
      {kMessages, {"Authorization: Bearer sk-ant-oat01-SECRET"}, kNo, kHint, {"a Claude login", kGovernance}},
      {kResponses, {"Authorization: Bearer sk-proj-SECRET"}, kNo, kHint, {"an API key of a provider", kGovernance}},
      {kResponses, {"Authorization: Bearer eyJSECRET.e.s"}, kNo, kHint, {"a JWT", kGovernance}},
      {"/copilot/responses", {"Authorization: Bearer ghu_SECRET"}, kNo, kHint, {"a GitHub token", kGovernance}},
      {"/nowhere", {"Authorization: Bearer sk-SECRET"}, kNo, kHint, {"an API key of a provider"}},
      {kMessages,
       {"X-Weir-Token: sk-ant-api03-SECRET", "X-Api-Key: sk-ant-api03-SECRET"},
       kNo,
       kHint,
       {"came where the gateway token belongs", "Authorization: Bearer or X-Api-Key"}},
      {kMessages, {"Authorization: Bearer weir_SECRET"}, kNo, Refusal::unauthorized, {}},
      {kMessages, {"Authorization: Bearer SK-ANT-SECRET"}, kNo, Refusal::unauthorized, {}},
      {kMessages, {"X-Weir-Token: weir_SECRET", "X-Api-Key: sk-ant-SECRET"}, kNo, Refusal::unauthorized, {}},
      // What is not known to be wrong is not called so.
      {kMessages, {"Authorization: Bearer sk-SECRET"}, Verdict::unreachable, Refusal::authorizer_unreachable, {}},
      {kMessages, {"Authorization: Bearer sk-SECRET"}, Verdict::allowed, Refusal::none, {}},
  };
  for (const Case& expected : cases) check(*policy, expected);

  const auto no_byok = make_policy("", "allow_byok = false\n");
  check(*no_byok, {kMessages, {"X-Api-Key: sk-ant-SECRET"}, kNo, kHint, {"in its place"}, {kGovernance}});
  const auto own_name = make_policy("", "governance_headers = [\"X-Acme-Gateway\"]\n");
  check(*own_name, {kMessages, {"X-Api-Key: sk-ant-SECRET"}, kNo, kHint, {"X-Acme-Gateway"}, {kGovernance}});
}

TEST_CASE("advice: a credential of one's own that is missing or in the wrong header") {
  const auto policy = make_policy();
  const std::string token = "X-Weir-Token: gateway-token-0123456789";
  constexpr Verdict kYes = Verdict::allowed;
  constexpr Refusal k401 = Refusal::credential_missing;
  const std::string_view bearer = "in Authorization: Bearer";
  const Case cases[] = {
      {kMessages, {token}, kYes, k401, {"send your Anthropic key in X-Api-Key", bearer, "operator's key"}},
      {kMessages,
       {token, "Authorization: Bearer gateway-token-0123456789"},
       kYes,
       k401,
       {"Authorization has the gateway token"}},
      {kMessages, {token, "X-Api-Key: gateway-token-0123456789"}, kYes, k401, {"X-Api-Key has the gateway token"}},
      {kMessages,
       {token, "Authorization: Basic SECRET"},
       kYes,
       k401,
       {"Authorization is not \"Bearer\" and one token"}},
      {kMessages, {token, "Authorization: SECRET"}, kYes, k401, {"Authorization is not \"Bearer\" and one token"}},
      {kResponses,
       {token, "X-Api-Key: sk-SECRET"},
       kYes,
       k401,
       {"X-Api-Key is not used", "send your OpenAI key", bearer}},
      {"/chatgpt/v1/responses", {token}, kYes, k401, {"send your ChatGPT login's token", bearer}, {"operator's key"}},
      {"/copilot/responses",
       {token, "X-Api-Key: SECRET"},
       kYes,
       k401,
       {"send your Copilot token", bearer},
       {"operator"}},
      {"/copilot/responses",
       {"Authorization: Bearer gateway-token-0123456789"},
       kYes,
       k401,
       {"Copilot takes users' own tokens only", kGovernance, "your Copilot token in Authorization: Bearer"}},
      {"/chatgpt/v1/responses",
       {"Authorization: Bearer gateway-token-0123456789"},
       kYes,
       Refusal::no_operator_key,
       {"chatgpt: ", "users' own logins only", kGovernance, "your ChatGPT login's token in Authorization: Bearer"}},
  };
  for (const Case& expected : cases) check(*policy, expected);

  const auto no_byok = make_policy("", "allow_byok = false\n");
  check(*no_byok, {"/chatgpt/v1/responses",
                   {"X-Api-Key: gateway-token-0123456789"},
                   kYes,
                   Refusal::no_operator_key,
                   {"chatgpt: ", "does not allow"},
                   {kGovernance}});
  check(*no_byok, {"/copilot/responses", {"X-Api-Key: gateway-token-0123456789"}, kYes, k401, {"does not allow"}});
}

}  // namespace weir::gateway::test
