// The mock provider's options from the command line, for `weir mock` and the demo.
#pragma once

#include "base/result.h"
#include "cli/arguments.h"
#include "mock/provider.h"

namespace weir::cli {

Result<mock::ProviderOptions> mock_options(const Arguments& arguments);

}  // namespace weir::cli
