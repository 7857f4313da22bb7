// Which client calls, and in which session (spec section 5): read from the headers alone.
#include "gateway/caller.h"

#include <array>
#include <cstddef>
#include <span>

#include "gateway/entry.h"
#include "gateway/head_index.h"

namespace weir::gateway {

namespace {

using wire::HeaderName;

enum Client : uint8_t {
  unknown,
  mux,
  claude_code,
  codex,
  zed,
  copilot_vs_code,
  copilot_cli,
  kilo_code,
  roo_code,
  coder_agents,
  charm_crush,
  opencode,
  junie,
  cursor,
  qwen_code,
  anthropic_sdk,
  openai_sdk,
  vercel_ai_sdk,
  langchain,
  litellm,
  pydantic_ai,
  openai_agents_sdk,
  client_count,
};

// In the order of Client; as they stand in records and in rules.
constexpr std::array<std::string_view, client_count> kNames = {
    "Unknown",
    "Mux",
    "Claude Code",
    "Codex",
    "Zed",
    "GitHub Copilot (VS Code)",
    "GitHub Copilot (CLI)",
    "Kilo Code",
    "Roo Code",
    "Coder Agents",
    "Charm Crush",
    "OpenCode",
    "Junie",
    "Cursor",
    "Qwen Code",
    "Anthropic SDK",
    "OpenAI SDK",
    "Vercel AI SDK",
    "LangChain",
    "LiteLLM",
    "Pydantic AI",
    "OpenAI Agents SDK",
};

struct AgentPrefix {
  std::string_view prefix;  // lower case
  Client client;
};
constexpr AgentPrefix kAgentPrefixes[] = {
    {"mux/", mux},
    {"xum/", mux},
    {"claude", claude_code},
    {"codex", codex},
    {"zed/", zed},
    {"githubcopilotchat/", copilot_vs_code},
    {"copilot/", copilot_cli},
    {"kilo-code/", kilo_code},
    {"roo-code/", roo_code},
    {"coder-agents/", coder_agents},
    {"charm crush/", charm_crush},
    {"charm-crush/", charm_crush},
    {"opencode/", opencode},
    {"junie:", junie},
    {"qwencode/", qwen_code},
};
// Libraries that many programs are made with: what names the program itself counts more.
constexpr AgentPrefix kLibraryPrefixes[] = {
    {"anthropic/python", anthropic_sdk},
    {"asyncanthropic/python", anthropic_sdk},
    {"anthropic/js", anthropic_sdk},
    {"anthropic/go", anthropic_sdk},
    {"anthropicclientimpl/java", anthropic_sdk},
    {"openai/python", openai_sdk},
    {"asyncopenai/python", openai_sdk},
    {"openai/js", openai_sdk},
    {"openai/go", openai_sdk},
    {"openaiclientimpl/java", openai_sdk},
    {"ai/", vercel_ai_sdk},
    {"ai-sdk/", vercel_ai_sdk},
    {"langchain", langchain},
    {"litellm/", litellm},
    {"pydantic-ai/", pydantic_ai},
    {"agents/", openai_agents_sdk},
};

struct SessionHeader {
  Client client;
  HeaderName header;
};
constexpr SessionHeader kSessionHeaders[] = {
    {claude_code, HeaderName::x_claude_code_session_id},
    {codex, HeaderName::session_id},
    {codex, HeaderName::session_id_underscore},
    {mux, HeaderName::x_mux_workspace_id},
    {copilot_vs_code, HeaderName::x_interaction_id},
    {copilot_cli, HeaderName::x_client_session_id},
    {kilo_code, HeaderName::x_kilocode_taskid},
    {coder_agents, HeaderName::x_coder_chat_id},
    {opencode, HeaderName::x_opencode_session},
    {opencode, HeaderName::x_session_affinity},
    {charm_crush, HeaderName::x_session_id},
};

Client named_by(std::string_view user_agent, std::span<const AgentPrefix> prefixes) {
  for (const AgentPrefix& known : prefixes) {
    if (user_agent.size() < known.prefix.size() || (user_agent.front() | 0x20) != known.prefix.front()) continue;
    if (wire::equals_ignoring_case(user_agent.substr(0, known.prefix.size()), known.prefix)) {
      return known.client;
    }
  }
  return unknown;
}

Client client_of(std::string_view user_agent, const HeadIndex& index) {
  if (const Client client = named_by(user_agent, kAgentPrefixes); client != unknown) return client;
  const std::string_view originator = index.value(HeaderName::originator);
  if (originator == "kilo-code") return kilo_code;
  if (originator == "roo-code") return roo_code;
  if (index.find(HeaderName::x_cursor_client_version) != nullptr) return cursor;
  if (index.find(HeaderName::x_initiator) != nullptr && index.find(HeaderName::x_interaction_type) != nullptr) {
    return copilot_cli;
  }
  return named_by(user_agent, kLibraryPrefixes);
}

}  // namespace

std::span<const std::string_view> client_names() {
  return kNames;
}

Caller identify_caller(const wire::RequestHead& head) {
  const HeadIndex index(head);
  Caller caller;
  caller.user_agent = index.value(HeaderName::user_agent);
  const Client client = client_of(caller.user_agent, index);
  caller.client = kNames[client];
  caller.client_index = client;
  caller.claude_code = client == claude_code;
  caller.codex = client == codex;
  caller.session_id = index.value(HeaderName::x_weir_session_id);
  for (const SessionHeader& known : kSessionHeaders) {
    if (known.client != client || !caller.session_id.empty()) continue;
    caller.session_id = index.value(known.header);
  }
  caller.agent_id = index.value(HeaderName::x_claude_code_agent_id);
  caller.parent_agent_id = index.value(HeaderName::x_claude_code_parent_agent_id);
  return caller;
}

}  // namespace weir::gateway
