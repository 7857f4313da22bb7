#include "cli/usage_text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "cli/interception_text.h"
#include "cli/json_members.h"
#include "cli/print.h"

namespace weir::cli {

namespace {

using record::UsageSum;

// The one list of the numbers' columns, for all three forms.
constexpr auto kNumbers = std::to_array<std::pair<std::string_view, int64_t UsageSum::*>>({
    {"interceptions", &UsageSum::interceptions},
    {"failed", &UsageSum::failed},
    {"input", &UsageSum::input},
    {"output", &UsageSum::output},
    {"cache_read", &UsageSum::cache_read},
    {"cache_write", &UsageSum::cache_write},
});

std::string heading(std::string_view name) {
  std::string out;
  for (const char c : name) out += c == '_' ? ' ' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace

std::string usage_table(std::span<const record::UsageKey> keys, const std::vector<UsageSum>& sums) {
  std::vector<std::string> cells;
  for (const record::UsageKey key : keys) cells.push_back(heading(text(key)));
  for (const auto& [name, member] : kNumbers) cells.push_back(heading(name));
  Table table(std::move(cells), keys.size());
  UsageSum total;
  for (const UsageSum& sum : sums) {
    cells.clear();
    for (const std::string& key : sum.keys) cells.push_back(key.empty() ? "-" : key);
    for (const auto& [name, member] : kNumbers) {
      cells.push_back(std::to_string(sum.*member));
      total.*member = capped_sum({total.*member, sum.*member});
    }
    table.add(std::move(cells));
  }
  cells.assign(keys.size(), "");
  cells.front() = "total";
  for (const auto& [name, member] : kNumbers) cells.push_back(std::to_string(total.*member));
  table.add(std::move(cells));
  return table.text();
}

std::string usage_json(std::span<const record::UsageKey> keys, const std::vector<UsageSum>& sums) {
  std::string out;
  for (const UsageSum& sum : sums) {
    out += out.empty() ? "{" : "\n{";
    Members members(out);
    for (size_t i = 0; i < keys.size(); ++i) members.text(text(keys[i]), sum.keys[i]);
    for (const auto& [name, member] : kNumbers) members.number(name, sum.*member);
    out += '}';
  }
  return out;
}

std::string csv_field(std::string_view text) {
  const bool quoted = text.find_first_of(",\"\r\n") != std::string_view::npos;
  std::string out = quoted ? "\"" : "";
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of("\"\r\n"), text.size());
    out += harmless(text.substr(0, end));
    text.remove_prefix(end);
    if (text.empty()) break;
    if (text.front() == '"') out += '"';
    out += text.front();
    text.remove_prefix(1);
  }
  if (quoted) out += '"';
  return out;
}

std::string usage_csv(std::span<const record::UsageKey> keys, const std::vector<UsageSum>& sums) {
  std::string out;
  for (const record::UsageKey key : keys) out.append(text(key)).append(",");
  for (const auto& [name, member] : kNumbers) out.append(name).append(",");
  out.back() = '\r';
  out += '\n';
  for (const UsageSum& sum : sums) {
    for (const std::string& key : sum.keys) out.append(csv_field(key)).append(",");
    for (const auto& [name, member] : kNumbers) out.append(std::to_string(sum.*member)).append(",");
    out.back() = '\r';
    out += '\n';
  }
  return out;
}

}  // namespace weir::cli
