#include "server/landlock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace weir::server {

namespace {

// The kernel's ABI (linux/landlock.h); by hand because Debian 12's header stops at version 3.
enum Right : uint64_t {
  k_execute = 1u << 0,
  k_write_file = 1u << 1,
  k_read_file = 1u << 2,
  k_read_dir = 1u << 3,
  k_remove_dir = 1u << 4,
  k_remove_file = 1u << 5,
  k_make_dir = 1u << 7,
  k_make_reg = 1u << 8,
  k_refer = 1u << 13,      // version 2
  k_truncate = 1u << 14,   // version 3
  k_ioctl_dev = 1u << 15,  // version 5
};
constexpr uint64_t kFirstRights = (1u << 13) - 1;
constexpr uint64_t kBindTcp = 1u << 0;          // version 4
constexpr uint64_t kAbstractSockets = 1u << 0;  // version 6
constexpr uint64_t kSignals = 1u << 1;          // version 6

struct RulesetAttributes {
  uint64_t file_rights;
  uint64_t network_rights;
  uint64_t scoped;
};
struct [[gnu::packed]] PathRule {
  uint64_t allowed;
  int32_t parent;
};
constexpr unsigned kVersionQuery = 1;
constexpr int kPathBeneath = 1;

size_t attributes_size(int version) {
  if (version >= 6) return sizeof(RulesetAttributes);
  return version >= 4 ? offsetof(RulesetAttributes, scoped) : offsetof(RulesetAttributes, network_rights);
}

// Of a file that is no folder the kernel takes only these.
constexpr uint64_t kRightsOfFiles = k_execute | k_write_file | k_read_file | k_truncate | k_ioctl_dev;

Result<> allow(int ruleset, const std::string& path, uint64_t rights) {
  const int place = ::open(path.c_str(), O_PATH | O_CLOEXEC);
  if (place < 0) return {};  // not there, or not ours to see: nothing to allow
  struct stat about{};
  if (::fstat(place, &about) == 0 && !S_ISDIR(about.st_mode)) rights &= kRightsOfFiles;
  const PathRule rule{.allowed = rights, .parent = place};
  const long added = ::syscall(SYS_landlock_add_rule, ruleset, kPathBeneath, &rule, 0);
  const int error = errno;
  ::close(place);
  if (added != 0) return fail("Landlock: {}: {}", path, std::strerror(error));
  return {};
}

}  // namespace

int landlock_version() {
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, kVersionQuery);
  return version < 0 ? 0 : static_cast<int>(version);
}

Result<> restrict_files(const FileRights& rights) {
  const int version = landlock_version();
  if (version == 0) return fail("Landlock: this kernel has none, or it is not in its list (the boot parameter lsm=)");
  RulesetAttributes attributes{.file_rights = kFirstRights, .network_rights = 0, .scoped = 0};
  if (version >= 2) attributes.file_rights |= k_refer;
  if (version >= 3) attributes.file_rights |= k_truncate;
  if (version >= 4) attributes.network_rights = kBindTcp;  // the listeners are bound
  if (version >= 5) attributes.file_rights |= k_ioctl_dev;
  if (version >= 6) attributes.scoped = kSignals | (rights.abstract_sockets ? 0 : kAbstractSockets);
  const long ruleset = ::syscall(SYS_landlock_create_ruleset, &attributes, attributes_size(version), 0);
  if (ruleset < 0) return fail("Landlock: {}", std::strerror(errno));
  const auto add_all = [&](const std::vector<std::string>& paths, uint64_t wanted) -> Result<> {
    for (const std::string& path : paths) {
      if (auto added = allow(static_cast<int>(ruleset), path, wanted & attributes.file_rights); !added) return added;
    }
    return {};
  };
  constexpr uint64_t kRead = k_read_file | k_read_dir;
  constexpr uint64_t kWrite =
      kRead | k_write_file | k_remove_dir | k_remove_file | k_make_dir | k_make_reg | k_refer | k_truncate;
  Result<> result = add_all(rights.read, kRead);
  if (result) result = add_all(rights.write, kWrite);
  if (result && ::syscall(SYS_landlock_restrict_self, static_cast<int>(ruleset), 0) != 0) {
    result = fail("Landlock: {}", std::strerror(errno));
  }
  ::close(static_cast<int>(ruleset));
  return result;
}

}  // namespace weir::server
