// Anthropic Messages.
#include "mock/answer_apis.h"
#include "mock/json_text.h"

namespace weir::mock {

namespace {

std::string usage(const Ask& ask, uint32_t output) {
  return R"({"input_tokens":)" + std::to_string(ask.prompt_tokens) +
         R"(,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":)" + std::to_string(output) +
         R"(,"service_tier":"standard"})";
}

std::string_view stop_reason(const Shape& shape) {
  return shape.tool.empty() ? "end_turn" : "tool_use";
}

// Of the text block: 1 after a thought.
std::string_view text_index(const Shape& shape) {
  return shape.thinking ? "1" : "0";
}
std::string_view tool_index(const Shape& shape) {
  return shape.thinking ? "2" : "1";
}

void block_start(std::string_view index, std::string_view block, std::string& out) {
  put(out, {"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":", index,
            ",\"content_block\":", block, "}\n\n"});
}
void block_delta(std::string_view index, std::string_view delta, std::string& out) {
  put(out, {"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":", index,
            ",\"delta\":", delta, "}\n\n"});
}
void block_stop(std::string_view index, std::string& out) {
  put(out, {"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":", index, "}\n\n"});
}

}  // namespace

void MessagesEvents::arrange(EventStream& stream) {
  const auto& shape = *stream.shape_;
  stream.before_.push_back([](const EventStream& self, std::string& out) {
    put(out, {"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_", self.id_,
              R"(","type":"message","role":"assistant","model":)"});
    append_json(out, self.ask_->model);
    put(out, {R"(,"content":[],"stop_reason":null,"stop_sequence":null,"usage":)", usage(*self.ask_, 1), "}}\n\n"});
  });
  if (shape.thinking) {
    stream.before_.push_back([](const EventStream&, std::string& out) {
      block_start("0", R"({"type":"thinking","thinking":"","signature":""})", out);
    });
    stream.before_.push_back([](const EventStream&, std::string& out) {
      const std::string delta = R"({"type":"thinking_delta","thinking":")" + std::string(kThought) + R"("})";
      block_delta("0", delta, out);
    });
    stream.before_.push_back([](const EventStream&, std::string& out) {
      block_delta("0", R"({"type":"signature_delta","signature":"bW9jaw=="})", out);
    });
    stream.before_.push_back([](const EventStream&, std::string& out) { block_stop("0", out); });
  }
  stream.before_.push_back([](const EventStream& self, std::string& out) {
    block_start(text_index(*self.shape_), R"({"type":"text","text":""})", out);
  });
  stream.before_.push_back(
      [](const EventStream&, std::string& out) { put(out, {"event: ping\ndata: {\"type\":\"ping\"}\n\n"}); });
  stream.piece_ = [](const EventStream& self, size_t index, std::string& out) {
    put(out, {"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":",
              text_index(*self.shape_), R"(,"delta":{"type":"text_delta","text":")"});
    append_event_text(index, *self.shape_, out);
    out += "\"}}\n\n";
  };
  stream.after_.push_back([](const EventStream& self, std::string& out) { block_stop(text_index(*self.shape_), out); });
  if (!shape.tool.empty()) {
    stream.after_.push_back([](const EventStream& self, std::string& out) {
      std::string block = R"({"type":"tool_use","id":"toolu_)" + self.id_ + R"(","name":)";
      append_json(block, self.shape_->tool);
      block += R"(,"input":{}})";
      block_start(tool_index(*self.shape_), block, out);
    });
    stream.after_.push_back([](const EventStream& self, std::string& out) {
      const std::string delta =
          R"({"type":"input_json_delta","partial_json":")" + std::string(kToolArguments) + R"("})";
      block_delta(tool_index(*self.shape_), delta, out);
    });
    stream.after_.push_back(
        [](const EventStream& self, std::string& out) { block_stop(tool_index(*self.shape_), out); });
  }
  stream.after_.push_back([](const EventStream& self, std::string& out) {
    put(out, {"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"",
              stop_reason(*self.shape_), R"(","stop_sequence":null},"usage":)", usage(*self.ask_, self.shape_->events),
              "}\n\n"});
  });
  stream.after_.push_back([](const EventStream&, std::string& out) {
    put(out, {"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"});
  });
}

void write_messages_body(const Ask& ask, const Shape& shape, std::string_view id, std::string& out) {
  put(out, {R"({"id":"msg_)", id, R"(","type":"message","role":"assistant","model":)"});
  append_json(out, ask.model);
  put(out, {R"(,"content":[)"});
  if (shape.thinking) put(out, {R"({"type":"thinking","thinking":")", kThought, R"(","signature":"bW9jaw=="},)"});
  put(out, {R"({"type":"text","text":")"});
  append_text(shape, out);
  put(out, {R"("})"});
  if (!shape.tool.empty()) {
    put(out, {R"(,{"type":"tool_use","id":"toolu_)", id, R"(","name":)"});
    append_json(out, shape.tool);
    put(out, {R"(,"input":{"path":"README.md"}})"});
  }
  put(out, {R"(],"stop_reason":")", stop_reason(shape), R"(","stop_sequence":null,"usage":)", usage(ask, shape.events),
            "}"});
}

}  // namespace weir::mock
