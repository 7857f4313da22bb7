// Who listens where we wanted to: for the message of a start that is refused. Best effort, and only while nothing is
// confined: it reads /proc. Not for the simulator.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "io/address.h"

namespace weir::io {

struct SocketHolder {
  pid_t pid = 0;
  std::string name;  // as in /proc/PID/comm
};
// A process that holds a listening socket on the port of this TCP address, or that listens on this Unix socket. None:
// there is none any more (the kernel closes a ring's sockets some milliseconds after its process is gone), or it is
// another user's and hidden from this one.
std::optional<SocketHolder> holder_of(const Address& address);

}  // namespace weir::io
