#include "record/sink.h"

#include <fmt/format.h>

namespace weir::record {

std::string_view text(DatabaseState state) {
  constexpr std::string_view kTexts[kDatabaseStateCount] = {"ok",        "recovering", "locked", "full",
                                                            "read_only", "corrupt",    "absent", "failing"};
  return kTexts[static_cast<size_t>(state)];
}

std::string journal_text(uint64_t journal_id) {
  return fmt::format("{:016x}", journal_id);
}

}  // namespace weir::record
