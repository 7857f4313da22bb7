// Replays the bodies of the conformance cases through the readers alone, where those cases are there: they are not part
// of this project, but may stand beside it. The readers must find what each case expects, in any split. As the
// end-to-end test has it: what only the second record holds is left out, and so are the cases of
// tests/conformance_not_due.txt.
#include <doctest/doctest.h>
#include <simdjson.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>

#include "reader/support.h"

namespace weir::reader {
namespace {

namespace fs = std::filesystem;
namespace dom = simdjson::dom;

// The first of the working folder and those above it that has this path.
std::optional<fs::path> find_above(const fs::path& path) {
  fs::path at = fs::current_path();
  for (int up = 0; up < 4; ++up, at = at.parent_path()) {
    if (fs::exists(at / path)) return at / path;
  }
  return std::nullopt;
}

std::set<std::string> not_due() {
  const std::optional<fs::path> list = find_above("tests/conformance_not_due.txt");
  REQUIRE(list);
  std::set<std::string> names;
  std::ifstream file(*list);
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.front() != '#') names.insert(line);
  }
  return names;
}

std::string file_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string text_of(const dom::element& element) {
  std::string_view text;
  return element.get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}

// A text, or a list of texts and [text, times].
std::string generated(const dom::element& value) {
  dom::array parts;
  if (value.get(parts) != simdjson::SUCCESS) return text_of(value);
  std::string out;
  for (const dom::element part : parts) {
    dom::array repeated;
    if (part.get(repeated) != simdjson::SUCCESS) {
      out += text_of(part);
      continue;
    }
    const std::string text = text_of(repeated.at(0).value());
    int64_t times = repeated.at(1).get_int64().value();
    while (times-- > 0) out += text;
  }
  return out;
}

// JSON in one spelling: what is compared as JSON values.
std::string normal(std::string_view text) {
  dom::parser parser;
  dom::element element;
  if (parser.parse(text.data(), text.size()).get(element) != simdjson::SUCCESS) return std::string(text);
  return simdjson::minify(element);
}

// The names that `extra` had in the first record. A provider's other numbers may be there besides.
constexpr std::array<std::string_view, 8> kExtraNames = {
    "cache_write_5m", "cache_write_1h", "web_search_requests", "reasoning",
    "input_audio",    "output_audio",   "accepted_prediction", "rejected_prediction"};

// `extra` with those names alone, in their order.
std::string first_record_extra(std::string_view json) {
  dom::parser parser;
  dom::object object;
  if (parser.parse(json.data(), json.size()).get(object) != simdjson::SUCCESS) return "{}";
  std::string out = "{";
  for (const std::string_view name : kExtraNames) {
    dom::element value;
    if (object[name].get(value) != simdjson::SUCCESS) continue;
    out += (out.size() > 1 ? "," : "") + std::string(name) + ":" + simdjson::minify(value);
  }
  return out + "}";
}

class ExpectedSink final : public FactSink {
 public:
  void on_usage(const Usage& usage) override {
    usages.push_back(std::string(usage.response_id) + " " + std::to_string(usage.input) + " " +
                     std::to_string(usage.output) + " " + std::to_string(usage.cache_read) + " " +
                     std::to_string(usage.cache_write) + " " + first_record_extra(usage.extra));
  }
  void on_tool(const Tool& tool) override {
    tools.push_back(std::string(tool.response_id) + " " + std::string(tool.tool_call_id) + " " +
                    std::string(tool.name) + " " + normal(tool.arguments));
  }
  void on_thought(const Thought& thought) override {
    thoughts.push_back(std::string(thought.source) + " " + std::string(thought.content) +
                       (thought.truncated ? " 1" : " 0"));
  }
  std::vector<std::string> usages, tools, thoughts;
};

struct Case {
  dom::element doc, expect;
  std::string request, answer;
  std::string name;
  RequestApi api = RequestApi::messages;
};

std::string column(const dom::element& row, const char* name) {
  dom::element value;
  if (row[name].get(value) != simdjson::SUCCESS) return {};
  int64_t number;
  if (value.get(number) == simdjson::SUCCESS) return std::to_string(number);
  return generated(value);
}

std::vector<std::string> expected_rows(const dom::element& expect, const char* table) {
  std::vector<std::string> rows;
  dom::array array;
  if (expect[table].get(array) != simdjson::SUCCESS) return rows;
  for (const dom::element row : array) {
    const std::string_view name = table;
    if (name == "token_usages") {
      rows.push_back(column(row, "response_id") + " " + column(row, "input") + " " + column(row, "output") + " " +
                     column(row, "cache_read") + " " + column(row, "cache_write") + " " +
                     first_record_extra(simdjson::minify(row["extra"].value())));
    } else if (name == "tool_usages") {
      // The kinds that the first record knows.
      const std::string kind = column(row, "kind");
      if (!kind.empty() && kind != "function" && kind != "custom") continue;
      rows.push_back(column(row, "response_id") + " " + column(row, "tool_call_id") + " " + column(row, "tool") + " " +
                     normal(column(row, "arguments")));
    } else if (name == "model_thoughts") {
      rows.push_back(column(row, "source") + " " + column(row, "content") + " " + column(row, "truncated"));
    } else {
      rows.push_back(column(row, "prompt") + " " + column(row, "truncated"));
    }
  }
  return rows;
}

bool has(const dom::element& element, const char* key) {
  dom::element found;
  return element[key].get(found) == simdjson::SUCCESS && !found.is_null();
}

std::string header_of(const dom::element& of, std::string_view wanted) {
  const dom::array headers = of["headers"].get_array().value();
  for (const dom::element header : headers) {
    std::string name = text_of(header.at(0).value());
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    if (name == wanted) return text_of(header.at(1).value());
  }
  return {};
}

void check_request(const Case& one) {
  const RequestFacts facts = read_request(one.api, one.request, header_of(one.doc, "content-encoding"));
  const dom::element columns = one.expect["interception"].value();
  CHECK(facts.status == BodyStatus::ok);
  if (has(columns, "model")) CHECK(facts.model == column(columns, "model"));
  CHECK(std::to_string(facts.streaming ? 1 : 0) == column(columns, "streaming"));
  CHECK(facts.correlating_tool_call_id == column(columns, "correlating_tool_call_id"));
  // The headers come first, and are not read here; metadata counts for Claude Code alone.
  const bool by_header = !header_of(one.doc, "x-claude-code-session-id").empty();
  if (!by_header && column(columns, "client") == "Claude Code") {
    CHECK(facts.metadata_session_id == column(columns, "session_id"));
  }
  if (has(one.expect, "user_prompts")) {
    std::vector<std::string> prompts;
    if (facts.has_prompt) prompts.push_back(facts.prompt + (facts.prompt_truncated ? " 1" : " 0"));
    CHECK(prompts == expected_rows(one.expect, "user_prompts"));
  }
  const bool edited = column(one.expect, "upstream_body") == "include_usage";
  CHECK(facts.insert_usage == edited);
  if (!facts.insert_usage) return;
  const std::string body = reader::edited(one.request, facts);
  dom::parser parser;
  dom::element options;
  REQUIRE(parser.parse(body)["stream_options"].get(options) == simdjson::SUCCESS);
  CHECK(options["include_usage"].get_bool().value());
}

void check_answer(const Case& one, AnswerReader& reader, const std::vector<size_t>& cuts) {
  const dom::element upstream = one.doc["upstream"].value();
  int64_t cut_at = static_cast<int64_t>(one.answer.size());
  const bool complete = upstream["cut_at"].get(cut_at) != simdjson::SUCCESS;
  const std::string encoding = header_of(upstream, "content-encoding");
  AnswerSettings settings;
  settings.api = one.api;
  settings.stream = header_of(upstream, "content-type").starts_with("text/event-stream");
  settings.status = static_cast<uint16_t>(upstream["status"].get_int64().value());
  settings.content_encoding = encoding;
  ExpectedSink sink;
  reader.reset(settings);
  const auto body = std::string_view(one.answer).substr(0, static_cast<size_t>(cut_at));
  feed_pieces(body, cuts, [&](std::string_view piece) {
    reader.feed(piece);
    if (reader.lags()) reader.catch_up();
  });
  const AnswerEnd end = reader.finish(complete, sink);

  if (has(one.expect, "token_usages")) CHECK(sink.usages == expected_rows(one.expect, "token_usages"));
  if (has(one.expect, "tool_usages")) CHECK(sink.tools == expected_rows(one.expect, "tool_usages"));
  if (has(one.expect, "model_thoughts")) CHECK(sink.thoughts == expected_rows(one.expect, "model_thoughts"));
  const dom::element columns = one.expect["interception"].value();
  const std::string outcome = column(columns, "outcome");
  if (outcome == "completed") {
    CHECK((end.stream_ended || (end.missed && complete)));
    CHECK(!end.failed);
  }
  if (outcome == "upstream_error") {
    const bool cut = settings.stream ? !end.stream_ended && !end.missed : !complete;
    CHECK((end.failed || cut));
  }
  dom::element error_type;
  if (outcome == "completed" && columns["error_type"].get(error_type) == simdjson::SUCCESS) {
    CHECK(end.unreadable == (text_of(error_type) == "unreadable"));
  }
}

void check_withheld(const Case& one, const std::vector<size_t>& cuts) {
  if (column(one.expect, "upstream_body") != "include_usage") return;
  std::string want = one.answer;
  dom::array cut;
  if (one.expect["client_body"]["cut"].get(cut) == simdjson::SUCCESS) {
    const auto from = static_cast<size_t>(cut.at(0).get_int64().value());
    want.erase(from, static_cast<size_t>(cut.at(1).get_int64().value()) - from);
  }
  UsageWithholder withholder;
  ByteBuffer out;
  withholder.reset();
  feed_pieces(one.answer, cuts, [&](std::string_view piece) { withholder.feed(piece, out); });
  withholder.finish(out);
  CHECK(std::string(out.view()) == want);
}

void check_case(Case& one) {
  const std::string route = column(one.expect["interception"].value(), "route");
  one.api = route == "messages"    ? RequestApi::messages
            : route == "responses" ? RequestApi::responses
                                   : RequestApi::chat_completions;
  check_request(one);
  dom::element upstream;
  dom::element status;
  if (one.doc["upstream"].get(upstream) != simdjson::SUCCESS || upstream["status"].get(status) != simdjson::SUCCESS ||
      status.is_null()) {
    return;
  }
  int64_t sent;
  if (upstream["cut_at"].get(sent) != simdjson::SUCCESS) sent = static_cast<int64_t>(one.answer.size());
  const auto size = static_cast<size_t>(sent);
  AnswerReader reader;
  std::mt19937 random(7);
  check_answer(one, reader, {});
  check_answer(one, reader, cuts_every(size, 1));
  for (int i = 0; i < 5; ++i) check_answer(one, reader, random_cuts(size, random));
  if (size != one.answer.size()) return;
  check_withheld(one, {});
  check_withheld(one, cuts_every(size, 1));
  for (int i = 0; i < 5; ++i) check_withheld(one, random_cuts(size, random));
}

}  // namespace

TEST_CASE("readers: the conformance cases are read as they expect") {
  const std::optional<fs::path> folder = find_above("shared/conformance/cases");
  if (!folder) {
    MESSAGE("skipped: no conformance cases beside the project");
    return;
  }
  const std::set<std::string> later = not_due();
  int count = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(*folder)) {
    dom::parser parser;
    Case one;
    one.name = entry.path().filename().string();
    CAPTURE(one.name);
    if (later.contains(one.name)) continue;
    REQUIRE(parser.parse(file_text(entry.path() / "case.json")).get(one.doc) == simdjson::SUCCESS);
    one.expect = one.doc["expect"].value();
    if (!has(one.expect, "interception")) continue;
    one.request = file_text(entry.path() / "request.body");
    one.answer = file_text(entry.path() / "upstream.body");
    dom::element described;
    if (one.doc["generate"]["request"].get(described) == simdjson::SUCCESS) one.request = generated(described);
    if (one.doc["generate"]["upstream"].get(described) == simdjson::SUCCESS) one.answer = generated(described);
    check_case(one);
    ++count;
  }
  MESSAGE("cases replayed: " << count);
  CHECK(count > 0);
}

}  // namespace weir::reader
