// A whole gateway in this process: server, workers, recorder, database in a folder of its own, listening on a free port
// of loopback. One gateway token, `token`, of the user `ann`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "record/store.h"
#include "server/server.h"
#include "support/net.h"

namespace weir::testing {

inline constexpr const char* kToken = "weir_test_token_0123456789";
inline constexpr const char* kInitiator = "6f1c2a34-0b5d-4e7f-8a9b-0c1d2e3f4a5c";

class Gateway {
 public:
  struct Options {
    uint16_t upstream_port = 0;
    std::string ca_file = {};  // not empty: the providers are reached as https://localhost with this authority
    uint32_t workers = 1;
    uint32_t buffers = 64;
    std::string toml = {};       // more lines of configuration; the providers are there already
    std::string listeners = {};  // instead of the plaintext listener `public`
  };
  explicit Gateway(const Options& options);
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  uint16_t port(size_t listener = 0) const;
  Socket connect() const { return Socket::connect(port()); }
  // Ended rows, the oldest first, once there are so many.
  std::vector<record::InterceptionRow> rows(size_t count) const;
  size_t row_count() const;
  const std::string& folder() const { return folder_; }
  std::string log() const;                        // what has been logged so far
  std::string configuration() const;              // the file's text
  void reload(const std::string& configuration);  // as an operator does it; until the log says that it is in force
  uint16_t admin_port() const;                    // REQUIRES: an [admin] address
  int stop();                                     // drains; the exit code

 private:
  std::string folder_;
  int log_descriptor_ = -1;
  std::unique_ptr<LogSink> sink_;
  std::unique_ptr<server::Server> server_;
  std::thread thread_;
  int exit_code_ = -1;
};

// At the end of its block, also when a check or a wait fails there: threads that would never end, or that would end the
// program when nobody has joined them.
class AtEnd {
 public:
  explicit AtEnd(std::function<void()> run) : run_(std::move(run)) {}
  ~AtEnd() { run_(); }
  AtEnd(const AtEnd&) = delete;
  AtEnd& operator=(const AtEnd&) = delete;

 private:
  std::function<void()> run_;
};

// For reload(), before any thread of the test starts: a signal to the process must find only the gateway that waits for
// it.
void block_reload_signal();

// A request with the gateway token as bearer. `body` empty: a GET.
std::string request(std::string_view path, std::string_view body, std::string_view more_headers = {});
inline constexpr std::string_view kChat = R"({"model":"gpt-5.2","messages":[{"role":"user","content":"hi"}]})";
inline constexpr std::string_view kMessage =
    R"({"model":"claude","max_tokens":9,"messages":[{"role":"user","content":"hi"}]})";
// A small whole answer.
std::string json_answer(std::string_view body, std::string_view more_headers = {});

}  // namespace weir::testing
