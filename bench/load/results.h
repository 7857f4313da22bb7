// What a run measured, and the lines that tell it. JSON, one object a line (run.py reads them).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "load/histogram.h"
#include "load/scenario.h"

namespace weir::load {

enum class Fault : uint8_t {
  connect,    // no connection
  tls,        // no handshake
  reset,      // the connection failed before the answer was complete
  truncated,  // it ended in order before that
  timeout,    // nothing for a minute
  status,     // another status than the provider's
  bytes,      // another length or hash than the provider's
  malformed,  // not HTTP
  count
};
std::string_view text(Fault fault);

struct Results {
  uint64_t exchanges = 0, events = 0, bytes = 0;
  uint64_t faults[static_cast<size_t>(Fault::count)] = {};
  Histogram head, first_event, gap, whole, event;  // ns; from when the request was due
  uint64_t open_streams_max = 0;
  uint64_t late_starts = 0;  // open loop: requests that had to wait for a connection
  double seconds = 0;

  uint64_t fault_count() const;
};

std::string phase_line(std::string_view phase);
std::string open_line(uint64_t streams);
std::string results_line(const Scenario& scenario, const Results& results);

}  // namespace weir::load
