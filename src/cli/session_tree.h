// A session as a tree, for `weir log --session`. Pure; session_text.h prints it.
//
// An interception hangs below the latest earlier one whose answer made the tool call that it brings the result of; one
// of the same agent is preferred. "Earlier" is strict, so whatever clients and providers send there is no cycle. The
// others are roots, grouped by agent.
//
// An agent's turns are a chain of lone children, as long as the session. A chain is one thread and stays at one depth;
// only where an interception has several children do new threads begin, one deeper. Beyond kDepthMax nothing goes
// deeper: what hangs there is put behind each other in one thread, and `parents` alone tells the truth.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "record/session.h"

namespace weir::cli {

inline constexpr uint32_t kDepthMax = 24;

struct Thread {
  uint32_t depth;             // 0: begins with a root
  bool last;                  // of its siblings
  std::vector<size_t> turns;  // rows; only the last one can have threads below it
};

struct AgentGroup {
  std::string_view agent_id;  // borrows the rows; "" is the main agent
  std::string_view parent_agent_id;
  std::vector<Thread> threads;  // each before those below it
};

struct SessionTree {
  std::vector<AgentGroup> agents;              // in the order in which they first appear
  std::vector<std::optional<size_t>> parents;  // by row
};

// `rows`: oldest first.
SessionTree build_session_tree(std::span<const record::SessionRow> rows);

}  // namespace weir::cli
