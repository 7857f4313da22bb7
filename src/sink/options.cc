#include "sink/options.h"

#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/whole_file.h"

namespace weir::sink {

const char* const kHelp = R"(weir-sink: brings the records of a weir on this node into PostgreSQL, each exactly once

Usage: weir-sink [OPTIONS]

weir serve starts it for each [[sink]] of kind "postgres" (unless managed = false). It reads the
journals of data_dir, also while no weir runs, and makes the tables it needs.

  --data-dir DIR       weir's (./weir-data)
  --sink NAME          the name of the [[sink]] in weir's configuration (postgres)
  --node NAME          this node in the records (the host's name); each node needs its own
  --dsn-file FILE      holds the connection string: host=db user=weir password=… dbname=weir
  --service NAME       or: an entry of libpq's service file
                       or: the connection string in the environment, WEIR_SINK_DSN
  --log-format text|json   on standard error (text)
  --log-level LEVEL    debug, info, warn or error (info)
  --parent PID         end when the process that started this one, PID, ends
  --print-schema       print the tables' SQL and end
  --version

Exit status: 0 stopped, 1 failure, 2 usage.
)";

namespace {

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

Result<> set(Options& options, std::string_view flag, const std::string& value) {
  if (value.empty()) return fail("{} must not be empty", flag);
  for (const auto& [name, field] : {std::pair{"--data-dir", &options.data_dir},
                                    {"--sink", &options.sink},
                                    {"--node", &options.node},
                                    {"--dsn-file", &options.dsn_file},
                                    {"--service", &options.service}}) {
    if (flag != name) continue;
    *field = value;
    return {};
  }
  if (flag == "--log-format") {
    auto format = parse_log_format(value);
    if (!format) return fail("{}: {}", flag, format.error().message);
    options.log_format = *format;
    return {};
  }
  if (flag == "--log-level") {
    auto level = parse_log_level(value);
    if (!level) return fail("{}: {}", flag, level.error().message);
    options.log_level = *level;
    return {};
  }
  if (flag == "--parent") {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), options.parent);
    if (error != std::errc() || end != value.data() + value.size() || options.parent <= 0) {
      return fail("--parent must be a process id (was \"{}\")", value);
    }
    return {};
  }
  return fail("{} is not known; see weir-sink --help", flag);
}

}  // namespace

Result<Options> parse_options(std::span<const char* const> arguments) {
  Options options;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      options.help = true;
    } else if (argument == "--version") {
      options.version = true;
    } else if (argument == "--print-schema") {
      options.print_schema = true;
    } else if (const size_t equals = argument.find('='); argument.starts_with("--") && equals != std::string::npos) {
      const std::string value(argument.substr(equals + 1));
      if (auto done = set(options, argument.substr(0, equals), value); !done) return std::unexpected(done.error());
    } else if (argument.starts_with("--")) {
      if (i + 1 == arguments.size()) return fail("{} needs a value, or is not known; see weir-sink --help", argument);
      if (auto done = set(options, argument, arguments[++i]); !done) return std::unexpected(done.error());
    } else {
      return fail("\"{}\" is no option; see weir-sink --help", argument);
    }
  }
  if (!options.dsn_file.empty() && !options.service.empty()) return fail("name --dsn-file or --service, not both");
  if (options.node.empty()) options.node = host_name();
  return options;
}

Result<std::string> read_dsn(const Options& options) {
  if (!options.service.empty()) return "";
  if (options.dsn_file.empty()) {
    const char* const dsn = std::getenv("WEIR_SINK_DSN");
    if (dsn != nullptr && *dsn != '\0') return dsn;
    return fail(
        "no connection string: name its file with --dsn-file (dsn_file in weir's configuration), a --service, or "
        "set WEIR_SINK_DSN");
  }
  constexpr size_t kDsnSizeMax = size_t{64} << 10;
  auto read = read_whole_file(options.dsn_file, kDsnSizeMax);
  if (!read) return fail("cannot read the connection string from {}: {}", options.dsn_file, read.error().message);
  std::string dsn = std::move(*read);
  while (!dsn.empty() && (dsn.back() == '\n' || dsn.back() == '\r' || dsn.back() == ' ')) dsn.pop_back();
  if (dsn.empty()) return fail("{} is empty; it must hold a connection string", options.dsn_file);
  return dsn;
}

}  // namespace weir::sink
