// Feeds the readers in every way, and writes what they found as text, so that two ways compare as strings.
#pragma once

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/byte_buffer.h"
#include "base/sliced_work.h"
#include "reader/answer.h"
#include "reader/request.h"

namespace weir::reader {

inline std::string joined(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) text += part;
  return text;
}

// The piece as an allocation of exactly its size, so that the address sanitizer sees a read past its end.
class ExactCopy {
 public:
  explicit ExactCopy(std::string_view bytes) : bytes_(new char[bytes.size()]), size_(bytes.size()) {
    if (!bytes.empty()) std::memcpy(bytes_.get(), bytes.data(), bytes.size());
  }
  std::string_view view() const { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<char[]> bytes_;
  size_t size_;
};

// Runs `use` as sliced work to its end; returns how many slices that took.
template <class Use>
size_t in_slices(Use&& use) {
  static SlicedWork sliced;
  using Work = std::remove_reference_t<Use>;
  const auto run = [](void* work) { (*static_cast<Work*>(work))(); };
  size_t slices = 1;
  for (bool done = sliced.begin(run, &use); !done; done = sliced.go_on()) ++slices;
  return slices;
}

// Calls `feed` with the pieces of `body` that end at each of `cuts`, and the rest.
template <class Feed>
void feed_pieces(std::string_view body, const std::vector<size_t>& cuts, Feed&& feed) {
  size_t at = 0;
  for (const size_t cut : cuts) {
    feed(ExactCopy(body.substr(at, cut - at)).view());
    at = cut;
  }
  feed(ExactCopy(body.substr(at)).view());
}

inline std::vector<size_t> cuts_every(size_t size, size_t step) {
  std::vector<size_t> cuts;
  for (size_t at = step; at < size; at += step) cuts.push_back(at);
  return cuts;
}

inline std::vector<size_t> random_cuts(size_t size, std::mt19937& random) {
  std::vector<size_t> cuts;
  for (size_t at = 0; at < size;) {
    at += 1 + random() % (random() % 4 == 0 ? 700 : 40);
    if (at < size) cuts.push_back(at);
  }
  return cuts;
}

class TextSink final : public FactSink {
 public:
  void on_usage(const Usage& usage) override {
    lines.push_back("usage " + std::string(usage.response_id) + " " + std::to_string(usage.input) + " " +
                    std::to_string(usage.output) + " " + std::to_string(usage.cache_read) + " " +
                    std::to_string(usage.cache_write) + " " + std::string(usage.extra));
  }
  void on_tool(const Tool& tool) override {
    lines.push_back("tool " + std::string(tool.response_id) + " " + std::string(tool.tool_call_id) + " " +
                    std::string(tool.name) + " " + std::string(tool.arguments) +
                    (tool.truncated ? " cut from " + std::to_string(tool.arguments_size) : ""));
  }
  void on_thought(const Thought& thought) override {
    lines.push_back("thought " + std::string(thought.source) + " " + std::string(thought.content) +
                    (thought.truncated ? " cut from " + std::to_string(thought.content_size) : ""));
  }
  std::vector<std::string> lines;
};

// All that an AnswerReader says: a line for each fact, then how it ended.
inline std::string describe(const AnswerEnd& end, const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  if (end.stream_ended) text += "ended ";
  if (end.unreadable) text += "unreadable ";
  if (end.missed) text += "missed ";
  if (end.failed) {
    text += "failed(" + std::string(end.error_type) + "," + std::string(end.error_message) + "," +
            std::to_string(end.error_status) + ")";
  }
  return text;
}

inline std::string read_answer(AnswerReader& reader, const AnswerSettings& settings, std::string_view body,
                               const std::vector<size_t>& cuts, bool complete = true) {
  static SlicedWork sliced;
  TextSink sink;
  reader.reset(settings);
  // What takes time is read a slice after each piece, while more comes.
  const auto read_a_slice = [&] {
    const auto catch_up = [](void* lagging) { static_cast<AnswerReader*>(lagging)->catch_up(); };
    if (reader.lags()) sliced.running() ? sliced.go_on() : sliced.begin(catch_up, &reader);
  };
  feed_pieces(body, cuts, [&](std::string_view piece) {
    reader.feed(piece);
    read_a_slice();
  });
  if (complete) reader.end_of_body();
  while (reader.lags()) read_a_slice();
  const AnswerEnd end = reader.finish(complete, sink);
  return describe(end, sink.lines);
}

// The answer read whole; REQUIREs are the caller's. Every other way of reading it must say the same.
inline std::string read_answer(const AnswerSettings& settings, std::string_view body, bool complete = true) {
  AnswerReader reader;
  return read_answer(reader, settings, body, {}, complete);
}

inline RequestFacts read_request(RequestApi api, std::string_view body, std::string_view encoding = {}) {
  ByteBuffer buffer;
  // Exactly as large as the body and the padding, so that a read past both is seen.
  buffer.reserve(body.size());
  buffer.append(body);
  RequestReader reader;
  RequestFacts facts;
  reader.read(api, buffer, encoding, facts);
  return facts;
}

// The body as it goes upstream.
inline std::string edited(std::string_view body, const RequestFacts& facts) {
  std::string text(body);
  if (facts.insert_usage) text.replace(facts.insert_offset, facts.replaced_size, facts.insert_text);
  return text;
}

}  // namespace weir::reader
