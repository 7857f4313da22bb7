// From arguments to a configuration: the file, then the flags over it, then the checks that span several parts.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/arguments.h"
#include "gateway/config.h"

namespace weir::cli {

// `defaults` stands in for the file when none is named.
Result<gateway::Config> read_settings(const Arguments& arguments, const gateway::Config& defaults);
Result<gateway::Config> read_settings(const Arguments& arguments);

}  // namespace weir::cli
