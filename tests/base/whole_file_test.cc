#include "base/whole_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

using namespace weir;

namespace {

class Folder {
 public:
  Folder() { REQUIRE(::mkdtemp(path_.data()) != nullptr); }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file(const std::string& content) const {
    std::ofstream(at("file"), std::ios::binary) << content;
    return at("file");
  }
  std::string at(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_ = (std::filesystem::temp_directory_path() / "weir-file-XXXXXX").string();
};

std::string error_of(const std::string& path, size_t size_max = kTextFileSizeMax) {
  const auto read = read_whole_file(path, size_max);
  return read ? "none" : read.error().message;
}

}  // namespace

TEST_CASE("file: all of it, whatever its size") {
  const Folder folder;
  for (const size_t size : {0, 1, 65535, 65536, 65537, 300000}) {
    CAPTURE(size);
    const std::string content(size, 'x');
    const auto read = read_whole_file(folder.file(content));
    REQUIRE(read.has_value());
    CHECK(*read == content);
  }
}

TEST_CASE("file: its bound holds to the byte") {
  const Folder folder;
  CHECK(read_whole_file(folder.file(std::string(1000, 'x')), 1000).has_value());
  CHECK(error_of(folder.file(std::string(1001, 'x')), 1000) == "is larger than 1KB");
}

TEST_CASE("file: what is none is an error, and at once") {
  const Folder folder;
  CHECK(error_of(folder.at("missing")) == "No such file or directory");
  CHECK(error_of(folder.at("")) == "Is a directory");
  CHECK(error_of("/dev/zero").starts_with("is larger than 16MiB"));
  REQUIRE(::mkfifo(folder.at("pipe").c_str(), 0600) == 0);
  CHECK(error_of(folder.at("pipe")) == "is a pipe that nobody writes to");
}

TEST_CASE("file: a pipe is read to its end, however slowly it comes") {
  const Folder folder;
  REQUIRE(::mkfifo(folder.at("pipe").c_str(), 0600) == 0);
  const int writer = ::open(folder.at("pipe").c_str(), O_RDWR | O_CLOEXEC);  // does not wait for a reader
  REQUIRE(writer >= 0);
  std::string read;
  std::thread reader([&] { read = read_whole_file(folder.at("pipe")).value_or("failed"); });
  for (const char* part : {"one ", "two ", "three"}) {
    REQUIRE(::write(writer, part, std::string(part).size()) > 0);
    // Until it is read: the next one finds the reader waiting.
    for (int left = 1; left > 0;) {
      REQUIRE(::ioctl(writer, FIONREAD, &left) == 0);
      std::this_thread::yield();
    }
  }
  ::close(writer);
  reader.join();
  CHECK(read == "one two three");
}
