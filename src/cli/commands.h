// The commands. Each does its work, prints, and returns the exit status.
#pragma once

#include "cli/arguments.h"

namespace weir::cli {

int run_serve(const Arguments& arguments);
int run_demo(const Arguments& arguments);
int run_mock(const Arguments& arguments);
int run_key_add(const Arguments& arguments);
int run_key_list(const Arguments& arguments);
int run_key_revoke(const Arguments& arguments);
int run_log(const Arguments& arguments);
int run_log_show(const Arguments& arguments);
int run_usage(const Arguments& arguments);
int run_journal_dump(const Arguments& arguments);
int run_rules_explain(const Arguments& arguments);
int run_check(const Arguments& arguments);
int run_version(const Arguments& arguments);

}  // namespace weir::cli
