// What the answer reader does whatever the API: bounds, compressed answers, recycling, hostile bytes.
#include "reader/answer.h"

#include <doctest/doctest.h>
#include <simdjson.h>

#include "reader/answer_samples.h"
#include "reader/gzip.h"
#include "reader/skeleton.h"
#include "reader/support.h"

namespace weir::reader {
namespace {

const AnswerSettings kMessages{.api = RequestApi::messages, .stream = true};
const AnswerSettings kChat{.api = RequestApi::chat_completions, .stream = true};
const AnswerSettings kResponses{.api = RequestApi::responses, .stream = true};

class NoSink final : public FactSink {
 public:
  void on_usage(const Usage&) override {}
  void on_tool(const Tool&) override { ++count; }
  void on_thought(const Thought&) override { ++count; }
  size_t count = 0;
};

}  // namespace

TEST_CASE("answer: a compressed answer is decoded for reading, in any split") {
  AnswerSettings settings = kChat;
  settings.content_encoding = "gzip";
  const std::string want = read_answer(kChat, samples::kChatStream);
  const std::string encoded = gzip(samples::kChatStream);
  check_every_split(settings, encoded);
  CHECK(read_answer(settings, encoded) == want);
  CHECK(read_answer(settings, encoded.substr(0, encoded.size() - 4)) == want + "unreadable missed ");
  CHECK(read_answer(settings, encoded.substr(0, encoded.size() - 4), false) == want);
  CHECK(read_answer(settings, samples::kChatStream) == "unreadable missed ");
  settings.content_encoding = "deflate";
  CHECK(read_answer(settings, encoded) == "unreadable missed ");

  settings = {.api = RequestApi::messages, .content_encoding = "gzip"};
  CHECK(read_answer(settings, gzip(samples::kMessagesBody)) ==
        read_answer(AnswerSettings{.api = RequestApi::messages}, samples::kMessagesBody));
}

TEST_CASE("answer: a coding that is not read hides the end of a stream, and is no end of it") {
  const std::string plain = samples::kChatStream;
  AnswerSettings settings = kChat;
  for (const std::string_view coding :
       {"deflate", "Deflate", "gzip, identity", "identity, identity", "gzip,gzip", "identity;q=1", "gzip;q=1", "utf-8",
        "compress", "x-snappy-framed", ",", "*", "GZIP", " gzip\t", "x-gzip", "zstd", "ZSTD "}) {
    CAPTURE(coding);
    settings.content_encoding = coding;
    CHECK(read_answer(settings, plain) == "unreadable missed ");
    CHECK(read_answer(settings, plain, false) == "unreadable missed ");
  }
  for (const std::string_view coding : {"", " ", "identity", " Identity\t"}) {
    CAPTURE(coding);
    settings.content_encoding = coding;
    CHECK(read_answer(settings, plain) == read_answer(kChat, plain));
  }
  for (const std::string_view coding : {"gzip", " GZip ", "X-Gzip"}) {
    CAPTURE(coding);
    settings.content_encoding = coding;
    CHECK(read_answer(settings, gzip(plain)) == read_answer(kChat, plain));
    // All of it was read, and the last event was not in it.
    CHECK(read_answer(settings, gzip(plain.substr(0, 400))).find("missed") == std::string::npos);
  }
  // A body that is no stream has no last event.
  settings.stream = false;
  settings.content_encoding = "deflate";
  CHECK(read_answer(settings, plain) == "ended unreadable ");
}

TEST_CASE("answer: an event that is not read is missed, and those behind it are read") {
  const std::string stop = "data: {\"type\":\"message_stop\"}\n\n";
  const std::string deep = "data: {\"x\":" + std::string(1000, '[') + std::string(1000, ']') + "}\n\n";
  for (const std::string& event : {std::string("data: oops\n\n"), std::string("data: {\"a\":\n\n"), deep}) {
    CAPTURE(event);
    CHECK(read_answer(kMessages, event) == "unreadable missed ");
    CHECK(read_answer(kMessages, event, false) == "unreadable missed ");
    CHECK(read_answer(kMessages, event + stop) == "ended unreadable missed ");
    check_every_split(kMessages, samples::kMessagesStream.substr(0, 900) + event);
  }
  // What is no event: a blank, a comment, a part of one where the stream broke off.
  for (const std::string& text : {std::string("data:\n\n"), std::string("data: \t\n\n"), std::string(": oops\n\n"),
                                  std::string("data: {\"type\":\"mess")}) {
    CAPTURE(text);
    CHECK(read_answer(kMessages, text, false) == "");
  }
}

TEST_CASE("answer: a decompression bomb is given up") {
  AnswerSettings settings = kChat;
  settings.content_encoding = "gzip";
  CHECK(read_answer(settings, gzip(std::string(size_t{64} << 20, '\n'))) == "unreadable missed ");
}

TEST_CASE("answer: one event of 300 KB is read, one over 32 MiB is passed over") {
  const auto thinking = [](size_t size) {
    return R"(data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":")" +
           std::string(size, 'x') + "\"}}\n\n";
  };
  const std::string stop = "data: {\"type\":\"message_stop\"}\n\n";
  CHECK(read_answer(kMessages, thinking(300000) + stop) ==
        "thought thinking " + std::string(65536, 'x') + " cut from 300000\nended ");
  const std::string huge = thinking(size_t{33} << 20) + stop;
  AnswerReader reader;
  CHECK(read_answer(reader, kMessages, huge, cuts_every(huge.size(), 65536)) == "ended unreadable missed ");
}

TEST_CASE("answer: a body over 32 MiB is unreadable and not held") {
  AnswerReader reader;
  reader.reset({.api = RequestApi::chat_completions});
  const std::string piece(size_t{1} << 20, ' ');
  for (int i = 0; i < 40; ++i) reader.feed(piece);
  CHECK(reader.memory() < size_t{64} * 1024);
  NoSink sink;
  CHECK(reader.finish(true, sink).unreadable);
}

TEST_CASE("answer: what a hostile stream makes it hold is bounded") {
  AnswerReader reader;
  reader.reset(kMessages);
  const std::string text(60000, 'x');
  for (int i = 0; i < 6000; ++i) {
    reader.feed(R"(data: {"type":"content_block_start","index":)" + std::to_string(i) +
                R"(,"content_block":{"type":"thinking","thinking":")" + text + "\"}}\n\n");
  }
  CHECK(reader.memory() < size_t{48} << 20);
  reader.feed("data: {\"type\":\"message_stop\"}\n\n");
  NoSink sink;
  CHECK(reader.finish(true, sink).unreadable);
  CHECK(sink.count == 1024);
  reader.reset(kMessages);
  CHECK(reader.memory() < size_t{64} * 1024);
}

TEST_CASE("answer: without event memory the stream is read on, and is unreadable") {
  MemoryBudget budget(size_t{64} * 1024);
  AnswerSettings settings = kMessages;
  settings.budget = &budget;
  const std::string huge = "data: {\"type\":\"ping\",\"x\":\"" + std::string(100000, 'x') + "\"}\n\n";
  const std::string stream = huge + samples::kMessagesStream + huge;
  AnswerReader reader;
  TextSink sink, whole_sink;
  reader.reset(settings);
  for (size_t at = 0; at < stream.size(); at += 1000) reader.feed(std::string_view(stream).substr(at, 1000));
  const AnswerEnd end = reader.finish(true, sink);
  CHECK(end.unreadable);
  CHECK(end.stream_ended);
  CHECK(end.unheld == 2);
  CHECK(budget.held() == 0);
  reader.reset(kMessages);
  reader.feed(samples::kMessagesStream);
  CHECK(reader.finish(true, whole_sink).unheld == 0);
  CHECK(sink.lines == whole_sink.lines);
}

TEST_CASE("answer: readers share the budget, and what one gives back another may have") {
  MemoryBudget budget(size_t{64} * 1024);
  AnswerSettings settings{.api = RequestApi::messages, .stream = false};
  settings.budget = &budget;
  const std::string body = R"({"id":"msg_1","x":")" + std::string(30000, 'x') + R"(","usage":{"input_tokens":3}})";
  AnswerReader first, second;
  first.reset(settings);
  second.reset(settings);
  first.feed(body);
  second.feed(body + body);
  NoSink sink;
  const AnswerEnd refused = second.finish(true, sink);
  CHECK(refused.unreadable);
  CHECK(refused.unheld == 1);
  CHECK_FALSE(first.finish(true, sink).unreadable);
  CHECK(budget.held() == 0);
  second.reset(settings);
  second.feed(body);
  CHECK_FALSE(second.finish(true, sink).unreadable);
}

TEST_CASE("answer: texts of tools and thoughts are taken of the budget, and given back at the end") {
  MemoryBudget budget(size_t{256} * 1024);
  AnswerSettings settings = kResponses;
  settings.budget = &budget;
  const std::string item =
      R"(data: {"type":"response.output_item.done","output_index":1,"item":{"type":"function_call",)"
      R"("call_id":"c","name":"n","arguments":")" +
      std::string(50000, 'x') + "\"}}\n\n";
  AnswerReader reader;
  reader.reset(settings);
  for (int i = 0; i < 20; ++i) reader.feed(item);
  CHECK(budget.held() > 0);
  CHECK(budget.held() <= budget.limit());
  NoSink sink;
  const AnswerEnd end = reader.finish(true, sink);
  CHECK(end.unreadable);
  CHECK(end.unheld > 0);
  CHECK(budget.held() == 0);
}

TEST_CASE("answer: a last event of Responses that is too long still ends the stream") {
  MemoryBudget budget(size_t{64} * 1024);
  AnswerSettings settings = kResponses;
  settings.budget = &budget;
  const auto read = [&](std::string_view name, std::string_view blank, bool complete) {
    const std::string stream = "event: " + std::string(name) + "\ndata: {\"type\":\"" + std::string(name) +
                               "\",\"x\":\"" + std::string(100000, 'x') + "\"}" + std::string(blank);
    AnswerReader reader;
    return read_answer(reader, settings, stream, cuts_every(stream.size(), 1000), complete);
  };
  CHECK(read("response.completed", "\n\n", true) == "ended unreadable missed ");
  CHECK(read("response.completed", "", true) == "ended unreadable missed ");
  CHECK(read("response.incomplete", "\n\n", true) == "ended unreadable missed ");
  CHECK(read("response.failed", "\n\n", true) == "ended unreadable missed failed(,,0)");
  CHECK(read("response.created", "\n\n", true) == "unreadable missed ");
  CHECK(read("response.completed", "", false) == "unreadable missed ");
  CHECK(budget.held() == 0);
}

TEST_CASE("answer: how many line ends close the partial event") {
  AnswerReader reader;
  reader.reset(kMessages);
  CHECK(reader.open_line_ends() == 0);
  reader.feed("event: a\n");
  CHECK(reader.open_line_ends() == 1);
  reader.feed("data: {");
  CHECK(reader.open_line_ends() == 2);
  reader.feed("}\n\n");
  CHECK(reader.open_line_ends() == 0);
}

TEST_CASE("answer: any damage gives the same facts in any split, as valid UTF-8") {
  std::mt19937 random(17);
  const std::pair<AnswerSettings, const std::string*> streams[] = {
      {kMessages, &samples::kMessagesStream}, {kChat, &samples::kChatStream}, {kResponses, &samples::kResponsesStream}};
  AnswerReader reader;
  for (int i = 0; i < 1500; ++i) {
    const auto& [settings, sample] = streams[i % 3];
    std::string damaged = *sample;
    for (int n = 0; n < 4; ++n) {
      const size_t at = random() % damaged.size();
      switch (random() % 4) {
        case 0:
          damaged[at] = static_cast<char>(random() % 256);
          break;
        case 1:
          damaged.erase(at, 1 + random() % 20);
          break;
        case 2:
          damaged.insert(at, damaged.substr(random() % damaged.size(), random() % 40));
          break;
        default:
          damaged[at] = "\n\r\":{}[]\\ d"[random() % 11];
      }
    }
    const bool complete = random() % 2 == 0;
    const std::string want = read_answer(reader, settings, damaged, {}, complete);
    CHECK(simdjson::validate_utf8(want));
    CHECK(read_answer(reader, settings, damaged, cuts_every(damaged.size(), 1), complete) == want);
    CHECK(read_answer(reader, settings, damaged, random_cuts(damaged.size(), random), complete) == want);
  }
}

TEST_CASE("skeleton: it matches what differs in free values alone") {
  const std::string data = R"({"n":12,"delta":"abc","x":true,"o":"zz"})";
  const auto member = [&](const char* key) {
    JsonValue value;
    REQUIRE(read_members(data, {{key, &value}}));
    return value;
  };
  Skeleton skeleton;
  CHECK(!skeleton.matches(data));
  CHECK(!skeleton.matches(""));
  skeleton.learn(data, {member("o"), member("delta"), member("n"), member("absent")});
  for (const std::string_view same :
       {R"({"n":12,"delta":"abc","x":true,"o":"zz"})", R"({"n":0,"delta":"","x":true,"o":"\""})",
        R"({"n":98765432109876543210,"delta":"\u00e9\\ and more than sixteen bytes","x":true,"o":"}"})"}) {
    CAPTURE(same);
    CHECK(skeleton.matches(ExactCopy(same).view()));
  }
  for (const std::string_view other :
       {"", "{", R"({"n":12,"delta":"abc","x":true,"o":"zz"} )", R"({"n":12,"delta":"abc","x":true,"o":"zz")",
        R"({"n":12,"delta":"abc","x":true,"o":"zz)", R"({"n":12,"delta":"abc","x":false,"o":"zz"})",
        R"({"n":012,"delta":"abc","x":true,"o":"zz"})", R"({"n":,"delta":"abc","x":true,"o":"zz"})",
        R"({"n":1.5,"delta":"abc","x":true,"o":"zz"})", R"({"n":-1,"delta":"abc","x":true,"o":"zz"})",
        R"({"n":12,"delta":null,"x":true,"o":"zz"})", R"({"n":12,"delta":"a\","x":true,"o":"zz"})",
        R"({"n":12,"delta":"a\u00g0","x":true,"o":"zz"})", "{\"n\":12,\"delta\":\"a\nc\",\"x\":true,\"o\":\"zz\"}",
        "{\"n\":12,\"delta\":\"a\xC3\",\"x\":true,\"o\":\"zz\"}"}) {
    CAPTURE(other);
    CHECK(!skeleton.matches(ExactCopy(other).view()));
  }
  const std::string one_text = "{\"delta\":\"" + std::string(2000, 'x') + "\"}";
  JsonValue delta;
  REQUIRE(read_members(one_text, {{"delta", &delta}}));
  skeleton.learn(one_text, {delta});  // too long to be kept: matches nothing
  CHECK(!skeleton.matches(one_text));
  CHECK(!skeleton.matches(data));
}

}  // namespace weir::reader
