// What the load generator measures with: a wrong histogram or a lenient answer reader would make every figure wrong.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "load/answer.h"
#include "load/histogram.h"
#include "load/request.h"
#include "load/scenario.h"

namespace weir::load {
namespace {

TEST_CASE("histogram: small values are exact") {
  Histogram histogram;
  for (uint64_t value = 1; value <= 100; value++) histogram.add(value);
  CHECK(histogram.count() == 100);
  CHECK(histogram.percentile(0.5) == 50);
  CHECK(histogram.percentile(0.99) == 99);
  CHECK(histogram.percentile(1) == 100);
  CHECK(histogram.max() == 100);
  CHECK(histogram.mean() == doctest::Approx(50.5));
}

TEST_CASE("histogram: percentiles of any size are within 1/128 of the true ones") {
  std::mt19937_64 random(3);
  Histogram histogram;
  std::vector<uint64_t> values;
  for (int i = 0; i < 20000; i++) {
    values.push_back(random() >> (24 + random() % 40));
    histogram.add(values.back());
  }
  std::ranges::sort(values);
  for (const double part : {0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0}) {
    const auto rank = static_cast<size_t>(std::ceil(part * static_cast<double>(values.size())));
    const auto wanted = static_cast<double>(values[rank - 1]);
    const auto found = static_cast<double>(histogram.percentile(part));
    CHECK(std::abs(found - wanted) <= wanted / 128 + 1);
  }
}

TEST_CASE("histogram: an empty one, and values beyond its end") {
  Histogram histogram;
  CHECK(histogram.percentile(0.5) == 0);
  histogram.add(~uint64_t{0} >> 1);
  CHECK(histogram.count() == 1);
  CHECK(histogram.percentile(0.5) > 1'000'000'000'000 - 10'000'000'000);
}

struct Seen {
  AnswerReader::Status status = AnswerReader::Status::need_more;
  AnswerReader reader;
  std::vector<uint64_t> gaps, latencies;

  void feed(std::string_view bytes, uint64_t now_ns) {
    status = reader.feed(
        bytes, now_ns, [&](uint64_t ns) { gaps.push_back(ns); }, [&](uint64_t ns) { latencies.push_back(ns); });
  }
};

TEST_CASE("load answer: length, hash and events are the same at every split") {
  const std::string body = "data: one\n\nevent: x\ndata: two\n\ndata: [DONE]\n\n";
  const std::string length = fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
  const std::string chunked =
      fmt::format("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n", body.size(), body);
  Seen whole;
  whole.feed(length, 1);
  REQUIRE(whole.status == AnswerReader::Status::complete);
  for (const std::string& answer : {length, chunked}) {
    for (size_t split = 1; split < answer.size(); split++) {
      Seen seen;
      seen.feed(std::string_view(answer).substr(0, split), 10);
      CHECK(seen.status == AnswerReader::Status::need_more);
      seen.feed(std::string_view(answer).substr(split), 20);
      CHECK(seen.status == AnswerReader::Status::complete);
      CHECK(seen.reader.body_size() == body.size());
      CHECK(seen.reader.body_hash() == whole.reader.body_hash());
      CHECK(seen.reader.events() == 3);
      CHECK(seen.gaps.size() == 2);
    }
  }
}

TEST_CASE("load answer: a changed byte changes the hash, a missing one is no complete answer") {
  Seen right, wrong, cut;
  right.feed("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd", 1);
  wrong.feed("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabce", 1);
  cut.feed("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", 1);
  CHECK(right.reader.body_hash() != wrong.reader.body_hash());
  CHECK(cut.status == AnswerReader::Status::need_more);
  CHECK(cut.reader.end() == AnswerReader::Status::invalid);
}

TEST_CASE("load answer: delimited by the connection's end; and what is no HTTP") {
  Seen seen, garbage;
  seen.feed("HTTP/1.1 200 OK\r\n\r\nall", 1);
  CHECK(seen.status == AnswerReader::Status::need_more);
  CHECK(seen.reader.end() == AnswerReader::Status::complete);
  CHECK(seen.reader.body_size() == 3);
  garbage.feed("HELLO\r\n\r\n", 1);
  CHECK(garbage.status == AnswerReader::Status::invalid);
}

TEST_CASE("load answer: the time in a stamped event gives its latency") {
  Seen seen;
  seen.feed("HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\ndata: @0000000000000064 text\n\n", 350);
  REQUIRE(seen.latencies.size() == 1);
  CHECK(seen.latencies[0] == 250);
}

struct File {
  std::string path = std::filesystem::temp_directory_path() / fmt::format("weir-scenario-{}.toml", getpid());
  explicit File(std::string_view text) { std::ofstream(path) << text; }
  ~File() { std::filesystem::remove(path); }
};

TEST_CASE("scenario: keys, kinds of requests that override the top, and overrides of both") {
  const File file(
      "api = \"messages\"\nstream = true\ngap = \"10ms\"\nconnections = 7\n[[request]]\nweight = "
      "3\n[[request]]\nstatus = 529\n"
      "stream = false\n");
  const auto read = read_scenario(file.path, {"connections=9", "mode=\"open\"", "rate=5.0"});
  REQUIRE_MESSAGE(read.has_value(), read.error().message);
  CHECK(read->connections == 9);
  CHECK(read->open_loop);
  REQUIRE(read->requests.size() == 2);
  CHECK(read->requests[0].weight == 3);
  CHECK(read->requests[0].stream);
  CHECK(read->requests[0].gap_ns == 10'000'000);
  CHECK(read->requests[1].status == 529);
  CHECK_FALSE(read->requests[1].stream);
  CHECK(read->requests[1].api == Api::messages);
}

TEST_CASE("scenario: what is wrong is named with the file") {
  const char* const wrong[] = {"nothing = 1",
                               "api = \"grpc\"",
                               "gap = 10",
                               "connections = -1",
                               "mode = \"open\"",
                               "connections = 0",
                               "[[request]]\nconnections = 1",
                               "not toml"};
  for (const char* const text : wrong) {
    const File file(text);
    const auto read = read_scenario(file.path, {});
    CAPTURE(text);
    REQUIRE_FALSE(read.has_value());
    CHECK(read.error().message.find(file.path) == 0);
  }
}

TEST_CASE("load request: its length is right and its prompt as long as asked") {
  for (const Api api : {Api::messages, Api::chat, Api::responses}) {
    const RequestKind kind{.api = api, .prompt_bytes = 1000};
    const std::string bytes = request_bytes(kind, Route::gateway, "token");
    const size_t head = bytes.find("\r\n\r\n") + 4;
    CHECK(bytes.find(fmt::format("Content-Length: {}\r\n", bytes.size() - head)) != std::string::npos);
    CHECK(bytes.size() - head > 1000);
    CHECK(bytes.size() - head < 1200);
  }
}

TEST_CASE("load request: a long prompt is a history whose last message is short; headers are sent as given") {
  for (const Api api : {Api::messages, Api::chat, Api::responses}) {
    const RequestKind kind{.api = api, .prompt_bytes = 100'000};
    const std::string bytes = request_bytes(kind, Route::provider, "token", {"x-one: 1", "x-two: 2"});
    const size_t head = bytes.find("\r\n\r\n") + 4;
    CHECK(bytes.find("\r\nx-one: 1\r\nx-two: 2\r\n") < head);
    CHECK(bytes.size() - head > 100'000);
    CHECK(bytes.size() - head < 103'000);
    const size_t last = bytes.rfind(R"("role":"user")");
    CHECK(bytes.size() - last > 1000);
    CHECK(bytes.size() - last < 1200);
    CHECK(bytes.find(R"("role":"assistant")") < last);
  }
}

}  // namespace
}  // namespace weir::load
