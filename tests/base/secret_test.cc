#include "base/secret.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

namespace weir {

namespace {

struct TemporaryFile {
  TemporaryFile(std::string_view content, mode_t mode) {
    char name[] = "/tmp/weir-secret-XXXXXX";
    const int descriptor = ::mkstemp(name);
    path = name;
    REQUIRE(::write(descriptor, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
    ::close(descriptor);
    ::chmod(name, mode);
  }
  ~TemporaryFile() { ::unlink(path.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  std::string path;
};

// Of the mapping that holds the address, the line VmFlags of /proc/self/smaps.
std::string flags_of_mapping(const void* address) {
  std::ifstream smaps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    unsigned long from = 0;
    unsigned long to = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2) inside = from <= wanted && wanted < to;
    if (inside && line.starts_with("VmFlags:")) return line + " ";
  }
  return {};
}

}  // namespace

TEST_CASE("secret: holds its bytes on pages that a dump leaves out and a child does not inherit") {
  const Secret secret("sk-0123456789");
  CHECK(secret.view() == "sk-0123456789");
  const std::string flags = flags_of_mapping(secret.view().data());
  CHECK(flags.find(" dd ") != std::string::npos);
  CHECK(flags.find(" wf ") != std::string::npos);
}

TEST_CASE("secret: moving leaves nothing behind, and an empty one maps nothing") {
  Secret secret("sk-0123456789");
  const Secret moved(std::move(secret));
  CHECK(secret.empty());  // NOLINT(bugprone-use-after-move): that is what is tested
  CHECK(moved.view() == "sk-0123456789");
  CHECK(Secret("").view().empty());
  Secret assigned("other");
  assigned = Secret("sk-2");
  CHECK(assigned.view() == "sk-2");
}

TEST_CASE("secret: a variable is overwritten where it stood, unset, and known for good") {
  ::setenv("WEIR_TEST_TAKEN", "sk-from-environment", 1);
  const char* where = std::getenv("WEIR_TEST_TAKEN");
  CHECK(take_secret_from_environment("WEIR_TEST_TAKEN") == "sk-from-environment");
  CHECK(std::string_view(where, 4) == std::string_view("\0\0\0\0", 4));
  CHECK(std::getenv("WEIR_TEST_TAKEN") == nullptr);
  CHECK(take_secret_from_environment("WEIR_TEST_TAKEN") == "sk-from-environment");
  ::setenv("WEIR_TEST_TAKEN", "sk-new", 1);
  CHECK(take_secret_from_environment("WEIR_TEST_TAKEN") == "sk-new");
  CHECK(take_secret_from_environment("WEIR_TEST_NEVER_SET").empty());
}

TEST_CASE("secret: a file is read when only its owner may, and refused with the command that mends it") {
  const TemporaryFile good("sk-file\n", 0600);
  CHECK(read_secret_file(good.path, "key.file")->view() == "sk-file\n");
  for (const mode_t mode : {0640u, 0604u, 0620u, 0610u, 0644u}) {
    const TemporaryFile open("sk-file\n", mode);
    const auto refused = read_secret_file(open.path, "key.file");
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().message.find("chmod 600 " + open.path) != std::string::npos);
    CHECK(refused.error().message.find("sk-file") == std::string::npos);
    CHECK(read_secret_file(open.path, "key.file", /*may_be_shared=*/true).has_value());
    CHECK_FALSE(check_private(open.path, "the file").has_value());
  }
  CHECK(check_private(good.path, "the file").has_value());
  const auto missing = read_secret_file("/nonexistent/key", "key.file");
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().message == "cannot read key.file \"/nonexistent/key\": No such file or directory");
  const TemporaryFile large(std::string(70000, 'x'), 0600);
  CHECK_FALSE(read_secret_file(large.path, "key.file").has_value());
  CHECK(read_secret_file("/dev/null", "key.file")->empty());
}

TEST_CASE("secret: a wiped text is empty and its memory zero") {
  std::string text(200, 's');
  const char* memory = text.data();
  wipe(text);
  CHECK(text.empty());
  CHECK(memory[100] == '\0');
}

}  // namespace weir
