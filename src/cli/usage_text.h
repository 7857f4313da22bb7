// Sums of tokens as a table, as JSON lines and as CSV (RFC 4180).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "record/usage.h"

namespace weir::cli {

// Ends with a line of totals. Capped like the sums themselves.
std::string usage_table(std::span<const record::UsageKey> keys, const std::vector<record::UsageSum>& sums);
// Empty if there are no sums; no newline at the end.
std::string usage_json(std::span<const record::UsageKey> keys, const std::vector<record::UsageSum>& sums);
// Lines end with CR LF; so does the last one.
std::string usage_csv(std::span<const record::UsageKey> keys, const std::vector<record::UsageSum>& sums);

// A field of CSV: in quotes where it needs them. Control bytes but line ends, which RFC 4180 does not allow and which
// a terminal might obey, become '?'.
std::string csv_field(std::string_view text);

}  // namespace weir::cli
