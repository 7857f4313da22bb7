#include "load/results.h"

#include <fmt/format.h>

namespace weir::load {

namespace {

std::string histogram_text(std::string_view name, const Histogram& histogram) {
  const auto us = [](double ns) { return ns / 1000; };
  const auto at = [&](double part) { return us(static_cast<double>(histogram.percentile(part))); };
  return fmt::format(
      R"("{}":{{"count":{},"mean":{:.3f},"p50":{:.3f},"p90":{:.3f},"p99":{:.3f},"p99_9":{:.3f},"p99_99":{:.3f},"max":{:.3f}}})",
      name, histogram.count(), us(histogram.mean()), at(0.5), at(0.9), at(0.99), at(0.999), at(0.9999),
      us(static_cast<double>(histogram.max())));
}

}  // namespace

std::string_view text(Fault fault) {
  constexpr std::string_view texts[] = {"connect", "tls",    "reset", "truncated",
                                        "timeout", "status", "bytes", "malformed"};
  return texts[static_cast<size_t>(fault)];
}

uint64_t Results::fault_count() const {
  uint64_t count = 0;
  for (const uint64_t of_kind : faults) count += of_kind;
  return count;
}

std::string phase_line(std::string_view phase) {
  return fmt::format(R"({{"phase":"{}"}})", phase);
}

std::string open_line(uint64_t streams) {
  return fmt::format(R"({{"phase":"open","streams":{}}})", streams);
}

std::string results_line(const Scenario& scenario, const Results& results) {
  std::string faults;
  for (size_t i = 0; i < static_cast<size_t>(Fault::count); i++) {
    faults += fmt::format(R"({}"{}":{})", i == 0 ? "" : ",", text(static_cast<Fault>(i)), results.faults[i]);
  }
  return fmt::format(
      R"({{"phase":"end","scenario":"{}","mode":"{}","connections":{},"seconds":{:.6f},"exchanges":{},"events":{},"bytes":{},"late_starts":{},"open_streams_max":{},"errors":{{{}}},"latency_us":{{{},{},{},{},{}}}}})",
      scenario.name, scenario.open_loop ? "open" : "closed", scenario.connections, results.seconds, results.exchanges,
      results.events, results.bytes, results.late_starts, results.open_streams_max, faults,
      histogram_text("head", results.head), histogram_text("first_event", results.first_event),
      histogram_text("gap", results.gap), histogram_text("whole", results.whole),
      histogram_text("event", results.event));
}

}  // namespace weir::load
