#include <doctest/doctest.h>

#include "reader/answer_samples.h"
#include "reader/support.h"

namespace weir::reader {
namespace {

std::string passed(std::string_view stream, const std::vector<size_t>& cuts) {
  UsageWithholder withholder;
  ByteBuffer out;
  withholder.reset();
  feed_pieces(stream, cuts, [&](std::string_view piece) { withholder.feed(piece, out); });
  withholder.finish(out);
  return std::string(out.view());
}

// What goes out, the same in every split.
std::string passed(std::string_view stream) {
  const std::string want = passed(stream, {});
  for (size_t cut = 1; cut < stream.size(); ++cut) REQUIRE(passed(stream, {cut}) == want);
  CHECK(passed(stream, cuts_every(stream.size(), 1)) == want);
  return want;
}

const std::string kText = "data: {\"choices\":[{\"delta\":{\"content\":\"usage\"}}],\"usage\":null}\n\n";
const std::string kUsage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";
const std::string kDone = "data: [DONE]\n\n";

}  // namespace

TEST_CASE("withholder: the usage chunk goes with its blank line, the rest stays") {
  CHECK(passed(kText + kUsage + kDone) == kText + kDone);
  CHECK(passed(kUsage) == "");
  CHECK(passed(kText + kText) == kText + kText);
  CHECK(passed("") == "");
}

TEST_CASE("withholder: the chunk in any shape") {
  for (const std::string chunk :
       {"data:{\"usage\":{},\"choices\":[ ]}\r\n\r\n", "event: x\n: c\ndata: {\"choices\":[],\ndata: \"usage\":{}}\n\n",
        "data: {\"\\u0075sag\\u0065\":{},\"choices\":[]}\n\r\n",
        "data: {\"choices\":[{}],\"usage\":{},\"choices\":[]}\n\n"}) {
    CAPTURE(chunk);
    CHECK(passed(joined({kText, chunk, kDone})) == joined({kText, kDone}));
  }
}

TEST_CASE("withholder: what is no usage-only chunk is passed on") {
  for (const std::string chunk :
       {"data: {\"choices\":[{}],\"usage\":{}}\n\n", "data: {\"choices\":[],\"usage\":null}\n\n",
        "data: {\"choices\":[]}\n\n", "data: {\"usage\":{}}\n\n", "data: {\"choices\":null,\"usage\":{}}\n\n",
        "data: {\"choices\":[],\"usage\":{}\n\n", "data: {\"choices\":[],\"usage\":{},\"usage\":1}\n\n",
        "data: [{\"choices\":[],\"usage\":{}}]\n\n", "\n\n\n", ": {\"choices\":[],\"usage\":{}}\n\n", "\r\n\r\n",
        "dat: {\"choices\":[],\"usage\":{}}\n\n", "data: \"usage\"\n\n"}) {
    CAPTURE(chunk);
    const std::string stream = joined({kText, chunk, kDone});
    CHECK(passed(stream) == stream);
  }
}

TEST_CASE("withholder: chunks that look alike are still told apart") {
  const auto chunk = [](const std::string& delta, const std::string& usage) {
    return joined({R"(data: {"choices":[{"delta":)", delta, R"(}],"usage":)", usage, "}\n\n"});
  };
  const std::string text = chunk(R"({"content":"a"})", "null");
  const std::string stream = joined({text, text, chunk(R"({"content":"b \" \u00e9"})", "null"), chunk("{}", "{}")});
  CHECK(passed(stream + kUsage + text) == stream + text);
  const std::string empty = R"(data: {"choices":[],"usage":)";
  CHECK(passed(joined({text, empty, "null}\n\n", text, empty, "{}}\n\n", text})) ==
        joined({text, empty, "null}\n\n", text, text}));
}

TEST_CASE("withholder: at the end the chunk counts without its blank line, a part of it does not") {
  CHECK(passed(kText + kUsage.substr(0, kUsage.size() - 1)) == kText);
  CHECK(passed(kText + kUsage.substr(0, kUsage.size() - 2)) == kText);
  CHECK(passed(kText + kUsage.substr(0, kUsage.size() - 3)) == kText + kUsage.substr(0, kUsage.size() - 3));
}

TEST_CASE("withholder: an event goes out as soon as it is whole") {
  UsageWithholder withholder;
  ByteBuffer out;
  withholder.reset();
  withholder.feed(kText.substr(0, kText.size() - 1), out);
  CHECK(out.empty());
  withholder.feed("\n" + kText + "data: x", out);
  CHECK(out.view() == kText + kText);
}

TEST_CASE("withholder: an event too long to be held is passed on as it comes") {
  const std::string huge = "data: {\"x\":\"" + std::string(size_t{33} << 20, 'x') + "\"}\n\n";
  for (const size_t step : {size_t{65536}, size_t{1000003}}) {
    UsageWithholder withholder;
    ByteBuffer out;
    withholder.reset();
    const std::string stream = joined({kText, huge, kUsage, huge, kUsage, kDone});
    size_t held = 0;
    for (size_t at = 0; at < stream.size(); at += step) {
      withholder.feed(std::string_view(stream).substr(at, step), out);
      held = std::max(held, withholder.memory());
    }
    withholder.finish(out);
    CHECK((out.view() == joined({kText, huge, huge, kDone})));
    CHECK(held < size_t{72} << 20);
    CHECK(withholder.memory() <= 16 * 1024);
  }
}

TEST_CASE("withholder: an event that the budget has no room for is passed on as it comes") {
  const std::string big = "data: {\"x\":\"" + std::string(100000, 'x') + "\"}\r\n\r\n";
  const std::string stream = joined({kText, big, kUsage, big, kUsage, kDone});
  for (const size_t step : {size_t{1}, size_t{3}, size_t{4096}, size_t{99999}, stream.size()}) {
    MemoryBudget budget(size_t{64} * 1024);
    UsageWithholder withholder;
    ByteBuffer out;
    withholder.reset(&budget);
    for (size_t at = 0; at < stream.size(); at += step) {
      withholder.feed(std::string_view(stream).substr(at, step), out);
      CHECK(budget.held() <= budget.limit());
    }
    withholder.finish(out);
    CHECK((out.view() == joined({kText, big, big, kDone})));
    CHECK(budget.held() == 0);
  }
}

TEST_CASE("withholder: without any room the bytes still all come out") {
  const std::string big = "data: " + std::string(50000, 'x') + "\n";
  for (const std::string& stream :
       {big + "\n", big + "\r\n" + kDone, big, big + "data: y\n\n" + kUsage.substr(0, 20)}) {
    MemoryBudget budget(0);
    UsageWithholder withholder;
    ByteBuffer out;
    withholder.reset(&budget);
    for (size_t at = 0; at < stream.size(); at += 20000) {
      withholder.feed(std::string_view(stream).substr(at, 20000), out);
    }
    withholder.finish(out);
    CHECK((out.view() == stream));
  }
}

TEST_CASE("withholder: whatever the bytes, only whole usage chunks are missing") {
  std::mt19937 random(23);
  const std::string base = kText + ": c\r\n\r\n" + kUsage + "event: y\r\ndata: 1\r\n\r\n" + kUsage + kDone;
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = base;
    for (int n = 0; n < 4; ++n) damaged[random() % damaged.size()] = "\n\r:d{}[]\" x"[random() % 11];
    const std::string want = passed(damaged, {});
    CHECK(damaged.size() - want.size() <= 2 * kUsage.size() + 40);
    CHECK(passed(damaged, random_cuts(damaged.size(), random)) == want);
    CHECK(passed(damaged, cuts_every(damaged.size(), 1)) == want);
  }
}

}  // namespace weir::reader
