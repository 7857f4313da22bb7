// A disk that really is full: a tmpfs of 2 MiB, which only root may mount. The journals are on another disk.

#include <sys/mount.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "record/record_fixture.h"

namespace weir::record {

namespace {

class SmallDisk {
 public:
  explicit SmallDisk(const TempFolder& folder) : path_(folder.path() + "/small") {
    std::filesystem::create_directory(path_);
    mounted_ = mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=2m") == 0;
    if (!mounted_) MESSAGE("skipped: a tmpfs cannot be mounted here: ", std::strerror(errno));
  }
  ~SmallDisk() {
    if (mounted_) umount2(path_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  explicit operator bool() const { return mounted_; }
  const std::string& path() const { return path_; }
  void fill() const {
    std::ofstream file(path_ + "/filler", std::ios::binary);
    const std::string block(4096, 'x');
    while (file.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
  void free() const { std::filesystem::remove(path_ + "/filler"); }

 private:
  std::string path_;
  bool mounted_ = false;
};

// More than what SQLite has room for in pages that it has already.
uint64_t write_while_full(JournalWriter& writer) {
  const std::string prompt(20'000, 'p');
  constexpr uint64_t kCount = 20;
  for (uint64_t number = 0; number < kCount; ++number) {
    REQUIRE(writer.begin(start_of(number)));
    writer.add(prompt_of(number, prompt));
    writer.end(end_of(number));
  }
  return kCount;
}

}  // namespace

TEST_CASE("faults: a full disk delays the database; what waits arrives once when there is room") {
  const TempFolder folder;
  const SmallDisk disk(folder);
  if (!disk) return;
  TestLog log(folder);
  RecorderOptions options = options_of(folder);
  options.sinks[0].path = disk.path() + "/weir.db";
  auto recorder = start_recorder(options, &log);
  JournalWriter writer(recorder->journal(0));
  disk.fill();
  const uint64_t count = write_while_full(writer);
  REQUIRE(eventually([&] { return log.count("the database fails") == 1; }));
  CHECK(log.count("free some room on its disk") == 1);
  disk.free();
  REQUIRE(recorder->stop(kStopNs));
  CHECK(log.count("the database works again") == 1);
  Reader reader(options.sinks[0].path);
  CHECK(reader.count("interceptions") == static_cast<int64_t>(count));
  CHECK(reader.count("user_prompts") == static_cast<int64_t>(count));
  CHECK(reader.value("PRAGMA integrity_check") == "ok");
}

TEST_CASE("faults: a full disk delays the JSON lines; each comes once, and none is torn") {
  const TempFolder folder;
  const SmallDisk disk(folder);
  if (!disk) return;
  TestLog log(folder);
  RecorderOptions options = options_of(folder);
  options.sinks = {{.kind = SinkSpec::Kind::jsonl,
                    .name = "jsonl",
                    .path = disk.path() + "/out.jsonl",
                    .state_path = folder.path() + "/sink-jsonl.db"}};
  auto recorder = start_recorder(options, &log);
  JournalWriter writer(recorder->journal(0));
  disk.fill();
  const uint64_t count = write_while_full(writer);
  REQUIRE(eventually([&] { return log.count("the jsonl file fails") == 1; }));
  CHECK(log.count("free some room on its disk") == 1);
  disk.free();
  REQUIRE(recorder->stop(kStopNs));
  std::ifstream file(options.sinks[0].path);
  uint64_t lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    CHECK(line.starts_with("{\"id\":"));
    CHECK(line.ends_with("]}"));
  }
  CHECK(lines == count);
}

}  // namespace weir::record
