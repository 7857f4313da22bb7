// The interceptions of a client's session with the tools that each one's answer called, for the tree of
// `weir log --session`. Blocking, read-only. Arguments are not read: a session may have thousands of them.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "record/store.h"

namespace weir::record {

struct ToolCall {
  std::string id, tool;
};

struct SessionRow {
  InterceptionRow interception;
  std::vector<ToolCall> tools{};  // in the order of the answer
};

// By start, oldest first; if there are more than filter.limit, the newest of them. All of one moment of the database.
Result<std::vector<SessionRow>> read_session(const std::string& database_path, const LogFilter& filter);

}  // namespace weir::record
