#include "base/secret.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "base/whole_file.h"

namespace weir {

namespace {

constexpr size_t kPageSize = 4096;
// A key is a line; a file of another kind named by mistake must not be read into locked memory.
constexpr size_t kFileSizeMax = 64u << 10;
constexpr mode_t kOthers = S_IRWXG | S_IRWXO;

// Process-wide, against the rule of no globals, because the environment is.
struct Taken {
  std::mutex mutex;
  std::map<std::string, Secret> by_name;
};
Taken& taken() {
  static Taken all;
  return all;
}

Result<> check_mode(const struct stat& about, std::string_view path, std::string_view what) {
  if ((about.st_mode & kOthers) == 0) return {};
  return fail("{} \"{}\" is open to others than its owner (mode {:04o}); run: chmod 600 {}", what, path,
              about.st_mode & 07777u, path);
}

}  // namespace

Secret Secret::of_size(size_t size) {
  Secret secret;
  secret.mapped_ = (size + kPageSize - 1) / kPageSize * kPageSize;
  void* memory = ::mmap(nullptr, secret.mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  ::madvise(memory, secret.mapped_, MADV_DONTDUMP);
  ::madvise(memory, secret.mapped_, MADV_WIPEONFORK);
  // Not on a swap device. A machine that lets nobody lock memory (RLIMIT_MEMLOCK 0) still runs weir.
  ::mlock(memory, secret.mapped_);
  secret.data_ = static_cast<char*>(memory);
  secret.size_ = size;
  return secret;
}

Secret::Secret(std::string_view bytes) {
  if (bytes.empty()) return;
  *this = of_size(bytes.size());
  std::memcpy(data_, bytes.data(), bytes.size());
}

Secret::~Secret() {
  if (data_ == nullptr) return;
  ::explicit_bzero(data_, mapped_);
  ::munmap(data_, mapped_);
}

std::string_view take_secret_from_environment(const std::string& name) {
  Taken& all = taken();
  const std::lock_guard lock(all.mutex);
  char* value = std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): as the header requires
  if (value != nullptr && *value != '\0') {
    all.by_name.insert_or_assign(name, Secret(value));
    ::explicit_bzero(value, std::strlen(value));
    ::unsetenv(name.c_str());  // NOLINT(concurrency-mt-unsafe)
  }
  const auto found = all.by_name.find(name);
  return found == all.by_name.end() ? std::string_view() : found->second.view();
}

Result<> check_private(const std::string& path, std::string_view what) {
  struct stat about{};
  if (::stat(path.c_str(), &about) != 0) return {};  // whoever reads it says why it cannot be read
  return check_mode(about, path, what);
}

Result<Secret> read_secret_file(const std::string& path, std::string_view what, bool may_be_shared) {
  const auto unreadable = [&](const Error& why) { return fail("cannot read {} \"{}\": {}", what, path, why.message); };
  auto file = NamedFile::open(path);
  if (!file) return unreadable(file.error());
  // A pipe or a device (/dev/stdin) has no mode that tells who reads it.
  if (S_ISREG(file->about().st_mode) && !may_be_shared) {
    if (auto good = check_mode(file->about(), path, what); !good) return std::unexpected(std::move(good.error()));
  }
  Secret secret = Secret::of_size(kFileSizeMax + 1);
  auto size = file->read_all(secret.data_, kFileSizeMax);
  if (!size) return unreadable(size.error());
  secret.size_ = *size;
  return secret;
}

void wipe(std::string& text) {
  text.resize(text.capacity());
  ::explicit_bzero(text.data(), text.size());
  text.clear();
}

}  // namespace weir
