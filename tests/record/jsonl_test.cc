// The jsonl sink: what a line holds, that each interception has exactly one, whatever dies, and rotation.

#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "record/faulty_vfs.h"
#include "record/jsonl_sink.h"
#include "record/record_fixture.h"

namespace weir::record {

namespace {

std::string file_of(const TempFolder& folder) {
  return folder.path() + "/out.jsonl";
}

RecorderOptions jsonl_options(const TempFolder& folder) {
  RecorderOptions options = options_of(folder);
  options.sinks = {{.kind = SinkSpec::Kind::jsonl,
                    .name = "jsonl",
                    .path = file_of(folder),
                    .state_path = folder.path() + "/sink-jsonl.db"}};
  return options;
}

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

void write_whole(JournalWriter& writer, uint64_t number) {
  REQUIRE(writer.begin(start_of(number)));
  writer.add(prompt_of(number, "a prompt"));
  writer.end(end_of(number));
}

// The number in the id that each line begins with.
std::multiset<uint64_t> numbers_of(const std::vector<std::string>& lines) {
  std::multiset<uint64_t> numbers;
  for (const std::string& line : lines) {
    REQUIRE(line.starts_with("{\"id\":\"00000000-0000-0000-"));
    REQUIRE(line.ends_with("]}"));
    numbers.insert(std::stoull(line.substr(26, 17).erase(4, 1), nullptr, 16));
  }
  return numbers;
}

std::multiset<uint64_t> numbers_up_to(uint64_t count) {
  std::multiset<uint64_t> numbers;
  for (uint64_t number = 0; number < count; ++number) numbers.insert(number);
  return numbers;
}

bool arrived(Journal& journal) {
  return journal.head() == journal.tail();
}

}  // namespace

TEST_CASE("jsonl: a line has every column, and the facts nested in their order") {
  const TempFolder folder;
  auto recorder = start_recorder(jsonl_options(folder));
  JournalWriter writer(recorder->journal(0));
  REQUIRE(writer.begin(start_of(1)));
  using namespace std::string_view_literals;
  writer.add(prompt_of(1, "a \"b\"\n\\\x01\0\xFF"sv));
  REQUIRE(eventually([&] { return arrived(recorder->journal(0)); }));  // the rest comes in a later batch
  writer.add(usage_of(1));
  writer.add(usage_of(1));
  writer.add(
      ModelThought{.id = uuid_of(1), .source = "thinking", .content = "hm", .truncated = true, .created_at = 1004});
  writer.end(end_of(1));
  REQUIRE(recorder->stop(kStopNs));
  const std::string usage =
      R"({"response_id":"msg_1","input":10,"output":20,"cache_read":30,"cache_write":40,"extra":{},"created_at":1002})";
  CHECK(
      lines_of(file_of(folder)) ==
      std::vector<std::string>{
          R"({"id":"00000000-0000-0000-0000-000000000001","started_at":1000,"initiator_id":"7b0ad5b5-7d4e-4f7c-9c1c-2b8f1f6f7d11",)"
          R"("username":"ada","api_key_id":"key-1","provider":"anthropic","provider_type":"anthropic","route":"messages",)"
          R"("model":"claude-sonnet-4","streaming":1,"client":"Claude Code","user_agent":"claude-cli/2.0",)"
          R"("session_id":"session-1","agent_id":"agent-1","parent_agent_id":"agent-0","correlating_tool_call_id":"toolu_1",)"
          R"("auth_mode":"centralized","auth_delegated":0,"source":"public","request_id":"request-1",)"
          R"("credential_kind":"centralized","credential_hint":"sk-a...efgh","credential_length":21,"request_bytes":1234,)"
          R"("node":"node-a","ended_at":2000,"upstream_status":200,"upstream_request_id":"req_1","outcome":"completed",)"
          R"("error_type":"","error_message":"","attempts":1,"first_byte_us":321,"response_bytes":4321,)"
          R"("token_usages":[)" +
          usage + "," + usage +
          R"(],"user_prompts":[{"prompt":"a \"b\"\n\\\u0001\u0000)"
          "\xEF\xBF\xBD"
          R"(","truncated":0,"created_at":1001}],"tool_usages":[],)"
          R"("model_thoughts":[{"source":"thinking","content":"hm","truncated":1,"created_at":1004}]})"});
}

TEST_CASE("jsonl: what a stopped process left running is one interrupted line at the next start") {
  const TempFolder folder;
  {
    auto recorder = start_recorder(jsonl_options(folder));
    JournalWriter writer(recorder->journal(0));
    REQUIRE(writer.begin(start_of(0)));
    writer.add(prompt_of(0, "kept"));
    REQUIRE(writer.begin(start_of(1)));
    writer.end(end_of(1));
    REQUIRE(recorder->stop(kStopNs));
    CHECK(lines_of(file_of(folder)).size() == 1);
  }
  for (int run = 0; run < 2; ++run) start_recorder(jsonl_options(folder)).reset();
  const auto lines = lines_of(file_of(folder));
  CHECK(numbers_of(lines) == numbers_up_to(2));
  REQUIRE(lines.size() == 2);
  CHECK(lines[1].find(R"("upstream_status":null,"upstream_request_id":"","outcome":"interrupted")") !=
        std::string::npos);
  CHECK(lines[1].find(R"("prompt":"kept")") != std::string::npos);
}

TEST_CASE("jsonl: killed in any file operation of the state, each line is there exactly once") {
  bool finished = false;
  int64_t killed_count = 0;
  for (int64_t after = 0; !finished; after += after < 30 ? 1 : 5) {
    const TempFolder folder;
    start_recorder(jsonl_options(folder)).reset();  // the state's schema is not what is tested
    int done[2];
    REQUIRE(pipe(done) == 0);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      FaultyVfs vfs;
      vfs.die(after);
      auto recorder = start_recorder(jsonl_options(folder));
      JournalWriter writer(recorder->journal(0));
      for (uint64_t number = 0; number < 6; ++number) {
        if (!writer.begin(start_of(number))) _exit(3);
        if (write(done[1], "b", 1) != 1) _exit(3);
        writer.add(prompt_of(number, "a prompt"));
        if (number % 2 == 0) eventually([&] { return arrived(recorder->journal(0)); });
        writer.end(end_of(number));
      }
      recorder->stop(kStopNs);
      _exit(0);
    }
    close(done[1]);
    uint64_t begun = 0;
    for (char byte = 0; read(done[0], &byte, 1) == 1;) ++begun;
    close(done[0]);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    finished = WIFEXITED(status);
    if (finished) CHECK(WEXITSTATUS(status) == 0);
    killed_count += finished ? 0 : 1;
    start_recorder(jsonl_options(folder)).reset();
    // One more may have been begun than was told.
    const auto numbers = numbers_of(lines_of(file_of(folder)));
    CAPTURE(after);
    CHECK((numbers == numbers_up_to(begun) || numbers == numbers_up_to(begun + 1)));
  }
  CHECK(killed_count > 10);
}

TEST_CASE("jsonl: a torn tail is cut off at the next start") {
  const TempFolder folder;
  {
    auto recorder = start_recorder(jsonl_options(folder));
    JournalWriter writer(recorder->journal(0));
    write_whole(writer, 0);
    REQUIRE(recorder->stop(kStopNs));
  }
  std::ofstream(file_of(folder), std::ios::app) << R"({"id":"0000)";
  {
    auto recorder = start_recorder(jsonl_options(folder));
    JournalWriter writer(recorder->journal(0));
    write_whole(writer, 1);
    REQUIRE(recorder->stop(kStopNs));
  }
  CHECK(numbers_of(lines_of(file_of(folder))) == numbers_up_to(2));
}

TEST_CASE("jsonl: a file is rotated by size, the oldest goes, and no line is lost in those that stay") {
  const TempFolder folder;
  RecorderOptions options = jsonl_options(folder);
  options.sinks[0].rotate_size = 1500;
  options.sinks[0].keep = 2;
  auto recorder = start_recorder(options);
  JournalWriter writer(recorder->journal(0));
  for (uint64_t number = 0; number < 12; ++number) {
    write_whole(writer, number);
    REQUIRE(eventually([&] { return arrived(recorder->journal(0)); }));
  }
  REQUIRE(recorder->stop(kStopNs));
  const std::string path = file_of(folder);
  CHECK_FALSE(std::filesystem::exists(path + ".3"));
  std::vector<std::string> all;
  for (const std::string suffix : {".2", ".1", ""}) {
    const auto lines = lines_of(path + suffix);
    CHECK(lines.size() == 2);
    all.insert(all.end(), lines.begin(), lines.end());
  }
  CHECK(numbers_of(all) == std::multiset<uint64_t>{6, 7, 8, 9, 10, 11});
}

TEST_CASE("jsonl: a file that is moved away under us is begun anew") {
  const TempFolder folder;
  auto recorder = start_recorder(jsonl_options(folder));
  JournalWriter writer(recorder->journal(0));
  write_whole(writer, 0);
  REQUIRE(eventually([&] { return arrived(recorder->journal(0)); }));
  std::filesystem::rename(file_of(folder), file_of(folder) + ".old");
  write_whole(writer, 1);
  REQUIRE(recorder->stop(kStopNs));
  CHECK(numbers_of(lines_of(file_of(folder) + ".old")) == std::multiset<uint64_t>{0});
  CHECK(numbers_of(lines_of(file_of(folder))) == std::multiset<uint64_t>{1});
}

TEST_CASE("jsonl: a path that is no file is told; the lines wait for another") {
  const TempFolder folder;
  TestLog log(folder);
  RecorderOptions options = jsonl_options(folder);
  options.sinks[0].path = "/dev/null";  // nothing would be kept there
  auto recorder = start_recorder(options, &log);
  JournalWriter writer(recorder->journal(0));
  write_whole(writer, 0);
  REQUIRE(eventually([&] { return log.count("the jsonl file fails") == 1; }));
  CHECK_FALSE(recorder->stop(kStopNs / 100));
  recorder.reset();
  start_recorder(jsonl_options(folder)).reset();
  CHECK(numbers_of(lines_of(file_of(folder))) == numbers_up_to(1));
}

}  // namespace weir::record
