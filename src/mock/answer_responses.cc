// OpenAI Responses.
#include "mock/answer_apis.h"
#include "mock/json_text.h"

namespace weir::mock {

namespace {

std::string usage(const Ask& ask, const Shape& shape) {
  return R"({"input_tokens":)" + std::to_string(ask.prompt_tokens) +
         R"(,"input_tokens_details":{"cached_tokens":0},"output_tokens":)" + std::to_string(shape.events) +
         R"(,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":)" +
         std::to_string(ask.prompt_tokens + shape.events) + "}";
}

std::string_view message_index(const Shape& shape) {
  return shape.thinking ? "1" : "0";
}
std::string_view tool_index(const Shape& shape) {
  return shape.thinking ? "2" : "1";
}

std::string reasoning_item(std::string_view id) {
  std::string item;
  put(item, {R"({"id":"rs_)", id, R"(","type":"reasoning","summary":[{"type":"summary_text","text":")", kThought,
             R"("}],"encrypted_content":null})"});
  return item;
}

void message_item(const Shape& shape, std::string_view id, std::string& out) {
  put(out, {R"({"id":"msg_)", id, R"(","type":"message","status":"completed","role":"assistant","content":[)",
            R"({"type":"output_text","annotations":[],"logprobs":[],"text":")"});
  append_text(shape, out);
  out += "\"}]}";
}

void tool_item(const Shape& shape, std::string_view id, std::string& out) {
  put(out,
      {R"({"id":"fc_)", id, R"(","type":"function_call","status":"completed","call_id":"call_)", id, R"(","name":)"});
  append_json(out, shape.tool);
  put(out, {R"(,"arguments":")", kToolArguments, R"("})"});
}

void output_items(const Shape& shape, std::string_view id, std::string& out) {
  out += '[';
  if (shape.thinking) put(out, {reasoning_item(id), ","});
  message_item(shape, id, out);
  if (!shape.tool.empty()) {
    out += ',';
    tool_item(shape, id, out);
  }
  out += ']';
}

// The response object; `status` is "in_progress" (no output, no usage yet) or "completed".
void response_object(const Ask& ask, const Shape& shape, std::string_view id, bool completed, std::string& out) {
  put(out, {R"({"id":"resp_)", id, R"(","object":"response","created_at":1767225600,"status":")",
            completed ? "completed" : "in_progress",
            R"(","background":false,"error":null,"incomplete_details":null,"instructions":null,)",
            R"("max_output_tokens":null,"model":)"});
  append_json(out, ask.model);
  put(out, {R"(,"output":)"});
  if (completed) {
    output_items(shape, id, out);
  } else {
    out += "[]";
  }
  put(out, {R"(,"parallel_tool_calls":true,"previous_response_id":null,"store":false,"temperature":1.0,)",
            R"("text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled",)",
            R"("usage":)", completed ? usage(ask, shape) : "null", R"(,"user":null,"metadata":{}})"});
}

// `event: NAME`, and a data line up to the type member.
void event(std::string_view name, std::string& out) {
  put(out, {"event: ", name, "\ndata: {\"type\":\"", name, "\""});
}

}  // namespace

void ResponsesEvents::arrange(EventStream& stream) {
  using Self = const EventStream&;
  stream.before_.push_back([](Self self, std::string& out) {
    event("response.created", out);
    put(out, {R"(,"sequence_number":0,"response":)"});
    response_object(*self.ask_, *self.shape_, self.id_, false, out);
    out += "}\n\n";
  });
  stream.before_.push_back([](Self self, std::string& out) {
    event("response.in_progress", out);
    put(out, {R"(,"sequence_number":1,"response":)"});
    response_object(*self.ask_, *self.shape_, self.id_, false, out);
    out += "}\n\n";
  });
  if (stream.shape_->thinking) {
    stream.before_.push_back([](Self self, std::string& out) {
      event("response.output_item.done", out);
      put(out, {R"(,"output_index":0,"item":)", reasoning_item(self.id_), "}\n\n"});
    });
  }
  stream.before_.push_back([](Self self, std::string& out) {
    event("response.output_item.added", out);
    put(out, {R"(,"output_index":)", message_index(*self.shape_), R"(,"item":{"id":"msg_)", self.id_,
              R"(","type":"message","status":"in_progress","role":"assistant","content":[]}})", "\n\n"});
  });
  stream.before_.push_back([](Self self, std::string& out) {
    event("response.content_part.added", out);
    put(out, {R"(,"item_id":"msg_)", self.id_, R"(","output_index":)", message_index(*self.shape_),
              R"(,"content_index":0,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":""}})", "\n\n"});
  });
  stream.piece_ = [](Self self, size_t index, std::string& out) {
    event("response.output_text.delta", out);
    put(out, {R"(,"item_id":"msg_)", self.id_, R"(","output_index":)", message_index(*self.shape_),
              R"(,"content_index":0,"logprobs":[],"delta":")"});
    append_event_text(index, *self.shape_, out);
    out += "\"}\n\n";
  };
  stream.after_.push_back([](Self self, std::string& out) {
    event("response.output_text.done", out);
    put(out, {R"(,"item_id":"msg_)", self.id_, R"(","output_index":)", message_index(*self.shape_),
              R"(,"content_index":0,"logprobs":[],"text":")"});
    append_text(*self.shape_, out);
    out += "\"}\n\n";
  });
  stream.after_.push_back([](Self self, std::string& out) {
    event("response.output_item.done", out);
    put(out, {R"(,"output_index":)", message_index(*self.shape_), R"(,"item":)"});
    message_item(*self.shape_, self.id_, out);
    out += "}\n\n";
  });
  if (!stream.shape_->tool.empty()) {
    stream.after_.push_back([](Self self, std::string& out) {
      event("response.output_item.done", out);
      put(out, {R"(,"output_index":)", tool_index(*self.shape_), R"(,"item":)"});
      tool_item(*self.shape_, self.id_, out);
      out += "}\n\n";
    });
  }
  stream.after_.push_back([](Self self, std::string& out) {
    event("response.completed", out);
    put(out, {R"(,"response":)"});
    response_object(*self.ask_, *self.shape_, self.id_, true, out);
    out += "}\n\n";
  });
}

void write_responses_body(const Ask& ask, const Shape& shape, std::string_view id, std::string& out) {
  response_object(ask, shape, id, true, out);
}

}  // namespace weir::mock
