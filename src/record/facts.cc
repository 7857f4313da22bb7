#include "record/facts.h"

#include "record/interception_row.h"
#include "record/query.h"

namespace weir::record {

namespace {

// Runs `sql`, which has one parameter, and gives each row to `read`.
template <class Read>
DbResult<> for_each_row(Database& database, const std::string& sql, std::string_view parameter, Read read) {
  auto statement = database.prepare(sql);
  if (!statement) return std::unexpected(statement.error());
  statement->bind(1, parameter);
  return for_each_row(*statement, read);
}

DbResult<> read_all(Database& database, Facts& facts) {
  const std::string& id = facts.interception.id;
  auto done =
      for_each_row(database, "SELECT prompt, truncated FROM user_prompts WHERE interception_id = ? ORDER BY rowid", id,
                   [&](const Statement& row) {
                     facts.prompts.push_back({.prompt = row.text(0), .truncated = row.integer(1) != 0});
                   });
  if (!done) return done;
  done = for_each_row(
      database, "SELECT source, content, truncated FROM model_thoughts WHERE interception_id = ? ORDER BY rowid", id,
      [&](const Statement& row) {
        facts.thoughts.push_back({.source = row.text(0), .content = row.text(1), .truncated = row.integer(2) != 0});
      });
  if (!done) return done;
  done = for_each_row(database,
                      "SELECT response_id, tool_call_id, tool, arguments, truncated FROM tool_usages "
                      "WHERE interception_id = ? ORDER BY rowid",
                      id, [&](const Statement& row) {
                        facts.tools.push_back({.response_id = row.text(0),
                                               .tool_call_id = row.text(1),
                                               .tool = row.text(2),
                                               .arguments = row.text(3),
                                               .truncated = row.integer(4) != 0});
                      });
  if (!done) return done;
  return for_each_row(database,
                      "SELECT response_id, input, output, cache_read, cache_write, extra FROM token_usages "
                      "WHERE interception_id = ? ORDER BY rowid",
                      id, [&](const Statement& row) {
                        facts.usages.push_back({.response_id = row.text(0),
                                                .input = row.integer(1),
                                                .output = row.integer(2),
                                                .cache_read = row.integer(3),
                                                .cache_write = row.integer(4),
                                                .extra = row.text(5)});
                      });
}

}  // namespace

Result<std::optional<Facts>> read_facts(const std::string& database_path, std::string_view id) {
  auto database = Database::open({.path = database_path, .read_only = true});
  if (!database) return failed(database.error());
  std::vector<InterceptionRow> found;
  // By the index of ids. '~' is behind all that stands in one. Two are enough to know that it is not one.
  auto done = for_each_row(
      **database, std::string(kSelectInterceptions) + " WHERE i.id >= ?1 AND i.id < ?1 || '~' ORDER BY i.id LIMIT 2",
      id, [&](const Statement& row) { found.push_back(read_interception(row)); });
  if (!done) return failed(done.error());
  if (found.empty()) return std::nullopt;
  if (found.size() > 1 && found.front().id != id) {
    return fail("the ids of several interceptions begin with {}; give more of it", id);
  }
  Facts facts;
  facts.interception = std::move(found.front());
  if (auto read = read_all(**database, facts); !read) return failed(read.error());
  return facts;
}

}  // namespace weir::record
