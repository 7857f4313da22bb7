// Brings journals into one sink: first what earlier processes left, then what they left running is closed as
// `interrupted`, then the live journals, in batches. The recorder has one for each sink of its own, each on a thread;
// weir-sink has one for its database. It keeps its position in the page of consumers of each journal, and the sink
// keeps it in the transaction of the rows; the sink's decides.
//
// Failures of the sink are logged once per change of state and retried with growing pauses (up to 1 s); records wait in
// the journals meanwhile. Owned by one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"
#include "record/journal_file.h"
#include "record/leftover.h"
#include "record/sink.h"

namespace weir::record {

inline constexpr uint64_t kConsumerPollNs = 20 * kNsPerMs;

// A journal of a process that is gone, of which this sink may not have everything.
struct DeadJournal {
  std::shared_ptr<const Leftover> leftover;
  uint64_t from;                   // what lies before is in the sink, whatever the sink knows
  std::function<void()> consumed;  // called when the sink has everything, and what was running is closed
};

struct ConsumerOptions {
  std::string name;                // the sink's, for the log
  std::vector<DeadJournal> dead;   // by their creation
  std::vector<uint64_t> dead_ids;  // of every journal that was found, also of those that hold nothing more
  std::vector<JournalPort> live;
  std::function<void()> committed;  // called after each commit of live records
};

class Consumer {
 public:
  // `logger` may be null. Both outlive the consumer.
  Consumer(Sink& sink, Logger* logger, ConsumerOptions options);

  // One transaction at most. True: there is more to do at once. After an error: failed(), and a pause.
  SinkResult<bool> turn();
  void failed(const SinkError& error);
  void works();

  bool recovered() const { return recovered_; }
  // Everything of the live journals, as far as it is written, is in the sink.
  bool empty() const;
  uint64_t pause_ns() const { return pause_ns_; }
  uint64_t delivered_count() const { return delivered_.value(); }  // records of live journals; any thread

 private:
  struct Source {
    JournalPort port;
    uint64_t position = 0;
    uint64_t batch_count = 0;  // records of the batch that is being taken
  };

  template <class... Fields>
  void log(LogLevel level, std::string_view message, Fields... fields) {
    if (logger_ != nullptr) logger_->log(level, message, {LogField("sink", options_.name), fields...});
  }
  Recovery recovery() const;
  SinkResult<bool> recover();
  SinkResult<bool> deliver(const DeadJournal& dead);
  SinkResult<> finish_recovery();
  SinkResult<> learn_positions();
  static uint64_t count_records(const Source& source, uint64_t from);
  SinkResult<bool> drain();
  SinkResult<bool> take_batch(Source& source, uint64_t& position);
  void tell_oddities();

  Sink& sink_;
  Logger* logger_;
  ConsumerOptions options_;
  std::vector<uint64_t> live_ids_;
  std::vector<Source> sources_;
  size_t dead_index_ = 0;
  bool recovered_ = false;
  uint64_t recovered_count_ = 0;
  bool positions_known_ = false;
  Counter delivered_;
  int failing_code_ = 0;
  uint64_t failing_since_ns_ = 0;
  uint64_t pause_ns_ = kConsumerPollNs;
  SinkOddities told_;
};

}  // namespace weir::record
