#include "io/socket_holder.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <string_view>
#include <vector>

namespace weir::io {

namespace {

constexpr std::string_view kListening = "0A";  // TCP_LISTEN, as /proc/net/tcp writes it

struct Close {
  void operator()(DIR* folder) const { ::closedir(folder); }
};
using Folder = std::unique_ptr<DIR, Close>;

// The fields of a line, parted by blanks.
std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  while (true) {
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    if (line.empty()) return fields;
    const size_t end = std::min(line.find(' '), line.size());
    fields.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

// "socket:[INODE]" of every listening socket on the port, whatever its address: those that our bind(2) met are among
// them, and two programs on one port are what the reader of the message wants to know of.
void add_tcp(const char* table, uint16_t port, std::vector<std::string>& sockets) {
  std::ifstream file(table);
  std::string line;
  while (std::getline(file, line)) {
    // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
    const std::vector<std::string_view> fields = fields_of(line);
    if (fields.size() < 10 || fields[3] != kListening) continue;
    const std::string_view local = fields[1].substr(std::min(fields[1].rfind(':') + 1, fields[1].size()));
    unsigned found = 0;
    std::from_chars(local.data(), local.data() + local.size(), found, 16);
    if (found == port) sockets.push_back(fmt::format("socket:[{}]", fields[9]));
  }
}

bool holds(const std::string& folder_of_descriptors, const std::vector<std::string>& sockets) {
  const Folder folder(::opendir(folder_of_descriptors.c_str()));
  if (folder == nullptr) return false;  // another user's, or gone
  while (const dirent* entry = ::readdir(folder.get())) {
    std::array<char, 64> target{};
    const std::string link = folder_of_descriptors + "/" + entry->d_name;
    const ssize_t size = ::readlink(link.c_str(), target.data(), target.size());
    if (size <= 0) continue;
    const std::string_view text(target.data(), static_cast<size_t>(size));
    if (std::ranges::find(sockets, text) != sockets.end()) return true;
  }
  return false;
}

SocketHolder named(pid_t pid) {
  SocketHolder holder{.pid = pid, .name = {}};
  std::ifstream file(fmt::format("/proc/{}/comm", pid));
  std::getline(file, holder.name);
  return holder;
}

std::optional<SocketHolder> holder_of_unix(const Address& address) {
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return std::nullopt;
  ucred credentials{};
  socklen_t size = sizeof credentials;
  const auto* generic = reinterpret_cast<const sockaddr*>(&address.storage);
  // Of whoever called listen(2).
  const bool known = ::connect(probe, generic, address.size) == 0 &&
                     ::getsockopt(probe, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 && credentials.pid > 0;
  ::close(probe);
  // Its socket may outlive it for a moment.
  if (!known || (::kill(credentials.pid, 0) != 0 && errno == ESRCH)) return std::nullopt;
  return named(credentials.pid);
}

}  // namespace

std::optional<SocketHolder> holder_of(const Address& address) {
  if (address.family() == AF_UNIX) return holder_of_unix(address);
  std::vector<std::string> sockets;
  add_tcp("/proc/net/tcp", address.port(), sockets);
  add_tcp("/proc/net/tcp6", address.port(), sockets);
  if (sockets.empty()) return std::nullopt;
  const Folder processes(::opendir("/proc"));
  if (processes == nullptr) return std::nullopt;
  while (const dirent* entry = ::readdir(processes.get())) {
    pid_t pid = 0;
    const char* const end = entry->d_name + std::strlen(entry->d_name);
    const auto [stop, error] = std::from_chars(entry->d_name, end, pid);
    if (error != std::errc() || stop != end) continue;
    if (holds(fmt::format("/proc/{}/fd", pid), sockets)) return named(pid);
  }
  return std::nullopt;
}

}  // namespace weir::io
