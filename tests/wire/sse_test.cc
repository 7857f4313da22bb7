#include "wire/sse.h"

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace weir::wire {
namespace {

// An event as text: "name|data".
using Events = std::vector<std::string>;

std::string text_of(const SseEvent& event) {
  return std::string(event.name) + "|" + (event.oversized ? "OVERSIZED" : std::string(event.data));
}

void feed(SseScanner& scanner, std::string_view piece, Events& events) {
  // Exactly as large as the piece, and gone after the call: a read past it, or of it later, is seen.
  const std::unique_ptr<char[]> copy(new char[piece.size()]);
  if (!piece.empty()) std::memcpy(copy.get(), piece.data(), piece.size());
  std::string_view rest(copy.get(), piece.size());
  for (SseEvent event; scanner.next(rest, event);) events.push_back(text_of(event));
}

void finish(SseScanner& scanner, Events& events) {
  SseEvent event;
  if (scanner.finish(event)) events.push_back(text_of(event));
}

Events whole(std::string_view stream) {
  SseScanner scanner;
  Events events;
  feed(scanner, stream, events);
  finish(scanner, events);
  return events;
}

// The same events must come of every two pieces, and of single bytes.
Events in_every_split(std::string_view stream) {
  const Events want = whole(stream);
  SseScanner scanner;
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    Events events;
    scanner.reset();
    feed(scanner, stream.substr(0, cut), events);
    feed(scanner, stream.substr(cut), events);
    finish(scanner, events);
    CHECK(events == want);
  }
  Events events;
  scanner.reset();
  for (size_t i = 0; i < stream.size(); ++i) feed(scanner, stream.substr(i, 1), events);
  finish(scanner, events);
  CHECK(events == want);
  return want;
}

unsigned open_after(std::string_view stream) {
  SseScanner scanner;
  Events events;
  feed(scanner, stream, events);
  return scanner.open_line_ends();
}

}  // namespace

TEST_CASE("sse: an event is its name and its data") {
  CHECK(in_every_split("event: ping\ndata: {\"a\":1}\n\ndata: x\n\n") == Events{"ping|{\"a\":1}", "|x"});
}

TEST_CASE("sse: LF and CRLF end a line, a bare CR does not") {
  CHECK(in_every_split("event: a\r\ndata: 1\r\n\r\ndata: 2\n\r\n") == Events{"a|1", "|2"});
  CHECK(in_every_split("data: 1\rdata: 2\n\n") == Events{"|1\rdata: 2"});
  CHECK(in_every_split("data: 1\r\r\n\n") == Events{"|1\r"});
}

TEST_CASE("sse: data lines are joined by LF") {
  CHECK(in_every_split("data: {\ndata:   \"a\"\ndata\ndata:}\n\n") == Events{"|{\n  \"a\"\n\n}"});
  CHECK(in_every_split("data:\ndata: \n\n") == Events{"|\n"});
}

TEST_CASE("sse: one space after the colon is not part of the value") {
  CHECK(in_every_split("event:a\ndata:b\n\nevent:  a\ndata:  b\n\n") == Events{"a|b", " a| b"});
}

TEST_CASE("sse: comments, id, retry and unknown fields are passed over") {
  CHECK(in_every_split(": hi\nid: 7\nretry: 10\nfoo: data: no\ndatax: 1\n data: 2\ndata: 3\n\n") == Events{"|3"});
}

TEST_CASE("sse: an event without data is none, and its name does not last") {
  CHECK(in_every_split("\n\n\nevent: noise\n\n: only a comment\n\ndata: 1\n\n") == Events{"|1"});
}

TEST_CASE("sse: a byte order mark at the start is not part of the first line") {
  CHECK(in_every_split("\xEF\xBB\xBF"
                       "data: 1\n\n\xEF\xBB\xBF"
                       "data: 2\n\n") == Events{"|1"});
  CHECK(in_every_split("\xEF\xBB\xBF\ndata: 1\n\n") == Events{"|1"});
}

TEST_CASE("sse: an event at the end counts without its blank line or line end") {
  CHECK(in_every_split("data: 1\n\ndata: 2\n") == Events{"|1", "|2"});
  CHECK(in_every_split("data: 1\n\nevent: e\ndata: 2") == Events{"|1", "e|2"});
  CHECK(in_every_split("data: 1\n\r") == Events{"|1"});
  CHECK(in_every_split("data: 1\n\nevent: e") == Events{"|1"});
  CHECK(in_every_split("").empty());
}

TEST_CASE("sse: the last name of an event counts, and a long one is cut") {
  CHECK(in_every_split("event: a\nevent: b\ndata: 1\n\n") == Events{"b|1"});
  const std::string name(100, 'n');
  CHECK(in_every_split("event: " + name + "\ndata: 1\n\n") == Events{name.substr(0, 63) + "|1"});
}

TEST_CASE("sse: an event of one line in one buffer is not copied") {
  SseScanner scanner;
  const std::string stream = "data: zero copy\n\n";
  std::string_view rest = stream;
  SseEvent event;
  REQUIRE(scanner.next(rest, event));
  CHECK(event.data.data() == stream.data() + 6);
  CHECK(scanner.memory() == 0);
}

TEST_CASE("sse: an event may have 32 MiB, and one more byte makes it oversized") {
  SseScanner scanner;
  for (const size_t extra : {size_t{0}, size_t{1}}) {
    std::string stream = "data: " + std::string(SseScanner::kEventMax + extra, 'x') + "\n\ndata: next\n\n";
    for (const size_t step : {size_t{1} << 20, stream.size()}) {
      scanner.reset();
      std::vector<size_t> sizes;
      for (size_t at = 0; at < stream.size(); at += step) {
        std::string_view rest = std::string_view(stream).substr(at, step);
        for (SseEvent event; scanner.next(rest, event);) sizes.push_back(event.oversized ? 0 : event.data.size());
      }
      CHECK(sizes == std::vector<size_t>{extra == 0 ? SseScanner::kEventMax : 0, 4});
    }
  }
  scanner.reset();
  CHECK(scanner.memory() <= size_t{64} * 1024);
}

TEST_CASE("sse: joined data lines over 32 MiB are oversized, and the memory is bounded") {
  SseScanner scanner;
  Events events;
  const std::string line = "data: " + std::string(size_t{1} << 20, 'x') + "\n";
  for (int i = 0; i < 40; ++i) feed(scanner, line, events);
  CHECK(scanner.memory() <= 2 * SseScanner::kEventMax + (size_t{4} << 20));
  feed(scanner, "\ndata: next\n\n", events);
  CHECK(events == Events{"|OVERSIZED", "|next"});
}

TEST_CASE("sse: an event that the budget has no room for is oversized, and the next one is read") {
  const std::string big(size_t{300} * 1024, 'x');
  const std::vector<std::string> shapes = {"data: " + big + "\n\n", "data: a\ndata: " + big + "\n\n",
                                           "data: " + big.substr(0, 2000) + "\ndata: " + big + "\n: c\n\n"};
  for (const std::string& shape : shapes) {
    const std::string stream = "event: x\n" + shape + "data: next\n\n";
    for (const size_t step : {size_t{100}, size_t{4096}}) {
      MemoryBudget budget(size_t{128} * 1024);
      {
        SseScanner scanner;
        scanner.reset(&budget);
        Events events;
        for (size_t at = 0; at < stream.size(); at += step) {
          feed(scanner, std::string_view(stream).substr(at, step), events);
          CHECK(budget.held() <= budget.limit());
          CHECK(scanner.memory() <= budget.limit() + 2 * BudgetedBuffer::kKeptMax);
        }
        CHECK(events == Events{"x|OVERSIZED", "|next"});
        CHECK(budget.held() == 0);
        feed(scanner, "data: " + big.substr(0, 50000), events);
        CHECK(budget.held() > 0);
      }
      CHECK(budget.held() == 0);
    }
  }
}

TEST_CASE("sse: a large event's memory is given back when the next one is looked for") {
  MemoryBudget budget(size_t{1} << 20);
  SseScanner scanner;
  scanner.reset(&budget);
  Events events;
  const std::string stream = "data: " + std::string(100000, 'x') + "\n\n";
  feed(scanner, stream.substr(0, 60000), events);
  CHECK(budget.held() >= 60000);
  feed(scanner, stream.substr(60000), events);
  CHECK(events.size() == 1);
  CHECK(budget.held() == 0);
}

TEST_CASE("sse: it says how many line ends close what was begun") {
  CHECK(open_after("") == 0);
  CHECK(open_after("data: 1\n\n") == 0);
  CHECK(open_after("data: 1\n") == 1);
  CHECK(open_after("event: a\ndata: 1\r\n") == 1);
  CHECK(open_after(": comment\n") == 1);
  CHECK(open_after("data: 1") == 2);
  CHECK(open_after("d") == 2);
  CHECK(open_after("data: 1\n\nevent") == 2);
}

}  // namespace weir::wire
