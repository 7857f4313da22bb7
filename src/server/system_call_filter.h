// A seccomp filter: the system calls that a running gateway makes, and no others. In force for every thread of the
// process, those to come included, for good. What is not on the list fails with EPERM; starting a program or looking
// into a process ends this one.
//
// For the time after the workers' rings exist: making another ring, on which nothing would be restricted, is not on the
// list.
#pragma once

#include "base/result.h"

namespace weir::server {

bool system_calls_can_be_filtered();
// REQUIRES: no_new_privs is set.
Result<> filter_system_calls();

}  // namespace weir::server
