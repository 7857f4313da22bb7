#include "record/usage.h"

#include "record/query.h"

namespace weir::record {

namespace {

const char* column_of(UsageKey key) {
  switch (key) {
    case UsageKey::user:
      return "username";
    case UsageKey::model:
      return "model";
    case UsageKey::provider:
      return "provider";
    case UsageKey::client:
      return "client";
    case UsageKey::credential_kind:
      return "credential_kind";
    case UsageKey::day:
      return "coalesce(strftime('%Y-%m-%d', started_at / 1000000, 'unixepoch'), '')";
  }
  return "''";
}

// One statement over both tables, so that both halves see one moment. An interception counts once however many rows of
// tokens it has. total(), not sum(): a provider chooses the numbers, and an overflow would make the whole query fail.
std::string query_of(std::span<const UsageKey> keys, const std::string& conditions) {
  std::string columns, groups, order;
  for (size_t i = 0; i < keys.size(); ++i) {
    columns += fmt::format("{} AS k{}, ", column_of(keys[i]), i);
    groups += fmt::format("k{}, ", i);
    order += fmt::format("{}k{}", i == 0 ? " GROUP BY " : ", ", i);
  }
  return fmt::format(
      "SELECT {1}sum(n), sum(bad), CAST(total(i) AS INTEGER), CAST(total(o) AS INTEGER), CAST(total(r) AS INTEGER), "
      "CAST(total(w) AS INTEGER) FROM ("
      "SELECT {0}1 AS n, outcome IN ('upstream_error', 'gateway_error', 'interrupted') AS bad, "
      "0 AS i, 0 AS o, 0 AS r, 0 AS w FROM interceptions WHERE 1{2} "
      "UNION ALL "
      "SELECT {0}0, 0, input, output, cache_read, cache_write FROM interceptions AS x "
      "CROSS JOIN token_usages AS t ON t.interception_id = x.id WHERE 1{2}){3}{4}",
      columns, groups, conditions, order, keys.empty() ? "" : " ORDER BY" + order.substr(9));
}

}  // namespace

std::string_view text(UsageKey key) {
  switch (key) {
    case UsageKey::user:
      return "user";
    case UsageKey::model:
      return "model";
    case UsageKey::provider:
      return "provider";
    case UsageKey::client:
      return "client";
    case UsageKey::credential_kind:
      return "credential_kind";
    case UsageKey::day:
      return "day";
  }
  return "";
}

Result<std::vector<UsageSum>> read_usage(const std::string& database_path, const LogFilter& filter,
                                         std::span<const UsageKey> keys) {
  auto database = Database::open({.path = database_path, .read_only = true});
  if (!database) return failed(database.error());
  const auto conditions = conditions_of(filter);
  auto query = (*database)->prepare(query_of(keys, joined(conditions)));
  if (!query) return failed(query.error());
  bind_conditions(*query, conditions, bind_conditions(*query, conditions, 1));
  std::vector<UsageSum> sums;
  auto read = for_each_row(*query, [&](const Statement& row) {
    UsageSum& sum = sums.emplace_back();
    int column = 0;
    for (size_t i = 0; i < keys.size(); ++i) sum.keys.push_back(row.text(column++));
    for (int64_t* into : {&sum.interceptions, &sum.failed, &sum.input, &sum.output, &sum.cache_read, &sum.cache_write})
      *into = row.integer(column++);
  });
  if (!read) return failed(read.error());
  return sums;
}

}  // namespace weir::record
