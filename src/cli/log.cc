#include <fmt/core.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "cli/commands.h"
#include "cli/interception_text.h"
#include "cli/log_query.h"
#include "cli/print.h"
#include "cli/session_text.h"
#include "record/facts.h"
#include "record/session.h"
#include "record/store.h"

namespace weir::cli {

namespace {

bool print_rows(const std::vector<record::InterceptionRow>& rows, bool json) {
  if (json) {
    return std::ranges::all_of(rows, [](const auto& row) { return print_line(interception_json(row)); });
  }
  Table table(interception_heading());
  for (const auto& row : rows) table.add(interception_cells(row));
  return print_line(table.text());
}

// Wakes up when something in the database's folder is written. SQLite has no notice across processes; the file system
// has.
class FolderWatch {
 public:
  explicit FolderWatch(const std::filesystem::path& folder) : descriptor_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    if (descriptor_ >= 0) ::inotify_add_watch(descriptor_, folder.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO);
  }
  ~FolderWatch() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FolderWatch(const FolderWatch&) = delete;
  FolderWatch& operator=(const FolderWatch&) = delete;

  // Also once a second: on a network file system nobody tells.
  void wait() {
    pollfd watched{.fd = descriptor_, .events = POLLIN, .revents = 0};
    ::poll(&watched, descriptor_ >= 0 ? 1 : 0, 1000);
    std::array<char, 4096> events;
    while (descriptor_ >= 0 && ::read(descriptor_, events.data(), events.size()) > 0) {
    }
  }

 private:
  int descriptor_;
};

int follow(record::Store& store, const record::LogFilter& filter, const std::string& path, bool json) {
  FolderWatch watch(std::filesystem::path(path).parent_path());
  auto cursor = store.follow_from_now();
  if (!cursor) return complain(cursor.error().message), kExitFailure;
  for (;;) {
    const auto rows = store.follow(*cursor, filter);
    if (!rows) return complain(rows.error().message), kExitFailure;
    for (const auto& row : *rows) {
      if (!print_line(json ? interception_json(row) : interception_line(row, Colour::off))) return kExitFailure;
    }
    watch.wait();
  }
}

int print_session(const record::LogFilter& filter, const std::string& path, bool json) {
  const auto rows = record::read_session(path, filter);
  if (!rows) return complain(rows.error().message), kExitFailure;
  if (rows->empty()) {
    return complain(fmt::format("no interception of session {} passes", harmless(filter.session_id))), kExitFailure;
  }
  return print_line(json ? session_json(*rows) : session_text(*rows)) ? 0 : kExitFailure;
}

}  // namespace

int run_log(const Arguments& arguments) {
  const Result<record::LogFilter> filter = filter_of(arguments.log);
  if (!filter) return complain(filter.error().message), kExitUsage;
  const Result<std::string> path = existing_database(arguments);
  if (!path) return complain(path.error().message), kExitFailure;
  if (!filter->session_id.empty() && !arguments.log.follow) return print_session(*filter, *path, arguments.json);
  auto store = record::Store::open_to_read(*path);
  if (!store) return complain(store.error().message), kExitFailure;
  if (arguments.log.follow) return follow(**store, *filter, *path, arguments.json);
  const auto rows = (*store)->log(*filter);
  if (!rows) return complain(rows.error().message), kExitFailure;
  return print_rows(*rows, arguments.json) ? 0 : kExitFailure;
}

int run_log_show(const Arguments& arguments) {
  if (arguments.id.empty()) return complain("ID must not be empty; `weir log` shows ids"), kExitUsage;
  const Result<std::string> path = existing_database(arguments);
  if (!path) return complain(path.error().message), kExitFailure;
  const auto facts = record::read_facts(*path, arguments.id);
  if (!facts) return complain(facts.error().message), kExitFailure;
  if (!*facts) return complain(fmt::format("there is no interception {}", harmless(arguments.id))), kExitFailure;
  return print_line(arguments.json ? facts_json(**facts) : facts_text(**facts)) ? 0 : kExitFailure;
}

}  // namespace weir::cli
