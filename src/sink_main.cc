#include <fmt/core.h>

#include <span>

#include "sink/options.h"
#include "sink/postgres_sink.h"
#include "sink/program.h"

int main(int argument_count, char** arguments) {
  constexpr int kUsage = 2;
  const std::span<const char* const> given(arguments + 1, static_cast<size_t>(argument_count - 1));
  const auto options = weir::sink::parse_options(given);
  if (!options) {
    fmt::print(stderr, "weir-sink: {}\n", options.error().message);
    return kUsage;
  }
  if (options->help) {
    fmt::print("{}", weir::sink::kHelp);
  } else if (options->version) {
    fmt::print("weir-sink {}\n", WEIR_VERSION);
  } else if (options->print_schema) {
    fmt::print("{}", weir::sink::schema_text());
  } else {
    return weir::sink::run(*options);
  }
  return 0;
}
