// The columns of an interception as they are read: one list for `weir log` and for the recorder's callback.
#pragma once

#include <string>

#include "record/database.h"
#include "record/store.h"

namespace weir::record {

// "SELECT … FROM interceptions AS i" with every column that read_interception() expects.
extern const char* const kSelectInterceptions;

// REQUIRES: a row of kSelectInterceptions.
InterceptionRow read_interception(const Statement& statement);

}  // namespace weir::record
