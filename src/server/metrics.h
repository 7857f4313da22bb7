// The metrics as text (Prometheus exposition format 0.0.4). Pure: reads counters that other threads write, each of them
// relaxed, so the numbers of one answer may be some microseconds apart. No label tells a user, a token or an address.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/counters.h"
#include "record/recorder.h"

namespace weir::server {

struct JournalNumbers {
  uint64_t size = 0;
  uint64_t used = 0;  // not in every sink yet
};
// All that a scrape shows.
struct MetricsView {
  std::vector<const proxy::WorkerCounters*> workers = {};
  std::vector<JournalNumbers> journals = {};  // by worker
  record::DatabaseState database = record::DatabaseState::ok;
  std::vector<record::SinkProgress> sinks = {};
  uint64_t records_delivered = 0;
  uint64_t limit_table_full = 0;
  uint64_t descriptor_limit = 0;
  uint32_t connection_limit = 0;
  bool draining = false;
  uint64_t uptime_ns = 0;
  std::string_view version = {};
};
std::string render_metrics(const MetricsView& view);

// A label's value between its quotes: backslash, quote and line feed are escaped.
std::string escape_label(std::string_view value);

}  // namespace weir::server
