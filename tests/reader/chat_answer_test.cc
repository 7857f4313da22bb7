#include <doctest/doctest.h>

#include "reader/answer_samples.h"
#include "reader/support.h"

namespace weir::reader {
namespace {

const AnswerSettings kStream{.api = RequestApi::chat_completions, .stream = true};
const AnswerSettings kBody{.api = RequestApi::chat_completions};
const std::string kDone = "data: [DONE]\n\n";

std::string chunk(const std::string& choices, const std::string& more = {}) {
  return R"(data: {"id":"c1","choices":[)" + choices + "]" + more + "}\n\n";
}
std::string delta(const std::string& inner, int choice = 0, const std::string& finish = "null") {
  return chunk(R"({"index":)" + std::to_string(choice) + R"(,"delta":{)" + inner + R"(},"finish_reason":)" + finish +
               "}");
}
std::string call(const std::string& inner) {
  return delta(R"("tool_calls":[)" + inner + "]");
}

std::string usage_line(const std::string& usage) {
  return read_answer(kStream, chunk("", ",\"usage\":" + usage) + kDone);
}

}  // namespace

TEST_CASE("chat answer: the sample stream in every split") {
  check_every_split(kStream, samples::kChatStream);
  CHECK(read_answer(kStream, samples::kChatStream) ==
        "usage chatcmpl-1 18 9 12 0 {\"reasoning\":4,\"input_audio\":2,\"accepted_prediction\":1}\n"
        "thought thinking Thinking.\n"
        "tool chatcmpl-1 call_a f {\"x\":1}\n"
        "tool chatcmpl-1 call_b g \n"
        "ended ");
}

TEST_CASE("chat answer: input is what was not cached, and never negative") {
  CHECK(usage_line(R"({"prompt_tokens":10,"completion_tokens":2})") == "usage c1 10 2 0 0 {}\nended ");
  CHECK(usage_line(R"({"prompt_tokens":10,"prompt_tokens_details":{"cached_tokens":12}})") ==
        "usage c1 0 0 12 0 {}\nended ");
  CHECK(usage_line(R"({"prompt_tokens":1,"prompt_tokens_details":null,"completion_tokens_details":{"audio_tokens":5,)"
                   R"("rejected_prediction_tokens":6,"accepted_prediction_tokens":0}})") ==
        "usage c1 1 0 0 0 {\"output_audio\":5,\"rejected_prediction\":6}\nended ");
  CHECK(usage_line("null") == "ended ");
}

TEST_CASE("chat answer: usage on every chunk is not added up") {
  const std::string stream = chunk("", R"(,"usage":{"prompt_tokens":10,"completion_tokens":1})") +
                             chunk("", R"(,"usage":{"prompt_tokens":10,"completion_tokens":2})") +
                             chunk("", R"(,"usage":{"completion_tokens":3})") + kDone;
  CHECK(read_answer(kStream, stream) == "usage c1 10 3 0 0 {}\nended ");
}

TEST_CASE("chat answer: arguments accumulate by index, of parallel calls too") {
  CHECK(read_answer(kStream,
                    call(R"({"index":1,"id":"b","function":{"name":"g","arguments":"1"}})") +
                        call(R"({"index":0,"id":"a","function":{"name":"f","arguments":"2"}})") +
                        call(R"({"index":1,"function":{"arguments":"3"}},{"index":0,"function":{"arguments":"4"}})") +
                        kDone) == "tool c1 b g 13\ntool c1 a f 24\nended ");
}

TEST_CASE("chat answer: calls that share an index are told apart by their ids") {
  CHECK(read_answer(kStream, call(R"({"index":0,"id":"a","function":{"name":"f","arguments":"1"}})") +
                                 call(R"({"index":0,"id":"a","function":{"name":"f","arguments":"2"}})") +
                                 call(R"({"index":0,"id":"b","function":{"name":"g","arguments":"3"}})") + kDone) ==
        "tool c1 a f 12\ntool c1 b g 3\nended ");
}

TEST_CASE("chat answer: a tool without arguments has the empty text") {
  CHECK(read_answer(kStream, call(R"({"index":0,"id":"a","function":{"name":"f"}})") + kDone) ==
        "tool c1 a f \nended ");
}

TEST_CASE("chat answer: a custom tool call has its input") {
  CHECK(read_answer(kStream, call(R"({"index":0,"id":"a","type":"custom","custom":{"name":"f","input":"raw"}})") +
                                 kDone) == "tool c1 a f raw\nended ");
}

TEST_CASE("chat answer: reasoning is one thought for each choice") {
  const auto reasoning = [](const std::string& text, int choice) {
    return delta(R"("reasoning_content":")" + text + "\"", choice);
  };
  CHECK(read_answer(kStream, reasoning("b", 1) + reasoning("a", 0) + reasoning("d", 1) + reasoning("", 2) + kDone) ==
        "thought thinking bd\nthought thinking a\nended ");
}

TEST_CASE("chat answer: what a cut stream had completed is recorded") {
  const std::string thought = delta(R"("reasoning_content":"a")");
  const std::string tool = call(R"({"index":0,"id":"a","function":{"name":"f","arguments":"{}"}})");
  CHECK(read_answer(kStream, thought, false).empty());
  CHECK(read_answer(kStream, thought + delta(R"("content":"x")"), false) == "thought thinking a\n");
  CHECK(read_answer(kStream, thought + tool, false) == "thought thinking a\n");
  CHECK(read_answer(kStream, thought + tool + delta("", 0, "\"tool_calls\""), false) ==
        "thought thinking a\ntool c1 a f {}\n");
}

TEST_CASE("chat answer: content that looks alike is still read") {
  const std::string text = delta(R"("content":"a")");
  const std::string thought = delta(R"("reasoning_content":"t")");
  CHECK(read_answer(kStream, text + text + delta(R"("content":"b","reasoning_content":"t")") + text + kDone) ==
        "thought thinking t\nended ");
  CHECK(read_answer(kStream, text +
                                 delta(R"("content":"b)"
                                       "\x01\"") +
                                 text + kDone) == "ended unreadable missed ");
  CHECK(read_answer(kStream, text + thought + text + thought + kDone) == "thought thinking tt\nended ");
  CHECK(read_answer(kStream,
                    text +
                        R"(data: {"id":"c2","choices":[{"index":0,"delta":{"content":"b"},"finish_reason":null}]})"
                        "\n\n" +
                        chunk("", R"(,"usage":{"prompt_tokens":1}})").substr(0, 0) +
                        R"(data: {"choices":[],"usage":{"prompt_tokens":1}})"
                        "\n\n" +
                        kDone) == "usage c2 1 0 0 0 {}\nended ");
}

TEST_CASE("chat answer: an error in the stream fails the exchange and ends it") {
  CHECK(read_answer(kStream, R"(data: {"error":{"message":"M","type":"server_error"}})"
                             "\n\n") == "ended failed(server_error,M,500)");
  CHECK(read_answer(kStream, R"(data: {"error":{"message":"M","type":null,"code":"rate_limit_exceeded"}})"
                             "\n\n") == "ended failed(rate_limit_exceeded,M,429)");
  CHECK(read_answer(kStream, R"(data: {"error":{"message":"M","code":502}})"
                             "\n\n") == "ended failed(,M,502)");
  CHECK(read_answer(kStream, delta(R"("content":"a")") + "data: {\"error\":null}\n\n" + kDone) == "ended ");
}

TEST_CASE("chat answer: an event named error fails the exchange, whatever its shape") {
  CHECK(read_answer(kStream, "event: error\ndata: {\"message\":\"M\",\"code\":\"server_error\"}\n\n") ==
        "ended failed(server_error,M,500)");
  CHECK(read_answer(kStream, "event: error\ndata: {\"error\":{\"message\":\"M\"}}\n\n") == "ended failed(,M,0)");
  CHECK(read_answer(kStream, "event: error\ndata: oops\n\n") == "ended unreadable missed failed(,,0)");
}

TEST_CASE("chat answer: an exact code gives the status before its type") {
  AnswerSettings settings = kBody;
  settings.status = 401;
  CHECK(read_answer(settings, R"({"error":{"message":"M","type":"invalid_request_error","code":"invalid_api_key"}})") ==
        "ended failed(invalid_request_error,M,401)");
  CHECK(read_answer(settings, R"({"error":{"message":"M","type":"insufficient_quota","code":"insufficient_quota"}})") ==
        "ended failed(insufficient_quota,M,429)");
  CHECK(read_answer(settings, R"({"detail":"Not allowed"})") == "ended failed(,Not allowed,0)");
}

TEST_CASE("chat answer: [DONE] ends the stream, with blanks around it and behind what else comes") {
  const std::string usage = chunk("", R"(,"usage":{"prompt_tokens":1})");
  for (const std::string done :
       {"data: [DONE]", "data:[DONE]\r\n\r\n", "data:   [DONE] \t\n\n", "data: [DONE] \n", "data:\t[DONE]\n\n",
        "data:\ndata: [DONE]\ndata:\n\n", "event: x\n: c\ndata: [DONE]\n\n"}) {
    CAPTURE(done);
    CHECK(read_answer(kStream, done) == "ended ");
    CHECK(read_answer(kStream, usage + done) == "usage c1 1 0 0 0 {}\nended ");
    check_every_split(kStream, usage + done);
  }
  // In one event with the last chunk.
  const std::string together = usage.substr(0, usage.size() - 1) + "data: [DONE] \n\n";
  CHECK(read_answer(kStream, together) == "usage c1 1 0 0 0 {}\nended ");
  check_every_split(kStream, together);
  CHECK(read_answer(kStream, "data: oops\ndata: [DONE]\n\n") == "ended unreadable missed ");
  for (const std::string other : {"data: [DONE\n\n", "data: [ DONE ]\n\n", "data: [DONE][DONE]\n\n"}) {
    CHECK(read_answer(kStream, other) == "unreadable missed ");
  }
}

TEST_CASE("chat answer: in order and with every choice finished, it is whole without [DONE]") {
  const std::string text = delta(R"("content":"a")");
  const std::string stop = delta("", 0, "\"stop\"");
  const std::string other = delta(R"("content":"b")", 1);
  const std::string usage = chunk("", R"(,"usage":{"prompt_tokens":1})");
  const std::string whole[] = {
      stop,
      text + stop,
      text + text + delta(R"("content":"b")", 0, "\"length\""),
      chunk("") + text + stop + usage,
      text + other + delta("", 1, "\"stop\"") + stop,
      chunk(R"({"delta":{"content":"x"},"finish_reason":"stop"})"),
      chunk(R"({"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"delta":{},"finish_reason":"stop"})"),
      text + stop.substr(0, stop.size() - 2),
  };
  for (const std::string& stream : whole) {
    CAPTURE(stream);
    CHECK(read_answer(kStream, stream).ends_with("ended "));
    check_every_split(kStream, stream);
    // Without the end of the framing nobody knows what would have come.
    CHECK_FALSE(read_answer(kStream, stream, false).ends_with("ended "));
  }
  const std::string cut[] = {
      "",
      ": c\n\n",
      text,
      usage,
      chunk(""),
      stop + other,
      text + other + stop,
      text + delta("", 0, "\"\""),
      text + delta("", 0, "7"),
      stop + delta("", 128),
      delta("", 128, "\"stop\""),
      chunk("null"),
      text + stop.substr(0, stop.size() - 4),
  };
  for (const std::string& stream : cut) {
    CAPTURE(stream);
    CHECK(read_answer(kStream, stream).find("ended") == std::string::npos);
    check_every_split(kStream, stream);
  }
  const std::string tool = call(R"({"index":0,"id":"a","function":{"name":"f","arguments":"{}"}})");
  CHECK(read_answer(kStream, tool + delta("", 0, "\"tool_calls\"")) == "tool c1 a f {}\nended ");
}

TEST_CASE("chat answer: a body that is no stream") {
  const std::string body =
      R"({"id":"c9","choices":[{"index":1,"message":{"content":"x","reasoning_content":"r","tool_calls":[)"
      R"({"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g"}}]}}],)"
      R"("usage":{"prompt_tokens":3,"completion_tokens":4}})";
  CHECK(read_answer(kBody, body) == "usage c9 3 4 0 0 {}\nthought thinking r\ntool c9 a f {}\ntool c9 b g \nended ");
  check_every_split(kBody, body);
}

}  // namespace weir::reader
