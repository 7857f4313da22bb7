#include "cli/interception_text.h"

#include <doctest/doctest.h>

#include <string>

using namespace weir;
using namespace weir::cli;

namespace {

record::Facts answered() {
  record::Facts facts;
  record::InterceptionRow& row = facts.interception;
  row.id = "id-1";
  row.request_id = "id-1";
  row.started_at = 1'795'309'323'000'000;
  row.ended_at = row.started_at + 2'000;
  row.client = "Claude Code";
  row.outcome = "completed";
  row.upstream_status = 200;
  row.attempts = 1;
  return facts;
}

// The line of `name` without the name; empty if there is none.
std::string line_of(const record::Facts& facts, std::string_view name) {
  const std::string text = "\n" + facts_text(facts) + "\n";
  const size_t at = text.find("\n" + std::string(name) + " ");
  if (at == std::string::npos) return "";
  const std::string line = text.substr(at + 1, text.find('\n', at + 1) - at - 1);
  return line.substr(line.find_first_not_of(' ', name.size()));
}

TEST_CASE("interception text: what is not known leaves nothing behind") {
  const record::Facts facts = answered();
  CHECK(line_of(facts, "outcome") == "completed");
  CHECK(line_of(facts, "upstream") == "200, attempts 1");
  CHECK(line_of(facts, "client") == "Claude Code");
  CHECK(line_of(facts, "agent").empty());
  CHECK(line_of(facts, "result of").empty());
}

TEST_CASE("interception text: an error with the provider's words, an agent with its parent, the call that it answers") {
  record::Facts facts = answered();
  facts.interception.outcome = "upstream_error";
  facts.interception.error_type = "overloaded";
  facts.interception.error_message = "busy";
  facts.interception.upstream_status = 529;
  facts.interception.upstream_request_id = "req_1";
  facts.interception.user_agent = "claude-cli/2";
  facts.interception.agent_id = "a2";
  facts.interception.parent_agent_id = "a1";
  facts.interception.correlating_tool_call_id = "toolu_1";
  CHECK(line_of(facts, "outcome") == "upstream_error/overloaded: busy");
  CHECK(line_of(facts, "upstream") == "529 (req_1), attempts 1");
  CHECK(line_of(facts, "client") == "Claude Code (claude-cli/2)");
  CHECK(line_of(facts, "agent") == "a2, started by a1");
  CHECK(line_of(facts, "result of") == "toolu_1");
}

TEST_CASE("interception text: no answer at all is said as such") {
  record::Facts facts = answered();
  facts.interception.upstream_status.reset();
  CHECK(line_of(facts, "upstream") == "no answer, attempts 1");
}

}  // namespace
