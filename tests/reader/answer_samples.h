// Whole answers in the shapes of the three APIs, rich in what the readers look for, and the checks that every reader
// must pass on each of them.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "reader/support.h"

namespace weir::reader {

namespace samples {

inline const std::string kMessagesStream =
    "\xEF\xBB\xBF"
    "event: message_start\r\n"
    R"(data: {"type":"message_start","message":{"id":"msg_01","type":"message","role":"assistant","content":[],)"
    R"("usage":{"input_tokens":25,"cache_creation_input_tokens":3,"cache_read_input_tokens":7,)"
    R"("cache_creation":{"ephemeral_5m_input_tokens":3,"ephemeral_1h_input_tokens":0},"output_tokens":1}}})"
    "\r\n\r\n"
    "event: content_block_start\n"
    R"(data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}})"
    "\n\n"
    R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Let me "}})"
    "\n\n"
    ": a comment\nid: 5\nretry: 10\n"
    R"(data: {"type":"content_block_delta","index":0,)"
    "\n"
    R"(data:"delta":{"type":"thinking_delta","thinking":"look."}})"
    "\n\n"
    R"(data: {"type":"content_block_stop","index":0})"
    "\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n"
    R"(data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}})"
    "\n\n"
    R"(data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"One "}})"
    "\n\n"
    R"(data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"\"two\" \u00e9 )"
    "\xC3\xA9"
    R"("}})"
    "\n\n"
    R"(data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":""}})"
    "\n\n"
    R"(data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"Read","input":{}}})"
    "\n\n"
    R"(data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"path\":"}})"
    "\n\n"
    R"(data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"\"a\\u0"}})"
    "\n\n"
    R"(data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"0e9\"}"}})"
    "\n\n"
    R"(data: {"type":"content_block_stop","index":2})"
    "\n\n"
    R"(data: {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_2","name":"List","input":{}}})"
    "\n\n"
    R"(data: {"type":"content_block_stop","index":3})"
    "\n\n"
    R"(data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":40,)"
    R"("server_tool_use":{"web_search_requests":1}}})"
    "\n\n"
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

inline const std::string kMessagesBody =
    R"({ "id": "msg_02", "type": "message", "content": [ {"type": "thinking", "thinking": "Hm.", "signature": "s"},
  {"type": "text", "text": "Reading."}, {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "foo"}},
  {"type": "tool_use", "id": "toolu_2", "name": "Read", "input": {}}, {"type": "server_tool_use", "id": "x"}],
  "usage": {"input_tokens": 5, "cache_read_input_tokens": 23490, "output_tokens": 95} })";

inline const std::string kChatChunk =
    R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763806541,"model":"m","choices":[)";

inline const std::string kChatStream =
    R"(data: {"id":"","object":"","created":0,"choices":[],"prompt_filter_results":[]})"
    "\n\n" +
    kChatChunk + R"({"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null})" +
    "\n\n" + kChatChunk + R"({"index":0,"delta":{"reasoning_content":"Think"},"finish_reason":null}],"usage":null})" +
    "\n\n" + kChatChunk + R"({"index":0,"delta":{"reasoning_content":"ing."},"finish_reason":null}],"usage":null})" +
    "\n\n" + kChatChunk +
    R"({"index":0,"delta":{"content":"He"},"finish_reason":null}],"usage":null,"obfuscation":"ab"})" + "\n\n" +
    kChatChunk +
    R"({"index":0,"delta":{"content":"llo \ud83d\ude00"},"finish_reason":null}],"usage":null,"obfuscation":"c"})" +
    "\r\n\r\n" + kChatChunk +
    R"({"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"f","arguments":""}},)"
    R"({"index":1,"id":"call_b","type":"function","function":{"name":"g"}}]},"finish_reason":null}]})"
    "\n\n" +
    kChatChunk +
    R"({"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":"}}]},"finish_reason":null}]})" +
    "\n\n" + kChatChunk +
    R"({"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]},"finish_reason":null}]})" +
    "\n\n" + kChatChunk + R"({"index":0,"delta":{},"finish_reason":"tool_calls"}]})" + "\n\n" + kChatChunk +
    R"(],"usage":{"prompt_tokens":30,"completion_tokens":9,"prompt_tokens_details":{"cached_tokens":12,"audio_tokens":2},)"
    R"("completion_tokens_details":{"reasoning_tokens":4,"audio_tokens":0,"accepted_prediction_tokens":1}}})"
    "\n\ndata: [DONE]\n\n";

inline const std::string kResponsesStream =
    "event: response.created\n"
    R"(data: {"type":"response.created","response":{"id":"resp_1","status":"in_progress","error":null,"output":[],"usage":null},"sequence_number":0})"
    "\n\n"
    R"(data: {"type":"response.output_item.added","output_index":0,"item":{"id":"rs","type":"reasoning","summary":[]}})"
    "\n\n"
    R"(data: {"type":"response.output_item.added","output_index":1,"item":{"id":"fc","type":"function_call","call_id":"c1"}})"
    "\n\n"
    R"(data: {"type":"response.function_call_arguments.delta","output_index":1,"delta":"{\"a\"","sequence_number":4,"obfuscation":"x"})"
    "\n\n"
    R"(data: {"type":"response.function_call_arguments.delta","output_index":1,"delta":":1}","sequence_number":15,"obfuscation":"xyz"})"
    "\n\n"
    R"(data: {"type":"response.output_item.done","output_index":1,"item":{"type":"function_call","call_id":"c1","name":"f","arguments":"{\"a\":1}"}})"
    "\n\n"
    R"(data: {"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","summary":[{"type":"summary_text","text":"One."},{"type":"summary_text","text":"Two."}]}})"
    "\n\n"
    R"(data: {"type":"response.output_item.done","output_index":2,"item":{"type":"message","role":"assistant","phase":"commentary","content":[{"type":"output_text","text":"Now."}]}})"
    "\n\n"
    R"(data: {"type":"response.output_item.done","output_index":3,"item":{"type":"custom_tool_call","call_id":"c2","name":"patch","input":"*** raw\n"}})"
    "\n\n"
    R"(data: {"type":"response.completed","response":{"id":"resp_1","status":"completed","error":null,"output":[],"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":64},"output_tokens":20,"output_tokens_details":{"reasoning_tokens":8}}}})"
    "\n\n";

}  // namespace samples

// The facts must be equal for every way to cut the answer in two, for single bytes, and for random pieces; and a reader
// that is recycled must say what a new one says.
inline void check_every_split(const AnswerSettings& settings, std::string_view body) {
  const std::string want = read_answer(settings, body);
  AnswerReader reader;
  std::mt19937 random(3);
  for (size_t cut = 1; cut < body.size(); ++cut) {
    CAPTURE(cut);
    REQUIRE(read_answer(reader, settings, body, {cut}) == want);
  }
  CHECK(read_answer(reader, settings, body, cuts_every(body.size(), 1)) == want);
  for (int i = 0; i < 50; ++i) CHECK(read_answer(reader, settings, body, random_cuts(body.size(), random)) == want);
}

}  // namespace weir::reader
