#include "mock/answer.h"

#include <doctest/doctest.h>
#include <simdjson.h>

#include "mock/json_text.h"

using namespace weir::mock;

namespace {

std::string whole_stream(const Ask& ask, const Shape& shape) {
  const EventStream stream(ask, shape, "mock1");
  std::string out;
  for (size_t i = 0; i < stream.size(); i++) stream.write(i, out);
  return out;
}

bool is_json(const std::string& text) {
  simdjson::dom::parser parser;
  return parser.parse(text).error() == simdjson::SUCCESS;
}

// Every data line but [DONE] must be JSON; the number of events.
size_t check_events(std::string_view stream) {
  size_t events = 0;
  while (!stream.empty()) {
    const size_t end = stream.find('\n');
    REQUIRE(end != std::string_view::npos);
    const std::string_view line = stream.substr(0, end);
    stream.remove_prefix(end + 1);
    if (line.starts_with("data: ") && line != "data: [DONE]") CHECK(is_json(std::string(line.substr(6))));
    events += line.empty();
  }
  return events;
}

Ask ask_of(std::string body, Api api) {
  const size_t size = body.size();
  body.append(64, ' ');
  Ask ask{.api = api};
  CHECK(read_ask(std::string_view(body).substr(0, size), ask));
  return ask;
}

}  // namespace

TEST_CASE("mock answer: every event of every API is JSON, whatever its parts") {
  for (const Api api : {Api::messages, Api::chat_completions, Api::responses}) {
    for (const bool more : {false, true}) {
      const Ask ask{.api = api, .model = "a \"quoted\" model", .stream = true, .include_usage = more};
      const Shape shape{.events = 5, .event_bytes = 9, .thinking = more, .tool = more ? "Read" : ""};
      CHECK(check_events(whole_stream(ask, shape)) == EventStream(ask, shape, "").size());
    }
  }
}

TEST_CASE("mock answer: each stream ends with its API's last event") {
  const Shape shape{.events = 2};
  CHECK(whole_stream({.api = Api::messages}, shape).ends_with("data: {\"type\":\"message_stop\"}\n\n"));
  CHECK(whole_stream({.api = Api::chat_completions}, shape).ends_with("data: [DONE]\n\n"));
  CHECK(whole_stream({.api = Api::responses}, shape).find("event: response.completed\n") != std::string::npos);
}

TEST_CASE("mock answer: a chat stream reports usage only if it was asked to") {
  const Shape shape{.events = 2};
  Ask ask{.api = Api::chat_completions};
  CHECK(whole_stream(ask, shape).find("prompt_tokens") == std::string::npos);
  ask.include_usage = true;
  CHECK(whole_stream(ask, shape).find("prompt_tokens") != std::string::npos);
}

TEST_CASE("mock answer: bodies, lists and errors are JSON") {
  const Shape shape{.events = 3, .thinking = true, .tool = "Read"};
  for (const bool anthropic : {false, true}) {
    for (const Api api : {Api::none, Api::messages, Api::count_tokens, Api::chat_completions, Api::responses,
                          Api::models, Api::model, Api::embeddings}) {
      std::string body;
      write_body({.api = api, .model = "m", .anthropic = anthropic}, shape, "1", body);
      CHECK(is_json(body));
    }
    std::string error;
    write_error({.anthropic = anthropic}, 529, "too \"much\"\n", error);
    CHECK(is_json(error));
    CHECK(error.find(anthropic ? "overloaded_error" : "server_error") != std::string::npos);
  }
}

TEST_CASE("mock answer: a request's model, stream and include_usage are read") {
  const Ask ask =
      ask_of(R"({"messages":[{"stream":false}],"model":"m","stream":true,"stream_options":{"include_usage":true}})",
             Api::chat_completions);
  CHECK(ask.model == "m");
  CHECK(ask.stream);
  CHECK(ask.include_usage);
  CHECK_FALSE(ask_of(R"({"stream":"yes","model":7})", Api::messages).stream);
}

TEST_CASE("mock answer: what is not an object is not read") {
  Ask ask;
  const std::string list = "[1]" + std::string(64, ' ');
  CHECK_FALSE(read_ask(std::string_view(list).substr(0, 3), ask));
  CHECK_FALSE(read_ask(std::string_view(list).substr(0, 2), ask));
}

TEST_CASE("mock answer: the API is told by the path's end") {
  CHECK(api_of_path("/v1/messages") == Api::messages);
  CHECK(api_of_path("/backend-api/codex/responses") == Api::responses);
  CHECK(api_of_path("/v1/messages/count_tokens") == Api::count_tokens);
  CHECK(api_of_path("/v1/models/gpt-5.1") == Api::model);
  CHECK(api_of_path("/v1/models/") == Api::none);
  CHECK(api_of_path("/") == Api::none);
}

TEST_CASE("mock answer: a piece has the size that was asked for") {
  for (const uint32_t size : {0u, 1u, 16u, 1000u}) {
    std::string piece;
    append_piece(7, size, piece);
    CHECK(piece.size() == size);
  }
}

TEST_CASE("json text: quotes, control bytes and invalid UTF-8 stay valid JSON") {
  std::string out;
  append_json(out, "a\"b\\c\n\x01é\xff");
  CHECK(out == "\"a\\\"b\\\\c\\n\\u0001é\xEF\xBF\xBD\"");
  CHECK(is_json(out));
}

TEST_CASE("mock answer: a stamped event has a place for its time, of one length whatever the time") {
  for (const Api api : {Api::messages, Api::chat_completions, Api::responses}) {
    const Ask ask{.api = api, .stream = true};
    const Shape shape{.events = 1, .event_bytes = 4, .stamped = true};
    const EventStream stream(ask, shape, "id");
    size_t stamped = 0;
    for (size_t i = 0; i < stream.size(); i++) {
      std::string event;
      stream.write(i, event);
      const size_t size = event.size();
      const bool has_place = event.find(kStampPlace) != std::string::npos;
      stamp(event, 0x1234abcdu);
      CHECK(event.size() == size);
      CHECK((event.find("@000000001234abcd") != std::string::npos) == has_place);
      stamped += has_place;
    }
    CHECK(stamped == 1);
  }
}
