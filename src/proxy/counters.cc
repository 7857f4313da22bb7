#include "proxy/counters.h"

namespace weir::proxy {

namespace {

constexpr CounterRow kRows[] = {
#define WEIR_COUNTER_ROW(field, kind, metric, labels, help) \
  {&WorkerCounters::field, MetricKind::kind, metric, labels, help},
    WEIR_WORKER_COUNTERS(WEIR_COUNTER_ROW)
#undef WEIR_COUNTER_ROW
};

}  // namespace

std::span<const CounterRow> counter_rows() {
  return kRows;
}

}  // namespace weir::proxy
