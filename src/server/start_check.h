// What only this machine can tell of a configuration: files, folders, addresses, users, cores. `weir check` and the
// start of `weir serve` ask alike, so that what would end a start is told before it, with file and line. Opens nothing
// for good.
#pragma once

#include "base/result.h"
#include "gateway/config.h"

namespace weir::server {

// REQUIRES: check_config() has passed. All that is wrong, each on its own line: "weir.toml:12: listener "public": …".
Result<> check_start(const gateway::Config& config);

}  // namespace weir::server
