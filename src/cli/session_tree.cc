#include "cli/session_tree.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <unordered_map>

namespace weir::cli {

namespace {

using Rows = std::span<const record::SessionRow>;

// Who made which tool call so far: the latest of all, and the latest of each agent.
class Callers {
 public:
  std::optional<size_t> of(const record::InterceptionRow& row) const {
    const std::string& id = row.correlating_tool_call_id;
    if (id.empty()) return std::nullopt;
    if (const auto own = by_agent_.find(key(row.agent_id, id)); own != by_agent_.end()) return own->second;
    if (const auto any = by_call_.find(id); any != by_call_.end()) return any->second;
    return std::nullopt;
  }
  void add(const record::SessionRow& row, size_t index) {
    for (const record::ToolCall& call : row.tools) {
      if (call.id.empty()) continue;
      by_agent_[key(row.interception.agent_id, call.id)] = index;
      by_call_[call.id] = index;
    }
  }

 private:
  // The length in front keeps two pairs apart whose texts run together.
  static std::string key(std::string_view agent, std::string_view call) {
    return std::to_string(agent.size()).append(":").append(agent).append(call);
  }
  std::unordered_map<std::string, size_t> by_agent_;
  std::unordered_map<std::string_view, size_t> by_call_;
};

struct Branch {
  size_t row;
  uint32_t depth;
  bool last;
};

using Children = std::vector<std::vector<size_t>>;

void push_branches(std::vector<Branch>& stack, const std::vector<size_t>& rows, uint32_t depth) {
  for (size_t i = rows.size(); i-- > 0;) stack.push_back({rows[i], depth, i + 1 == rows.size()});
}

// All that hangs below the thread's last turn, each before its own children.
void append_all(std::vector<size_t>& turns, const Children& children) {
  std::vector<size_t> stack(children[turns.back()].rbegin(), children[turns.back()].rend());
  while (!stack.empty()) {
    const size_t row = stack.back();
    stack.pop_back();
    turns.push_back(row);
    std::copy(children[row].rbegin(), children[row].rend(), std::back_inserter(stack));
  }
}

// With a stack of its own: a session's depth is a client's choice, ours is not unbounded.
std::vector<Thread> threads_of(const std::vector<size_t>& roots, const Children& children, Rows rows) {
  std::vector<Thread> threads;
  std::vector<Branch> stack;
  push_branches(stack, roots, 0);
  while (!stack.empty()) {
    const Branch branch = stack.back();
    stack.pop_back();
    Thread& thread = threads.emplace_back(Thread{branch.depth, branch.last, {branch.row}});
    const std::string& agent = rows[branch.row].interception.agent_id;
    for (;;) {
      const auto& below = children[thread.turns.back()];
      if (below.size() != 1 || rows[below.front()].interception.agent_id != agent) break;
      thread.turns.push_back(below.front());
    }
    if (branch.depth < kDepthMax) {
      push_branches(stack, children[thread.turns.back()], branch.depth + 1);
    } else {
      append_all(thread.turns, children);
    }
  }
  return threads;
}

}  // namespace

SessionTree build_session_tree(Rows rows) {
  SessionTree tree;
  tree.parents.resize(rows.size());
  Children children(rows.size());
  Callers callers;
  std::unordered_map<std::string_view, size_t> groups;
  std::vector<std::vector<size_t>> roots;
  for (size_t i = 0; i < rows.size(); ++i) {
    const record::InterceptionRow& row = rows[i].interception;
    tree.parents[i] = callers.of(row);
    callers.add(rows[i], i);
    if (tree.parents[i]) {
      children[*tree.parents[i]].push_back(i);
      continue;
    }
    const auto [group, is_new] = groups.try_emplace(row.agent_id, roots.size());
    if (is_new) {
      roots.emplace_back();
      tree.agents.push_back({row.agent_id, row.parent_agent_id, {}});
    }
    roots[group->second].push_back(i);
  }
  for (size_t i = 0; i < roots.size(); ++i) tree.agents[i].threads = threads_of(roots[i], children, rows);
  return tree;
}

}  // namespace weir::cli
