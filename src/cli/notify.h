// Tells systemd how the service stands (sd_notify(3)), over the datagram socket that NOTIFY_SOCKET names. Does nothing
// where there is none; libsystemd is not needed.
#pragma once

#include <string_view>

namespace weir::cli {

void notify_service(std::string_view state);  // "READY=1", "STOPPING=1"
void notify_ready();
void notify_reloading();  // with the time that systemd wants beside it

}  // namespace weir::cli
