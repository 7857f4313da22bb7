// Landlock: which files this process may touch, whatever its user may. In force for the calling thread and those that
// it starts, for good; what is open already stays open.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace weir::server {

struct FileRights {
  std::vector<std::string> read;   // files, or folders with all that is below them; what does not exist is left out
  std::vector<std::string> write;  // folders: files and folders below may be made, written, renamed and removed
  bool abstract_sockets = false;   // may connect to abstract Unix sockets of others
};

// The version of the kernel's Landlock; 0: it has none, or it is not switched on.
int landlock_version();

// What a version does not know stays allowed: truncating before 3, listening on new TCP ports before 4, device ioctls
// before 5, signals and abstract sockets before 6.
Result<> restrict_files(const FileRights& rights);

}  // namespace weir::server
