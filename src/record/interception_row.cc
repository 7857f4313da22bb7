#include "record/interception_row.h"

namespace weir::record {

// total(), not sum(): a provider chooses the numbers, and an overflow would make the whole query fail.
const char* const kSelectInterceptions =
    "SELECT i.rowid, id, started_at, ended_at, initiator_id, username, api_key_id, provider, provider_type, route, "
    "model, "
    "streaming, client, user_agent, session_id, agent_id, parent_agent_id, correlating_tool_call_id, auth_mode, "
    "auth_delegated, source, request_id, credential_kind, credential_hint, credential_length, upstream_status, "
    "upstream_request_id, outcome, error_type, error_message, attempts, first_byte_us, request_bytes, response_bytes, "
    "node, "
    "(SELECT CAST(total(input) AS INTEGER) FROM token_usages WHERE interception_id = i.id), "
    "(SELECT CAST(total(output) AS INTEGER) FROM token_usages WHERE interception_id = i.id), "
    "(SELECT CAST(total(cache_read) AS INTEGER) FROM token_usages WHERE interception_id = i.id), "
    "(SELECT CAST(total(cache_write) AS INTEGER) FROM token_usages WHERE interception_id = i.id) "
    "FROM interceptions AS i ";

InterceptionRow read_interception(const Statement& statement) {
  int column = 0;
  const auto number = [&] { return statement.integer(column++); };
  const auto flag = [&] { return statement.integer(column++) != 0; };
  const auto text = [&] { return statement.text(column++); };
  const auto maybe = [&]() -> std::optional<int64_t> {
    const int at = column++;
    if (statement.is_null(at)) return std::nullopt;
    return statement.integer(at);
  };
  // Initialisers run in their order here, which is the order of the columns.
  return InterceptionRow{
      .rowid = number(),
      .id = text(),
      .started_at = number(),
      .ended_at = maybe(),
      .initiator_id = text(),
      .username = text(),
      .api_key_id = text(),
      .provider = text(),
      .provider_type = text(),
      .route = text(),
      .model = text(),
      .streaming = flag(),
      .client = text(),
      .user_agent = text(),
      .session_id = text(),
      .agent_id = text(),
      .parent_agent_id = text(),
      .correlating_tool_call_id = text(),
      .auth_mode = text(),
      .auth_delegated = flag(),
      .source = text(),
      .request_id = text(),
      .credential_kind = text(),
      .credential_hint = text(),
      .credential_length = number(),
      .upstream_status = maybe(),
      .upstream_request_id = text(),
      .outcome = text(),
      .error_type = text(),
      .error_message = text(),
      .attempts = number(),
      .first_byte_us = maybe(),
      .request_bytes = number(),
      .response_bytes = number(),
      .node = text(),
      .input_tokens = number(),
      .output_tokens = number(),
      .cache_read_tokens = number(),
      .cache_write_tokens = number(),
  };
}

}  // namespace weir::record
