#include "record/session.h"

#include <algorithm>

#include "record/interception_row.h"
#include "record/query.h"

namespace weir::record {

namespace {

DbResult<> read_rows(Database& database, const LogFilter& filter, std::vector<SessionRow>& rows) {
  const auto conditions = conditions_of(filter);
  auto query = database.prepare(fmt::format("{}WHERE 1{} ORDER BY started_at DESC, i.rowid DESC LIMIT {}",
                                            kSelectInterceptions, joined(conditions), filter.limit));
  if (!query) return std::unexpected(std::move(query.error()));
  bind_conditions(*query, conditions, 1);
  auto read = for_each_row(*query, [&](const Statement& row) { rows.push_back({read_interception(row)}); });
  std::ranges::reverse(rows);
  return read;
}

DbResult<> read_tools(Database& database, std::vector<SessionRow>& rows) {
  auto query = database.prepare("SELECT tool_call_id, tool FROM tool_usages WHERE interception_id = ? ORDER BY rowid");
  if (!query) return std::unexpected(std::move(query.error()));
  for (SessionRow& row : rows) {
    query->reset();
    query->bind(1, row.interception.id);
    auto read = for_each_row(
        *query, [&](const Statement& found) { row.tools.push_back({.id = found.text(0), .tool = found.text(1)}); });
    if (!read) return read;
  }
  return {};
}

}  // namespace

Result<std::vector<SessionRow>> read_session(const std::string& database_path, const LogFilter& filter) {
  auto database = Database::open({.path = database_path, .read_only = true});
  if (!database) return failed(database.error());
  if (auto begun = (*database)->execute("BEGIN"); !begun) return failed(begun.error());
  std::vector<SessionRow> rows;
  auto read = read_rows(**database, filter, rows);
  if (read) read = read_tools(**database, rows);
  (*database)->attempt("COMMIT");
  if (!read) return failed(read.error());
  return rows;
}

}  // namespace weir::record
