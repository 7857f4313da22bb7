// weir-sink as a whole: one thread that brings the journals of a data_dir into PostgreSQL until SIGTERM or SIGINT.
#pragma once

#include "sink/options.h"

namespace weir::sink {

// Its exit status.
int run(const Options& options);

}  // namespace weir::sink
