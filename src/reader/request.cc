#include "reader/request.h"

#include "reader/content_coding.h"
#include "reader/json.h"
#include "reader/request_parts.h"

namespace weir::reader {
namespace {

// What the buffer for decoded bodies may keep between requests.
constexpr size_t kDecodedKeptMax = kDecodedFree + size_t{64} * 1024;

// The walk over the body: one pass that takes every byte.
bool walk(RequestApi api, JsonReader& reader, RequestMembers& members) {
  const std::string_view turns_key = api == RequestApi::responses ? "input" : "messages";
  reader.enter();
  std::string_view key;
  while (reader.next_member(key)) {
    if (key == turns_key) {
      members.input = read_turns(api, reader, members.last);
      continue;
    }
    const JsonValue value = reader.value();
    if (key == "model") members.model = value;
    if (key == "stream") members.stream = value;
    if (key == "metadata") members.metadata = value;
    if (key == "stream_options") members.stream_options = value;
    if (key == "prompt_cache_key") members.prompt_cache_key = value;
  }
  return reader.finish();
}

void refuse(RequestFacts& facts, BodyStatus status, const char* error, size_t offset) {
  facts.status = status;
  facts.error = error;
  facts.error_offset = offset;
}

void read_json(RequestApi api, std::string_view body, RequestFacts& facts) {
  JsonReader reader(body);
  RequestMembers members;
  const JsonKind kind = reader.peek();
  const size_t value_offset = reader.offset();
  if (kind != JsonKind::object) {
    reader.value();
    if (!reader.finish()) return refuse(facts, BodyStatus::invalid_json, reader.error(), reader.error_offset());
    return refuse(facts, BodyStatus::not_an_object, "the body is not a JSON object", value_offset);
  }
  if (!walk(api, reader, members)) {
    return refuse(facts, BodyStatus::invalid_json, reader.error(), reader.error_offset());
  }
  if (members.model.is_string()) assign_unescaped(members.model.raw, facts.model);
  facts.streaming = members.stream.is(JsonKind::boolean_true);
  if (members.prompt_cache_key.is_string()) {
    assign_unescaped(members.prompt_cache_key.raw, facts.prompt_cache_key);
    trim(facts.prompt_cache_key);
  }
  switch (api) {
    case RequestApi::messages:
      read_messages_request(members, facts);
      break;
    case RequestApi::chat_completions:
      read_chat_request(members, body, facts);
      break;
    case RequestApi::responses:
      read_responses_request(members, facts);
      break;
  }
  if (reader.too_deep()) {
    facts.status = BodyStatus::unreadable;
    facts.insert_usage = false;
  }
}

}  // namespace

void RequestFacts::clear() {
  status = BodyStatus::ok;
  error_offset = 0;
  error.clear();
  model.clear();
  streaming = false;
  has_prompt = false;
  prompt.clear();
  prompt_truncated = false;
  prompt_size = 0;
  correlating_tool_call_id.clear();
  metadata_session_id.clear();
  prompt_cache_key.clear();
  insert_usage = false;
  insert_offset = 0;
  replaced_size = 0;
  insert_text.clear();
}

void trim(std::string& text) {
  constexpr std::string_view kBlanks = " \t\n\v\f\r";
  text.erase(text.find_last_not_of(kBlanks) + 1);
  text.erase(0, text.find_first_not_of(kBlanks));
}

bool Turn::is_setting() const {
  if (!role.is(JsonKind::none) && !role.is(JsonKind::null)) return false;
  char room[64];
  const std::string_view shortened = type.short_text(room);
  const std::string_view kind = shortened.empty() && type.is_string() ? type.raw : shortened;  // a long one
  return kind != "message" && kind != "reasoning" && !kind.ends_with("_call") && !kind.ends_with("_output");
}

JsonValue read_turns(RequestApi api, JsonReader& reader, Turn& last) {
  const bool responses = api == RequestApi::responses;
  const std::string_view call_id_key = responses ? "call_id" : "tool_call_id";
  last = {};
  if (reader.peek() != JsonKind::array) return reader.value();
  reader.enter();
  while (reader.next_element()) {
    Turn turn;
    turn.seen = true;
    const bool is_object = reader.peek() == JsonKind::object;
    if (is_object) {
      reader.enter();
      std::string_view key;
      while (reader.next_member(key)) {
        const JsonValue value = reader.value();
        if (key == "role") turn.role = value;
        if (key == "content") turn.content = value;
        if (key == "type") turn.type = value;
        if (key == call_id_key) turn.call_id = value;
      }
    } else {
      reader.value();
    }
    const bool passed_over = turn.is_instruction() || (responses && is_object && turn.is_setting());
    if (!passed_over) last = turn;
  }
  return {};
}

PromptWriter::PromptWriter(RequestFacts& facts) : facts_(facts) {
  text_.text.swap(facts.prompt);
  text_.clear();
  facts.has_prompt = true;
}

PromptWriter::~PromptWriter() {
  text_.text.swap(facts_.prompt);
  facts_.prompt_size = text_.size;
  facts_.prompt_truncated = text_.truncated;
}

void PromptWriter::append(const JsonValue& text, std::string_view separator) {
  if (!separator.empty()) text_.append(separator);
  append_unescaped(text.raw, text_);
}

struct RequestReader::Impl {
  ContentDecoder decoder;
  ByteBuffer decoded;
};

RequestReader::RequestReader() : impl_(std::make_unique<Impl>()) {}
RequestReader::~RequestReader() = default;

void RequestReader::read(RequestApi api, const ByteBuffer& body, std::string_view content_encoding, RequestFacts& facts,
                         size_t decoded_max) {
  facts.clear();
  if (body.empty()) return refuse(facts, BodyStatus::empty, "the body is empty", 0);
  const ContentCoding coding = content_coding_of(content_encoding);
  if (coding == ContentCoding::identity) return read_json(api, body.view(), facts);

  // What we cannot judge we do not refuse: it is forwarded, and told as unreadable.
  if (!decode_body(impl_->decoder, coding, body.view(), decoded_max, impl_->decoded)) {
    facts.status = BodyStatus::unreadable;
  } else {
    read_json(api, impl_->decoded.view(), facts);
    if (facts.status != BodyStatus::ok) {
      facts.clear();
      facts.status = BodyStatus::unreadable;
    }
    facts.insert_usage = false;
  }
  if (impl_->decoded.capacity() > kDecodedKeptMax) impl_->decoded.release();
}

}  // namespace weir::reader
