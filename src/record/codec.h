// Events as the payload of journal records, and back. Pure. A payload is a fixed part, the size of each text, the texts
// one after the other, and zero bytes up to the next multiple of 8.
//
// Peers choose the texts, so every text has a limit; what is longer is cut at a whole code point, and marked where the
// event has a mark. Hence no record is larger than kRecordSizeMax.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "record/events.h"
#include "record/format.h"

namespace weir::record {

inline constexpr size_t kLongTextMax = size_t{64} << 10;  // prompts, arguments, thoughts (spec section 6)
inline constexpr size_t kShortTextMax = 4096;
inline constexpr size_t kErrorMessageMax = 1024;
inline constexpr size_t kTextCountMax = 18;

// An event that is ready to be written: measured, its texts cut. Borrows the event's texts.
struct Encoded {
  RecordType type;
  uint16_t fixed_size = 0;
  uint16_t text_count = 0;
  uint32_t record_size = 0;  // the whole record with its header, a multiple of 8
  alignas(8) std::array<char, 96> fixed;
  std::array<std::string_view, kTextCountMax> texts;
};

// `out` is filled, not returned: it is large and lives on the writer's hot path.
void encode(const Start& start, Encoded& out);
void encode(const UserPrompt& prompt, Encoded& out);
void encode(const TokenUsage& usage, Encoded& out);
void encode(const ToolUsage& tool, Encoded& out);
void encode(const ModelThought& thought, Encoded& out);
void encode(const End& end, Encoded& out);

// Writes the whole record, header and checksum included, to `to` (record_size bytes).
void write_record(const Encoded& encoded, uint64_t position, uint32_t seed, char* to);

using Event = std::variant<Start, UserPrompt, TokenUsage, ToolUsage, ModelThought, End>;

// The event of a payload; borrows it. Nothing if it is not a whole event of this type.
std::optional<Event> decode(RecordType type, std::string_view payload);

}  // namespace weir::record
