// A warm reader allocates nothing for ordinary exchanges, and holds little.
#include <doctest/doctest.h>

#include "reader/answer_samples.h"
#include "reader/support.h"
#include "support/counted_new.h"

extern "C" {
void* __real__ZN4weir17undumped_allocateEm(size_t size);   // NOLINT(bugprone-reserved-identifier): ld's --wrap
void* __wrap__ZN4weir17undumped_allocateEm(size_t size);   // NOLINT(bugprone-reserved-identifier)
void* __wrap__ZN4weir17undumped_allocateEm(size_t size) {  // NOLINT(bugprone-reserved-identifier)
  if (weir::test::counting_allocations) ++weir::test::allocation_count;
  return __real__ZN4weir17undumped_allocateEm(size);
}
}

namespace weir::reader {
namespace {

using test::allocations_of;

class CountSink final : public FactSink {
 public:
  void on_usage(const Usage&) override { ++count; }
  void on_tool(const Tool&) override { ++count; }
  void on_thought(const Thought&) override { ++count; }
  size_t count = 0;
};

}  // namespace

TEST_CASE("allocations: a warm answer reader makes none, however the stream is cut") {
  const std::pair<AnswerSettings, const std::string*> streams[] = {
      {{.api = RequestApi::messages, .stream = true}, &samples::kMessagesStream},
      {{.api = RequestApi::messages, .stream = false}, &samples::kMessagesBody},
      {{.api = RequestApi::chat_completions, .stream = true}, &samples::kChatStream},
      {{.api = RequestApi::responses, .stream = true}, &samples::kResponsesStream}};
  AnswerReader reader;
  CountSink sink;
  const auto read_all = [&](size_t step) {
    for (const auto& [settings, body] : streams) {
      reader.reset(settings);
      for (size_t at = 0; at < body->size(); at += step) reader.feed(std::string_view(*body).substr(at, step));
      reader.finish(true, sink);
    }
  };
  for (const size_t step : {size_t{1}, size_t{100}, size_t{100000}}) read_all(step);
  sink.count = 0;
  for (const size_t step : {size_t{1}, size_t{77}, size_t{100000}}) {
    CHECK(allocations_of([&] { read_all(step); }) == 0);
  }
  CHECK(sink.count == 3 * (4 + 4 + 4 + 6));
  CHECK(reader.memory() < 12 * 1024);
}

TEST_CASE("allocations: a warm request reader makes none") {
  RequestReader reader;
  RequestFacts facts;
  ByteBuffer body;
  body.append(
      R"({"model":"a model with a name longer than a small string","stream":true,"metadata":{"user_id":)"
      R"("{\"device_id\":\"d\",\"session_id\":\"b2f0a6de-7c41-4f3a-9e55-1d2c3b4a5f60\"}"},"messages":[{"role":"user",)"
      R"("content":[{"type":"tool_result","tool_use_id":"toolu_012345678901234567890"},)"
      R"({"type":"text","text":"a prompt that is longer than a small string\n"}]}],"input":"another longer prompt"})");
  for (const RequestApi api : {RequestApi::messages, RequestApi::chat_completions, RequestApi::responses}) {
    reader.read(api, body, {}, facts);
    CHECK(facts.has_prompt);
    CHECK(allocations_of([&] { reader.read(api, body, {}, facts); }) == 0);
  }
}

TEST_CASE("allocations: a warm withholder makes none") {
  UsageWithholder withholder;
  ByteBuffer out;
  const auto pass = [&] {
    withholder.reset();
    out.clear();
    for (size_t at = 0; at < samples::kChatStream.size(); at += 77) {
      withholder.feed(std::string_view(samples::kChatStream).substr(at, 77), out);
    }
    withholder.finish(out);
  };
  pass();
  CHECK(allocations_of(pass) == 0);
  CHECK(out.size() < samples::kChatStream.size());
}

}  // namespace weir::reader
