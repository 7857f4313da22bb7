// Chat Completions.
#include "mock/answer_apis.h"
#include "mock/json_text.h"

namespace weir::mock {

namespace {

constexpr std::string_view kCreated = "1767225600";

std::string usage(const Ask& ask, const Shape& shape) {
  return R"({"prompt_tokens":)" + std::to_string(ask.prompt_tokens) + R"(,"completion_tokens":)" +
         std::to_string(shape.events) + R"(,"total_tokens":)" + std::to_string(ask.prompt_tokens + shape.events) +
         R"(,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}})";
}

std::string_view finish_reason(const Shape& shape) {
  return shape.tool.empty() ? "stop" : "tool_calls";
}

void tool_call(const Shape& shape, std::string_view id, std::string_view index, std::string& out) {
  put(out, {R"("tool_calls":[{)", index, R"("id":"call_)", id, R"(","type":"function","function":{"name":)"});
  append_json(out, shape.tool);
  put(out, {R"(,"arguments":")", kToolArguments, R"("}}])"});
}

}  // namespace

// What every chunk begins with, up to the delta's first member.
static void chunk_start(const Ask& ask, std::string_view id, std::string& out) {
  put(out,
      {R"(data: {"id":"chatcmpl-)", id, R"(","object":"chat.completion.chunk","created":)", kCreated, R"(,"model":)"});
  append_json(out, ask.model);
}

void ChatEvents::arrange(EventStream& stream) {
  stream.before_.push_back([](const EventStream& self, std::string& out) {
    chunk_start(*self.ask_, self.id_, out);
    put(out, {R"(,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]})", "\n\n"});
  });
  if (stream.shape_->thinking) {
    stream.before_.push_back([](const EventStream& self, std::string& out) {
      chunk_start(*self.ask_, self.id_, out);
      put(out, {R"(,"choices":[{"index":0,"delta":{"reasoning_content":")", kThought, R"("},"finish_reason":null}]})",
                "\n\n"});
    });
  }
  stream.piece_ = [](const EventStream& self, size_t index, std::string& out) {
    chunk_start(*self.ask_, self.id_, out);
    put(out, {R"(,"choices":[{"index":0,"delta":{"content":")"});
    append_event_text(index, *self.shape_, out);
    put(out, {R"("},"finish_reason":null}]})", "\n\n"});
  };
  if (!stream.shape_->tool.empty()) {
    stream.after_.push_back([](const EventStream& self, std::string& out) {
      chunk_start(*self.ask_, self.id_, out);
      put(out, {R"(,"choices":[{"index":0,"delta":{)"});
      tool_call(*self.shape_, self.id_, R"("index":0,)", out);
      put(out, {R"(},"finish_reason":null}]})", "\n\n"});
    });
  }
  stream.after_.push_back([](const EventStream& self, std::string& out) {
    chunk_start(*self.ask_, self.id_, out);
    put(out,
        {R"(,"choices":[{"index":0,"delta":{},"finish_reason":")", finish_reason(*self.shape_), R"("}]})", "\n\n"});
  });
  if (stream.ask_->include_usage) {
    stream.after_.push_back([](const EventStream& self, std::string& out) {
      chunk_start(*self.ask_, self.id_, out);
      put(out, {R"(,"choices":[],"usage":)", usage(*self.ask_, *self.shape_), "}\n\n"});
    });
  }
  stream.after_.push_back([](const EventStream&, std::string& out) { out += "data: [DONE]\n\n"; });
}

void write_chat_body(const Ask& ask, const Shape& shape, std::string_view id, std::string& out) {
  put(out, {R"({"id":"chatcmpl-)", id, R"(","object":"chat.completion","created":)", kCreated, R"(,"model":)"});
  append_json(out, ask.model);
  put(out, {R"(,"choices":[{"index":0,"message":{"role":"assistant","content":")"});
  append_text(shape, out);
  out += "\"";
  if (shape.thinking) put(out, {R"(,"reasoning_content":")", kThought, "\""});
  if (!shape.tool.empty()) {
    out += ',';
    tool_call(shape, id, "", out);
  }
  put(out, {R"(,"refusal":null},"finish_reason":")", finish_reason(shape), R"("}],"usage":)", usage(ask, shape), "}"});
}

}  // namespace weir::mock
