#include "record/usage.h"

#include <doctest/doctest.h>

#include <limits>

#include "record/record_fixture.h"
#include "record/session.h"

namespace weir::record {

namespace {

constexpr int64_t kDayUs = 86'400'000'000;

// A database with the given exchanges, written as the gateway writes them.
class Recorded {
 public:
  Recorded() : recorder_(start_recorder(options_of(folder))), writer_(recorder_->journal(0)) {}
  void exchange(const Start& start, const std::vector<TokenUsage>& usages, const std::vector<ToolUsage>& tools = {},
                Outcome outcome = Outcome::completed) {
    REQUIRE(writer_.begin(start));
    for (const TokenUsage& usage : usages) writer_.add(usage);
    for (const ToolUsage& tool : tools) writer_.add(tool);
    End end = end_of(0);
    end.id = start.id;
    end.outcome = outcome;
    writer_.end(end);
  }
  void close() { REQUIRE(recorder_->stop(kStopNs)); }
  TempFolder folder;

 private:
  std::unique_ptr<Recorder> recorder_;
  JournalWriter writer_;
};

Start start_by(uint64_t number, std::string_view user, std::string_view model, int64_t started_at = 1000) {
  Start start = start_of(number, started_at);
  start.username = user;
  start.model = model;
  return start;
}
ToolUsage tool_of(uint64_t number, std::string_view call, std::string_view tool) {
  return {.id = uuid_of(number), .tool_call_id = call, .tool = tool, .arguments = "{}"};
}
std::string line(const UsageSum& sum) {
  std::string out;
  for (const std::string& key : sum.keys) out += key + " ";
  return out + fmt::format("{} {} {} {} {} {}", sum.interceptions, sum.failed, sum.input, sum.output, sum.cache_read,
                           sum.cache_write);
}
std::vector<std::string> usage(const Recorded& recorded, const std::vector<UsageKey>& keys,
                               const LogFilter& filter = {}) {
  const auto sums = read_usage(recorded.folder.database(), filter, keys);
  REQUIRE_MESSAGE(sums.has_value(), (sums ? "" : sums.error().message));
  std::vector<std::string> lines;
  for (const UsageSum& sum : *sums) lines.push_back(line(sum));
  return lines;
}
using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("usage: sums by user and model; an interception counts once however many usages it has") {
  Recorded recorded;
  recorded.exchange(start_by(1, "bob", "m"), {usage_of(1), usage_of(1)});
  recorded.exchange(start_by(2, "ada", "m"), {usage_of(2)});
  recorded.exchange(start_by(3, "ada", "m"), {}, {}, Outcome::upstream_error);
  recorded.exchange(start_by(4, "ada", "n"), {}, {}, Outcome::client_disconnected);
  recorded.close();
  CHECK(usage(recorded, {UsageKey::user, UsageKey::model}) ==
        Lines{"ada m 2 1 10 20 30 40", "ada n 1 0 0 0 0 0", "bob m 1 0 20 40 60 80"});
  CHECK(usage(recorded, {UsageKey::model}) == Lines{"m 3 1 30 60 90 120", "n 1 0 0 0 0 0"});
  CHECK(usage(recorded, {UsageKey::provider, UsageKey::client, UsageKey::credential_kind}) ==
        Lines{"anthropic Claude Code centralized 4 1 30 60 90 120"});
}

TEST_CASE("usage: days are of UTC, and the log's filters hold") {
  Recorded recorded;
  recorded.exchange(start_by(1, "ada", "m", 20'000 * kDayUs - 1), {usage_of(1)});
  recorded.exchange(start_by(2, "ada", "m", 20'000 * kDayUs), {usage_of(2)});
  recorded.exchange(start_by(3, "bob", "m", std::numeric_limits<int64_t>::max()), {usage_of(3)});
  recorded.close();
  CHECK(usage(recorded, {UsageKey::day}, {.user = "ada"}) ==
        Lines{"2024-10-03 1 0 10 20 30 40", "2024-10-04 1 0 10 20 30 40"});
  CHECK(usage(recorded, {UsageKey::user}, {.since = 20'000 * kDayUs, .limit = 1}) ==
        Lines{"ada 1 0 10 20 30 40", "bob 1 0 10 20 30 40"});
  CHECK(usage(recorded, {UsageKey::user}, {.user = "nobody' OR 1 --"}).empty());
  CHECK(usage(recorded, {UsageKey::day}, {.user = "bob"}).size() == 1);
}

TEST_CASE("usage: numbers that no sum can hold do not break the query") {
  Recorded recorded;
  for (uint64_t number = 0; number < 3; ++number) {
    TokenUsage huge = usage_of(number);
    huge.input = std::numeric_limits<uint64_t>::max();
    recorded.exchange(start_by(number, "ada", "m"), {huge, huge});
  }
  recorded.close();
  CHECK(usage(recorded, {UsageKey::user}) == Lines{"ada 3 0 9223372036854775807 120 180 240"});
  const auto rows = (*Store::open(recorded.folder.database()))->log({});
  REQUIRE_MESSAGE(rows.has_value(), (rows ? "" : rows.error().message));
  CHECK(rows->front().input_tokens == std::numeric_limits<int64_t>::max());
}

TEST_CASE("session: its interceptions oldest first, with the tools of each; others stay out") {
  Recorded recorded;
  recorded.exchange(start_by(1, "ada", "m", 2000), {}, {tool_of(1, "t1", "Bash"), tool_of(1, "t2", "Read")});
  recorded.exchange(start_by(2, "ada", "m", 1000), {});
  Start other = start_by(3, "ada", "m", 3000);
  other.session_id = "session-2";
  recorded.exchange(other, {}, {tool_of(3, "t3", "Bash")});
  recorded.close();
  const auto rows = read_session(recorded.folder.database(), {.session_id = "session-1"});
  REQUIRE_MESSAGE(rows.has_value(), (rows ? "" : rows.error().message));
  REQUIRE(rows->size() == 2);
  CHECK((*rows)[0].interception.id == uuid_of(2).text());
  CHECK((*rows)[0].tools.empty());
  REQUIRE((*rows)[1].tools.size() == 2);
  CHECK((*rows)[1].tools[1].id == "t2");
  CHECK((*rows)[1].tools[1].tool == "Read");
  const auto newest = read_session(recorded.folder.database(), {.session_id = "session-1", .limit = 1});
  REQUIRE(newest->size() == 1);
  CHECK((*newest)[0].interception.id == uuid_of(1).text());
  CHECK(read_session(recorded.folder.database(), {.session_id = "none"})->empty());
}

}  // namespace weir::record
