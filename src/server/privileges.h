// Whose rights the process has: the user it becomes, its capabilities, whether a crash leaves a core. For the main
// thread at start, while there is no other: Linux keeps capabilities for each thread.
#pragma once

#include <optional>
#include <string>

#include <sys/types.h>

#include "base/result.h"

namespace weir::server {

struct Account {
  std::string name;  // as it was written
  uid_t uid = 0;
  gid_t gid = 0;
};

// "weir", "weir:www-data", "998:998".
Result<Account> find_account(const std::string& text);

// The folder exists and belongs to the account; it is made if it is missing. What lies in it, but not below, is looked
// at too: a database that root has made is the usual reason why a gateway that was root's does not start any more.
Result<> give_folder(const std::string& path, const Account& account);

// Becomes the account, for good. If that is who we are, nothing happens.
Result<> become(const Account& account);

// Neither capabilities nor a way to gain any: not by a program that is started either (no_new_privs).
Result<> give_up_capabilities();

// False: no core, and no other process of this user may look into this one (ptrace, /proc/PID/mem).
void allow_core_dumps(bool allowed);

}  // namespace weir::server
