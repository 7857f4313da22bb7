// The events of one interception, as the tests of src/record and the benchmark of its journal write them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "record/journal.h"

namespace weir::record {

inline Uuid uuid_of(uint64_t number) {
  Uuid id;
  for (size_t i = 0; i < 8; ++i) id.bytes[15 - i] = static_cast<uint8_t>(number >> (8 * i));
  return id;
}

inline Start start_of(uint64_t number, int64_t started_at = 1000) {
  return {.id = uuid_of(number),
          .started_at = started_at,
          .initiator_id = "7b0ad5b5-7d4e-4f7c-9c1c-2b8f1f6f7d11",
          .username = "ada",
          .api_key_id = "key-1",
          .provider = "anthropic",
          .provider_type = "anthropic",
          .route = "messages",
          .model = "claude-sonnet-4",
          .streaming = true,
          .client = "Claude Code",
          .user_agent = "claude-cli/2.0",
          .session_id = "session-1",
          .agent_id = "agent-1",
          .parent_agent_id = "agent-0",
          .correlating_tool_call_id = "toolu_1",
          .auth_mode = "centralized",
          .auth_delegated = false,
          .source = "public",
          .request_id = "request-1",
          .credential_kind = "centralized",
          .credential_hint = "sk-a...efgh",
          .credential_length = 21,
          .request_bytes = 1234};
}
inline UserPrompt prompt_of(uint64_t number, std::string_view text) {
  return {.id = uuid_of(number), .prompt = text, .truncated = false, .created_at = 1001};
}
inline TokenUsage usage_of(uint64_t number) {
  return {.id = uuid_of(number),
          .response_id = "msg_1",
          .input = 10,
          .output = 20,
          .cache_read = 30,
          .cache_write = 40,
          .extra = {},
          .created_at = 1002};
}
inline End end_of(uint64_t number, int64_t ended_at = 2000) {
  return {.id = uuid_of(number),
          .ended_at = ended_at,
          .upstream_status = 200,
          .upstream_request_id = "req_1",
          .outcome = Outcome::completed,
          .error_type = ErrorType::none,
          .error_message = {},
          .attempts = 1,
          .first_byte_us = 321,
          .response_bytes = 4321};
}

}  // namespace weir::record
