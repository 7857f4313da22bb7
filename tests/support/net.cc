#include "support/net.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>

namespace weir::testing {

namespace {

bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
  });
}

std::string trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return std::string(text);
}

}  // namespace

int HttpMessage::status() const {
  return start.size() < 12 ? 0 : std::stoi(start.substr(9, 3));
}

std::string HttpMessage::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (same_name(key, name)) return value;
  }
  return "";
}

size_t HttpMessage::count(std::string_view name) const {
  return static_cast<size_t>(std::ranges::count_if(headers, [&](const auto& h) { return same_name(h.first, name); }));
}

Socket& Socket::operator=(Socket&& other) noexcept {
  close();
  descriptor_ = std::exchange(other.descriptor_, -1);
  pending_ = std::move(other.pending_);
  return *this;
}

Socket Socket::connect(uint16_t port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    ::close(descriptor);
    throw std::runtime_error(std::string("connect: ") + std::strerror(errno));
  }
  return Socket(descriptor);
}

Socket Socket::connect_unix(const std::string& path) {
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    ::close(descriptor);
    throw std::runtime_error(std::string("connect: ") + std::strerror(errno));
  }
  return Socket(descriptor);
}

bool Socket::try_send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

void Socket::send(std::string_view bytes) {
  if (!try_send(bytes)) throw std::runtime_error(std::string("send: ") + std::strerror(errno));
}

bool Socket::readable(int timeout_ms) {
  pollfd watched{descriptor_, POLLIN, 0};
  return !pending_.empty() || ::poll(&watched, 1, timeout_ms) > 0;
}

bool Socket::fill() {
  if (pollfd watched{descriptor_, POLLIN, 0}; ::poll(&watched, 1, kPatienceMs) <= 0) {
    throw std::runtime_error("nothing received in time");
  }
  char bytes[65536];
  const ssize_t got = ::recv(descriptor_, bytes, sizeof bytes, 0);
  if (got < 0) throw std::runtime_error(std::string("receive: ") + std::strerror(errno));
  pending_.append(bytes, static_cast<size_t>(got));
  return got > 0;
}

std::string Socket::receive(size_t size_max) {
  if (pending_.empty() && !fill()) return "";
  std::string out = pending_.substr(0, size_max);
  pending_.erase(0, out.size());
  return out;
}

bool Socket::wait_end(int timeout_ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  pending_.clear();
  while (std::chrono::steady_clock::now() < deadline) {
    pollfd watched{descriptor_, POLLIN, 0};
    if (::poll(&watched, 1, 50) <= 0) continue;
    char bytes[65536];
    const ssize_t got = ::recv(descriptor_, bytes, sizeof bytes, 0);
    if (got <= 0) return got == 0;
  }
  return false;
}

void Socket::shutdown_send() {
  ::shutdown(descriptor_, SHUT_WR);
}

void Socket::reset() {
  const linger hard{1, 0};
  ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  close();
}

void Socket::close() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

HttpMessage Socket::read_request() {
  return read_message(false, false);
}
HttpMessage Socket::read_answer(bool head_only) {
  return read_message(true, head_only);
}

HttpMessage Socket::read_message(bool answer, bool head_only) {
  HttpMessage message;
  size_t end = 0;
  while ((end = pending_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill()) {
      message.ended = true;
      return message;
    }
  }
  std::string head = pending_.substr(0, end + 2);
  pending_.erase(0, end + 4);
  for (size_t at = 0; at < head.size();) {
    const size_t line_end = head.find("\r\n", at);
    const std::string line = head.substr(at, line_end - at);
    at = line_end + 2;
    if (message.start.empty()) {
      message.start = line;
    } else {
      const size_t colon = line.find(':');
      message.headers.emplace_back(line.substr(0, colon), trimmed(std::string_view(line).substr(colon + 1)));
    }
  }
  const auto take = [&](size_t size) {
    while (pending_.size() < size) {
      if (!fill()) {
        message.body += pending_;
        pending_.clear();
        return false;
      }
    }
    message.body += pending_.substr(0, size);
    pending_.erase(0, size);
    return true;
  };
  const auto line = [&](std::string& out) {
    size_t at = 0;
    while ((at = pending_.find("\r\n")) == std::string::npos) {
      if (!fill()) return false;
    }
    out = pending_.substr(0, at);
    pending_.erase(0, at + 2);
    return true;
  };
  const int status = answer ? message.status() : 0;
  if (answer && (head_only || status == 204 || status == 304 || status < 200)) {
    message.complete = true;
  } else if (!message.header("transfer-encoding").empty()) {
    std::string size_line;
    while (line(size_line)) {
      const size_t size = std::stoul(size_line, nullptr, 16);
      if (size == 0) {
        message.complete = line(size_line);
        break;
      }
      if (!take(size) || !line(size_line)) break;
    }
    message.ended = !message.complete;
  } else if (const std::string length = message.header("content-length"); !length.empty()) {
    message.complete = take(std::stoul(length));
    message.ended = !message.complete;
  } else if (answer) {
    while (fill()) {
    }
    message.body += pending_;
    pending_.clear();
    message.complete = message.ended = true;
  } else {
    message.complete = true;
  }
  return message;
}

Provider::Provider(Script script) : script_(std::move(script)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 4096) != 0) {
    throw std::runtime_error("cannot listen");
  }
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  accepting_ = std::thread([this] {
    for (;;) {
      const int descriptor = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (descriptor < 0) return;
      const int on = 1;
      ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      connections_++;
      const std::lock_guard lock(mutex_);
      descriptors_.push_back(::dup(descriptor));
      threads_.emplace_back([this, descriptor] {
        Socket connection(descriptor);
        try {
          script_(connection);
        } catch (const std::exception&) {
          // The gateway has left, or the test is over.
        }
        if (connection.descriptor() >= 0) ::shutdown(connection.descriptor(), SHUT_RDWR);  // a duplicate keeps it open
      });
    }
  });
}

Provider::~Provider() {
  ::shutdown(listener_, SHUT_RDWR);
  accepting_.join();
  ::close(listener_);
  for (const int descriptor : descriptors_) {
    ::shutdown(descriptor, SHUT_RDWR);
    ::close(descriptor);
  }
  for (std::thread& thread : threads_) thread.join();
}

bool eventually(const std::function<bool()>& condition, int timeout_ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace weir::testing
