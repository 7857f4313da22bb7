#include "base/whole_file.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/units.h"

namespace weir {

namespace {

// For each byte of a pipe or a terminal: its writer runs already (a shell's process substitution, a pipeline).
constexpr int kPatienceMs = 5000;

}  // namespace

Result<NamedFile> NamedFile::open(const std::string& path) {
  // Not blocking: open(2) of a pipe would wait for a writer.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (descriptor < 0) return fail("{}", std::strerror(errno));
  struct stat about{};
  const int error = ::fstat(descriptor, &about) != 0 ? errno : 0;
  NamedFile file(descriptor, about);
  if (error != 0) return fail("{}", std::strerror(error));
  if (S_ISDIR(about.st_mode)) return fail("{}", std::strerror(EISDIR));
  return file;
}

NamedFile::NamedFile(NamedFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), about_(other.about_), any_(other.any_) {}

NamedFile::~NamedFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<size_t> NamedFile::read(char* memory, size_t room) {
  for (;;) {
    const ssize_t got = ::read(descriptor_, memory, room);
    if (got > 0) any_ = true;
    if (got == 0 && S_ISFIFO(about_.st_mode) && !any_) return fail("is a pipe that nobody writes to");
    if (got >= 0) return static_cast<size_t>(got);
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return fail("{}", std::strerror(errno));
    pollfd readable{.fd = descriptor_, .events = POLLIN, .revents = 0};
    if (::poll(&readable, 1, kPatienceMs) == 0) return fail("nothing came from it for {} s", kPatienceMs / 1000);
  }
}

Result<size_t> NamedFile::read_all(char* memory, size_t size_max) {
  size_t size = 0;
  while (size <= size_max) {
    auto got = read(memory + size, size_max + 1 - size);
    if (!got) return got;
    if (*got == 0) return size;
    size += *got;
  }
  return fail("is larger than {}", format_size(size_max));
}

Result<std::string> read_whole_file(const std::string& path, size_t size_max) {
  auto file = NamedFile::open(path);
  if (!file) return std::unexpected(file.error());
  std::string text;
  // In parts: a pipe has no size, and /dev/zero no end.
  constexpr size_t kPart = size_t{64} << 10;
  for (size_t size = 0; size <= size_max;) {
    text.resize(size + kPart);
    auto got = file->read(text.data() + size, kPart);
    if (!got) return std::unexpected(got.error());
    size += *got;
    if (*got > 0) continue;
    text.resize(size);
    return text;
  }
  return fail("is larger than {}", format_size(size_max));
}

}  // namespace weir
