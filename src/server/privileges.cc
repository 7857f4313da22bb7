#include "server/privileges.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/assert.h"

namespace weir::server {

namespace {

std::optional<uint32_t> number(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string owner_name(uid_t uid) {
  const passwd* entry = ::getpwuid(uid);  // NOLINT(concurrency-mt-unsafe): there is one thread
  return entry == nullptr ? fmt::format("uid {}", uid) : std::string(entry->pw_name);
}

std::unexpected<Error> wrong_owner(const std::string& folder, const std::string& path, uid_t owner,
                                   const Account& account) {
  return fail("{} belongs to {}, and weir is to run as {} (--user); run: chown -R {} {}", path, owner_name(owner),
              account.name, account.name, folder);
}

// What a program could regain. Only a process that may change its capabilities has this to give.
void empty_bounding_set() {
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability) >= 0; capability++) {
    if (::prctl(PR_CAPBSET_DROP, capability) != 0) return;
  }
}

}  // namespace

Result<Account> find_account(const std::string& text) {
  Account account{.name = text};
  const size_t colon = text.find(':');
  const std::string user = text.substr(0, colon);
  if (const auto uid = number(user)) {
    account.uid = *uid;
    const passwd* entry = ::getpwuid(*uid);  // NOLINT(concurrency-mt-unsafe)
    account.gid = entry == nullptr ? static_cast<gid_t>(*uid) : entry->pw_gid;
  } else if (const passwd* entry = ::getpwnam(user.c_str()); entry != nullptr) {  // NOLINT(concurrency-mt-unsafe)
    account.uid = entry->pw_uid;
    account.gid = entry->pw_gid;
  } else {
    return fail("user \"{}\": there is no such user; make one: adduser --system --group {}", text, user);
  }
  if (colon == std::string::npos) return account;
  const std::string group = text.substr(colon + 1);
  if (const auto gid = number(group)) {
    account.gid = *gid;
  } else if (const struct group* entry = ::getgrnam(group.c_str());
             entry != nullptr) {  // NOLINT(concurrency-mt-unsafe)
    account.gid = entry->gr_gid;
  } else {
    return fail("user \"{}\": there is no group {}", text, group);
  }
  return account;
}

Result<> give_folder(const std::string& path, const Account& account) {
  struct stat about{};
  if (::stat(path.c_str(), &about) != 0) {
    const std::filesystem::path parent = std::filesystem::path(path).parent_path();
    std::error_code error;
    if (!parent.empty()) std::filesystem::create_directories(parent, error);
    if (::mkdir(path.c_str(), 0700) != 0 || ::chown(path.c_str(), account.uid, account.gid) != 0) {
      return fail("cannot make the folder {} for {}: {}", path, account.name, std::strerror(errno));
    }
    return {};
  }
  if (about.st_uid != account.uid) return wrong_owner(path, path, about.st_uid, account);
  DIR* folder = ::opendir(path.c_str());
  if (folder == nullptr) return fail("cannot read the folder {}: {}", path, std::strerror(errno));
  const int descriptor = ::dirfd(folder);
  ASSERT(descriptor >= 0);
  Result<> result;
  while (const dirent* entry = ::readdir(folder)) {  // NOLINT(concurrency-mt-unsafe): a stream of our own
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (::fstatat(descriptor, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (about.st_uid == account.uid) continue;
    result = wrong_owner(path, fmt::format("{}/{}", path, name), about.st_uid, account);
    break;
  }
  ::closedir(folder);
  return result;
}

Result<> become(const Account& account) {
  if (::geteuid() == account.uid && ::getuid() == account.uid && ::getegid() == account.gid) return {};
  if (::geteuid() != 0) {
    return fail("--user {}: only root can become another user; start weir as root, or as {} without --user",
                account.name, account.name);
  }
  empty_bounding_set();
  // The account's other groups are not taken along: one that lets weir read a file must be named.
  if (::setgroups(0, nullptr) != 0 || ::setresgid(account.gid, account.gid, account.gid) != 0 ||
      ::setresuid(account.uid, account.uid, account.uid) != 0) {
    return fail("--user {}: cannot become that user: {}", account.name, std::strerror(errno));
  }
  if (account.uid != 0 && ::setuid(0) == 0) return fail("--user {}: the rights of root did not go", account.name);
  return {};
}

Result<> give_up_capabilities() {
  empty_bounding_set();
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct none[2] = {};
  if (::syscall(SYS_capset, &header, none) != 0) return fail("cannot give up capabilities: {}", std::strerror(errno));
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail("cannot set no_new_privs: {}", std::strerror(errno));
  return {};
}

void allow_core_dumps(bool allowed) {
  rlimit limit{};
  ::getrlimit(RLIMIT_CORE, &limit);
  limit.rlim_cur = allowed ? limit.rlim_max : 0;
  ::setrlimit(RLIMIT_CORE, &limit);
  // A core_pattern that is a pipe gets its core whatever the limit says; this it respects.
  ::prctl(PR_SET_DUMPABLE, allowed ? 1 : 0);
}

}  // namespace weir::server
