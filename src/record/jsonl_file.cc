#include "record/jsonl_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include <fmt/format.h>

namespace weir::record {

namespace {

// Short: a reader that has stopped reading must not keep the sink from hearing that it is to stop.
constexpr int kStdoutPatienceMs = 100;

std::string_view advice(int cause) {
  switch (cause) {
    case ENOSPC:
    case EDQUOT:
      return "; free some room on its disk";
    case EACCES:
    case EPERM:
    case EROFS:
      return "; make the file and its folder writable for this user";
    case ENOENT:
      return "; check that its folder exists";
    default:
      return "";
  }
}

}  // namespace

SinkError JsonlFile::error(std::string_view what, int cause) const {
  const std::string_view name = is_stdout() ? std::string_view("standard output") : std::string_view(options_.path);
  return {.code = cause,
          .message = fmt::format("{}: {}: {}{}", name, what, std::strerror(cause), advice(cause)),
          .permanent = false,
          .locked = false};
}

bool JsonlFile::moved() const {
  if (is_stdout() || descriptor_ < 0) return false;
  struct stat status{};
  return stat(options_.path.c_str(), &status) != 0 || static_cast<int64_t>(status.st_ino) != place_.inode;
}

SinkResult<> JsonlFile::open(Place committed) {
  close();
  if (is_stdout()) {
    descriptor_ = STDOUT_FILENO;
    return {};
  }
  // Not blocking: a pipe would have us wait for a reader before it can be refused.
  const int descriptor = ::open(options_.path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (descriptor < 0) return std::unexpected(error("cannot open", errno));
  struct stat status{};
  int cause = fstat(descriptor, &status) != 0 ? errno : 0;
  if (cause == 0 && !S_ISREG(status.st_mode)) cause = EINVAL;
  if (cause != 0) {
    ::close(descriptor);
    return std::unexpected(error("cannot append to it", cause));
  }
  descriptor_ = descriptor;
  place_ = {.inode = static_cast<int64_t>(status.st_ino), .size = status.st_size};
  if (committed.inode == place_.inode && committed.size < place_.size) {
    place_.size = committed.size;
    torn_ = true;
    reject();
  }
  return {};
}

void JsonlFile::close() {
  if (descriptor_ >= 0 && !is_stdout()) ::close(descriptor_);
  descriptor_ = -1;
  place_ = {};
  appended_ = 0;
  torn_ = false;
}

SinkResult<bool> JsonlFile::rotate_if_due() {
  if (is_stdout() || place_.size == 0 || static_cast<uint64_t>(place_.size) < options_.rotate_size) return false;
  const auto numbered = [&](uint32_t number) {
    return number == 0 ? options_.path : fmt::format("{}.{}", options_.path, number);
  };
  for (uint32_t number = options_.keep; number > 0; --number) {
    if (rename(numbered(number - 1).c_str(), numbered(number).c_str()) != 0 && errno != ENOENT) {
      return std::unexpected(error("cannot rotate it", errno));
    }
  }
  if (options_.keep == 0 && unlink(options_.path.c_str()) != 0 && errno != ENOENT) {
    return std::unexpected(error("cannot rotate it", errno));
  }
  if (auto opened = open({}); !opened) return std::unexpected(std::move(opened.error()));
  return true;
}

SinkResult<> JsonlFile::append(std::string_view lines) {
  if (is_stdout()) return append_to_stdout(lines);
  torn_ = true;
  while (!lines.empty()) {
    const auto offset = static_cast<off_t>(place_.size) + static_cast<off_t>(appended_);
    const ssize_t written = pwrite(descriptor_, lines.data(), lines.size(), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return std::unexpected(error("cannot write", written < 0 ? errno : ENOSPC));
    appended_ += static_cast<uint64_t>(written);
    lines.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

// In pieces that a pipe with any room at all takes whole, each after asking, so that no write ever blocks.
SinkResult<> JsonlFile::append_to_stdout(std::string_view lines) {
  const std::string joined = std::move(unfinished_) + std::string(lines);
  unfinished_.clear();
  for (size_t at = 0; at < joined.size();) {
    pollfd watched{.fd = descriptor_, .events = POLLOUT, .revents = 0};
    const int ready = poll(&watched, 1, kStdoutPatienceMs);
    ssize_t written = -1;
    if (ready > 0) written = write(descriptor_, joined.data() + at, std::min<size_t>(joined.size() - at, PIPE_BUF));
    if (written >= 0) {
      at += static_cast<size_t>(written);
      continue;
    }
    const int cause = ready == 0 ? EAGAIN : errno;
    if (cause == EINTR) continue;
    // The rest of the line that is begun goes first next time.
    if (at > 0 && joined[at - 1] != '\n') unfinished_ = joined.substr(at, joined.find('\n', at) + 1 - at);
    return std::unexpected(error(ready == 0 ? "nobody reads it" : "cannot write", cause));
  }
  return {};
}

SinkResult<> JsonlFile::sync() {
  if (!is_stdout() && fdatasync(descriptor_) != 0) return std::unexpected(error("cannot write it to the disk", errno));
  return {};
}

void JsonlFile::reject() {
  appended_ = 0;
  if (is_stdout() || descriptor_ < 0 || !torn_) return;
  // If this fails, the next append writes over it, and the next start cuts it.
  torn_ = ftruncate(descriptor_, place_.size) != 0;
}

}  // namespace weir::record
