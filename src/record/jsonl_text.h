// The text of a line of the jsonl sink: an interception with the columns of the tables (spec section 6), integers and
// all, and its facts nested under the tables' names. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "record/events.h"

namespace weir::record {

// Members with their commas: `"id":"…",…`, without braces, so that what follows can be appended.
std::string start_members(const Start& start, std::string_view node);
std::string end_members(const End& end);
// What an interrupted interception has in place of an end.
std::string interrupted_members(int64_t ended_at);

// One object, braces included.
std::string object_of(const TokenUsage& usage);
std::string object_of(const UserPrompt& prompt);
std::string object_of(const ToolUsage& tool);
std::string object_of(const ModelThought& thought);

}  // namespace weir::record
