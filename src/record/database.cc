#include "record/database.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "base/utf8.h"

namespace weir::record {

namespace {

// Larger than SQLite's 4 KiB: a prompt of 64 KiB is then 4 pages, not 16, each with a checksum and two system calls.
constexpr int kPageSize = 16384;

// What a person can do about it, for the errors that a person can do something about.
std::string_view advice(int code) {
  switch (code) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "; another program holds a lock on it";
    case SQLITE_FULL:
      return "; free some room on its disk";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return "; make the file and its folder writable for this user";
    case SQLITE_CANTOPEN:
      return "; check that its folder exists and that this user may write there";
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return "; move the file away (a new one is made), or restore it from a backup";
    default:
      return "";
  }
}

std::unexpected<DatabaseError> error_of(sqlite3* handle, int result, const std::string& path) {
  const int code = result & 0xFF;
  const char* const text = handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(result);
  return std::unexpected(DatabaseError{code, fmt::format("{}: {}{}", path, text, advice(code)), false,
                                       code == SQLITE_BUSY || code == SQLITE_LOCKED});
}

std::unexpected<DatabaseError> foreign(const std::string& path, int64_t version, int64_t newest) {
  return std::unexpected(DatabaseError{
      SQLITE_ERROR,
      fmt::format("{}: its schema has version {}, this weir knows {}: it was made by a newer weir, or is another "
                  "program's; run the newer one, or name another data_dir",
                  path, version, newest),
      true, false});
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : statement_(std::exchange(other.statement_, nullptr)), path_(other.path_) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(statement_, other.statement_);
  std::swap(path_, other.path_);
  return *this;
}

Statement::~Statement() {
  sqlite3_finalize(statement_);
}

void Statement::bind(int parameter, int64_t number) {
  sqlite3_bind_int64(statement_, parameter, number);
}

void Statement::bind(int parameter, std::string_view text) {
  // The size is explicit: U+0000 inside a text is kept. A null pointer would bind NULL.
  if (text.empty()) {
    sqlite3_bind_text(statement_, parameter, "", 0, SQLITE_STATIC);
  } else if (is_valid_utf8(text)) [[likely]] {
    sqlite3_bind_text(statement_, parameter, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
  } else {
    const std::string replaced = replace_invalid_utf8(text);
    sqlite3_bind_text(statement_, parameter, replaced.data(), static_cast<int>(replaced.size()), SQLITE_TRANSIENT);
  }
}

void Statement::bind_blob(int parameter, std::string_view bytes) {
  sqlite3_bind_blob(statement_, parameter, bytes.data(), static_cast<int>(bytes.size()), SQLITE_STATIC);
}

void Statement::bind_null(int parameter) {
  sqlite3_bind_null(statement_, parameter);
}

DbResult<bool> Statement::step() {
  const int result = sqlite3_step(statement_);
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  return error_of(sqlite3_db_handle(statement_), result, *path_);
}

DbResult<> Statement::run() {
  auto stepped = step();
  reset();
  if (!stepped) return std::unexpected(std::move(stepped.error()));
  return {};
}

void Statement::reset() {
  sqlite3_reset(statement_);
}

int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}
bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

std::string Statement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_blob(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  return bytes != nullptr ? std::string(bytes, static_cast<size_t>(size)) : std::string();
}

DbResult<std::unique_ptr<Database>> Database::open(const Options& options) {
  // Nobody asks SQLite how much memory it uses, and counting it takes a lock at each allocation. Before its first use.
  [[maybe_unused]] static const int counted = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);

  if (options.read_only) return open_to_read(options);

  // SQLite would create it with the umask's rights. Only a file that is not there is opened here: closing any
  // descriptor of a database drops the locks (POSIX advisory ones) of this process's other connections to it.
  const int created = ::open(options.path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (created >= 0) ::close(created);

  sqlite3* handle = nullptr;
  const int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | (options.one_thread ? SQLITE_OPEN_NOMUTEX : SQLITE_OPEN_FULLMUTEX);
  const int result = sqlite3_open_v2(options.path.c_str(), &handle, flags, nullptr);
  if (handle == nullptr) return error_of(nullptr, result, options.path);
  std::unique_ptr<Database> database(new Database(options.path, handle));
  if (result != SQLITE_OK) return error_of(handle, result, options.path);
  if (auto configured = database->configure(options); !configured) return std::unexpected(configured.error());
  if (auto migrated = database->migrate(options.migrations); !migrated) return std::unexpected(migrated.error());
  return database;
}

DbResult<std::unique_ptr<Database>> Database::open_to_read(const Options& options) {
  sqlite3* handle = nullptr;
  const int result = sqlite3_open_v2(options.path.c_str(), &handle, SQLITE_OPEN_READONLY, nullptr);
  if (handle == nullptr) return error_of(nullptr, result, options.path);
  std::unique_ptr<Database> database(new Database(options.path, handle));
  if (result != SQLITE_OK) return error_of(handle, result, options.path);
  sqlite3_busy_timeout(handle, options.busy_timeout_ms);
  if (auto set = database->execute(fmt::format("PRAGMA cache_size=-{}", options.cache_kib).c_str()); !set) {
    return std::unexpected(std::move(set.error()));
  }
  if (auto known = database->check_version(); !known) return std::unexpected(std::move(known.error()));
  return database;
}

Database::~Database() {
  sqlite3_close_v2(handle_);
}

DbResult<> Database::configure(const Options& options) {
  sqlite3_busy_timeout(handle_, options.busy_timeout_ms);
  // WAL: readers (weir log) and the writer do not wait for each other. NORMAL: a commit survives the death of the
  // process; the last ones before a power cut may be lost, never the database.
  const std::string pragmas = fmt::format(
      "PRAGMA page_size={}; PRAGMA journal_mode=WAL; PRAGMA synchronous={}; PRAGMA cache_size=-{}; PRAGMA "
      "wal_autocheckpoint={};",
      kPageSize, options.durable_commits ? "FULL" : "NORMAL", options.cache_kib, options.checkpoint_pages);
  return execute(pragmas.c_str());
}

DbResult<> Database::migrate(std::span<const char* const> migrations) {
  if (migrations.empty()) migrations = kMigrations;
  const auto newest = static_cast<int64_t>(migrations.size());
  auto version = query_integer("PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  if (*version == newest) return {};
  if (auto begun = execute("BEGIN IMMEDIATE"); !begun) return begun;
  version = query_integer("PRAGMA user_version");  // another process may have been quicker
  if (!version) return std::unexpected(version.error());
  if (*version > newest || *version < 0) return foreign(path_, *version, newest);
  const bool is_new_database = *version == 0 && migrations.data() == std::data(kMigrations);
  for (; *version < newest; ++*version) {
    if (auto migrated = execute(migrations[static_cast<size_t>(*version)]); !migrated) return migrated;
  }
  for (const Index& index : kIndexes) {
    if (!is_new_database) break;
    if (auto made = execute(index.sql); !made) return made;
  }
  if (auto set = execute(fmt::format("PRAGMA user_version={}", newest).c_str()); !set) return set;
  return execute("COMMIT");
}

DbResult<> Database::check_version() {
  const auto version = query_integer("PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  constexpr auto newest = static_cast<int64_t>(std::size(kMigrations));
  if (*version > newest || *version < 0) return foreign(path_, *version, newest);
  if (*version > 0) return {};
  return std::unexpected(DatabaseError{
      SQLITE_ERROR,
      fmt::format("{}: holds nothing of weir; name the folder that `weir serve` uses with --data-dir, or its "
                  "configuration with --config",
                  path_),
      true, false});
}

DbResult<std::vector<Index>> Database::missing_indexes() {
  std::vector<Index> missing;
  auto query = prepare("SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = ?");
  if (!query) return std::unexpected(std::move(query.error()));
  for (const Index& index : kIndexes) {
    query->reset();
    query->bind(1, index.name);
    auto found = query->step();
    if (!found) return std::unexpected(std::move(found.error()));
    if (!*found) missing.push_back(index);
  }
  return missing;
}

void Database::interrupt_when(const std::function<bool()>* stop) {
  const auto asked = [](void* context) { return (*static_cast<const std::function<bool()>*>(context))() ? 1 : 0; };
  constexpr int kSteps = 100000;  // of SQLite's machine: a few milliseconds
  sqlite3_progress_handler(handle_, stop != nullptr ? kSteps : 0, stop != nullptr ? +asked : nullptr,
                           const_cast<std::function<bool()>*>(stop));
}

DbResult<> Database::execute(const char* sql) {
  const int result = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (result != SQLITE_OK) return error_of(handle_, result, path_);
  return {};
}

void Database::attempt(const char* sql) {
  sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
}

DbResult<Statement> Database::prepare(std::string_view sql) {
  Statement statement;
  statement.path_ = &path_;
  const int result = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                        &statement.statement_, nullptr);
  if (result != SQLITE_OK) return error_of(handle_, result, path_);
  return statement;
}

DbResult<int64_t> Database::query_integer(std::string_view sql) {
  auto statement = prepare(sql);
  if (!statement) return std::unexpected(statement.error());
  auto row = statement->step();
  if (!row) return std::unexpected(row.error());
  return *row ? statement->integer(0) : 0;
}

bool Database::moved() const {
  int moved = 0;
  return sqlite3_file_control(handle_, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved != 0;
}

}  // namespace weir::record
