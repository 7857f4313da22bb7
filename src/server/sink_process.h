// weir-sink as a child: started for a [[sink]] of kind "postgres", started again with growing pauses when it ends, told
// to stop at the end. It ends by itself when its parent dies (--parent). What it logs goes to weir's own standard
// error. Owned by one thread, and started by it: the kernel ties the child to the thread. The supervisor's
// (sink_supervisor.h).
//
// It gets libpq's variables and WEIR_SINK_DSN of weir's environment, and none of the rest: the providers' keys are not
// its business.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/log.h"
#include "gateway/config.h"

namespace weir::server {

class SinkProcess {
 public:
  // `node` as in the records.
  SinkProcess(const gateway::Config& config, const gateway::SinkConfig& sink, const std::string& node, Logger& log);
  ~SinkProcess() { stop(0); }
  SinkProcess(const SinkProcess&) = delete;
  SinkProcess& operator=(const SinkProcess&) = delete;

  // Starts it, or starts it again if it has ended and its pause is over. Cheap; called a few times a second.
  void tend(uint64_t now_ns);
  // Where weir-sink is looked for: beside weir.
  static std::string program();
  // Tells it to end and waits for that; kills it after `timeout_ns`.
  void stop(uint64_t timeout_ns);

 private:
  void start(uint64_t now_ns);
  void ended(int status, uint64_t now_ns);

  std::string name_;
  std::vector<std::string> arguments_;
  Logger& log_;
  pid_t pid_ = -1;
  int descriptor_ = -1;  // of the process: readable when it has ended
  uint64_t started_ns_ = 0;
  uint64_t start_again_ns_ = 0;
  uint64_t pause_ns_ = 0;
};

}  // namespace weir::server
