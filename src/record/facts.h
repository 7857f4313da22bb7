// What was read from one interception (spec section 6), for `weir log show`. Blocking, read-only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "record/store.h"

namespace weir::record {

struct UsageRow {
  std::string response_id;
  int64_t input = 0, output = 0, cache_read = 0, cache_write = 0;
  std::string extra;  // a JSON object
};
struct PromptRow {
  std::string prompt;
  bool truncated = false;
};
struct ToolRow {
  std::string response_id, tool_call_id, tool, arguments;
  bool truncated = false;
};
struct ThoughtRow {
  std::string source, content;
  bool truncated = false;
};

// Rows are in the order of the response.
struct Facts {
  InterceptionRow interception;
  std::vector<PromptRow> prompts;
  std::vector<ThoughtRow> thoughts;
  std::vector<ToolRow> tools;
  std::vector<UsageRow> usages;
};

// `id`: an interception's, or a part of one that no other has. None: there is no such interception; several: an error.
Result<std::optional<Facts>> read_facts(const std::string& database_path, std::string_view id);

}  // namespace weir::record
