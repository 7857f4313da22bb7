// What the commands that read the database share: where it is, and which rows are asked for.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/arguments.h"
#include "record/store.h"

namespace weir::cli {

// An error if there is none: reading must not make an empty database.
Result<std::string> existing_database(const Arguments& arguments);
Result<record::LogFilter> filter_of(const LogQuery& query);

}  // namespace weir::cli
