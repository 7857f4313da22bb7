// What a worker tells the journal of an interception: its start, facts that were read, its end. Spec section 6 gives
// each field's meaning. Views are copied into the journal before the call returns.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/ids.h"

namespace weir::record {

struct Start {
  Uuid id{};
  int64_t started_at = 0;  // µs since the epoch
  std::string_view initiator_id{}, username{}, api_key_id{};
  std::string_view provider{}, provider_type{}, route{};
  std::string_view model{};
  bool streaming = false;
  std::string_view client{}, user_agent{}, session_id{}, agent_id{}, parent_agent_id{}, correlating_tool_call_id{};
  std::string_view auth_mode{};  // "centralized", "byok"
  bool auth_delegated = false;
  std::string_view source{}, request_id{};
  std::string_view credential_kind{}, credential_hint{};
  uint32_t credential_length = 0;
  uint64_t request_bytes = 0;
};

struct TokenUsage {
  Uuid id{};  // the interception's
  std::string_view response_id{};
  uint64_t input = 0, output = 0, cache_read = 0, cache_write = 0;
  std::string_view extra{};  // a JSON object; empty is stored as "{}"
  int64_t created_at = 0;
};
struct UserPrompt {
  Uuid id{};
  std::string_view prompt{};
  bool truncated = false;
  int64_t created_at = 0;
};
struct ToolUsage {
  Uuid id{};
  std::string_view response_id{}, tool_call_id{}, tool{}, arguments{};
  bool truncated = false;
  bool injected = false;
  std::string_view server_url{}, error{};
  int64_t created_at = 0;
};
struct ModelThought {
  Uuid id{};
  std::string_view source{}, content{};
  bool truncated = false;
  int64_t created_at = 0;
};

enum class Outcome : uint8_t { completed, upstream_error, client_disconnected, gateway_error, interrupted };
enum class ErrorType : uint8_t {
  none,
  bad_request,
  unauthorized,
  rate_limited,
  overloaded,
  server_error,
  timeout,
  network,
  unreadable,
  unknown
};
std::string_view text(Outcome);
std::string_view text(ErrorType);  // "" for none

struct End {
  Uuid id{};
  int64_t ended_at = 0;
  uint16_t upstream_status = 0;  // 0: none came; stored as NULL
  std::string_view upstream_request_id{};
  Outcome outcome = Outcome::completed;
  ErrorType error_type = ErrorType::none;
  std::string_view error_message{};  // cut to 1024 bytes at a whole code point
  uint32_t attempts = 0;
  int64_t first_byte_us = -1;  // -1: none came; stored as NULL
  uint64_t response_bytes = 0;
};

}  // namespace weir::record
