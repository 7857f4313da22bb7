#include "server/privileges.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>

#include "server/landlock.h"
#include "server/sandbox.h"

namespace weir::server {

namespace {

// What is given up is given up for good: each case in a process of its own. True if the call said so.
bool in_child(const std::function<bool()>& call) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(call() ? 0 : 1);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

struct Folder {
  Folder() {
    char name[] = "/tmp/weir-privileges-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string path;
};

bool has(const std::vector<std::string>& paths, const std::string& path) {
  return std::ranges::find(paths, path) != paths.end();
}

}  // namespace

TEST_CASE("privileges: an account is found by name or number, with its group or another") {
  CHECK(find_account("root")->uid == 0);
  CHECK(find_account("nobody:root")->gid == 0);
  CHECK(find_account("4711")->uid == 4711);
  CHECK(find_account("4711")->gid == 4711);
  CHECK(find_account("4711:12")->gid == 12);
  for (const char* text : {"", "no-such-user-here", "root:no-such-group-here", "-1"}) {
    CAPTURE(text);
    CHECK_FALSE(find_account(text).has_value());
  }
}

TEST_CASE("privileges: a folder is made for its account, and one that is another's is refused with the command") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: only root can give folders away");
    return;
  }
  const Folder folder;
  const Account account{.name = "4711", .uid = 4711, .gid = 4711};
  CHECK(give_folder(folder.path + "/a/data", account).has_value());
  struct stat about{};
  REQUIRE(::stat((folder.path + "/a/data").c_str(), &about) == 0);
  CHECK(about.st_uid == 4711);
  CHECK((about.st_mode & 0777) == 0700);
  CHECK(give_folder(folder.path + "/a/data", account).has_value());
  std::ofstream(folder.path + "/a/data/weir.db") << "root was here";
  const auto foreign = give_folder(folder.path + "/a/data", account);
  REQUIRE_FALSE(foreign.has_value());
  CHECK(foreign.error().message.find("weir.db belongs to root") != std::string::npos);
  CHECK(foreign.error().message.find("chown -R 4711 " + folder.path + "/a/data") != std::string::npos);
  CHECK_FALSE(give_folder(folder.path, account).has_value());
}

TEST_CASE("privileges: root becomes another user for good") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: only root can become another user");
    return;
  }
  CHECK(in_child([] {
    const Account account{.name = "4711", .uid = 4711, .gid = 4712};
    return become(account).has_value() && ::getuid() == 4711 && ::geteuid() == 4711 && ::getegid() == 4712 &&
           ::setuid(0) != 0 && become(account).has_value() && !become({.name = "0", .uid = 0, .gid = 0}).has_value();
  }));
}

TEST_CASE("privileges: without capabilities root is bound by modes") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: another user has no capabilities to give up");
    return;
  }
  const Folder folder;
  const std::string path = folder.path + "/secret";
  std::ofstream(path) << "x";
  ::chmod(path.c_str(), 0);
  CHECK(in_child([&] {
    return ::access(path.c_str(), R_OK) == 0 && give_up_capabilities().has_value() && ::access(path.c_str(), R_OK) != 0;
  }));
}

TEST_CASE("landlock: files outside the rights are out of reach, those inside are not") {
  if (landlock_version() == 0) {
    MESSAGE("skipped: this kernel has no Landlock");
    return;
  }
  const Folder folder;
  for (const char* name : {"read", "write", "other"}) {
    std::filesystem::create_directory(folder.path + "/" + name);
    std::ofstream(folder.path + "/" + name + "/file") << "x";
  }
  const auto works = [&](const std::string& path, std::ios::openmode mode) {
    return std::fstream(folder.path + path, mode).is_open();
  };
  CHECK(in_child([&] {
    const bool before = works("/other/file", std::ios::in);
    if (!give_up_capabilities()) return false;  // for no_new_privs
    if (!restrict_files({.read = {folder.path + "/read", "/nonexistent"}, .write = {folder.path + "/write"}}))
      return false;
    return before && works("/read/file", std::ios::in) && !works("/read/file", std::ios::out | std::ios::in) &&
           works("/write/new", std::ios::out) && std::filesystem::remove(folder.path + "/write/new") &&
           !works("/other/file", std::ios::in);
  }));
}

TEST_CASE("sandbox: the folders of what a configuration names may be read, its data written, the root folder neither") {
  gateway::Config config;
  config.file = "/etc/weir/weir.toml";
  config.data_dir = "/var/lib/weir";
  gateway::ListenerConfig listener;
  listener.certificate = "/srv/tls/a.pem";
  listener.key = "/key.pem";
  config.listeners.push_back(listener);
  gateway::ProviderConfig provider;
  provider.key.file = "/run/keys/anthropic";
  config.providers.push_back(provider);
  config.sinks.push_back({.path = "/data/records.db"});
  const FileRights rights = files_of(config);
  for (const char* path : {"/etc/weir", "/srv/tls", "/run/keys", "/key.pem", "/etc/resolv.conf"}) {
    CAPTURE(path);
    CHECK(has(rights.read, path));
  }
  CHECK_FALSE(has(rights.read, "/"));
  CHECK_FALSE(has(rights.read, "/etc"));
  CHECK(rights.write == std::vector<std::string>{"/var/lib/weir", "/data"});
}

}  // namespace weir::server
