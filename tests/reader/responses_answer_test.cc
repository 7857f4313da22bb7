#include <doctest/doctest.h>

#include "reader/answer_samples.h"
#include "reader/support.h"

namespace weir::reader {
namespace {

const AnswerSettings kStream{.api = RequestApi::responses, .stream = true};
const AnswerSettings kBody{.api = RequestApi::responses};

std::string event(const std::string& type, const std::string& more) {
  return "event: " + type + "\ndata: {\"type\":\"" + type + "\"" + more + "}\n\n";
}
std::string final_event(const std::string& type, const std::string& response) {
  return event(type, R"(,"response":{"id":"r1")" + response + "}");
}
std::string done(int index, const std::string& item) {
  return event("response.output_item.done", ",\"output_index\":" + std::to_string(index) + ",\"item\":" + item);
}
std::string added(int index) {
  return event("response.output_item.added", ",\"output_index\":" + std::to_string(index) + ",\"item\":{}");
}
std::string function(const std::string& id) {
  return R"({"type":"function_call","call_id":")" + id + R"(","name":"f","arguments":"{}"})";
}
std::string summary(const std::string& text) {
  return R"({"type":"reasoning","summary":[{"type":"summary_text","text":")" + text + "\"}]}";
}

const std::string kCompleted = final_event("response.completed", ",\"output\":[]");
constexpr const char* kUsageMember =
    R"(,"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":4},"output_tokens":2,"output_tokens_details":{"reasoning_tokens":0}})";

}  // namespace

TEST_CASE("responses answer: the sample stream in every split") {
  check_every_split(kStream, samples::kResponsesStream);
  CHECK(read_answer(kStream, samples::kResponsesStream) ==
        "usage resp_1 36 20 64 0 {\"reasoning\":8}\n"
        "thought reasoning_summary One.\n"
        "thought reasoning_summary Two.\n"
        "tool resp_1 c1 f {\"a\":1}\n"
        "thought commentary Now.\n"
        "tool resp_1 c2 patch *** raw\n\n"
        "ended ");
}

TEST_CASE("responses answer: usage comes with every final event") {
  CHECK(read_answer(kStream, final_event("response.completed", kUsageMember)) == "usage r1 5 2 4 0 {}\nended ");
  CHECK(read_answer(kStream, final_event("response.incomplete", kUsageMember)) == "usage r1 5 2 4 0 {}\nended ");
  CHECK(read_answer(kStream, final_event("response.failed", std::string(kUsageMember) +
                                                                R"(,"error":{"code":"server_error","message":"M"})")) ==
        "usage r1 5 2 4 0 {}\nended failed(server_error,M,500)");
  CHECK(read_answer(kStream, final_event("response.completed", ",\"usage\":null")) == "ended ");
  CHECK(read_answer(kStream, final_event("response.in_progress", kUsageMember)).empty());
}

TEST_CASE("responses answer: rows are in the order in which items start") {
  const std::string items = done(1, function("b")) + done(0, function("a")) + kCompleted;
  CHECK(read_answer(kStream, added(0) + added(1) + items) == "tool r1 a f {}\ntool r1 b f {}\nended ");
  CHECK(read_answer(kStream, added(1) + added(0) + items) == "tool r1 b f {}\ntool r1 a f {}\nended ");
  CHECK(read_answer(kStream, items) == "tool r1 b f {}\ntool r1 a f {}\nended ");
}

TEST_CASE("responses answer: a non-empty output of the final event replaces the items") {
  const std::string items = done(0, summary("old")) + done(1, function("a"));
  CHECK(read_answer(kStream, items + kCompleted) == "thought reasoning_summary old\ntool r1 a f {}\nended ");
  CHECK(read_answer(kStream, items + final_event("response.completed", ",\"output\":[" + function("x") + "]")) ==
        "tool r1 x f {}\nended ");
  CHECK(read_answer(kStream, items + final_event("response.failed", ",\"output\":[{\"type\":\"message\"}]")) ==
        "ended failed(,,0)");
}

TEST_CASE("responses answer: a call reported twice is one tool use") {
  CHECK(read_answer(kStream, done(0, function("a")) + done(0, function("a")) + done(5, function("a")) + kCompleted) ==
        "tool r1 a f {}\nended ");
}

TEST_CASE("responses answer: other items bear nothing") {
  for (const std::string type : {"web_search_call", "mcp_call", "file_search_call", "computer_call", "image"}) {
    const std::string item = joined({R"({"type":")", type, R"(","call_id":"a","name":"f","arguments":"{}"})"});
    CHECK(read_answer(kStream, joined({done(0, item), kCompleted})) == "ended ");
  }
}

TEST_CASE("responses answer: commentary is of the assistant's messages in that phase alone") {
  const auto message = [](const std::string& more) {
    return done(0, R"({"type":"message","content":[{"type":"output_text","text":"x"},{"type":"output_text","text":""},)"
                   R"({"type":"refusal","refusal":"no"},{"type":"output_text","text":"y"}])" +
                       more + "}") +
           kCompleted;
  };
  CHECK(read_answer(kStream, message(R"(,"role":"assistant","phase":"commentary")")) ==
        "thought commentary x\nthought commentary y\nended ");
  CHECK(read_answer(kStream, message(R"(,"role":"assistant","phase":"final_answer")")) == "ended ");
  CHECK(read_answer(kStream, message(R"(,"role":"user","phase":"commentary")")) == "ended ");
  CHECK(read_answer(kStream, message("")) == "ended ");
}

TEST_CASE("responses answer: what a cut stream had completed is recorded") {
  CHECK(read_answer(kStream, final_event("response.created", "") + done(0, function("a")) + added(1) + "data: {\"ty",
                    false) == "tool r1 a f {}\n");
}

TEST_CASE("responses answer: an error event fails the exchange and ends it") {
  CHECK(read_answer(kStream, event("error", R"(,"code":"rate_limit_exceeded","message":"M","param":null)")) ==
        "ended failed(rate_limit_exceeded,M,429)");
  CHECK(read_answer(kStream,
                    event("error", R"(,"error":{"type":"tokens","code":"rate_limit_exceeded","message":"M"})")) ==
        "ended failed(tokens,M,429)");
  CHECK(read_answer(kStream, event("error", R"(,"code":"ERR_SOMETHING","message":"M")")) ==
        "ended failed(ERR_SOMETHING,M,0)");
}

TEST_CASE("responses answer: deltas that look alike are still read") {
  const auto text = [](const std::string& value, const std::string& number) {
    return event("response.output_text.delta", R"(,"sequence_number":)" + number + R"(,"delta":")" + value + "\"");
  };
  CHECK(read_answer(kStream, text("a", "1") + text("b\\n", "22") + text("", "0") + kCompleted) == "ended ");
  CHECK(read_answer(kStream, text("a", "1") + text("b", "022") + kCompleted) == "ended unreadable missed ");
  CHECK(read_answer(kStream, text("a", "1") + text("b\\u12", "2") + kCompleted) == "ended unreadable missed ");
  CHECK(read_answer(kStream, text("a", "1") + text("b", "-2") + text("b", "1e5") + kCompleted) == "ended ");
}

TEST_CASE("responses answer: a body that is no stream") {
  const std::string body = R"({"id":"r2","status":"completed","error":null,"output":[)" + summary("s") + "," +
                           function("a") + "," + function("b") + "]" + kUsageMember + "}";
  CHECK(read_answer(kBody, body) ==
        "usage r2 5 2 4 0 {}\nthought reasoning_summary s\ntool r2 a f {}\ntool r2 b f {}\nended ");
  check_every_split(kBody, body);
  CHECK(
      read_answer(kBody, R"({"id":"r","status":"failed","error":{"code":"server_error","message":"M"},"output":[]})") ==
      "ended failed(server_error,M,500)");
  CHECK(read_answer(kBody, R"({"id":"r","status":"incomplete","error":null})") == "ended ");
  CHECK(read_answer(kBody, body.substr(0, body.size() - 1)) == "ended unreadable ");
}

TEST_CASE("responses answer: a stray [DONE] is passed over") {
  CHECK(read_answer(kStream, kCompleted + "data: [DONE]\n\n") == "ended ");
  CHECK(read_answer(kStream, "data: [DONE]\n\n").empty());
}

}  // namespace weir::reader
