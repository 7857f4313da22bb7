#include "cli/session_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "base/utf8.h"
#include "cli/interception_text.h"
#include "cli/json_members.h"
#include "cli/print.h"
#include "cli/session_tree.h"
#include "cli/time_text.h"

namespace weir::cli {

namespace {

using Rows = std::span<const record::SessionRow>;

// A line must stay a line: names are what providers send, and an answer may call many tools.
constexpr size_t kNameBytesMax = 60;
constexpr size_t kToolsShown = 8;

std::string name(std::string_view text) {
  if (text.empty()) return "-";
  if (text.size() <= kNameBytesMax) return harmless(text);
  return harmless(cut_at_code_point(text, kNameBytesMax)) + "…";
}

std::string tools_text(const std::vector<record::ToolCall>& tools) {
  std::string out;
  for (size_t i = 0; i < std::min(tools.size(), kToolsShown); ++i) out += (i == 0 ? "" : ", ") + name(tools[i].tool);
  if (tools.size() > kToolsShown) out += fmt::format(" and {} more", tools.size() - kToolsShown);
  return out;
}

std::string_view tool_of(const record::SessionRow& caller, std::string_view call_id) {
  const auto found = std::ranges::find(caller.tools, call_id, &record::ToolCall::id);
  return found == caller.tools.end() ? std::string_view() : std::string_view(found->tool);
}

class Drawing {
 public:
  explicit Drawing(Rows rows) : rows_(rows), tree_(build_session_tree(rows)) {
    for (const auto& row : rows) users_.insert(row.interception.username);
    several_days_ = format_moment(rows.front().interception.started_at).substr(0, 10) !=
                    format_moment(rows.back().interception.started_at).substr(0, 10);
  }

  std::string text() {
    head();
    for (const AgentGroup& agent : tree_.agents) {
      out_ += agent.agent_id.empty() ? "\nmain agent" : "\nagent " + name(agent.agent_id);
      if (!agent.parent_agent_id.empty()) out_ += ", started by " + name(agent.parent_agent_id);
      for (const Thread& thread : agent.threads) draw(thread, agent.agent_id);
    }
    return std::move(out_);
  }

 private:
  void head() {
    const record::InterceptionRow& first = rows_.front().interception;
    record::InterceptionRow sum;
    for (const auto& row : rows_) add_tokens(sum, row.interception);
    out_ = fmt::format("session {}: {} interception{}, {}, {}, {} to {}, tokens {}", name(first.session_id),
                       rows_.size(), rows_.size() == 1 ? "" : "s",
                       users_.size() == 1 ? name(first.username) : fmt::format("{} users", users_.size()),
                       name(first.client), format_moment(first.started_at),
                       format_moment(rows_.back().interception.started_at), tokens_of(sum));
  }

  void draw(const Thread& thread, std::string_view agent) {
    for (size_t i = 0; i < thread.turns.size(); ++i) {
      out_ += '\n';
      for (uint32_t depth = 0; depth < thread.depth; ++depth) out_ += last_at_[depth] ? "   " : "│  ";
      if (i == 0) {
        last_at_[thread.depth] = thread.last;
        out_ += thread.last ? "└─ " : "├─ ";
      } else {
        out_ += thread.last ? "   ↳ " : "│  ↳ ";
      }
      line(thread.turns[i], {.branch = i == 0, .agent = agent});
    }
  }

  struct Place {
    bool branch;             // begins a thread
    std::string_view agent;  // under whose heading it stands
  };
  void line(size_t index, Place place) {
    const record::SessionRow& row = rows_[index];
    const record::InterceptionRow& one = row.interception;
    out_ += fmt::format("{}  {}  {}  {}  {}  {}", format_moment(one.started_at).substr(several_days_ ? 0 : 11),
                        harmless(one.id), name(one.model), tokens_of(one), harmless(outcome_of(one)), duration_of(one));
    if (!row.tools.empty()) out_ += "  " + tools_text(row.tools);
    if (place.branch && tree_.parents[index]) {
      out_ += "  (after " + name(tool_of(rows_[*tree_.parents[index]], one.correlating_tool_call_id)) + ")";
    }
    if (one.agent_id != place.agent) {
      out_ += one.agent_id.empty() ? "  [main agent]" : "  [agent " + name(one.agent_id) + "]";
    }
    if (users_.size() > 1) out_ += "  [user " + name(one.username) + "]";
  }

  Rows rows_;
  SessionTree tree_;
  std::set<std::string_view> users_;
  bool several_days_ = false;
  std::array<bool, kDepthMax + 1> last_at_{};  // of the thread that is drawn and those above it
  std::string out_;
};

void append_turn(std::string& out, Rows rows, size_t index, const SessionTree& tree) {
  const record::SessionRow& row = rows[index];
  out += interception_json(row.interception);
  out.back() = ',';
  Members members(out);
  if (tree.parents[index]) {
    members.text("parent_id", rows[*tree.parents[index]].interception.id);
  } else {
    out += "\"parent_id\":null";
  }
  out += ",\"tools\":[";
  for (const record::ToolCall& call : row.tools) {
    out += &call == row.tools.data() ? "{" : ",{";
    Members tool(out);
    tool.text("tool_call_id", call.id);
    tool.text("tool", call.tool);
    out += '}';
  }
  out += "]}";
}

// The threads come each before those below it; their depths tell where an object ends.
void append_threads(std::string& out, Rows rows, const SessionTree& tree, const std::vector<Thread>& threads) {
  for (size_t i = 0; i < threads.size(); ++i) {
    out += "{\"turns\":[";
    for (const size_t index : threads[i].turns) {
      if (index != threads[i].turns.front()) out += ',';
      append_turn(out, rows, index, tree);
    }
    out += "],\"branches\":[";
    const bool more = i + 1 < threads.size();
    if (more && threads[i + 1].depth > threads[i].depth) continue;
    const uint32_t next_depth = more ? threads[i + 1].depth : 0;
    for (uint32_t depth = threads[i].depth + 1; depth > next_depth; --depth) out += "]}";
    if (more) out += ',';
  }
}

}  // namespace

std::string session_text(Rows rows) {
  return Drawing(rows).text();
}

std::string session_json(Rows rows) {
  const SessionTree tree = build_session_tree(rows);
  std::string out = "{";
  Members members(out);
  members.text("session_id", rows.front().interception.session_id);
  members.number("interceptions", static_cast<int64_t>(rows.size()));
  out += ",\"agents\":[";
  for (const AgentGroup& agent : tree.agents) {
    out += &agent == tree.agents.data() ? "{" : ",{";
    Members group(out);
    group.text("agent_id", agent.agent_id);
    group.text("parent_agent_id", agent.parent_agent_id);
    out += ",\"threads\":[";
    append_threads(out, rows, tree, agent.threads);
    out += "]}";
  }
  out += "]}";
  return out;
}

}  // namespace weir::cli
