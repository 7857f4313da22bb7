// One interception as text: for the table of `weir log`, as a JSON object, and as the demo's line.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "record/facts.h"
#include "record/store.h"

namespace weir::cli {

// Cells and parts of lines: "850ms", "completed" or "upstream_error/overloaded", "1200/34" (all input, output).
std::string duration_of(const record::InterceptionRow& row);
std::string outcome_of(const record::InterceptionRow& row);
std::string tokens_of(const record::InterceptionRow& row);
// Adds up to the largest number: what a provider reports must not overflow here.
int64_t capped_sum(std::initializer_list<int64_t> numbers);
void add_tokens(record::InterceptionRow& sum, const record::InterceptionRow& row);

std::vector<std::string> interception_heading();
std::vector<std::string> interception_cells(const record::InterceptionRow& row);
// Everything that is known of one: for `weir log show`.
std::string facts_text(const record::Facts& facts);
std::string facts_json(const record::Facts& facts);
// Every column of the record, and the sums of its token usages.
std::string interception_json(const record::InterceptionRow& row);

// Of a table cell or a line, for a terminal: green completed, yellow for the client's or provider's trouble, red ours.
enum class Colour : bool { off, on };
std::string interception_line(const record::InterceptionRow& row, Colour colour);

}  // namespace weir::cli
