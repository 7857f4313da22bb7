// A record's event as fields, for `weir journal dump`: name=value on a line, or members of a JSON object.
#pragma once

#include <string>
#include <string_view>

#include "record/codec.h"

namespace weir::cli {

enum class LongTexts : uint8_t { sizes, full };  // of prompts, arguments and thoughts

std::string_view event_kind(const record::Event& event);  // "token_usage"
const Uuid& event_id(const record::Event& event);         // the interception's
// " model=m prompt=12B": without what is empty; a value is in quotes, as in JSON, where it needs them.
std::string event_text(const record::Event& event, LongTexts long_texts);
// ",\"model\":\"m\"": every field.
std::string event_json(const record::Event& event, LongTexts long_texts);

}  // namespace weir::cli
