// Blocking sockets on loopback for tests: a client, and a provider that follows a script. Every wait is bounded; a
// wait that runs out is an exception, which fails the test case.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace weir::testing {

inline constexpr int kPatienceMs = 20000;

struct HttpMessage {
  std::string start;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  bool complete = false;  // the framing was finished
  bool ended = false;     // the connection ended with (or inside) it

  int status() const;
  std::string header(std::string_view name) const;  // the first, name in any case; "" if none
  size_t count(std::string_view name) const;
};

class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)), pending_(std::move(other.pending_)) {}
  Socket& operator=(Socket&& other) noexcept;
  ~Socket() { close(); }

  static Socket connect(uint16_t port);
  static Socket connect_unix(const std::string& path);

  void send(std::string_view bytes);
  bool try_send(std::string_view bytes);         // false: the peer has closed
  std::string receive(size_t size_max = 65536);  // "" at the end; a reset throws
  bool wait_end(int timeout_ms = kPatienceMs);   // true: an orderly end came (what comes before it is dropped)
  bool readable(int timeout_ms);
  void shutdown_send();
  void reset();  // closes with RST
  void close();
  int descriptor() const { return descriptor_; }

  // The next message, by its framing. `head_only`: an answer to HEAD.
  HttpMessage read_request();
  HttpMessage read_answer(bool head_only = false);

 private:
  HttpMessage read_message(bool answer, bool head_only);
  bool fill();

  int descriptor_ = -1;
  std::string pending_;
};

// Listens on a port of its own; each connection runs the script on a thread of its own, until it returns.
class Provider {
 public:
  using Script = std::function<void(Socket& connection)>;
  explicit Provider(Script script);
  ~Provider();
  Provider(const Provider&) = delete;
  Provider& operator=(const Provider&) = delete;

  uint16_t port() const { return port_; }
  uint32_t connections() const { return connections_.load(); }

 private:
  Script script_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<uint32_t> connections_{0};
  std::mutex mutex_;
  std::vector<std::thread> threads_;
  std::vector<int> descriptors_;
  std::thread accepting_;
};

// Waits until the condition holds (polled; for what gives no event to wait for). False: it did not in time.
bool eventually(const std::function<bool()>& condition, int timeout_ms = kPatienceMs);

}  // namespace weir::testing
