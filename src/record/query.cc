#include "record/query.h"

#include <algorithm>

#include "base/ids.h"

namespace weir::record {

std::vector<Condition> conditions_of(const LogFilter& filter) {
  std::vector<Condition> conditions;
  const auto add = [&](const char* sql, std::string_view text) {
    if (!text.empty()) conditions.push_back({sql, text});
  };
  // One of the two, so that its index gives the rows newest first: both together would be sorted.
  add(is_uuid(filter.user) ? "initiator_id = ?" : "username = ?", filter.user);
  add("provider = ?", filter.provider);
  add("model = ?", filter.model);
  add("outcome = ?", filter.outcome);
  add("credential_kind = ?", filter.credential_kind);
  add("session_id = ? AND session_id <> ''", filter.session_id);
  if (filter.since > 0) conditions.push_back({"started_at >= ?", {}, filter.since, true});
  if (filter.until > 0) conditions.push_back({"started_at < ?", {}, filter.until, true});
  return conditions;
}

int bind_conditions(Statement& statement, const std::vector<Condition>& conditions, int parameter) {
  for (const Condition& condition : conditions) {
    const auto count = std::ranges::count(std::string_view(condition.sql), '?');
    for (ptrdiff_t i = 0; i < count; ++i, ++parameter) {
      if (condition.is_number) {
        statement.bind(parameter, condition.number);
      } else {
        statement.bind(parameter, condition.text);
      }
    }
  }
  return parameter;
}

std::string joined(const std::vector<Condition>& conditions, Search search) {
  std::string sql;
  for (const Condition& condition : conditions) {
    // A sign before a column keeps its index out.
    sql += search == Search::by_others ? " AND +" : " AND ";
    sql += condition.sql;
  }
  return sql;
}

}  // namespace weir::record
