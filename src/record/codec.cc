#include "record/codec.h"

#include <cstring>
#include <type_traits>

#include "base/assert.h"
#include "base/utf8.h"

namespace weir::record {

namespace {

// The fixed parts, without padding that would be unset: their bytes are checksummed.
struct StartFixed {
  Uuid id;
  int64_t started_at;
  uint64_t request_bytes;
  uint32_t credential_length;
  uint16_t streaming;
  uint16_t auth_delegated;
};
struct UserPromptFixed {
  Uuid id;
  int64_t created_at;
  uint64_t truncated;
};
struct TokenUsageFixed {
  Uuid id;
  uint64_t input, output, cache_read, cache_write;
  int64_t created_at;
};
struct ToolUsageFixed {
  Uuid id;
  int64_t created_at;
  uint32_t truncated;
  uint32_t injected;
};
using ModelThoughtFixed = UserPromptFixed;
struct EndFixed {
  Uuid id;
  int64_t ended_at;
  int64_t first_byte_us;
  uint64_t response_bytes;
  uint32_t attempts;
  uint16_t upstream_status;
  uint8_t outcome;
  uint8_t error_type;
};
static_assert(std::has_unique_object_representations_v<StartFixed>);
static_assert(std::has_unique_object_representations_v<UserPromptFixed>);
static_assert(std::has_unique_object_representations_v<TokenUsageFixed>);
static_assert(std::has_unique_object_representations_v<ToolUsageFixed>);
static_assert(std::has_unique_object_representations_v<EndFixed>);

// The texts of each event in their order on disk: the one list that both ways use.
auto texts_of(Start& e) {
  return std::to_array<std::string_view*>({&e.initiator_id, &e.username, &e.api_key_id, &e.provider, &e.provider_type,
                                           &e.route, &e.model, &e.client, &e.user_agent, &e.session_id, &e.agent_id,
                                           &e.parent_agent_id, &e.correlating_tool_call_id, &e.auth_mode, &e.source,
                                           &e.request_id, &e.credential_kind, &e.credential_hint});
}
auto texts_of(UserPrompt& e) {
  return std::to_array<std::string_view*>({&e.prompt});
}
auto texts_of(TokenUsage& e) {
  return std::to_array<std::string_view*>({&e.response_id, &e.extra});
}
auto texts_of(ToolUsage& e) {
  return std::to_array<std::string_view*>(
      {&e.response_id, &e.tool_call_id, &e.tool, &e.arguments, &e.server_url, &e.error});
}
auto texts_of(ModelThought& e) {
  return std::to_array<std::string_view*>({&e.source, &e.content});
}
auto texts_of(End& e) {
  return std::to_array<std::string_view*>({&e.upstream_request_id, &e.error_message});
}

constexpr size_t align_record(size_t size) {
  return (size + kRecordAlignment - 1) & ~(kRecordAlignment - 1);
}

// The largest record is a start whose texts are all at their limit, or a tool usage with one long text.
static_assert(align_record(sizeof(RecordHeader) + sizeof(StartFixed) + kTextCountMax * (4 + kShortTextMax)) <=
              kRecordSizeMax);
static_assert(align_record(sizeof(RecordHeader) + sizeof(ToolUsageFixed) + size_t{6} * 4 + 5 * kShortTextMax +
                           kLongTextMax) <= kRecordSizeMax);

std::string_view cut(std::string_view text, size_t size_max) {
  if (text.size() <= size_max) [[likely]]
    return text;
  return cut_at_code_point(text, size_max);
}

template <class Fixed, class E>
void fill(RecordType type, const Fixed& fixed, E& event, Encoded& out) {
  static_assert(sizeof(Fixed) <= sizeof out.fixed);
  const auto slots = texts_of(event);
  static_assert(slots.size() <= kTextCountMax);
  out.type = type;
  out.fixed_size = sizeof(Fixed);
  out.text_count = static_cast<uint16_t>(slots.size());
  std::memcpy(out.fixed.data(), &fixed, sizeof(Fixed));
  size_t size = sizeof(RecordHeader) + sizeof(Fixed) + slots.size() * sizeof(uint32_t);
  for (size_t i = 0; i < slots.size(); ++i) {
    out.texts[i] = *slots[i];
    size += slots[i]->size();
  }
  out.record_size = static_cast<uint32_t>(align_record(size));
  ASSERT(out.record_size <= kRecordSizeMax);
}

// memcpy for the short texts that most are: without a call, by two overlapping moves.
inline void copy_text(char* to, std::string_view text) {
  const char* const from = text.data();
  const size_t size = text.size();
  if (size > 32) {
    std::memcpy(to, from, size);
  } else if (size >= 16) {
    std::memcpy(to, from, 16);
    std::memcpy(to + size - 16, from + size - 16, 16);
  } else if (size >= 8) {
    std::memcpy(to, from, 8);
    std::memcpy(to + size - 8, from + size - 8, 8);
  } else if (size >= 4) {
    std::memcpy(to, from, 4);
    std::memcpy(to + size - 4, from + size - 4, 4);
  } else if (size > 0) {
    to[0] = from[0];
    to[size / 2] = from[size / 2];
    to[size - 1] = from[size - 1];
  }
}

template <class Fixed, class E>
bool read(std::string_view payload, Fixed& fixed, E& event) {
  const auto slots = texts_of(event);
  const size_t sizes_size = slots.size() * sizeof(uint32_t);
  if (payload.size() < sizeof(Fixed) + sizes_size) return false;
  const char* const bytes = payload.data();
  std::memcpy(&fixed, bytes, sizeof(Fixed));
  const char* const sizes = bytes + sizeof(Fixed);
  std::string_view rest = payload.substr(sizeof(Fixed) + sizes_size);
  for (size_t i = 0; i < slots.size(); ++i) {
    uint32_t size;
    std::memcpy(&size, sizes + i * sizeof size, sizeof size);
    if (size > rest.size()) return false;
    *slots[i] = rest.substr(0, size);
    rest.remove_prefix(size);
  }
  return rest.size() < kRecordAlignment;
}

template <class E, class Fixed>
std::optional<Event> decode_as(std::string_view payload, void (*finish)(const Fixed&, E&)) {
  Fixed fixed;
  E event;
  if (!read(payload, fixed, event)) return std::nullopt;
  event.id = fixed.id;
  finish(fixed, event);
  return event;
}

std::optional<Event> decode_end(std::string_view payload) {
  EndFixed fixed;
  End end;
  if (!read(payload, fixed, end)) return std::nullopt;
  if (fixed.outcome > static_cast<uint8_t>(Outcome::interrupted)) return std::nullopt;
  if (fixed.error_type > static_cast<uint8_t>(ErrorType::unknown)) return std::nullopt;
  end.id = fixed.id;
  end.ended_at = fixed.ended_at;
  end.first_byte_us = fixed.first_byte_us;
  end.response_bytes = fixed.response_bytes;
  end.attempts = fixed.attempts;
  end.upstream_status = fixed.upstream_status;
  end.outcome = static_cast<Outcome>(fixed.outcome);
  end.error_type = static_cast<ErrorType>(fixed.error_type);
  return end;
}

}  // namespace

void encode(const Start& start, Encoded& out) {
  Start event = start;
  for (std::string_view* text : texts_of(event)) *text = cut(*text, kShortTextMax);
  const StartFixed fixed{start.id,
                         start.started_at,
                         start.request_bytes,
                         start.credential_length,
                         static_cast<uint16_t>(start.streaming),
                         static_cast<uint16_t>(start.auth_delegated)};
  fill(RecordType::start, fixed, event, out);
}

void encode(const UserPrompt& prompt, Encoded& out) {
  UserPrompt event = prompt;
  event.prompt = cut(prompt.prompt, kLongTextMax);
  event.truncated |= event.prompt.size() < prompt.prompt.size();
  fill(RecordType::user_prompt, UserPromptFixed{event.id, event.created_at, event.truncated ? 1u : 0u}, event, out);
}

void encode(const TokenUsage& usage, Encoded& out) {
  TokenUsage event = usage;
  event.response_id = cut(usage.response_id, kShortTextMax);
  // A cut object would not be JSON any more. Ours are a handful of numbers and never that long.
  if (event.extra.size() > kShortTextMax) event.extra = {};
  const TokenUsageFixed fixed{usage.id,         usage.input,       usage.output,
                              usage.cache_read, usage.cache_write, usage.created_at};
  fill(RecordType::token_usage, fixed, event, out);
}

void encode(const ToolUsage& tool, Encoded& out) {
  ToolUsage event = tool;
  for (std::string_view* text : texts_of(event)) {
    *text = cut(*text, text == &event.arguments ? kLongTextMax : kShortTextMax);
  }
  event.truncated |= event.arguments.size() < tool.arguments.size();
  const ToolUsageFixed fixed{event.id, event.created_at, event.truncated ? 1u : 0u, event.injected ? 1u : 0u};
  fill(RecordType::tool_usage, fixed, event, out);
}

void encode(const ModelThought& thought, Encoded& out) {
  ModelThought event = thought;
  event.source = cut(thought.source, kShortTextMax);
  event.content = cut(thought.content, kLongTextMax);
  event.truncated |= event.content.size() < thought.content.size();
  fill(RecordType::model_thought, ModelThoughtFixed{event.id, event.created_at, event.truncated ? 1u : 0u}, event, out);
}

void encode(const End& end, Encoded& out) {
  End event = end;
  event.upstream_request_id = cut(end.upstream_request_id, kShortTextMax);
  event.error_message = cut(end.error_message, kErrorMessageMax);
  const EndFixed fixed{end.id,
                       end.ended_at,
                       end.first_byte_us,
                       end.response_bytes,
                       end.attempts,
                       end.upstream_status,
                       static_cast<uint8_t>(end.outcome),
                       static_cast<uint8_t>(end.error_type)};
  fill(RecordType::end, fixed, event, out);
}

void write_record(const Encoded& encoded, uint64_t position, uint32_t seed, char* to) {
  RecordHeader header{0, static_cast<uint16_t>(encoded.type),
                      static_cast<uint16_t>(encoded.record_size / kRecordAlignment), position};
  char* at = to + sizeof header;
  std::memcpy(at, encoded.fixed.data(), encoded.fixed_size);
  at += encoded.fixed_size;
  char* text_at = at + encoded.text_count * sizeof(uint32_t);
  for (size_t i = 0; i < encoded.text_count; ++i, at += sizeof(uint32_t)) {
    const std::string_view text = encoded.texts[i];
    const auto size = static_cast<uint32_t>(text.size());
    std::memcpy(at, &size, sizeof size);
    copy_text(text_at, text);
    text_at += size;
  }
  for (char* const end = to + encoded.record_size; text_at < end; ++text_at) *text_at = 0;
  std::memcpy(to, &header, sizeof header);
  header.checksum = record_checksum(seed, to, encoded.record_size);
  std::memcpy(to, &header.checksum, sizeof header.checksum);
}

std::optional<Event> decode(RecordType type, std::string_view payload) {
  switch (type) {
    case RecordType::start:
      return decode_as<Start, StartFixed>(payload, [](const StartFixed& fixed, Start& event) {
        event.started_at = fixed.started_at;
        event.request_bytes = fixed.request_bytes;
        event.credential_length = fixed.credential_length;
        event.streaming = fixed.streaming != 0;
        event.auth_delegated = fixed.auth_delegated != 0;
      });
    case RecordType::user_prompt:
      return decode_as<UserPrompt, UserPromptFixed>(payload, [](const UserPromptFixed& fixed, UserPrompt& event) {
        event.created_at = fixed.created_at;
        event.truncated = fixed.truncated != 0;
      });
    case RecordType::token_usage:
      return decode_as<TokenUsage, TokenUsageFixed>(payload, [](const TokenUsageFixed& fixed, TokenUsage& event) {
        event.input = fixed.input;
        event.output = fixed.output;
        event.cache_read = fixed.cache_read;
        event.cache_write = fixed.cache_write;
        event.created_at = fixed.created_at;
      });
    case RecordType::tool_usage:
      return decode_as<ToolUsage, ToolUsageFixed>(payload, [](const ToolUsageFixed& fixed, ToolUsage& event) {
        event.created_at = fixed.created_at;
        event.truncated = fixed.truncated != 0;
        event.injected = fixed.injected != 0;
      });
    case RecordType::model_thought:
      return decode_as<ModelThought, ModelThoughtFixed>(payload, [](const ModelThoughtFixed& fixed, ModelThought& e) {
        e.created_at = fixed.created_at;
        e.truncated = fixed.truncated != 0;
      });
    case RecordType::end:
      return decode_end(payload);
  }
  return std::nullopt;  // a number that no version has written
}

}  // namespace weir::record
