#include "cli/session_tree.h"

#include <doctest/doctest.h>

#include <string>

#include "cli/session_text.h"

using namespace weir;
using namespace weir::cli;

namespace {

struct Turn {
  std::string agent, result_of;
  std::vector<std::string> calls;  // tool call ids; the tool is "T-" and the id
  std::string parent_agent;
};

std::vector<record::SessionRow> rows_of(const std::vector<Turn>& turns) {
  std::vector<record::SessionRow> rows;
  for (const Turn& turn : turns) {
    record::SessionRow& row = rows.emplace_back();
    record::InterceptionRow& one = row.interception;
    one.id = "id-" + std::to_string(rows.size() - 1);
    one.started_at = 1'795'309'323'000'000 + static_cast<int64_t>(rows.size()) * 1'000'000;
    one.ended_at = one.started_at + 500'000;
    one.username = "ann";
    one.client = "Claude Code";
    one.model = "m";
    one.session_id = "s";
    one.agent_id = turn.agent;
    one.parent_agent_id = turn.parent_agent;
    one.correlating_tool_call_id = turn.result_of;
    one.outcome = "completed";
    for (const std::string& call : turn.calls) row.tools.push_back({call, "T-" + call});
  }
  return rows;
}
std::vector<std::optional<size_t>> parents_of(const std::vector<Turn>& turns) {
  return build_session_tree(rows_of(turns)).parents;
}
size_t count(std::string_view text, std::string_view part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}
constexpr auto kNone = std::nullopt;
using Parents = std::vector<std::optional<size_t>>;

}  // namespace

TEST_CASE("session tree: a result hangs below the interception that made the call") {
  CHECK(parents_of({{"", "", {"a", "b"}, ""}, {"", "b", {"c"}, ""}, {"", "c", {}, ""}, {"", "", {}, ""}}) ==
        Parents{kNone, 0, 1, kNone});
}

TEST_CASE("session tree: of several callers the latest earlier one counts, of the same agent first") {
  CHECK(parents_of({{"", "", {"a"}, ""}, {"", "", {"a"}, ""}, {"", "a", {}, ""}}) == Parents{kNone, kNone, 1});
  CHECK(parents_of({{"x", "", {"a"}, ""}, {"y", "", {"a"}, ""}, {"x", "a", {}, ""}}) == Parents{kNone, kNone, 0});
  CHECK(parents_of({{"x", "", {"a"}, ""}, {"y", "a", {}, ""}}) == Parents{kNone, 0});
  // Two pairs whose texts run together.
  CHECK(parents_of({{"x", "", {"ya"}, ""}, {"xy", "", {"q"}, ""}, {"xy", "a", {}, ""}}) ==
        Parents{kNone, kNone, kNone});
}

TEST_CASE("session tree: cycles, selves and callers that are not there make roots") {
  CHECK(parents_of({{"", "b", {"a"}, ""}, {"", "a", {"b"}, ""}}) == Parents{kNone, 0});
  CHECK(parents_of({{"", "a", {"a"}, ""}}) == Parents{kNone});
  CHECK(parents_of({{"", "gone", {}, ""}, {"", "", {""}, ""}, {"", "", {}, ""}}) == Parents{kNone, kNone, kNone});
}

TEST_CASE("session tree: a chain is one thread, a fork begins new ones, each interception stands once") {
  const auto rows = rows_of({{"", "", {"a"}, ""},
                             {"", "a", {"b", "c"}, ""},
                             {"", "b", {"d"}, ""},
                             {"", "c", {}, ""},
                             {"", "d", {}, ""},
                             {"sub", "", {}, ""}});
  const SessionTree tree = build_session_tree(rows);
  REQUIRE(tree.agents.size() == 2);
  const auto& threads = tree.agents[0].threads;
  REQUIRE(threads.size() == 3);
  CHECK(threads[0].turns == std::vector<size_t>{0, 1});
  CHECK(threads[1].turns == std::vector<size_t>{2, 4});
  CHECK((threads[1].depth == 1 && !threads[1].last));
  CHECK(threads[2].turns == std::vector<size_t>{3});
  CHECK(threads[2].last);
  CHECK(tree.agents[1].agent_id == "sub");
}

TEST_CASE("session tree: thousands deep and wide, the depth is bounded and nothing is lost") {
  std::vector<Turn> turns;
  for (int i = 0; i < 20'000; ++i) {
    const std::string call = std::to_string(i / 2 - 1);  // each second one goes deeper
    turns.push_back(
        {"", i < 2 ? "" : call, i % 2 == 0 ? std::vector{std::to_string(i / 2)} : std::vector<std::string>{}, ""});
  }
  const auto rows = rows_of(turns);
  const SessionTree tree = build_session_tree(rows);
  size_t shown = 0;
  for (const Thread& thread : tree.agents.at(0).threads) {
    CHECK(thread.depth <= kDepthMax);
    shown += thread.turns.size();
  }
  CHECK(shown == rows.size());
  CHECK(count(session_text(rows), "id-") == rows.size());
  CHECK(count(session_json(rows), "\"parent_id\":") == rows.size());
}

TEST_CASE("session text: the tree is drawn") {
  auto rows = rows_of(
      {{"", "", {"a", "b"}, ""}, {"", "a", {"c"}, ""}, {"", "c", {}, ""}, {"", "b", {}, ""}, {"sub", "", {}, "boss"}});
  rows[0].interception.input_tokens = 7;
  rows[0].interception.cache_read_tokens = 3;
  rows[2].interception.outcome = "upstream_error";
  rows[2].interception.error_type = "overloaded";
  CHECK(session_text(rows) ==
        "session s: 5 interceptions, ann, Claude Code, 2026-11-22 01:02:04 to 2026-11-22 01:02:08, tokens 10/0\n"
        "main agent\n"
        "└─ 01:02:04  id-0  m  10/0  completed  500ms  T-a, T-b\n"
        "   ├─ 01:02:05  id-1  m  -  completed  500ms  T-c  (after T-a)\n"
        "   │  ↳ 01:02:06  id-2  m  -  upstream_error/overloaded  500ms\n"
        "   └─ 01:02:07  id-3  m  -  completed  500ms  (after T-b)\n"
        "agent sub, started by boss\n"
        "└─ 01:02:08  id-4  m  -  completed  500ms");
}

TEST_CASE("session text: hostile columns stay within one line and cannot move the cursor") {
  auto rows = rows_of({{"a\x1b[2J", "", {}, "p\nq"}, {"", "", {}, ""}});
  rows[0].interception.model = std::string(5000, 'm') + "\x1b";
  rows[0].interception.input_tokens = rows[0].interception.cache_read_tokens = INT64_MAX;
  rows[1].interception.username = "eve\r";
  for (int i = 0; i < 1000; ++i) rows[0].tools.push_back({"", "to\nol"});
  const std::string text = session_text(rows);
  CHECK(count(text, "\n") == 4);
  CHECK(text.find_first_of("\x1b\r") == std::string::npos);
  CHECK(text.size() < 2000);
  CHECK(count(text, "and 992 more") == 1);
  CHECK(count(text, "[user eve?]") == 1);
}

TEST_CASE("session json: threads nest, and each object is closed") {
  const std::string json = session_json(rows_of({{"", "", {"a", "b"}, ""},
                                                 {"", "a", {"c", "d"}, ""},
                                                 {"", "c", {}, ""},
                                                 {"", "d", {}, ""},
                                                 {"", "b", {}, ""},
                                                 {"", "", {}, ""}}));
  std::string shape;  // brackets outside of strings
  bool quoted = false;
  for (const char c : json) {
    if (c == '"') quoted = !quoted;
    if (!quoted && std::string_view("[]{}").find(c) != std::string_view::npos) shape += c;
  }
  const std::string leaf = "{[{[]}][]}";   // turns: one without tools; no branches
  const std::string two = "{[{[{}{}]}][";  // turns: one with two tools; branches follow
  CHECK(shape == "{[{[" + two + two + leaf + leaf + "]}" + leaf + "]}" + leaf + "]}]}");
}
