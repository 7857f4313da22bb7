// The command `weir`: reads the command line and runs what it names.
#include "cli/arguments.h"
#include "cli/commands.h"

int main(int argc, char** argv) {
  using weir::cli::Command;
  const weir::cli::Parsed parsed = weir::cli::parse_arguments(argc, argv);
  if (parsed.exit_code) return *parsed.exit_code;
  switch (parsed.arguments.command) {
    case Command::serve:
      return weir::cli::run_serve(parsed.arguments);
    case Command::demo:
      return weir::cli::run_demo(parsed.arguments);
    case Command::mock:
      return weir::cli::run_mock(parsed.arguments);
    case Command::key_add:
      return weir::cli::run_key_add(parsed.arguments);
    case Command::key_list:
      return weir::cli::run_key_list(parsed.arguments);
    case Command::key_revoke:
      return weir::cli::run_key_revoke(parsed.arguments);
    case Command::log:
      return weir::cli::run_log(parsed.arguments);
    case Command::log_show:
      return weir::cli::run_log_show(parsed.arguments);
    case Command::usage:
      return weir::cli::run_usage(parsed.arguments);
    case Command::journal_dump:
      return weir::cli::run_journal_dump(parsed.arguments);
    case Command::rules_explain:
      return weir::cli::run_rules_explain(parsed.arguments);
    case Command::check:
      return weir::cli::run_check(parsed.arguments);
    case Command::version:
      return weir::cli::run_version(parsed.arguments);
  }
  return weir::cli::kExitFailure;
}
