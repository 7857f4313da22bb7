#include "record/recorder.h"

#include <sys/stat.h>

#include <doctest/doctest.h>

#include "record/record_fixture.h"

namespace weir::record {

TEST_CASE("recorder: an interception and its facts arrive with every column") {
  const TempFolder folder;
  auto recorder = start_recorder(options_of(folder));
  JournalWriter writer(recorder->journal(0));
  REQUIRE(writer.begin(start_of(1)));
  CHECK(writer.open_count() == 1);
  writer.add(prompt_of(1, "hello"));
  writer.add(usage_of(1));
  writer.add(ToolUsage{.id = uuid_of(1),
                       .response_id = "msg_1",
                       .tool_call_id = "toolu_2",
                       .tool = "Bash",
                       .arguments = R"({"command":"ls"})",
                       .truncated = false,
                       .injected = true,
                       .server_url = "http://mcp",
                       .error = "none",
                       .created_at = 1003});
  writer.add(
      ModelThought{.id = uuid_of(1), .source = "thinking", .content = "hm", .truncated = true, .created_at = 1004});
  writer.end(end_of(1));
  CHECK(writer.open_count() == 0);
  REQUIRE(recorder->stop(kStopNs));

  Reader reader(folder.database());
  CHECK(reader.rows("SELECT * FROM interceptions") ==
        std::vector<std::string>{
            "00000000-0000-0000-0000-000000000001|1000|2000|7b0ad5b5-7d4e-4f7c-9c1c-2b8f1f6f7d11|ada|key-1|anthropic|"
            "anthropic|messages|claude-sonnet-4|1|Claude Code|claude-cli/2.0|session-1|agent-1|agent-0|toolu_1|"
            "centralized|0|public|request-1|centralized|sk-a...efgh|21|200|req_1|completed|||1|321|1234|4321|node-a"});
  const std::string id = "00000000-0000-0000-0000-000000000001";
  CHECK(reader.rows("SELECT * FROM user_prompts") == std::vector<std::string>{id + "|hello|0|1001"});
  CHECK(reader.rows("SELECT * FROM token_usages") == std::vector<std::string>{id + "|msg_1|10|20|30|40|{}|1002"});
  CHECK(reader.rows("SELECT * FROM tool_usages") ==
        std::vector<std::string>{id + R"(|msg_1|toolu_2|Bash|{"command":"ls"}|0|1|http://mcp|none|1003)"});
  CHECK(reader.rows("SELECT * FROM model_thoughts") == std::vector<std::string>{id + "|thinking|hm|1|1004"});
}

TEST_CASE("recorder: a running interception is visible, and its end is added to its row") {
  const TempFolder folder;
  auto recorder = start_recorder(options_of(folder));
  JournalWriter writer(recorder->journal(0));
  REQUIRE(writer.begin(start_of(1)));
  Reader reader(folder.database());
  CHECK(eventually([&] { return reader.count("interceptions") == 1; }));
  CHECK(reader.value("SELECT ended_at, upstream_status, outcome, first_byte_us, attempts FROM interceptions") ==
        "NULL|NULL||NULL|0");
  writer.end(End{.id = uuid_of(1),
                 .ended_at = 3000,
                 .outcome = Outcome::upstream_error,
                 .error_type = ErrorType::network,
                 .error_message = "reset",
                 .attempts = 2});
  CHECK(eventually([&] { return reader.value("SELECT ended_at FROM interceptions") == "3000"; }));
  CHECK(reader.value("SELECT upstream_status, outcome, error_type, error_message, attempts, first_byte_us FROM "
                     "interceptions") == "NULL|upstream_error|network|reset|2|NULL");
}

TEST_CASE("recorder: what a stopped process left running is closed as interrupted, never before its start") {
  const TempFolder folder;
  const int64_t future = unix_us() + 1'000'000'000;
  {
    auto recorder = start_recorder(options_of(folder));
    JournalWriter writer(recorder->journal(0));
    REQUIRE(writer.begin(start_of(1)));
    REQUIRE(writer.begin(start_of(2, future)));
    REQUIRE(writer.begin(start_of(3)));
    writer.end(end_of(3));
    REQUIRE(recorder->stop(kStopNs));
  }
  const int64_t before = unix_us();
  auto recorder = start_recorder(options_of(folder));
  Reader reader(folder.database());
  CHECK(reader.rows("SELECT outcome, error_type FROM interceptions ORDER BY id") ==
        std::vector<std::string>{"interrupted|", "interrupted|", "completed|"});
  CHECK(std::stoll(reader.value("SELECT ended_at FROM interceptions ORDER BY id LIMIT 1")) >= before);
  CHECK(reader.value("SELECT ended_at FROM interceptions ORDER BY id LIMIT 1 OFFSET 1") == std::to_string(future));
}

TEST_CASE("recorder: an end whose start is unknown is ignored and told") {
  const TempFolder folder;
  TestLog log(folder);
  auto recorder = start_recorder(options_of(folder), &log);
  JournalWriter writer(recorder->journal(0));
  REQUIRE(writer.begin(start_of(1)));
  writer.end(end_of(9));
  REQUIRE(recorder->stop(kStopNs));
  Reader reader(folder.database());
  CHECK(reader.rows("SELECT id FROM interceptions").size() == 1);
  CHECK(log.count("ends_without_start=1") == 1);
}

TEST_CASE("recorder: tells of each interception that ended, after the commit") {
  const TempFolder folder;
  std::vector<std::string> seen;
  RecorderOptions options = options_of(folder);
  options.on_ended = [&](const InterceptionRow& row) {
    seen.push_back(row.model + " " + row.outcome + " " + std::to_string(row.input_tokens));
  };
  auto recorder = start_recorder(options);
  JournalWriter writer(recorder->journal(0));
  REQUIRE(writer.begin(start_of(1)));
  REQUIRE(writer.begin(start_of(2)));
  writer.add(usage_of(1));
  writer.end(end_of(1));
  REQUIRE(recorder->stop(kStopNs));
  CHECK(seen == std::vector<std::string>{"claude-sonnet-4 completed 10"});
}

TEST_CASE("recorder: texts with U+0000 are kept, bytes that are no UTF-8 become U+FFFD") {
  const TempFolder folder;
  auto recorder = start_recorder(options_of(folder));
  JournalWriter writer(recorder->journal(0));
  Start start = start_of(1);
  start.user_agent = "caf\xE9/1.0\xFF";
  REQUIRE(writer.begin(start));
  using namespace std::string_view_literals;
  writer.add(prompt_of(1, "a\0b"sv));
  REQUIRE(recorder->stop(kStopNs));
  Reader reader(folder.database());
  CHECK(reader.value("SELECT user_agent FROM interceptions") == "caf\xEF\xBF\xBD/1.0\xEF\xBF\xBD");
  CHECK(reader.value("SELECT prompt FROM user_prompts") == "a\0b"sv);
  CHECK(reader.value("SELECT typeof(prompt), hex(prompt) FROM user_prompts") == "text|610062");
}

TEST_CASE("recorder: files are for their owner only") {
  const TempFolder folder;
  auto recorder = start_recorder(options_of(folder));
  const auto mode = [](const std::string& path) {
    struct stat status{};
    REQUIRE(stat(path.c_str(), &status) == 0);
    return status.st_mode & 0777;
  };
  CHECK(mode(folder.journals()) == 0700);
  CHECK(mode(folder.journals() + "/worker-0.journal") == 0600);
  CHECK(mode(folder.journals() + "/lock") == 0600);
  CHECK(mode(folder.database()) == 0600);
  CHECK(mode(folder.database() + "-wal") == 0600);
}

TEST_CASE("recorder: a second one on the same folder is refused and told the pid") {
  const TempFolder folder;
  auto recorder = start_recorder(options_of(folder));
  const auto second = Recorder::start(options_of(folder), nullptr);
  REQUIRE_FALSE(second.has_value());
  CHECK(second.error().message.find("pid " + std::to_string(getpid())) != std::string::npos);
}

}  // namespace weir::record
