#include "cli/log_query.h"

#include <filesystem>
#include <limits>
#include <tuple>

#include "base/clock.h"
#include "cli/settings.h"
#include "cli/time_text.h"

namespace weir::cli {

namespace {

constexpr uint32_t kTableLimit = 50;

}  // namespace

Result<std::string> existing_database(const Arguments& arguments) {
  const Result<gateway::Config> config = read_settings(arguments);
  if (!config) return std::unexpected(config.error());
  std::string path = database_path(*config);
  if (!std::filesystem::exists(path)) {
    return fail("there is no database {}; name its folder with --data-dir, or its configuration with --config", path);
  }
  return path;
}

Result<record::LogFilter> filter_of(const LogQuery& query) {
  record::LogFilter filter;
  filter.user = query.user;
  filter.provider = query.provider;
  filter.model = query.model;
  filter.outcome = query.outcome;
  filter.credential_kind = query.credential_kind;
  filter.session_id = query.session;
  // A part of a tree would be none.
  const bool tree = !query.session.empty() && !query.follow;
  filter.limit = query.limit.value_or(tree ? std::numeric_limits<uint32_t>::max() : kTableLimit);
  const int64_t now = unix_us();
  for (const auto& [text, flag, into] :
       {std::tuple{&query.since, "--since", &filter.since}, std::tuple{&query.until, "--until", &filter.until}}) {
    if (text->empty()) continue;
    const Result<int64_t> moment = parse_moment(*text, now);
    if (!moment) return fail("{}: {}", flag, moment.error().message);
    *into = *moment;
  }
  return filter;
}

}  // namespace weir::cli
