// The process dies by SIGKILL, anywhere. What was accepted is in the database afterwards, exactly once.
//
// A child writes; how far it came is told in memory that it shares with the test, after each call has returned.

#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "record/codec.h"
#include "record/faulty_vfs.h"
#include "record/leftover.h"
#include "record/record_fixture.h"

namespace weir::record {

namespace {

// Calls that returned in the child: one interception is four (begin, prompt, usage, end).
class SharedCount {
 public:
  SharedCount()
      : count_(static_cast<std::atomic<uint64_t>*>(
            mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
    REQUIRE(count_ != MAP_FAILED);
  }
  ~SharedCount() { munmap(count_, 4096); }
  SharedCount(const SharedCount&) = delete;
  SharedCount& operator=(const SharedCount&) = delete;
  std::atomic<uint64_t>& operator*() const { return *count_; }

 private:
  std::atomic<uint64_t>* count_;
};

void write_calls(JournalWriter& writer, std::atomic<uint64_t>& done, uint64_t interceptions) {
  for (uint64_t number = 0; number < interceptions; ++number) {
    while (!writer.begin(start_of(number))) usleep(100);
    ++done;
    writer.add(prompt_of(number, "a prompt"));
    ++done;
    writer.add(usage_of(number));
    ++done;
    writer.end(end_of(number));
    ++done;
  }
}

pid_t run_child(const std::function<void()>& body) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    body();
    _exit(0);  // none of the parent's destructors, and no leak check
  }
  return child;
}

// Recovers, and holds what is in the database against the calls that returned. One more may have been made.
void check_recovered(const TempFolder& folder, uint64_t calls) {
  start_recorder(options_of(folder)).reset();
  Reader reader(folder.database());
  const auto within = [&](const std::string& what, uint64_t call) {
    const uint64_t found = std::stoull(reader.value("SELECT count(*) FROM " + what));
    const uint64_t least = (calls + 3 - call) / 4;
    const uint64_t most = (calls + 1 + 3 - call) / 4;
    CAPTURE(what);
    CAPTURE(calls);
    CHECK(found >= least);
    CHECK(found <= most);
  };
  within("interceptions", 0);
  within("user_prompts", 1);
  within("token_usages", 2);
  within("interceptions WHERE outcome = 'completed'", 3);
  CHECK(reader.value("SELECT count(*) FROM interceptions WHERE ended_at IS NULL") == "0");
  CHECK(reader.value("SELECT count(*) - count(DISTINCT interception_id) FROM user_prompts") == "0");
  CHECK(reader.value("SELECT count(*) - count(DISTINCT interception_id) FROM token_usages") == "0");
  CHECK(reader.value("SELECT count(*) FROM user_prompts WHERE interception_id NOT IN (SELECT id FROM interceptions)") ==
        "0");
  CHECK(reader.value("PRAGMA integrity_check") == "ok");
  CHECK(folder.journal_files(".bad-").empty());
  CHECK(folder.journal_files(".left").empty());
}

}  // namespace

TEST_CASE("crash: killed in any file operation of SQLite, each record arrives exactly once") {
  bool finished = false;
  int64_t killed_count = 0;
  for (int64_t after = 0; !finished; after += after < 30 ? 1 : 7) {
    const TempFolder folder;
    REQUIRE(Store::open(folder.database()).has_value());  // the schema's many operations are not what is tested
    const SharedCount calls;
    const pid_t child = run_child([&] {
      FaultyVfs vfs;
      vfs.die(after);
      auto recorder = start_recorder(options_of(folder));
      JournalWriter writer(recorder->journal(0));
      for (uint64_t round = 0; round < 4; ++round) {
        const uint64_t before = *calls / 4;
        for (uint64_t number = before; number < before + 3; ++number) {
          if (!writer.begin(start_of(number))) _exit(3);
          ++*calls;
          writer.add(prompt_of(number, "a prompt"));
          ++*calls;
          if (number == before + 2) {  // its end is in another batch than its start
            eventually([&] { return recorder->journal(0).head() == recorder->journal(0).tail(); });
          }
          writer.add(usage_of(number));
          ++*calls;
          writer.end(end_of(number));
          ++*calls;
        }
      }
      recorder->stop(kStopNs);
      _exit(0);
    });
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    finished = WIFEXITED(status);
    if (finished) {
      CHECK(WEXITSTATUS(status) == 0);
    } else {
      REQUIRE(WTERMSIG(status) == SIGKILL);
      ++killed_count;
    }
    check_recovered(folder, *calls);
  }
  CHECK(killed_count > 20);
}

TEST_CASE("crash: killed at random times under load, again and again on the same folder's successors") {
  std::mt19937 random(20261122);
  for (int turn = 0; turn < 12; ++turn) {
    const TempFolder folder;
    const SharedCount calls;
    const pid_t child = run_child([&] {
      auto recorder = start_recorder(options_of(folder));
      JournalWriter writer(recorder->journal(0));
      write_calls(writer, *calls, 1'000'000);
    });
    REQUIRE(eventually([&] { return *calls > 0; }));
    usleep(static_cast<useconds_t>(random() % 60'000));  // the time of death is what varies
    REQUIRE(kill(child, SIGKILL) == 0);
    REQUIRE(waitpid(child, nullptr, 0) == child);
    check_recovered(folder, *calls);
  }
}

TEST_CASE("crash: killed while recovering, the next recovery ends it") {
  const TempFolder folder;
  const SharedCount calls;
  const pid_t writer = run_child([&] {
    auto recorder = start_recorder(options_of(folder));
    Reader lock(folder.database());
    lock.execute("BEGIN IMMEDIATE");
    JournalWriter journal_writer(recorder->journal(0));
    write_calls(journal_writer, *calls, 200);
    kill(getpid(), SIGKILL);
  });
  REQUIRE(waitpid(writer, nullptr, 0) == writer);
  REQUIRE(*calls == 800);
  for (int64_t after = 0; after < 60; after += 2) {
    const pid_t child = run_child([&] {
      FaultyVfs vfs;
      vfs.die(after);
      start_recorder(options_of(folder)).reset();
    });
    REQUIRE(waitpid(child, nullptr, 0) == child);
  }
  check_recovered(folder, *calls);
}

TEST_CASE("crash: killed after any instruction of the writer, the journal is whole") {
  std::mt19937 random(7);
  for (int turn = 0; turn < 20; ++turn) {
    const TempFolder folder;
    const SharedCount calls;
    const std::string path = folder.path() + "/worker-0.journal";
    auto journal = std::move(*Journal::create(path, kRingSizeMin, 0));
    const pid_t child = run_child([&] {
      JournalWriter writer(*journal);
      ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
      raise(SIGSTOP);
      write_calls(writer, *calls, 1000);
    });
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE_MESSAGE(WIFSTOPPED(status), "this test needs ptrace of its own child");
    const auto steps = static_cast<int>(random() % 12'000);
    for (int step = 0; step < steps && WIFSTOPPED(status); ++step) {
      REQUIRE(ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) == 0);
      REQUIRE(waitpid(child, &status, 0) == child);
    }
    REQUIRE(WIFSTOPPED(status));
    REQUIRE(kill(child, SIGKILL) == 0);
    REQUIRE(waitpid(child, nullptr, 0) == child);

    const auto leftover = Leftover::load(path);
    REQUIRE(leftover.has_value());
    CHECK((*leftover)->damage().empty());
    const auto& positions = (*leftover)->positions();
    CAPTURE(steps);
    CHECK(positions.size() >= *calls);
    CHECK(positions.size() <= *calls + 1);
    constexpr std::array expected = {RecordType::start, RecordType::user_prompt, RecordType::token_usage,
                                     RecordType::end};
    for (size_t i = 0; i < positions.size(); ++i) {
      const RecordRef record = (*leftover)->record(positions[i]);
      CHECK(record.type == expected[i % 4]);
      CHECK(decode(record.type, record.payload).has_value());
    }
  }
}

}  // namespace weir::record
