#include <doctest/doctest.h>

#include "reader/answer_samples.h"
#include "reader/support.h"

namespace weir::reader {
namespace {

// The end of the blank lines, comments and `retry:` that stand at `at`, between two events. As simple as can be.
size_t after_lines_at_rest(std::string_view stream, size_t at) {
  while (at < stream.size()) {
    const size_t end = stream.find('\n', at);
    if (end == stream.npos) return at;
    const std::string_view line = stream.substr(at, end + 1 - at);
    if (line != "\n" && line != "\r\n" && !line.starts_with(":") && !line.starts_with("retry:")) return at;
    at = end + 1;
  }
  return at;
}

// Byte by byte: when the lines behind an event are whole, what has gone out is all up to their end, less what was
// withheld. `whole` is what goes out in all.
void check_no_line_waits(std::string_view stream, std::string_view whole) {
  UsageWithholder withholder;
  ByteBuffer out;
  withholder.reset();
  size_t begin = 0;  // of the event that is not whole
  for (size_t at = 0; at < stream.size(); ++at) {
    withholder.feed(stream.substr(at, 1), out);
    REQUIRE(whole.starts_with(out.view()));
    const std::string_view so_far = stream.substr(0, at + 1);
    begin = after_lines_at_rest(so_far, begin);
    if (begin < so_far.size() && (so_far.ends_with("\n\n") || so_far.ends_with("\n\r\n"))) begin = so_far.size();
    if (begin < so_far.size()) continue;
    UsageWithholder other;
    ByteBuffer want;
    other.reset();
    other.feed(so_far, want);
    other.finish(want);
    REQUIRE(out.view() == want.view());
  }
}

std::string passed(std::string_view stream, const std::vector<size_t>& cuts) {
  UsageWithholder withholder;
  ByteBuffer out;
  withholder.reset();
  feed_pieces(stream, cuts, [&](std::string_view piece) { withholder.feed(piece, out); });
  withholder.finish(out);
  return std::string(out.view());
}

// What goes out, the same in every split; and nothing of it waits that need not.
std::string passed(std::string_view stream) {
  const std::string want = passed(stream, {});
  for (size_t cut = 1; cut < stream.size(); ++cut) REQUIRE(passed(stream, {cut}) == want);
  CHECK(passed(stream, cuts_every(stream.size(), 1)) == want);
  check_no_line_waits(stream, want);
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

TEST_CASE("withholder: what is no usage-only chunk is passed on, and readable") {
  for (const std::string chunk : {"data: {\"choices\":[{}],\"usage\":{}}\n\n",
                                  "data: {\"choices\":[],\"usage\":null}\n\n",
                                  "data: {\"choices\":[]}\n\n",
                                  "data: {\"usage\":{}}\n\n",
                                  "data: {\"choices\":null,\"usage\":{}}\n\n",
                                  "data: {\"choices\":[],\"usage\":{},\"usage\":1}\n\n",
                                  "data:   [DONE] \t\n\n",
                                  "data:\n\n",
                                  "data: \t\n\n",
                                  "event: x\nid: 1\n\n",
                                  "retry: 1\n: x\nretry\n\n",
                                  "retr\n\n",
                                  ":\n",
                                  "\rx\n\n",
                                  "id: 1\r\n\r\n",
                                  "data: [{\"choices\":[],\"usage\":{}}]\n\n",
                                  "\n\n\n",
                                  ": {\"choices\":[],\"usage\":{}}\n\n",
                                  "\r\n\r\n",
                                  "dat: {\"choices\":[],\"usage\":{}}\n\n",
                                  "data: \"usage\"\n\n"}) {
    CAPTURE(chunk);
    const std::string stream = joined({kText, chunk, kDone});
    CHECK(passed(stream) == stream);
    CHECK(passed(joined({kText, chunk, kUsage, kDone})) == stream);
  }
}

TEST_CASE("withholder: from an event that cannot be read on, nothing is withheld") {
  const std::string deep = "data: " + std::string(1001, '[') + std::string(1001, ']') + "\n\n";
  for (const std::string& chunk : {std::string("data: {\"choices\":[],\"usage\":{}\n\n"), std::string("data: oops\n\n"),
                                   std::string("event: x\ndata: \xFF\n\n"), deep}) {
    CAPTURE(chunk);
    CHECK(passed(joined({kText, kUsage, chunk, kUsage, "data: {\"cho"})) ==
          joined({kText, chunk, kUsage, "data: {\"cho"}));
  }
}

TEST_CASE("withholder: comments, retry and blank lines go out as they come, beside a chunk that is withheld") {
  const std::string line = ": PROCESSING\n";
  CHECK(passed(joined({line, "\n", line, "\n", kText, "retry: 1500\n\n", line, line, kUsage, "\r\n", line, kDone})) ==
        joined({line, "\n", line, "\n", kText, "retry: 1500\n\n", line, line, "\r\n", line, kDone}));
  CHECK(passed(joined({"retry: 1\n", kUsage, line, kUsage, "event: x\n", line, kUsage, line})) ==
        joined({"retry: 1\n", line, line}));
  UsageWithholder withholder;
  ByteBuffer out;
  withholder.reset();
  withholder.feed(": half", out);
  CHECK(out.view() == ": half");
  withholder.feed(" a line\nretry", out);
  CHECK(out.view() == ": half a line\n");
  withholder.feed(":", out);
  CHECK(out.view() == ": half a line\nretry:");
  CHECK(withholder.memory() <= 16 * 1024);
}

TEST_CASE("withholder: where the end mark shares the chunk's event, the mark goes on alone") {
  const std::string chunk = kUsage.substr(0, kUsage.size() - 1);
  CHECK(passed(joined({kText, chunk, "data: [DONE] \n\n"})) == joined({kText, "data: [DONE] \n\n"}));
  CHECK(passed(joined({kText, "event: x\r\n", chunk, "data:[DONE]\r\n\r\n"})) ==
        joined({kText, "data:[DONE]\r\n\r\n"}));
  const std::string text = kText.substr(0, kText.size() - 1) + "data: [DONE]\n\n";
  CHECK(passed(text) == text);
  const std::string misleading = chunk + "data: [DONE]\n: [DONE]\n\n";
  CHECK(passed(misleading) == misleading);
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
    const std::string stream = joined({kText, kUsage, huge, kUsage, huge, kUsage, kDone});
    size_t held = 0;
    for (size_t at = 0; at < stream.size(); at += step) {
      withholder.feed(std::string_view(stream).substr(at, step), out);
      held = std::max(held, withholder.memory());
    }
    withholder.finish(out);
    CHECK((out.view() == joined({kText, huge, kUsage, huge, kUsage, kDone})));
    CHECK(held < size_t{72} << 20);
    CHECK(withholder.memory() <= 16 * 1024);
  }
}

TEST_CASE("withholder: an event that the budget has no room for is passed on as it comes") {
  const std::string big = "data: {\"x\":\"" + std::string(100000, 'x') + "\"}\r\n\r\n";
  const std::string stream = joined({kText, kUsage, big, kUsage, kDone});
  for (const size_t step : {size_t{1}, size_t{3}, size_t{4096}, size_t{99999}}) {
    MemoryBudget budget(size_t{64} * 1024);
    UsageWithholder withholder;
    ByteBuffer out;
    withholder.reset(&budget);
    for (size_t at = 0; at < stream.size(); at += step) {
      withholder.feed(std::string_view(stream).substr(at, step), out);
      CHECK(budget.held() <= budget.limit());
    }
    withholder.finish(out);
    CHECK((out.view() == joined({kText, big, kUsage, kDone})));
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
