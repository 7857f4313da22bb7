#include <doctest/doctest.h>

#include "reader/answer_samples.h"
#include "reader/support.h"

namespace weir::reader {
namespace {

const AnswerSettings kStream{.api = RequestApi::messages, .stream = true};
const AnswerSettings kBody{.api = RequestApi::messages};

std::string event(const std::string& data) {
  return "event: x\ndata: " + data + "\n\n";
}

const std::string kStart =
    event(R"({"type":"message_start","message":{"id":"msg_1","usage":{"input_tokens":10,"output_tokens":1}}})");
const std::string kStop = event(R"({"type":"message_stop"})");

std::string block(int index, const std::string& start, const std::vector<std::string>& deltas, bool stop = true) {
  const std::string at = std::to_string(index);
  std::string text = event(R"({"type":"content_block_start","index":)" + at + R"(,"content_block":)" + start + "}");
  for (const std::string& delta : deltas) {
    text += event(joined({R"({"type":"content_block_delta","index":)", at, R"(,"delta":)", delta, "}"}));
  }
  if (stop) text += event(R"({"type":"content_block_stop","index":)" + at + "}");
  return text;
}

std::string tool(int index, const std::string& id, const std::vector<std::string>& deltas, bool stop = true) {
  std::vector<std::string> json;
  json.reserve(deltas.size());
  for (const std::string& delta : deltas) {
    json.push_back(joined({R"({"type":"input_json_delta","partial_json":")", delta, "\"}"}));
  }
  return block(index, R"({"type":"tool_use","id":")" + id + R"(","name":"Read","input":{}})", json, stop);
}

std::string thinking(int index, const std::vector<std::string>& deltas, bool stop = true) {
  std::vector<std::string> json;
  json.reserve(deltas.size());
  for (const std::string& delta : deltas) {
    json.push_back(joined({R"({"type":"thinking_delta","thinking":")", delta, "\"}"}));
  }
  return block(index, R"({"type":"thinking","thinking":"","signature":""})", json, stop);
}

const std::string kUsage = "usage msg_1 10 1 0 0 {}\n";

}  // namespace

TEST_CASE("messages answer: the sample stream in every split") {
  check_every_split(kStream, samples::kMessagesStream);
  CHECK(read_answer(kStream, samples::kMessagesStream) ==
        "usage msg_01 25 40 7 3 {\"cache_write_5m\":3,\"web_search_requests\":1}\n"
        "thought thinking Let me look.\n"
        "tool msg_01 toolu_1 Read {\"path\":\"a\\u00e9\"}\n"
        "tool msg_01 toolu_2 List {}\n"
        "ended ");
}

TEST_CASE("messages answer: of every count the last report holds") {
  const auto usage_after = [](const std::string& delta) {
    return read_answer(kStream, kStart + event(R"({"type":"message_delta","usage":)" + delta + "}") + kStop);
  };
  CHECK(usage_after(R"({"output_tokens":70})") == "usage msg_1 10 70 0 0 {}\nended ");
  CHECK(usage_after(R"({"output_tokens":70,"input_tokens":12,"cache_read_input_tokens":5})") ==
        "usage msg_1 12 70 5 0 {}\nended ");
  CHECK(usage_after(R"({"output_tokens":0,"input_tokens":null,"cache_creation":null})") ==
        "usage msg_1 10 0 0 0 {}\nended ");
  CHECK(usage_after(R"({"cache_creation_input_tokens":9,"cache_creation":{"ephemeral_5m_input_tokens":4,)"
                    R"("ephemeral_1h_input_tokens":5},"server_tool_use":{"web_search_requests":2}})") ==
        "usage msg_1 10 1 0 9 {\"cache_write_5m\":4,\"cache_write_1h\":5,\"web_search_requests\":2}\nended ");
  CHECK(usage_after("null") == "usage msg_1 10 1 0 0 {}\nended ");
}

TEST_CASE("messages answer: a stream without usage has none") {
  CHECK(read_answer(kStream, event(R"({"type":"message_start","message":{"id":"m"}})") + kStop) == "ended ");
  CHECK(read_answer(kStream, event(R"({"type":"future","usage":{"input_tokens":1}})") + kStop) == "ended ");
}

TEST_CASE("messages answer: tools from their input deltas") {
  CHECK(read_answer(kStream, kStart + tool(0, "t0", {"{\\\"a", "\\\":1}"}) + tool(1, "t1", {}) + kStop) ==
        kUsage + "tool msg_1 t0 Read {\"a\":1}\ntool msg_1 t1 Read {}\nended ");
  CHECK(read_answer(kStream, kStart + tool(0, "t0", {""}) + kStop) == kUsage + "tool msg_1 t0 Read {}\nended ");
  const std::string with_input = R"({"type":"tool_use","id":"t","name":"n","input":{"a":1}})";
  CHECK(read_answer(kStream, kStart + block(0, with_input, {}) + kStop) == kUsage + "tool msg_1 t n {\"a\":1}\nended ");
  CHECK(read_answer(kStream, kStart + block(0, with_input, {R"({"type":"input_json_delta","partial_json":"{}"})"}) +
                                 kStop) == kUsage + "tool msg_1 t n {}\nended ");
}

TEST_CASE("messages answer: blocks that interleave keep their own deltas, in the order of their starts") {
  const std::string interleaved =
      tool(0, "t0", {"a"}, false) + thinking(1, {"x"}, false) +
      event(R"({"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"b"}})") +
      event(R"({"type":"content_block_delta","index":1,"delta":{"type":"thinking_delta","thinking":"y"}})");
  CHECK(read_answer(kStream, kStart + interleaved + kStop) ==
        kUsage + "tool msg_1 t0 Read ab\nthought thinking xy\nended ");
}

TEST_CASE("messages answer: server tools and other blocks are no tool usages") {
  for (const std::string type : {"server_tool_use", "mcp_tool_use", "web_search_tool_result", "redacted_thinking"}) {
    CAPTURE(type);
    const std::string start = joined({R"({"type":")", type, R"(","id":"t","name":"n","input":{},"thinking":"x"})"});
    const std::string whole = block(0, start, {R"({"type":"input_json_delta","partial_json":"{}"})"});
    CHECK(read_answer(kStream, joined({kStart, whole, kStop})) == joined({kUsage, "ended "}));
  }
}

TEST_CASE("messages answer: thoughts are what is not empty") {
  CHECK(read_answer(kStream, kStart + thinking(0, {"a", "\\n", "b"}) + thinking(1, {}) + thinking(2, {""}) + kStop) ==
        kUsage + "thought thinking a\nb\nended ");
  CHECK(read_answer(kStream, kStart +
                                 block(0, R"({"type":"thinking","thinking":"pre"})",
                                       {R"({"type":"thinking_delta","thinking":"fix"})"}) +
                                 kStop) == kUsage + "thought thinking prefix\nended ");
}

TEST_CASE("messages answer: what a cut stream had completed is recorded") {
  const std::string cut = kStart + thinking(0, {"a"}) + tool(1, "t1", {"{}"}) + tool(2, "t2", {"{\\\"a"}, false);
  CHECK(read_answer(kStream, cut, false) == kUsage + "thought thinking a\ntool msg_1 t1 Read {}\n");
  CHECK(read_answer(kStream, cut, true) == kUsage + "thought thinking a\ntool msg_1 t1 Read {}\n");
  CHECK(read_answer(kStream, cut + kStop) ==
        kUsage + "thought thinking a\ntool msg_1 t1 Read {}\ntool msg_1 t2 Read {\"a\nended ");
}

TEST_CASE("messages answer: a stream cut inside an event is not unreadable for it") {
  CHECK(read_answer(kStream, kStart + "event: x\ndata: {\"type\":\"mess", false) == kUsage);
  CHECK(read_answer(kStream, kStart + "event: x\ndata: {\"type\":\"mess", true) == kUsage);
  CHECK(read_answer(kStream, kStart + "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":9}}", false) ==
        "usage msg_1 10 9 0 0 {}\n");
}

TEST_CASE("messages answer: an error event fails the exchange, with its status") {
  const std::string error = event(R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})");
  CHECK(read_answer(kStream, kStart + tool(0, "t0", {}) + tool(1, "t1", {}, false) + error) ==
        kUsage + "tool msg_1 t0 Read {}\nended failed(overloaded_error,Overloaded,529)");
  const std::pair<const char*, const char*> statuses[] = {
      {"invalid_request_error", "400"},
      {"authentication_error", "401"},
      {"billing_error", "402"},
      {"permission_error", "403"},
      {"not_found_error", "404"},
      {"request_too_large", "413"},
      {"rate_limit_error", "429"},
      {"api_error", "500"},
      {"timeout_error", "504"},
      {"overloaded_error", "529"},
      {"new_error", "0"},
  };
  for (const auto& [type, status] : statuses) {
    const std::string one = event(std::string(R"({"type":"error","error":{"type":")") + type + "\"}}");
    CHECK(read_answer(kStream, one) == std::string("ended failed(") + type + ",," + status + ")");
  }
}

TEST_CASE("messages answer: the type is the data's; without one the name decides") {
  CHECK(read_answer(kStream, "event: ping\ndata: {\"type\":\"message_stop\"}\n\n") == "ended ");
  CHECK(read_answer(kStream, "event: message_stop\ndata: {\"type\":\"ping\"}\n\n").empty());
  CHECK(read_answer(kStream, "event: message_stop\ndata: {}\n\n") == "ended ");
  CHECK(read_answer(kStream, "data: {\"ty\\u0070e\":\"message\\u005fstop\"}\n\n") == "ended ");
  CHECK(read_answer(kStream, "data: { \"index\" : 0 , \"type\" :\ndata: \"message_stop\" }\n\n") == "ended ");
}

TEST_CASE("messages answer: text deltas that look alike are still read") {
  const auto delta = [](const std::string& inner) {
    return event(R"({"type":"content_block_delta","index":0,"delta":{)" + inner + "}}");
  };
  const std::string text = delta(R"("type":"text_delta","text":"a")");
  CHECK(read_answer(kStream, text + text + delta(R"("type":"text_delta","text":"b\q")") + text) ==
        "unreadable missed ");
  CHECK(read_answer(kStream, text + delta("\"type\":\"text_delta\",\"text\":\"\xFF\"") + text) == "unreadable missed ");
  CHECK(read_answer(kStream, text + delta(R"("type":"text_delta","text":"a"}, "x":{)") + text).empty());
  const std::string in_text = R"("type":"text_delta","text":"a","type":"thinking_delta","thinking":"t")";
  CHECK(read_answer(kStream, text + block(0, R"({"type":"thinking","thinking":""})", {"{" + in_text + "}"}) + text) ==
        "thought thinking t\n");
}

TEST_CASE("messages answer: an event that is not JSON makes it unreadable, and the rest is read") {
  CHECK(read_answer(kStream, kStart + event("{\"type\":") + kStop) == kUsage + "ended unreadable missed ");
  CHECK(read_answer(kStream, kStart + event("hello") + kStop) == kUsage + "ended unreadable missed ");
  CHECK(read_answer(kStream, kStart + event("17") + event("[]") + event("") + event("  ") + kStop) ==
        kUsage + "ended ");
}

TEST_CASE("messages answer: a body that is no stream") {
  CHECK(read_answer(kBody, samples::kMessagesBody) ==
        "usage msg_02 5 95 23490 0 {}\n"
        "thought thinking Hm.\n"
        "tool msg_02 toolu_1 Read {\"path\": \"foo\"}\n"
        "tool msg_02 toolu_2 Read {}\n"
        "ended ");
  check_every_split(kBody, samples::kMessagesBody);
  CHECK(read_answer(kBody, "{\"type\":\"message\"") == "ended unreadable ");
  CHECK(read_answer(kBody, "") == "ended unreadable ");
  CHECK(read_answer(kBody, "[]") == "ended ");
  CHECK(read_answer(kBody, "{\"type\":\"mess", false) == "ended ");
}

TEST_CASE("messages answer: error bodies") {
  AnswerSettings settings = kBody;
  settings.status = 529;
  CHECK(read_answer(settings, R"({"type":"error","error":{"type":"overloaded_error","message":"M"}})") ==
        "ended failed(overloaded_error,M,529)");
  CHECK(read_answer(settings, "<html>") == "ended unreadable failed(,,0)");
  CHECK(read_answer(settings, "") == "ended unreadable failed(,,0)");
  CHECK(read_answer(settings, R"({"error":"text"})") == "ended failed(,text,0)");
}

TEST_CASE("messages answer: what is not wanted is not collected") {
  AnswerSettings settings = kStream;
  settings.want_tools = false;
  CHECK(read_answer(settings, kStart + thinking(0, {"a"}) + tool(1, "t", {"{}"}) + kStop) ==
        kUsage + "thought thinking a\nended ");
  settings.want_tools = true;
  settings.want_thoughts = false;
  CHECK(read_answer(settings, kStart + thinking(0, {"a"}) + tool(1, "t", {"{}"}) + kStop) ==
        kUsage + "tool msg_1 t Read {}\nended ");
}

TEST_CASE("messages answer: long arguments are cut, and their size is told") {
  std::vector<std::string> deltas(100, std::string(1000, 'a'));
  CHECK(read_answer(kStream, kStart + tool(0, "t", deltas) + kStop) ==
        kUsage + "tool msg_1 t Read " + std::string(65536, 'a') + " cut from 100000\nended ");
}

}  // namespace weir::reader
