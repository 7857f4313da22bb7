#include "record/codec.h"

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "record/record_fixture.h"
#include "record/ring_view.h"

namespace weir::record {

namespace {

// The record's bytes as the journal holds them at position 0.
template <class E>
std::string written(const E& event) {
  Encoded encoded;
  encode(event, encoded);
  std::string record(encoded.record_size, '\x5A');
  write_record(encoded, 0, 1, record.data());
  return record;
}

template <class E>
std::string payload_of(const E& event) {
  return written(event).substr(sizeof(RecordHeader));
}

template <class E>
E round_trip(const E& event, RecordType type, std::string& payload) {
  payload = payload_of(event);
  const auto decoded = decode(type, payload);
  REQUIRE(decoded.has_value());
  REQUIRE(std::holds_alternative<E>(*decoded));
  return std::get<E>(*decoded);
}

std::string repeated(std::string_view part, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += part;
  return text;
}

}  // namespace

TEST_CASE("codec: a start comes back whole") {
  std::string payload;
  const Start start = start_of(7, 99);
  const Start back = round_trip(start, RecordType::start, payload);
  CHECK(back.id == start.id);
  CHECK(back.started_at == 99);
  CHECK(back.user_agent == start.user_agent);
  CHECK(back.credential_hint == start.credential_hint);
  CHECK(back.streaming);
  CHECK_FALSE(back.auth_delegated);
  CHECK(back.credential_length == 21);
  CHECK(back.request_bytes == 1234);
}

TEST_CASE("codec: an end comes back whole, with every outcome and error type") {
  std::string payload;
  for (uint8_t outcome = 0; outcome <= static_cast<uint8_t>(Outcome::interrupted); ++outcome) {
    for (uint8_t error = 0; error <= static_cast<uint8_t>(ErrorType::unknown); ++error) {
      End end = end_of(3);
      end.outcome = static_cast<Outcome>(outcome);
      end.error_type = static_cast<ErrorType>(error);
      end.first_byte_us = -1;
      const End back = round_trip(end, RecordType::end, payload);
      CHECK(back.outcome == end.outcome);
      CHECK(back.error_type == end.error_type);
      CHECK(back.first_byte_us == -1);
      CHECK_FALSE(text(back.outcome).empty());
      CHECK(text(back.error_type).empty() == (error == 0));
    }
  }
}

TEST_CASE("codec: texts of every size from 0 to 70 come back") {
  std::string payload;
  for (size_t size = 0; size <= 70; ++size) {
    std::string text(size, 'x');
    for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('0' + i);
    CHECK(round_trip(prompt_of(1, text), RecordType::user_prompt, payload).prompt == text);
  }
}

TEST_CASE("codec: a long text is cut at a whole code point and marked") {
  std::string payload;
  const std::string exact(kLongTextMax, 'a');
  const UserPrompt whole = round_trip(prompt_of(1, exact), RecordType::user_prompt, payload);
  CHECK(whole.prompt.size() == kLongTextMax);
  CHECK_FALSE(whole.truncated);

  const std::string over = std::string(kLongTextMax - 1, 'a') + "\xC3\xA9";
  const UserPrompt cut = round_trip(prompt_of(1, over), RecordType::user_prompt, payload);
  CHECK(cut.prompt.size() == kLongTextMax - 1);
  CHECK(cut.truncated);

  ToolUsage tool{.id = uuid_of(1), .tool = "t", .arguments = over};
  const ToolUsage tool_back = round_trip(tool, RecordType::tool_usage, payload);
  CHECK(tool_back.arguments.size() == kLongTextMax - 1);
  CHECK(tool_back.truncated);

  ModelThought thought{.id = uuid_of(1), .source = "thinking", .content = over};
  CHECK(round_trip(thought, RecordType::model_thought, payload).truncated);
}

TEST_CASE("codec: an event whose every text is enormous fits a record") {
  const std::string huge = repeated("\xF0\x9F\x8C\x8D", 100'000);
  Start start = start_of(1);
  for (std::string_view* text :
       {&start.initiator_id, &start.username, &start.api_key_id, &start.provider, &start.provider_type, &start.route,
        &start.model, &start.client, &start.user_agent, &start.session_id, &start.agent_id, &start.parent_agent_id,
        &start.correlating_tool_call_id, &start.auth_mode, &start.source, &start.request_id, &start.credential_kind,
        &start.credential_hint}) {
    *text = huge;
  }
  std::string payload;
  CHECK(round_trip(start, RecordType::start, payload).user_agent.size() == kShortTextMax);
  const ToolUsage tool{.id = uuid_of(1),
                       .response_id = huge,
                       .tool_call_id = huge,
                       .tool = huge,
                       .arguments = huge,
                       .server_url = huge,
                       .error = huge};
  CHECK(written(tool).size() <= kRecordSizeMax);
  End end = end_of(1);
  end.error_message = huge;
  CHECK(round_trip(end, RecordType::end, payload).error_message.size() == kErrorMessageMax);
  TokenUsage usage = usage_of(1);
  usage.extra = huge;
  CHECK(round_trip(usage, RecordType::token_usage, payload).extra.empty());  // half an object is no object
}

TEST_CASE("codec: a payload cut short, or followed by more, is refused") {
  const std::string payload = payload_of(start_of(1));
  for (size_t size = 0; size + kRecordAlignment < payload.size(); ++size) {
    CHECK_FALSE(decode(RecordType::start, std::string_view(payload).substr(0, size)).has_value());
  }
  CHECK(decode(RecordType::start, payload).has_value());
  CHECK_FALSE(decode(RecordType::start, payload + std::string(kRecordAlignment, '\0')).has_value());
}

TEST_CASE("codec: unknown types, outcomes and text sizes are refused") {
  const std::string payload = payload_of(end_of(1));
  CHECK_FALSE(decode(static_cast<RecordType>(0), payload).has_value());
  CHECK_FALSE(decode(static_cast<RecordType>(7), payload).has_value());
  for (size_t i = 0; i < payload.size(); ++i) {
    std::string changed = payload;
    changed[i] = '\xFF';  // must be refused or read within its bounds, whatever the byte is
    const auto decoded = decode(RecordType::end, changed);
    if (decoded) CHECK(std::get<End>(*decoded).error_message.size() <= payload.size());
  }
}

TEST_CASE("codec: a record with any bit flipped is no record") {
  std::string ring(kRingSizeMin + kRecordSizeMax, '\0');
  Encoded encoded;
  encode(usage_of(1), encoded);
  constexpr uint64_t kJournalId = 0x1234'5678'9ABC'DEF0;
  constexpr uint64_t kPosition = (3ull << 20) + 64;
  const RingView view(ring.data(), kRingSizeMin, kJournalId);
  write_record(encoded, kPosition, record_seed(kJournalId), ring.data() + 64);
  const uint64_t limit = kPosition + encoded.record_size;
  REQUIRE(view.record_at(kPosition, limit).has_value());
  CHECK(view.record_at(kPosition, limit)->end == limit);
  CHECK_FALSE(view.record_at(kPosition, limit - 8).has_value());                  // not yet published
  CHECK_FALSE(view.record_at(kPosition + kRingSizeMin, UINT64_MAX).has_value());  // an earlier turn's
  CHECK_FALSE(RingView(ring.data(), kRingSizeMin, kJournalId + 1).record_at(kPosition, limit).has_value());
  for (size_t bit = 0; bit < encoded.record_size * size_t{8}; ++bit) {
    ring[64 + bit / 8] = static_cast<char>(ring[64 + bit / 8] ^ (1 << (bit % 8)));
    REQUIRE_FALSE(view.record_at(kPosition, limit).has_value());
    ring[64 + bit / 8] = static_cast<char>(ring[64 + bit / 8] ^ (1 << (bit % 8)));
  }
  CHECK(view.find_record(kPosition - 48, limit) == kPosition);
  CHECK(view.find_record(kPosition + 8, limit) == limit);
}

}  // namespace weir::record
