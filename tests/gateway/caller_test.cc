// Clients and sessions (spec section 5).
#include "gateway/caller.h"

#include "support.h"

namespace weir::gateway::test {

namespace {

struct ClientCase {
  std::vector<std::string> headers;
  std::string_view client;
};
const ClientCase kClients[] = {
    {{"User-Agent: mux/1.0"}, "Mux"},
    {{"User-Agent: xum/1.0"}, "Mux"},
    {{"User-Agent: claude-cli/2.1.20 (external, cli)"}, "Claude Code"},
    {{"User-Agent: Claude-Code"}, "Claude Code"},
    {{"User-Agent: codex_cli_rs/0.91.0"}, "Codex"},
    {{"User-Agent: Zed/0.200"}, "Zed"},
    {{"User-Agent: GitHubCopilotChat/0.37"}, "GitHub Copilot (VS Code)"},
    {{"User-Agent: copilot/1.0"}, "GitHub Copilot (CLI)"},
    {{"User-Agent: Kilo-Code/4"}, "Kilo Code"},
    {{"User-Agent: roo-code/4"}, "Roo Code"},
    {{"User-Agent: coder-agents/1"}, "Coder Agents"},
    {{"User-Agent: Charm Crush/1"}, "Charm Crush"},
    {{"User-Agent: charm-crush/1"}, "Charm Crush"},
    {{"User-Agent: opencode/1"}, "OpenCode"},
    {{"User-Agent: junie:1"}, "Junie"},
    {{"originator: kilo-code"}, "Kilo Code"},
    {{"originator: roo-code", "User-Agent: node"}, "Roo Code"},
    {{"X-Cursor-Client-Version: 1"}, "Cursor"},
    {{"User-Agent: codex", "X-Cursor-Client-Version: 1"}, "Codex"},
    {{"User-Agent: QwenCode/0.2 (linux; x64)"}, "Qwen Code"},
    {{"User-Agent: Anthropic/Python 0.76.0"}, "Anthropic SDK"},
    {{"User-Agent: AsyncAnthropic/Python 0.76.0"}, "Anthropic SDK"},
    {{"User-Agent: Anthropic/JS 0.70.0"}, "Anthropic SDK"},
    {{"User-Agent: Anthropic/Go 1.2"}, "Anthropic SDK"},
    {{"User-Agent: AnthropicClientImpl/Java 2.1"}, "Anthropic SDK"},
    {{"User-Agent: OpenAI/Python 2.14.0"}, "OpenAI SDK"},
    {{"User-Agent: AsyncOpenAI/Python 2.14.0"}, "OpenAI SDK"},
    {{"User-Agent: OpenAI/JS 6.1"}, "OpenAI SDK"},
    {{"User-Agent: openai/go 3"}, "OpenAI SDK"},
    {{"User-Agent: OpenAIClientImpl/Java 4"}, "OpenAI SDK"},
    {{"User-Agent: ai/5.0.1 ai-sdk/openai"}, "Vercel AI SDK"},
    {{"User-Agent: ai-sdk/openai-compatible/1.0"}, "Vercel AI SDK"},
    {{"User-Agent: langchain-openai/1.0"}, "LangChain"},
    {{"User-Agent: litellm/1.80"}, "LiteLLM"},
    {{"User-Agent: pydantic-ai/1.2"}, "Pydantic AI"},
    {{"User-Agent: Agents/Python 0.6"}, "OpenAI Agents SDK"},
    {{"User-Agent: OpenAI/JS 6.1", "X-Initiator: user", "X-Interaction-Type: conversation-agent"},
     "GitHub Copilot (CLI)"},
    {{"x-initiator: agent", "x-interaction-type: x"}, "GitHub Copilot (CLI)"},
    {{"User-Agent: GitHubCopilotChat/1", "x-initiator: user", "x-interaction-type: x"}, "GitHub Copilot (VS Code)"},
    {{"User-Agent: OpenAI/JS 6.1", "x-initiator: user"}, "OpenAI SDK"},
    {{"User-Agent: OpenAI/JS 6.1", "originator: roo-code"}, "Roo Code"},
    {{"User-Agent: opencode/1 ai-sdk/provider-utils/3"}, "OpenCode"},
    {{"User-Agent: airline/1"}, "Unknown"},
    {{"User-Agent: openai/rust"}, "Unknown"},
    {{"User-Agent: curl/8"}, "Unknown"},
    {{"User-Agent: zed"}, "Unknown"},
    {{"User-Agent: my-claude"}, "Unknown"},
    {{"originator: kilo-code-fork"}, "Unknown"},
    {{}, "Unknown"},
};

struct SessionCase {
  std::vector<std::string> headers;
  std::string_view session;
};
const SessionCase kSessions[] = {
    {{"User-Agent: claude-cli/2", "X-Claude-Code-Session-Id:  s1 "}, "s1"},
    {{"User-Agent: codex/1", "session-id: s1", "session_id: s2"}, "s1"},
    {{"User-Agent: codex/1", "session-id: ", "session_id: s2"}, "s2"},
    {{"User-Agent: mux/1", "X-Mux-Workspace-Id: s1"}, "s1"},
    {{"User-Agent: githubcopilotchat/1", "x-interaction-id: s1"}, "s1"},
    {{"User-Agent: copilot/1", "X-Client-Session-Id: s1"}, "s1"},
    {{"originator: kilo-code", "X-KILOCODE-TASKID: s1"}, "s1"},
    {{"User-Agent: coder-agents/1", "X-Coder-Chat-Id: s1"}, "s1"},
    {{"User-Agent: opencode/1", "X-OpenCode-Session: s1", "x-session-affinity: s2"}, "s1"},
    {{"User-Agent: opencode/1", "X-OpenCode-Session:", "x-session-affinity: s2"}, "s2"},
    {{"User-Agent: curl/8", "X-Claude-Code-Session-Id: s1", "session-id: s2"}, ""},
    {{"User-Agent: codex/1", "X-Claude-Code-Session-Id: s1"}, ""},
    {{"User-Agent: claude-cli/2"}, ""},
    {{"User-Agent: Charm Crush/1", "X-Session-Id: s1"}, "s1"},
    {{"User-Agent: curl/8", "X-Session-Id: s1"}, ""},
    {{"User-Agent: curl/8", "X-Weir-Session-Id: \ts1 "}, "s1"},
    {{"User-Agent: claude-cli/2", "X-Claude-Code-Session-Id: s1", "x-weir-session-id: s2"}, "s2"},
    {{"User-Agent: claude-cli/2", "X-Claude-Code-Session-Id: s1", "x-weir-session-id:  "}, "s1"},
    {{"X-Weir-Session-Id:", "X-Weir-Session-Id: s2"}, "s2"},
};

}  // namespace

TEST_CASE("caller: the client is told from its headers") {
  for (const ClientCase& expected : kClients) {
    const Request request("POST", "/", expected.headers);
    const Caller caller = identify_caller(request.head);
    INFO(std::string(expected.client));
    CHECK(caller.client == expected.client);
    CHECK(client_names()[caller.client_index] == expected.client);
    CHECK(caller.claude_code == (expected.client == "Claude Code"));
    CHECK(caller.codex == (expected.client == "Codex"));
  }
  CHECK(client_names().size() <= 32);
}

TEST_CASE("caller: each client's session is in a header of its own") {
  for (const SessionCase& expected : kSessions) {
    const Request request("POST", "/", expected.headers);
    INFO(expected.headers.front());
    CHECK(identify_caller(request.head).session_id == expected.session);
  }
}

TEST_CASE("caller: agent ids and the user agent are kept as sent") {
  const Request request(
      "POST", "/", {"User-Agent: Claude-CLI/2 (x)", "x-claude-code-agent-id: a1", "X-Claude-Code-Parent-Agent-Id: p1"});
  const Caller caller = identify_caller(request.head);
  CHECK(caller.user_agent == "Claude-CLI/2 (x)");
  CHECK(caller.agent_id == "a1");
  CHECK(caller.parent_agent_id == "p1");
}

}  // namespace weir::gateway::test
