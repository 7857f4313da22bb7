// A session's tree as lines for a terminal, and as nested JSON.
#pragma once

#include <span>
#include <string>

#include "record/session.h"

namespace weir::cli {

// REQUIRES of both: rows of one session, oldest first, at least one.
std::string session_text(std::span<const record::SessionRow> rows);
std::string session_json(std::span<const record::SessionRow> rows);

}  // namespace weir::cli
