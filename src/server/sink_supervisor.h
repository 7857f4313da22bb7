// The process that starts weir-sink for each managed [[sink]] of kind "postgres", and starts it again when it ends.
// weir itself gives up the right to start programs (sandbox.h), so this is a child that is forked before; it is another
// user's if weir is, and has no listener and no key of a provider. It ends when weir ends, however that comes about: it
// sees the end of a pipe.
#pragma once

#include <memory>
#include <string>

#include "base/log.h"
#include "base/result.h"
#include "gateway/config.h"

namespace weir::server {

class SinkSupervisor {
 public:
  // Null if there is nothing to run. The child waits for begin(). REQUIRES: no other thread runs, and nothing secret
  // has been read. `log` outlives the supervisor.
  static Result<std::unique_ptr<SinkSupervisor>> fork(const gateway::Config& config, const std::string& node,
                                                      Logger& log);
  ~SinkSupervisor() { stop(); }
  SinkSupervisor(const SinkSupervisor&) = delete;
  SinkSupervisor& operator=(const SinkSupervisor&) = delete;

  void begin();  // data_dir and the journals are there
  void look();   // tells, once, if the child has ended by itself
  void stop();   // ends it and what it runs, and waits for that, bounded

 private:
  SinkSupervisor(int control, int life, Logger& log) : control_(control), life_(life), log_(log) {}

  int control_;  // our end: a byte begins, its closing ends
  int life_;     // closed by the child's end
  Logger& log_;
  bool told_ = false;
};

}  // namespace weir::server
