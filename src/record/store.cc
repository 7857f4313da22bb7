#include "record/store.h"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <utility>

#include "record/interception_row.h"
#include "record/query.h"

namespace weir::record {

namespace {

constexpr int kBusyTimeoutMs = 5000;

Result<> to_result(DbResult<> result) {
  if (!result) return std::unexpected(Error{std::move(result.error().message)});
  return {};
}

GatewayKey read_key(const Statement& row) {
  GatewayKey key;
  key.id = row.text(0);
  key.username = row.text(1);
  key.initiator_id = row.text(2);
  key.hint = row.text(3);
  const std::string digest = row.text(4);
  if (digest.size() == key.token_sha256.size()) std::memcpy(key.token_sha256.data(), digest.data(), digest.size());
  key.created_at = row.integer(5);
  key.expires_at = row.integer(6);
  key.revoked_at = row.integer(7);
  return key;
}

}  // namespace

struct Store::Impl {
  std::string path;
  std::mutex mutex;
  std::unique_ptr<Database> database;
  bool read_only = false;
  int64_t opened_count = 0;

  // Opens it, or opens it again if another file is at the path now.
  DbResult<> connect() {
    if (database != nullptr && !database->moved()) return {};
    database.reset();
    auto opened = Database::open({.path = path, .busy_timeout_ms = kBusyTimeoutMs, .read_only = read_only});
    if (!opened) return std::unexpected(std::move(opened.error()));
    database = std::move(*opened);
    ++opened_count;
    return {};
  }

  DbResult<std::vector<GatewayKey>> keys(const char* where, int64_t now_us) {
    auto query = database->prepare(
        std::string("SELECT id, username, initiator_id, hint, token_sha256, created_at, expires_at, revoked_at "
                    "FROM gateway_keys ") +
        where + " ORDER BY created_at, rowid");
    if (!query) return std::unexpected(std::move(query.error()));
    if (now_us != 0) query->bind(1, now_us);
    std::vector<GatewayKey> keys;
    for (;;) {
      auto row = query->step();
      if (!row) return std::unexpected(std::move(row.error()));
      if (!*row) return keys;
      keys.push_back(read_key(*query));
    }
  }

  DbResult<std::vector<InterceptionRow>> interceptions(const std::string& tail,
                                                       const std::vector<Condition>& conditions,
                                                       std::optional<int64_t> first_parameter) {
    auto query = database->prepare(kSelectInterceptions + tail);
    if (!query) return std::unexpected(std::move(query.error()));
    int parameter = 1;
    if (first_parameter) query->bind(parameter++, *first_parameter);
    bind_conditions(*query, conditions, parameter);
    std::vector<InterceptionRow> rows;
    for (;;) {
      auto row = query->step();
      if (!row) return std::unexpected(std::move(row.error()));
      if (!*row) return rows;
      rows.push_back(read_interception(*query));
    }
  }

  DbResult<std::vector<int64_t>> running_since(int64_t rowid) {
    auto query =
        database->prepare("SELECT rowid FROM interceptions WHERE ended_at IS NULL AND rowid > ? ORDER BY rowid");
    if (!query) return std::unexpected(std::move(query.error()));
    query->bind(1, rowid);
    std::vector<int64_t> rowids;
    for (;;) {
      auto row = query->step();
      if (!row) return std::unexpected(std::move(row.error()));
      if (!*row) return rowids;
      rowids.push_back(query->integer(0));
    }
  }
};

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  if (!folder.empty() && !std::filesystem::exists(folder, error)) {
    if (folder.has_parent_path()) std::filesystem::create_directories(folder.parent_path(), error);
    if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
      return fail("cannot make the folder {}: {}", folder.string(), std::strerror(errno));
    }
  }
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  if (auto connected = impl->connect(); !connected) return failed(connected.error());
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

Result<std::unique_ptr<Store>> Store::open_to_read(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  impl->read_only = true;
  if (auto connected = impl->connect(); !connected) return failed(connected.error());
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

Result<> Store::add_key(const GatewayKey& key) {
  const std::lock_guard lock(impl_->mutex);
  if (auto connected = impl_->connect(); !connected) return failed(connected.error());
  auto insert = impl_->database->prepare("INSERT INTO gateway_keys VALUES (?,?,?,?,?,?,?,?)");
  if (!insert) return failed(insert.error());
  insert->bind(1, key.id);
  insert->bind(2, key.username);
  insert->bind(3, key.initiator_id);
  insert->bind(4, key.hint);
  insert->bind_blob(5, {reinterpret_cast<const char*>(key.token_sha256.data()), key.token_sha256.size()});
  insert->bind(6, key.created_at);
  insert->bind(7, key.expires_at);
  insert->bind(8, key.revoked_at);
  auto run = insert->run();
  if (!run && run.error().code == SQLITE_CONSTRAINT)
    return fail("a key with id {} or this token exists already", key.id);
  return to_result(std::move(run));
}

Result<std::vector<GatewayKey>> Store::list_keys() {
  const std::lock_guard lock(impl_->mutex);
  if (auto connected = impl_->connect(); !connected) return failed(connected.error());
  auto keys = impl_->keys("", 0);
  if (!keys) return failed(keys.error());
  return std::move(*keys);
}

Result<std::vector<GatewayKey>> Store::live_keys(int64_t now_us) {
  const std::lock_guard lock(impl_->mutex);
  if (auto connected = impl_->connect(); !connected) return failed(connected.error());
  auto keys = impl_->keys("WHERE revoked_at = 0 AND (expires_at = 0 OR expires_at > ?)", now_us);
  if (!keys) return failed(keys.error());
  return std::move(*keys);
}

Result<bool> Store::revoke_key(std::string_view id, int64_t now_us) {
  const std::lock_guard lock(impl_->mutex);
  if (auto connected = impl_->connect(); !connected) return failed(connected.error());
  if (id.empty()) return false;
  std::string wanted(id);
  std::ranges::transform(wanted, wanted.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  auto keys = impl_->keys("WHERE revoked_at = 0", 0);
  if (!keys) return failed(keys.error());
  std::string found;
  for (const GatewayKey& key : *keys) {
    if (!key.id.starts_with(wanted)) continue;
    if (!found.empty()) return fail("several live keys begin with {}: give more of the id", wanted);
    found = key.id;
  }
  if (found.empty()) return false;
  auto update = impl_->database->prepare("UPDATE gateway_keys SET revoked_at = ? WHERE id = ? AND revoked_at = 0");
  if (!update) return failed(update.error());
  update->bind(1, now_us);
  update->bind(2, found);
  if (auto run = update->run(); !run) return failed(run.error());
  return impl_->database->changes() > 0;
}

Result<int64_t> Store::version() {
  const std::lock_guard lock(impl_->mutex);
  if (auto connected = impl_->connect(); !connected) return failed(connected.error());
  auto version = impl_->database->query_integer("SELECT version FROM gateway_keys_version");
  if (!version) return failed(version.error());
  // Another file counts from its own beginning.
  return *version + (impl_->opened_count << 40);
}

Result<std::vector<InterceptionRow>> Store::log(const LogFilter& filter) {
  const std::lock_guard lock(impl_->mutex);
  if (auto connected = impl_->connect(); !connected) return failed(connected.error());
  const auto conditions = conditions_of(filter);
  const bool forward = filter.after_rowid > 0;
  std::string tail = forward ? "WHERE i.rowid > ?" : "WHERE 1";
  tail += joined(conditions, forward ? Search::by_others : Search::by_these);
  tail += forward ? " ORDER BY i.rowid" : " ORDER BY started_at DESC, i.rowid DESC";
  tail += fmt::format(" LIMIT {}", filter.limit);
  auto rows = impl_->interceptions(tail, conditions, forward ? std::optional(filter.after_rowid) : std::nullopt);
  if (!rows) return failed(rows.error());
  return std::move(*rows);
}

Result<FollowCursor> Store::follow_from_now() {
  const std::lock_guard lock(impl_->mutex);
  if (auto connected = impl_->connect(); !connected) return failed(connected.error());
  FollowCursor cursor;
  // In this order: what starts between the two queries is after the last rowid, and so not lost.
  auto last = impl_->database->query_integer("SELECT coalesce(max(rowid), 0) FROM interceptions");
  if (!last) return failed(last.error());
  cursor.last_rowid = *last;
  auto running = impl_->running_since(0);
  if (!running) return failed(running.error());
  for (const int64_t rowid : *running) {
    if (rowid <= cursor.last_rowid) cursor.running.push_back(rowid);
  }
  return cursor;
}

Result<std::vector<InterceptionRow>> Store::follow(FollowCursor& cursor, const LogFilter& filter) {
  const std::lock_guard lock(impl_->mutex);
  if (auto connected = impl_->connect(); !connected) return failed(connected.error());
  // One read transaction, so that all queries see the same moment.
  if (auto begun = impl_->database->execute("BEGIN"); !begun) return failed(begun.error());
  const auto read = [&]() -> DbResult<std::vector<InterceptionRow>> {
    const auto conditions = conditions_of(filter);
    const std::string tail = joined(conditions, Search::by_others);
    std::vector<InterceptionRow> ended;
    FollowCursor next{cursor.last_rowid, {}};
    for (const int64_t rowid : cursor.running) {
      auto row = impl_->interceptions("WHERE i.rowid = ?", {}, rowid);
      if (!row) return row;
      if (row->empty()) continue;  // deleted meanwhile
      if (!row->front().ended_at) {
        next.running.push_back(rowid);
        continue;
      }
      row = impl_->interceptions("WHERE i.rowid = ?" + tail, conditions, rowid);
      if (!row) return row;
      std::ranges::move(*row, std::back_inserter(ended));
    }
    auto rows = impl_->interceptions("WHERE i.rowid > ? AND ended_at IS NOT NULL" + tail + " ORDER BY i.rowid",
                                     conditions, cursor.last_rowid);
    if (!rows) return rows;
    std::ranges::move(*rows, std::back_inserter(ended));
    auto running = impl_->running_since(cursor.last_rowid);
    if (!running) return std::unexpected(std::move(running.error()));
    std::ranges::copy(*running, std::back_inserter(next.running));
    auto last = impl_->database->query_integer("SELECT coalesce(max(rowid), 0) FROM interceptions");
    if (!last) return std::unexpected(std::move(last.error()));
    next.last_rowid = std::max(cursor.last_rowid, *last);
    cursor = std::move(next);
    return ended;
  };
  auto ended = read();
  impl_->database->attempt("COMMIT");
  if (!ended) return failed(ended.error());
  return std::move(*ended);
}

}  // namespace weir::record
