// How long the readers take: a request body of a coding agent, an event of a stream.
#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/byte_buffer.h"
#include "micro.h"
#include "reader/answer.h"
#include "reader/request.h"
#include "wire/sse.h"

namespace {

using namespace weir;
using namespace weir::reader;

using bench::Micro;

// Source code as a JSON string holds it: an escape every 30 bytes or so.
constexpr std::string_view kCode =
    R"(static int parse_line(const char *text, size_t size) {\n\tif (size == 0) return -1;\n\tprintf(\"%.*s\\n\", )"
    R"((int)size, text);\n\treturn 0;\n}\n\n/* The quick brown fox jumps over the lazy dog, twice a day. */\n)";
constexpr std::string_view kProse =
    "The quick brown fox jumps over the lazy dog while the reader of this text wonders why it goes on and on. ";
constexpr std::string_view kChinese = "\xE7\xBD\x91\xE5\x85\xB3\xE8\xAF\xBB\xE5\x8F\x96\xE6\xAF\x8F\xE4\xB8\xAA ";

std::string messages_of(size_t size, size_t message_size, std::string_view text) {
  std::string body = R"({"model":"claude-sonnet-4-5","max_tokens":32000,"stream":true,"messages":[)";
  bool user = true;
  while (body.size() < size) {
    body += user ? R"({"role":"user","content":[{"type":"text","text":")"
                 : R"({"role":"assistant","content":[{"type":"text","text":")";
    for (size_t at = 0; at < message_size; at += text.size()) body += text;
    body += "\"}]},";
    user = !user;
  }
  return body +
         R"({"role":"user","content":[{"type":"text","text":"and now?"}]}],"metadata":{"user_id":"u_session_1"}})";
}

// The same as a conversation of the Responses API.
std::string items_of(size_t size, size_t message_size, std::string_view text) {
  std::string body = R"({"model":"gpt-5.2-codex","stream":true,"input":[)";
  while (body.size() < size) {
    body += R"({"type":"message","role":"assistant","content":[{"type":"output_text","text":")";
    for (size_t at = 0; at < message_size; at += text.size()) body += text;
    body += "\"}]},";
  }
  return body + R"({"type":"message","role":"user","content":[{"type":"input_text","text":"and now?"}]}]})";
}

// One message, which is the prompt.
std::string prompt_of(size_t size, std::string_view text) {
  std::string body = R"({"model":"claude-sonnet-4-5","messages":[{"role":"user","content":[{"type":"text","text":")";
  while (body.size() < size) body += text;
  return body + "\"}]}]}";
}

// Definitions of tools: nothing but structure.
std::string tools_of(size_t size) {
  std::string body = R"({"model":"claude-sonnet-4-5","messages":[{"role":"user","content":"hi"}],"tools":[{})";
  while (body.size() < size) {
    body +=
        R"(,{"name":"Read","description":"Reads a file from the disk.","input_schema":{"type":"object","properties":{)"
        R"("file_path":{"type":"string","description":"The absolute path"},"offset":{"type":"number","minimum":0},)"
        R"("limit":{"type":"number"}},"required":["file_path"],"additionalProperties":false}})";
  }
  return body + "]}";
}

void measure_request(Micro& micro, std::string_view name, RequestApi api, const std::string& text) {
  ByteBuffer body;
  body.append(text);
  RequestReader reader;
  RequestFacts facts;
  const auto read = [&] {
    reader.read(api, body, {}, facts);
    return facts.status;
  };
  if (micro.measure(name, {.bytes = text.size()}, read)) {
    micro.check(facts.status == BodyStatus::ok && !facts.model.empty(), fmt::format("{}: read, with its model", name));
  }
}

class CountSink final : public FactSink {
 public:
  void on_usage(const Usage&) override { ++count; }
  void on_tool(const Tool&) override { ++count; }
  void on_thought(const Thought&) override { ++count; }
  size_t count = 0;
};

struct Events {
  std::string first{};
  std::string event{};  // repeated; %d in it counts up, %s is a word
  size_t facts = 0;     // that the whole stream gives
};

// In buffers of 4 KB, as they come from the network.
void measure_events(Micro& micro, std::string_view name, RequestApi api, const Events& events) {
  std::string stream = events.first;
  constexpr size_t kEvents = 1000;
  for (size_t i = 0; i < kEvents; ++i) {
    std::string one = events.event;
    if (const size_t at = one.find("%d"); at != one.npos) one.replace(at, 2, std::to_string(100 + i));
    if (const size_t at = one.find("%s"); at != one.npos) one.replace(at, 2, std::string(1 + i % 9, 'w'));
    stream += one;
  }
  AnswerReader reader;
  CountSink sink;
  const auto read = [&] {
    sink.count = 0;
    reader.reset({.api = api, .stream = true});
    for (size_t at = 0; at < stream.size(); at += 4096) reader.feed(std::string_view(stream).substr(at, 4096));
    reader.finish(true, sink);
    return sink.count;
  };
  if (micro.measure(name, {.units = kEvents, .bytes = stream.size()}, read)) {
    micro.check(sink.count == events.facts, fmt::format("{}: {} facts were read", name, sink.count));
  }
}

void measure_events(Micro& micro) {
  measure_events(
      micro, "messages text_delta", RequestApi::messages,
      {.event = "event: content_block_delta\n"
                R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" %s"}})"
                "\n\n"});
  measure_events(
      micro, "messages input_json_delta", RequestApi::messages,
      {.first = R"(data: {"type":"content_block_start","index":0,)"
                R"("content_block":{"type":"tool_use","id":"t","name":"n","input":{}}})"
                "\n\n",
       .event =
           "event: content_block_delta\n"
           R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"\"%s"}})"
           "\n\n"});
  measure_events(micro, "messages ping", RequestApi::messages,
                 {.event = "event: ping\ndata: {\"type\": \"ping\"}\n\n"});
  measure_events(
      micro, "messages message_delta", RequestApi::messages,
      {.event =
           "event: message_delta\n"
           R"(data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},)"
           R"("usage":{"input_tokens":472,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":%d}})"
           "\n\n",
       .facts = 1});
  const std::string chat =
      R"(data: {"id":"chatcmpl-BwoiPTGRbKkY5rncfaM0s9KtWrq5N","object":"chat.completion.chunk","created":1753357673,)"
      R"("model":"gpt-4.1-2025-04-14","service_tier":"default","system_fingerprint":"fp_51e1070cf2","choices":[{"index":0,)";
  measure_events(
      micro, "chat content", RequestApi::chat_completions,
      {.event = chat +
                R"("delta":{"content":" %s"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"%d"})"
                "\n\n"});
  measure_events(micro, "chat tool arguments", RequestApi::chat_completions,
                 {.event = chat + R"("delta":{"tool_calls":[{"index":0,"function":{"arguments":"%s"}}]},)"
                                  R"("logprobs":null,"finish_reason":null}],"usage":null})"
                                  "\n\n"});
  measure_events(micro, "responses output_text.delta", RequestApi::responses,
                 {.event = "event: response.output_text.delta\n"
                           R"(data: {"type":"response.output_text.delta","sequence_number":%d,)"
                           R"("item_id":"msg_0f9c4b2f224d858000695fa063d4708197af73c2f37cb0b9d3","output_index":0,)"
                           R"("content_index":0,"delta":" %s","logprobs":[],"obfuscation":"ab12"})"
                           "\n\n"});
  measure_events(
      micro, "responses output_item.done", RequestApi::responses,
      {.event =
           "event: response.output_item.done\n"
           R"(data: {"type":"response.output_item.done","output_index":0,"item":{"id":"fc_0dfed48e10","type":)"
           R"("function_call","status":"completed","arguments":"{\"command\":[\"cat\",\"x\"]}","call_id":"call_b1",)"
           R"("name":"shell"},"sequence_number":%d})"
           "\n\n",
       .facts = 1});
}

void measure_scanner(Micro& micro) {
  std::string stream;
  for (int i = 0; i < 1000; ++i) {
    stream += "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{}}\n\n";
  }
  wire::SseScanner scanner;
  size_t events = 0;
  const auto scan = [&] {
    scanner.reset();
    events = 0;
    for (size_t at = 0; at < stream.size(); at += 4096) {
      std::string_view piece = std::string_view(stream).substr(at, 4096);
      for (wire::SseEvent event; scanner.next(piece, event);) ++events;
    }
    return events;
  };
  if (micro.measure("scan boundaries alone", {.units = 1000, .bytes = stream.size()}, scan)) {
    micro.check(events == 1000, "the scanner finds 1,000 events");
  }
}

void measure_withholder(Micro& micro) {
  std::string stream;
  for (int i = 0; i < 1000; ++i) {
    stream +=
        R"(data: {"id":"chatcmpl-BwoiPTGRbKkY5rncfaM0s9KtWrq5N","object":"chat.completion.chunk","created":1753357673,)"
        R"("model":"gpt-4.1-2025-04-14","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}],"usage":null})"
        "\n\n";
  }
  UsageWithholder withholder;
  ByteBuffer out;
  size_t passed = 0;
  const auto withhold = [&] {
    withholder.reset();
    passed = 0;
    for (size_t at = 0; at < stream.size(); at += 4096) {
      out.clear();
      withholder.feed(std::string_view(stream).substr(at, 4096), out);
      passed += out.size();
    }
    out.clear();
    withholder.finish(out);
    return passed += out.size();
  };
  if (micro.measure("withhold the usage chunk", {.units = 1000, .bytes = stream.size()}, withhold)) {
    micro.check(passed == stream.size(), "all but a usage chunk passes, byte for byte");
  }
}

}  // namespace

int main(int count, char** arguments) {
  Micro micro(count, arguments);
  const RequestApi messages = RequestApi::messages;
  measure_request(micro, "request 1 KB", messages, messages_of(1000, 200, kProse));
  measure_request(micro, "request 100 KB, prose", messages, messages_of(100000, 2000, kProse));
  measure_request(micro, "request 100 KB, code", messages, messages_of(100000, 2000, kCode));
  measure_request(micro, "request 100 KB, code, chat", RequestApi::chat_completions, messages_of(100000, 2000, kCode));
  measure_request(micro, "request 100 KB, code, responses", RequestApi::responses, items_of(100000, 2000, kCode));
  measure_request(micro, "request 100 KB, Chinese", messages, messages_of(100000, 2000, kChinese));
  measure_request(micro, "request 100 KB, tiny messages", messages, messages_of(100000, 10, "word "));
  measure_request(micro, "request 100 KB, tools", messages, tools_of(100000));
  measure_request(micro, "request 100 KB, one prompt of prose", messages, prompt_of(100000, kProse));
  measure_request(micro, "request 100 KB, one prompt of code", messages, prompt_of(100000, kCode));
  measure_request(micro, "request 3 MB, code", messages, messages_of(3000000, 3000000, kCode));
  measure_events(micro);
  measure_scanner(micro);
  measure_withholder(micro);
  return micro.finish();
}
