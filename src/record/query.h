// What the reading queries of this folder share: a filter of the log as SQL, and the loop over rows. Private to
// src/record.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "record/database.h"
#include "record/store.h"

namespace weir::record {

// One of the conditions of a query, with what it compares to. Borrows the filter.
struct Condition {
  const char* sql;
  std::string_view text{};
  int64_t number = 0;
  bool is_number = false;
};

// What a filter asks of columns of `interceptions`; not its limit and after_rowid.
std::vector<Condition> conditions_of(const LogFilter& filter);
// How the rows are found: by an index on what these conditions compare, or by what the query asks beside them (rowid >
// ?). SQLite thinks of few rows wherever a text is compared, and would read all of a user's for the last one.
enum class Search : uint8_t { by_these, by_others };
// " AND … AND …", to stand behind a WHERE that has a condition already.
std::string joined(const std::vector<Condition>& conditions, Search search = Search::by_these);
// Binds what they compare to, from `parameter` on; the next free parameter.
int bind_conditions(Statement& statement, const std::vector<Condition>& conditions, int parameter);

// Gives each row to `read`.
template <class Read>
DbResult<> for_each_row(Statement& statement, Read read) {
  for (;;) {
    auto row = statement.step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return {};
    read(statement);
  }
}

inline std::unexpected<Error> failed(DatabaseError& error) {
  return std::unexpected(Error{std::move(error.message)});
}

}  // namespace weir::record
