#include "record/journal_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/clock.h"

namespace weir::record {

namespace {

std::string reason(int error) {
  return std::strerror(error);
}

std::string read_pid(int descriptor) {
  char text[32];
  const ssize_t size = pread(descriptor, text, sizeof text, 0);
  std::string_view pid(text, size > 0 ? static_cast<size_t>(size) : 0);
  pid = pid.substr(0, pid.find_first_not_of("0123456789"));
  return pid.empty() ? "unknown" : std::string(pid);
}

}  // namespace

Result<JournalDirectory> JournalDirectory::open(const std::string& path) {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail("cannot make the folder {}: {}", path, reason(errno));
  }
  const std::string lock_path = path + "/lock";
  const int lock = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) return fail("cannot open {}: {}", lock_path, reason(errno));
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    const int cause = errno;
    const std::string pid = read_pid(lock);
    ::close(lock);
    if (cause == EWOULDBLOCK) {
      return fail("{} is in use by a weir with pid {}: stop that one, or use another data_dir", path, pid);
    }
    return fail("cannot lock {}: {}", lock_path, reason(cause));
  }
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(lock, 0) != 0 || pwrite(lock, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    const int cause = errno;
    ::close(lock);
    return fail("cannot write {}: {}", lock_path, reason(cause));
  }
  return JournalDirectory(path, lock);
}

JournalDirectory::JournalDirectory(JournalDirectory&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)) {}

JournalDirectory::~JournalDirectory() {
  if (lock_ >= 0) ::close(lock_);
}

std::string JournalDirectory::live_path(uint32_t worker_index) const {
  return fmt::format("{}/worker-{}.journal", path_, worker_index);
}

std::string JournalDirectory::left_path(uint32_t worker_index, uint64_t journal_id) const {
  return fmt::format("{}/worker-{}-{:016x}.left", path_, worker_index, journal_id);
}

Result<std::vector<std::string>> JournalDirectory::list(const std::string& path) {
  std::vector<std::string> paths;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(path, error), last; !error && entry != last; entry.increment(error)) {
    const std::string extension = entry->path().extension().string();
    if (extension == ".journal" || extension == ".left") paths.push_back(entry->path().string());
  }
  if (error) return fail("cannot list {}: {}", path, error.message());
  std::ranges::sort(paths);
  return paths;
}

Result<> JournalDirectory::rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return fail("cannot rename {} to {}: {}", from, to, reason(errno));
  return {};
}

Result<> JournalDirectory::remove(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail("cannot remove {}: {}", path, reason(errno));
  return {};
}

Result<std::string> JournalDirectory::set_aside(const std::string& path) {
  std::string to = fmt::format("{}.bad-{}", path, unix_us());
  if (auto renamed = rename(path, to); !renamed) return std::unexpected(renamed.error());
  return to;
}

Result<> JournalDirectory::sync() const {
  const int descriptor = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return fail("cannot open {}: {}", path_, reason(errno));
  const int error = fsync(descriptor) != 0 ? errno : 0;
  ::close(descriptor);
  if (error != 0) return fail("cannot sync {}: {}", path_, reason(error));
  return {};
}

}  // namespace weir::record
