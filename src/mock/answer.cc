#include "mock/answer.h"

#include <simdjson.h>

#include "mock/answer_apis.h"
#include "mock/json_text.h"

namespace weir::mock {

namespace {

constexpr std::string_view kText =
    "Hello from the mock provider of weir. No model wrote this: the words only travel the way that an answer does, "
    "one event after the other, so that you can see how the gateway works on a stream. ";
// What comes without options ends with a sentence.
static_assert(Shape{}.events * Shape{}.event_bytes % kText.size() == 0);
constexpr std::string_view kModels[] = {"claude-opus-4-8", "claude-sonnet-4-5", "gpt-5.1", "gpt-5.1-mini"};

bool ends_with_model(std::string_view path) {
  const size_t at = path.rfind("/models/");
  return at != std::string_view::npos && at + 8 < path.size();
}

void write_model(const Ask& ask, std::string_view id, std::string& out) {
  if (ask.anthropic) {
    put(out, {R"({"type":"model","id":)"});
    append_json(out, id);
    put(out, {R"(,"display_name":)"});
    append_json(out, id);
    put(out, {R"(,"created_at":"2026-01-01T00:00:00Z"})"});
  } else {
    put(out, {R"({"id":)"});
    append_json(out, id);
    put(out, {R"(,"object":"model","created":1767225600,"owned_by":"weir-mock"})"});
  }
}

void write_models(const Ask& ask, std::string& out) {
  put(out, {ask.anthropic ? R"({"data":[)" : R"({"object":"list","data":[)"});
  for (const std::string_view& model : kModels) {
    if (&model != kModels) out += ',';
    write_model(ask, model, out);
  }
  put(out, {ask.anthropic ? R"(],"has_more":false,"first_id":"claude-opus-4-8","last_id":"gpt-5.1-mini"})" : "]}"});
}

std::string_view error_type(const Ask& ask, uint16_t status) {
  if (status == 401) return "authentication_error";
  if (status == 403) return "permission_error";
  if (status == 404) return ask.anthropic ? "not_found_error" : "invalid_request_error";
  if (status == 413 && ask.anthropic) return "request_too_large";
  if (status == 429) return "rate_limit_error";
  if (status < 500) return "invalid_request_error";
  if (!ask.anthropic) return "server_error";
  return status == 529 ? "overloaded_error" : "api_error";
}

}  // namespace

Api api_of_path(std::string_view path) {
  if (path.ends_with("/messages")) return Api::messages;
  if (path.ends_with("/messages/count_tokens")) return Api::count_tokens;
  if (path.ends_with("/chat/completions")) return Api::chat_completions;
  if (path.ends_with("/responses")) return Api::responses;
  if (path.ends_with("/models")) return Api::models;
  if (ends_with_model(path)) return Api::model;
  if (path.ends_with("/embeddings")) return Api::embeddings;
  return Api::none;
}

bool read_ask(std::string_view body, Ask& ask) {
  namespace on_demand = simdjson::ondemand;
  static thread_local on_demand::parser parser;
  on_demand::document document;
  on_demand::object members;
  if (parser.iterate(body.data(), body.size(), body.size() + simdjson::SIMDJSON_PADDING).get(document) !=
          simdjson::SUCCESS ||
      document.get_object().get(members) != simdjson::SUCCESS) {
    return false;
  }
  for (auto member : members) {
    std::string_view key, text;
    bool flag = false;
    if (member.unescaped_key().get(key) != simdjson::SUCCESS) return false;
    if (key == "model") {
      if (member.value().get_string().get(text) == simdjson::SUCCESS) ask.model = text;
    } else if (key == "stream") {
      if (member.value().get_bool().get(flag) == simdjson::SUCCESS) ask.stream = flag;
    } else if (key == "stream_options") {
      if (member.value()["include_usage"].get_bool().get(flag) == simdjson::SUCCESS) ask.include_usage = flag;
    }
  }
  // About what a tokenizer would count.
  ask.prompt_tokens = body.size() / 4 + 1;
  return true;
}

void append_piece(size_t index, uint32_t size, std::string& out) {
  size_t from = index * size % kText.size();
  while (size > 0) {
    const std::string_view piece = kText.substr(from, size);
    out.append(piece);
    size -= static_cast<uint32_t>(piece.size());
    from = 0;
  }
}

void append_event_text(size_t index, const Shape& shape, std::string& out) {
  if (shape.stamped) out += kStampPlace;
  append_piece(index, shape.event_bytes, out);
}

void stamp(std::string& event, uint64_t now_ns) {
  const size_t at = event.rfind(kStampPlace);
  if (at == std::string::npos) return;
  for (size_t i = kStampPlace.size() - 1; i > 0; i--, now_ns >>= 4) event[at + i] = "0123456789abcdef"[now_ns & 15];
}

void append_text(const Shape& shape, std::string& out) {
  for (uint32_t i = 0; i < shape.events; i++) append_piece(i, shape.event_bytes, out);
}

EventStream::EventStream(const Ask& ask, const Shape& shape, std::string_view id)
    : ask_(&ask), shape_(&shape), id_(id) {
  if (ask.api == Api::messages) MessagesEvents::arrange(*this);
  if (ask.api == Api::chat_completions) ChatEvents::arrange(*this);
  if (ask.api == Api::responses) ResponsesEvents::arrange(*this);
}

void EventStream::write(size_t index, std::string& out) const {
  if (index < before_.size()) return before_[index](*this, out);
  index -= before_.size();
  if (index < shape_->events) return piece_(*this, index, out);
  after_[index - shape_->events](*this, out);
}

void write_body(const Ask& ask, const Shape& shape, std::string_view id, std::string& out) {
  switch (ask.api) {
    case Api::messages:
      return write_messages_body(ask, shape, id, out);
    case Api::chat_completions:
      return write_chat_body(ask, shape, id, out);
    case Api::responses:
      return write_responses_body(ask, shape, id, out);
    case Api::count_tokens:
      return put(out, {R"({"input_tokens":)", std::to_string(ask.prompt_tokens), "}"});
    case Api::models:
      return write_models(ask, out);
    case Api::model:
      return write_model(ask, ask.model, out);
    case Api::embeddings:
      return put(out, {R"({"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.25,-0.5]}],)",
                       R"("model":"text-embedding-mock","usage":{"prompt_tokens":)", std::to_string(ask.prompt_tokens),
                       R"(,"total_tokens":)", std::to_string(ask.prompt_tokens), "}}"});
    case Api::none:
      return write_error(ask, 404, "the mock provider has no such path", out);
  }
}

void write_error(const Ask& ask, uint16_t status, std::string_view message, std::string& out) {
  put(out, {ask.anthropic ? R"({"type":"error","error":{"type":")" : R"({"error":{"type":")", error_type(ask, status),
            R"(","message":)"});
  append_json(out, message);
  put(out, {ask.anthropic ? R"(},"request_id":"req_mock"})" : R"(,"param":null,"code":null}})"});
}

}  // namespace weir::mock
