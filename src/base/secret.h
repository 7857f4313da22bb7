// A secret of the process's own, such as an operator's key: on pages of its own that are locked in memory, left out of
// core dumps and empty in a forked child, and that are zeroed when it goes. Where it comes from: the environment (which
// it is taken out of), or a file that nobody else may read.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace weir {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view bytes);
  ~Secret();
  Secret(Secret&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        mapped_(std::exchange(other.mapped_, 0)) {}
  Secret& operator=(Secret&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(mapped_, other.mapped_);
    return *this;
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  bool empty() const { return size_ == 0; }
  // Valid as long as the secret.
  std::string_view view() const { return {data_, size_}; }

 private:
  friend Result<Secret> read_secret_file(const std::string& path, std::string_view what, bool may_be_shared);
  static Secret of_size(size_t size);

  char* data_ = nullptr;
  size_t size_ = 0;
  size_t mapped_ = 0;
};

// The value of an environment variable; empty if it is not set. Its bytes are overwritten where they stand, so that
// /proc/PID/environ no longer shows them, and the variable is unset; what it held is kept for later calls (a reload
// asks again). REQUIRES: no other thread uses the environment during the first call for a name.
std::string_view take_secret_from_environment(const std::string& name);

// The file's bytes. Refused if group or others have any right to it, unless `may_be_shared` says that somebody else
// guards it. Errors name it as `what`, the path, the mode and the command that mends it; never a byte of the content.
Result<Secret> read_secret_file(const std::string& path, std::string_view what, bool may_be_shared = false);

// The same refusal for a file that somebody else reads.
Result<> check_private(const std::string& path, std::string_view what);

// Zeroes the text's memory, also what lies behind its end.
void wipe(std::string& text);

}  // namespace weir
