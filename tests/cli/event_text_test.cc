#include "cli/event_text.h"

#include <doctest/doctest.h>

using namespace weir;
using namespace weir::cli;

TEST_CASE("event: fields on a line, long texts as sizes unless they are asked for") {
  const record::UserPrompt prompt{.prompt = "say \"hi\"\n\x1b[2J", .truncated = true, .created_at = 0};
  CHECK(event_kind(prompt) == "user_prompt");
  CHECK(event_text(prompt, LongTexts::sizes) == " created_at=1970-01-01T00:00:00.000000Z prompt=13B truncated=yes");
  CHECK(event_text(prompt, LongTexts::full) ==
        " created_at=1970-01-01T00:00:00.000000Z prompt=\"say \\\"hi\\\"\\n\\u001b[2J\" truncated=yes");
  CHECK(event_json(prompt, LongTexts::sizes) ==
        ",\"created_at\":\"1970-01-01T00:00:00.000000Z\",\"prompt_bytes\":13,\"truncated\":true");
}

TEST_CASE("event: what is empty is left out of a line, and null or empty in JSON") {
  record::End end{.outcome = record::Outcome::gateway_error, .error_message = "it broke"};
  CHECK(event_text(end, LongTexts::sizes) ==
        " ended_at=1970-01-01T00:00:00.000000Z outcome=gateway_error error_message=\"it broke\"");
  const std::string json = event_json(end, LongTexts::sizes);
  CHECK(json.find("\"upstream_status\":null") != std::string::npos);
  CHECK(json.find("\"first_byte_us\":null") != std::string::npos);
  end.upstream_status = 503;
  end.first_byte_us = 0;
  CHECK(event_text(end, LongTexts::sizes).find(" upstream_status=503") != std::string::npos);
  CHECK(event_text(end, LongTexts::sizes).find(" first_byte_us=0") != std::string::npos);
}

TEST_CASE("event: bytes that are no text, C1 controls and sums beyond 2^63 stay harmless") {
  const record::TokenUsage usage{.response_id = "a\xff\xC2\x9B", .input = UINT64_MAX};
  CHECK(event_text(usage, LongTexts::sizes).find("\xC2\x9B") == std::string::npos);
  CHECK(event_json(usage, LongTexts::sizes).find("\"input\":9223372036854775807") != std::string::npos);
}
