// The command line of weir-sink.
#pragma once

#include <sys/types.h>

#include <span>
#include <string>

#include "base/log.h"
#include "base/result.h"

namespace weir::sink {

struct Options {
  std::string data_dir = "./weir-data";
  std::string sink = "postgres";  // the name of the [[sink]]
  std::string node;               // default: the host's name
  std::string dsn_file;
  std::string service;
  LogFormat log_format = LogFormat::text;
  LogLevel log_level = LogLevel::info;
  pid_t parent = 0;  // end with this process
  bool print_schema = false;
  bool help = false;
  bool version = false;
};

Result<Options> parse_options(std::span<const char* const> arguments);

// From the file, or from WEIR_SINK_DSN; empty if a service is named. Never logged: it holds a password.
Result<std::string> read_dsn(const Options& options);

extern const char* const kHelp;

}  // namespace weir::sink
