// The running gateway: opens the database and journals, binds listeners, starts workers, recorder, resolver; then the
// calling thread becomes the control thread (signals, reload, token table) until it has drained.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "gateway/config.h"
#include "record/recorder.h"

namespace weir::server {

struct ServerOptions {
  gateway::Config config;                           // checked by check_config()
  std::function<Result<gateway::Config>()> reload;  // on SIGHUP: reads the file again and lays the flags over it
  bool confined = false;              // as config.user, sandbox and core_dumps say; the caller has no other thread
  record::OnEnded on_ended;           // may be empty
  std::string version;                // for the metrics
  std::function<void()> on_draining;  // may be empty: a stop was asked for; run() goes on until it is done
};

class Server {
 public:
  // Starts the log. When it returns, every listener accepts. SIGTERM, SIGINT and SIGHUP are blocked in all threads from
  // then on. Null: SIGTERM or SIGINT came meanwhile, and what was begun has been given up.
  static Result<std::unique_ptr<Server>> start(ServerOptions options, LogSink& log);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  struct Listening {
    std::string name;
    std::string address;  // port 0 resolved
  };
  std::vector<Listening> listening() const;
  const std::string& admin_address() const;  // empty: off
  std::string memory_summary() const;        // what the limits imply, for the start message

  // Until SIGTERM or SIGINT, or stop(): then drains and returns the process's exit code.
  int run();
  void stop();  // from any thread

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::server
