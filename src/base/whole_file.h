// Files that an operator named, read as a whole: configuration, keys, certificates, connection strings. Whatever the
// name leads to, the answer comes within seconds and within the bound: a folder, an endless device, a pipe that nobody
// writes to and a file that is too large are errors, never an exception and never a wait without end.
//
// Errors are the bare reason ("Is a directory"); the caller says what was to be read, and where it stands.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <string>

#include "base/result.h"

namespace weir {

// Of texts that people write and certificates (a system's bundle has some 200 KB).
inline constexpr size_t kTextFileSizeMax = size_t{16} << 20;

// An open file of that kind, for whoever wants its bytes in memory of their own.
class NamedFile {
 public:
  static Result<NamedFile> open(const std::string& path);
  ~NamedFile();
  NamedFile(NamedFile&& other) noexcept;
  NamedFile(const NamedFile&) = delete;
  NamedFile& operator=(const NamedFile&) = delete;

  const struct stat& about() const { return about_; }
  // The next bytes; 0 at the end.
  Result<size_t> read(char* memory, size_t room);
  // Everything from here to the end; its size. More than `size_max` bytes is an error; `memory` has room for one more.
  Result<size_t> read_all(char* memory, size_t size_max);

 private:
  NamedFile(int descriptor, const struct stat& about) : descriptor_(descriptor), about_(about) {}

  int descriptor_;
  struct stat about_;
  bool any_ = false;  // something was read
};

Result<std::string> read_whole_file(const std::string& path, size_t size_max = kTextFileSizeMax);

}  // namespace weir
