#include "record/sink.h"

#include <fmt/format.h>

namespace weir::record {

std::string journal_text(uint64_t journal_id) {
  return fmt::format("{:016x}", journal_id);
}

}  // namespace weir::record
