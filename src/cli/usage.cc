#include <cstdio>

#include "cli/commands.h"
#include "cli/log_query.h"
#include "cli/print.h"
#include "cli/usage_text.h"

namespace weir::cli {

int run_usage(const Arguments& arguments) {
  const Result<record::LogFilter> filter = filter_of(arguments.log);
  if (!filter) return complain(filter.error().message), kExitUsage;
  const Result<std::string> path = existing_database(arguments);
  if (!path) return complain(path.error().message), kExitFailure;
  const auto sums = record::read_usage(*path, *filter, arguments.by);
  if (!sums) return complain(sums.error().message), kExitFailure;
  if (arguments.csv) return print_text(usage_csv(arguments.by, *sums)) ? 0 : kExitFailure;
  if (!arguments.json) return print_line(usage_table(arguments.by, *sums)) ? 0 : kExitFailure;
  return sums->empty() || print_line(usage_json(arguments.by, *sums)) ? 0 : kExitFailure;
}

}  // namespace weir::cli
