// No step of a worker takes longer than 5 ms, and no slice longer than 1 ms, for any input within the limits (spec-2
// section 9, "Bounds"): the worst input of each reader, parser and rule, measured.
//
// What is measured is CPU time of this thread, so that others on the machine do not count; of several runs the best, so
// that interrupts and cold caches do not; and on a machine that needs more than 5 ms for a task of this very build,
// reading 1 MiB of JSON that is nothing but brackets, that is the measure: so a slow machine passes too. A step whose
// work is a product of two inputs is over them by a factor of tens.
#include <doctest/doctest.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <ctime>
#include <string>
#include <vector>

#include "base/sliced_work.h"
#include "gateway/hide.h"
#include "gateway/support.h"
#include "reader/answer.h"
#include "reader/json.h"
#include "reader/request.h"
#include "wire/chunk.h"
#include "wire/sse.h"
#include "wire/target.h"

namespace weir {
namespace {

constexpr size_t kKiB = 1024;
constexpr size_t kMiB = 1024 * kKiB;
constexpr size_t kHeadMax = 64 * kKiB;  // of limits.max_head
constexpr size_t kPiece = 64 * kKiB;    // more than a receive buffer holds
constexpr size_t kBodyMax = 32 * kMiB;  // of limits.max_body
constexpr int kRuns = 7;

uint64_t cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

template <class Step>
uint64_t best_of_runs(Step&& step) {
  uint64_t best = UINT64_MAX;
  for (int i = 0; i < kRuns; ++i) {
    const uint64_t begin = cpu_ns();
    step();
    best = std::min(best, cpu_ns() - begin);
  }
  return best;
}

std::string repeated(std::string_view part, size_t size) {
  std::string text;
  text.reserve(size + part.size());
  while (text.size() < size) text += part;
  return text;
}

// 5 ms; on a machine or in a build that needs longer for what a release build does in less than that, so long.
uint64_t five_ms() {
  static const uint64_t measured = [] {
    const std::string text = "[" + repeated("{},", kMiB) + "0]";
    return std::max<uint64_t>(5'000'000, best_of_runs([&] { REQUIRE(reader::is_json(text)); }));
  }();
  return measured;
}

template <class Step>
void check_step(std::string_view name, Step&& step) {
  const uint64_t taken = best_of_runs(step);
  CHECK_MESSAGE(taken <= five_ms(), name, " takes ", taken / 1000, " us of ", five_ms() / 1000);
}

// Every slice of `work`: the longest of a run, in the best run. Twice the share of 1 ms, because the last piece of work
// in a slice may be begun at its very end.
template <class Work>
void check_slices(std::string_view name, Work&& work, size_t slices_min) {
  SlicedWork sliced;
  const auto run = [](void* context) { (*static_cast<std::remove_reference_t<Work>*>(context))(); };
  uint64_t best = UINT64_MAX;
  size_t slices = 0;
  for (int i = 0; i < 3; ++i) {
    uint64_t longest = 0;
    slices = 0;
    for (bool done = false; !done; ++slices) {
      const uint64_t begin = cpu_ns();
      done = sliced.running() ? sliced.go_on() : sliced.begin(run, &work);
      longest = std::max(longest, cpu_ns() - begin);
    }
    best = std::min(best, longest);
  }
  CHECK_MESSAGE(best <= five_ms() * 2 / 5, name, ": a slice takes ", best / 1000, " us of ", five_ms() / 5000);
  CHECK_MESSAGE(slices >= slices_min, name, " takes ", slices, " slices");
}

std::string gzip(const std::string& text) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

class NoSink : public reader::FactSink {
 public:
  void on_usage(const reader::Usage&) override {}
  void on_tool(const reader::Tool&) override {}
  void on_thought(const reader::Thought&) override {}
};

constexpr reader::RequestApi kApis[] = {reader::RequestApi::messages, reader::RequestApi::chat_completions,
                                        reader::RequestApi::responses};

}  // namespace

TEST_CASE("bounds: heads") {
  std::string many;
  for (size_t i = 2; i < wire::kHeaderCountMax; ++i)
    many += "X-" + std::to_string(i) + ": " + std::to_string(i) + "\r\n";
  const std::string start = "POST /openai/v1/responses HTTP/1.1\r\nHost: h\r\n";
  const std::string heads[] = {
      start + "Connection: " + repeated("a,", kHeadMax - 100) + "\r\n\r\n",
      start + "Connection: " + repeated(",", kHeadMax - 100) + "\r\n\r\n",
      start + "Connection: " + repeated("x-127 ,", 7 * wire::kConnectionNamesMax) + "\r\n" + many + "\r\n",
      start + repeated("a:\r\n", kHeadMax),
      "GET /" + repeated("%2e", kHeadMax - 100) + " HTTP/1.1\r\nHost: h\r\n\r\n",
      start + repeated("\r", kHeadMax),
  };
  for (const std::string& head : heads) {
    wire::RequestHead parsed;
    check_step(head.substr(0, 80), [&] { wire::parse_request_head(head, 0, kHeadMax, parsed); });
    // Byte by byte each of them is a step of its own; all of them together are bounded too, but not by so little.
  }
  for (const std::string_view part : {"/a", "/..", "%2f..", "//", "/.;", "a?"}) {
    const std::string target = repeated(part, kHeadMax);
    check_step(part, [&] { wire::parse_target(target); });
  }
}

TEST_CASE("bounds: the entry, the credential and the rules") {
  using namespace gateway;
  const auto policy = test::make_policy();
  std::vector<std::string> names, governance, bearers;
  std::string connection = "Connection: x-127";
  for (size_t i = 1; i < wire::kConnectionNamesMax; ++i) connection += ", X-127";
  for (size_t i = 4; i < wire::kHeaderCountMax; ++i) {
    names.push_back("X-127: " + std::string(400, 'a'));
    governance.push_back("X-Weir-Token: " + std::string(400, 'a'));
    bearers.push_back("Authorization: Bearer " + std::string(400, ' ') + "a");
  }
  names.push_back("X-Weir-Token: t");
  names.push_back("Authorization: Bearer own");
  names.push_back(connection);
  for (const auto& lines : {names, governance, bearers}) {
    const test::Request request("POST", "/openai/v1/responses", lines);
    check_step(lines.front().substr(0, 20), [&] { test::pass(*policy, request); });
  }
}

TEST_CASE("bounds: hiding credentials in what a provider says") {
  constexpr size_t kRecorded = 1024;
  const std::string words[] = {repeated("abcdefgh ", kHeadMax), repeated("a", kHeadMax),
                               repeated("aaaaaaaa ", kHeadMax), repeated("0123456789abcdef ", kHeadMax),
                               repeated("sk-opera", kHeadMax)};
  const std::string texts[] = {
      repeated("a", kPiece), repeated("abcdefgh", kPiece), repeated("sk-opera****", kPiece),
      repeated("*", kPiece), repeated("x.*", kPiece),      repeated("0123456789abcdef", kPiece)};
  for (const std::string& word : words) {
    const std::string head = "POST / HTTP/1.1\r\nX-Secret: " + word + "\r\n\r\n";
    for (const std::string& text : texts) {
      check_step(word.substr(0, 20) + " in " + text.substr(0, 20),
                 [&] { gateway::hide_credentials(text, head, kRecorded); });
    }
  }
  const std::string long_name = "GET / HTTP/1.1\r\n" + repeated("k", kHeadMax) + ": secret-of-mine\r\n\r\n";
  check_step("a long name", [&] { gateway::hide_credentials(texts[0], long_name, kRecorded); });
}

TEST_CASE("bounds: chunks and lines of events, a piece at a time") {
  std::string chunks;
  while (chunks.size() < kPiece) chunks += "1;a=b\r\nx\r\n";
  check_step("chunks", [&] {
    wire::ChunkDecoder decoder;
    size_t offset = 0;
    while (decoder.next(chunks, offset).kind == wire::ChunkDecoder::Kind::data) {
    }
  });
  for (const std::string_view line : {"\n", "data:\n", "data: {}\n\n", "event: x\n", ":\n", "a"}) {
    const std::string lines = repeated(line, kPiece);
    check_step(line, [&] {
      wire::SseScanner scanner;
      std::string_view rest = lines;
      for (wire::SseEvent event; scanner.next(rest, event);) {
      }
    });
  }
}

TEST_CASE("bounds: request bodies that are read at once") {
  const std::string texts[] = {
      R"({"messages":[)" + repeated("{},", reader::RequestReader::kReadAtOnceMax - 20) + "0]}",
      R"({"messages":[{"role":"user","content":[)" + repeated("{},", reader::RequestReader::kReadAtOnceMax - 50) +
          "0]}]}",
      R"({"input":[{"role":"user","content":[)" + repeated(R"({"type":"input_text","text":""},)", 65000) + "0]}]}",
      R"({"stream":true,"stream_options":{)" + repeated(R"("":{},)", 65000) + R"("a":1}})",
      repeated("[", reader::RequestReader::kReadAtOnceMax),
      repeated(" ", reader::RequestReader::kReadAtOnceMax)};
  for (const std::string& text : texts) {
    ByteBuffer body;
    body.append(text);
    for (const reader::RequestApi api : kApis) {
      reader::RequestReader reader;
      reader::RequestFacts facts;
      check_step(text.substr(0, 40), [&] { reader.read(api, body, {}, facts); });
    }
  }
}

TEST_CASE("bounds: request bodies that are read in slices") {
  struct Sliced {
    std::string name, body, encoding;
    size_t slices_min;
  };
  std::vector<Sliced> bodies;
  const size_t size = 4 * kMiB;
  const std::string brackets = R"({"messages":[)" + repeated("{},", size) + "0]}";
  const std::string turn =
      R"({"messages":[{"role":"user","content":[)" + repeated(R"({"type":"text","text":"a"},)", size) + "0]}]}";
  const std::string prompt = R"({"messages":[{"role":"user","content":")" + repeated("\\u00e9", size) + R"("}]})";
  for (const std::string* text : {&brackets, &turn, &prompt}) {
    bodies.push_back({text->substr(0, 60), *text, "", size / SlicedWork::kSlice});
  }
  bodies.push_back({"blanks", repeated(" ", size), "", size / SlicedWork::kSlice});
  bodies.push_back({"digits", repeated("1", size), "", size / SlicedWork::kSlice});
  bodies.push_back({"gzip of brackets", gzip(brackets), "gzip", 8});
  bodies.push_back({"zstd of brackets", zstd(brackets), "zstd", 8});
  bodies.push_back({"zstd of nothing", repeated(zstd(""), kMiB), "zstd", 8});
  bodies.push_back({"gzip of nothing", repeated(gzip(""), kMiB), "gzip", 8});
  // Metadata blocks of no bytes, of one byte each (RFC 7932 section 9.2); in the first the size of the window.
  bodies.push_back({"brotli of nothing", "\x0C" + repeated("\x06", kMiB), "br", 8});
  for (const Sliced& sliced : bodies) {
    ByteBuffer body;
    body.append(sliced.body);
    reader::RequestReader reader;
    reader::RequestFacts facts;
    auto work = [&] { reader.read(reader::RequestApi::chat_completions, body, sliced.encoding, facts, kBodyMax); };
    check_slices(sliced.name, work, sliced.slices_min);
  }
}

TEST_CASE("bounds: a piece of an answer, and its end") {
  struct Answer {
    reader::RequestApi api;
    bool stream;
    std::string bytes;
  };
  const auto event = [](const std::string& data) { return "data: " + data + "\n\n"; };
  using enum reader::RequestApi;
  std::string calls, blocks, items;
  for (size_t i = 0; calls.size() < 60 * kKiB; ++i) calls += R"({"index":)" + std::to_string(i) + "},";
  for (size_t i = 0; blocks.size() < kPiece; ++i) {
    blocks += event(R"({"type":"content_block_start","index":)" + std::to_string(i) +
                    R"(,"content_block":{"type":"tool_use","id":"a","name":"b"}})");
  }
  for (size_t i = 0; items.size() < kPiece; ++i) {
    items += event(R"({"type":"response.output_item.done","output_index":)" + std::to_string(i) +
                   R"(,"item":{"type":"function_call","call_id":"c)" + std::to_string(i) + R"("}})");
  }
  const Answer answers[] = {
      {chat_completions, true, event(R"({"choices":[{"delta":{"tool_calls":[)" + calls + "0]}}]}")},
      {chat_completions, true, event(R"({"choices":[)" + repeated(R"({"finish_reason":"x"},)", 60 * kKiB) + "0]}")},
      {chat_completions, true, repeated(event(R"({"choices":[{"delta":{"tool_calls":[{}]}}]})"), kPiece)},
      {chat_completions, true, event("[" + repeated("{},", 60 * kKiB) + "0]")},
      {chat_completions, false, R"({"choices":[{"message":{"tool_calls":[)" + calls + "0]}}]}"},
      {messages, true, blocks},
      {messages, true, repeated(event("{}"), kPiece)},
      {messages, false, R"({"content":[)" + repeated(R"({"type":"tool_use","input":{}},)", 60 * kKiB) + "0]}"},
      {responses, true, items},
      {responses, false, R"({"output":[)" + repeated(R"({"type":"function_call","call_id":"c"},)", 60 * kKiB) + "0]}"},
      {responses, false, R"({"output":[{"type":"reasoning","summary":[)" + repeated("{},", 60 * kKiB) + "0]}]}"},
  };
  for (const Answer& answer : answers) {
    reader::AnswerReader reader;
    NoSink sink;
    check_step(answer.bytes.substr(0, 60), [&] {
      reader.reset({.api = answer.api, .stream = answer.stream});
      reader.feed(answer.bytes);
      CHECK_FALSE(reader.lags());
      reader.finish(true, sink);
    });
  }
}

TEST_CASE("bounds: what of an answer takes longer waits for its slices") {
  struct Answer {
    std::string name;
    bool stream;
    std::string bytes, encoding;
    size_t slices_min;
  };
  const std::string brackets = "[" + repeated("{},", 2 * kMiB) + "0]";
  std::string parts = R"({"output":[{"type":"reasoning","summary":[)" + repeated("{},", 2 * kMiB) + "0]}]}";
  const size_t slices = 2 * kMiB / SlicedWork::kSlice;
  const Answer answers[] = {
      {"a large event", true, "data: " + brackets + "\n\ndata: {}\n\n", "", slices},
      {"a large document", false, parts, "", slices},
      {"events behind gzip", true, gzip(repeated("data: {}\n\n", 2 * kMiB)), "gzip", 8},
      {"a document behind zstd", false, zstd(parts), "zstd", 4},
  };
  for (const Answer& answer : answers) {
    reader::AnswerReader reader;
    auto work = [&] { reader.catch_up(); };
    SlicedWork sliced;
    uint64_t longest = 0;
    size_t count = 0;
    reader.reset({.api = reader::RequestApi::responses, .stream = answer.stream, .content_encoding = answer.encoding});
    // No piece may take long, whatever is being read meanwhile.
    const std::string_view bytes = answer.bytes;
    for (size_t at = 0; at < bytes.size(); at += 4 * kKiB) {
      const uint64_t begin = cpu_ns();
      reader.feed(bytes.substr(at, 4 * kKiB));
      longest = std::max(longest, cpu_ns() - begin);
    }
    CHECK_MESSAGE(longest <= five_ms(), answer.name, ": a piece takes ", longest / 1000, " us of ", five_ms() / 1000);
    reader.end_of_body();
    CHECK(reader.lags());
    longest = 0;
    const auto run = [](void* context) { (*static_cast<decltype(work)*>(context))(); };
    for (bool done = false; !done; ++count) {
      const uint64_t begin = cpu_ns();
      done = sliced.running() ? sliced.go_on() : sliced.begin(run, &work);
      longest = std::max(longest, cpu_ns() - begin);
    }
    CHECK_MESSAGE(longest <= five_ms(), answer.name, ": a slice takes ", longest / 1000, " us of ", five_ms() / 1000);
    CHECK_MESSAGE(count >= answer.slices_min, answer.name, " takes ", count, " slices");
    NoSink sink;
    reader.finish(true, sink);
  }
}

}  // namespace weir
