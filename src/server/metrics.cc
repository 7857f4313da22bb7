#include "server/metrics.h"

#include <fmt/core.h>

#include <iterator>

#include "base/clock.h"

namespace weir::server {

namespace {

class Exposition {
 public:
  void metric(std::string_view name, std::string_view type, std::string_view help) {
    fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
  }
  template <class Number>
  void sample(std::string_view name, std::string_view labels, Number number) {
    if (labels.empty()) {
      fmt::format_to(std::back_inserter(text_), "{} {}\n", name, number);
    } else {
      fmt::format_to(std::back_inserter(text_), "{}{{{}}} {}\n", name, labels, number);
    }
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string_view type_text(proxy::MetricKind kind) {
  switch (kind) {
    case proxy::MetricKind::counter:
      return "counter";
    case proxy::MetricKind::gauge:
      return "gauge";
  }
  std::unreachable();
}

template <class Read>
uint64_t sum(const MetricsView& view, Read&& read) {
  uint64_t total = 0;
  for (const proxy::WorkerCounters* worker : view.workers) total += read(*worker);
  return total;
}

void add_worker_rows(const MetricsView& view, Exposition& out) {
  std::string_view metric;
  for (const proxy::CounterRow& row : proxy::counter_rows()) {
    if (row.metric != metric) out.metric(row.metric, type_text(row.kind), row.help);
    metric = row.metric;
    out.sample(metric, row.labels, sum(view, [&](const auto& worker) { return (worker.*row.field).value(); }));
  }
}

void add_refusals(const MetricsView& view, Exposition& out) {
  constexpr std::string_view kName = "weir_refusals_total";
  out.metric(kName, "counter", "Requests that weir itself refused, by reason and status.");
  for (size_t i = 1; i < gateway::kRefusalCount; i++) {
    const gateway::RefusalRow& row = gateway::row(static_cast<gateway::Refusal>(i));
    out.sample(kName, fmt::format("reason=\"{}\",status=\"{}\"", row.symbol, row.status),
               sum(view, [&](const auto& worker) { return worker.refusals[i].value(); }));
  }
}

void add_histogram(const MetricsView& view, std::string_view name, std::string_view help,
                   Histogram proxy::WorkerCounters::* field, Exposition& out) {
  out.metric(name, "histogram", help);
  const std::string bucket_name = fmt::format("{}_bucket", name);
  uint64_t count = 0;
  for (size_t i = 0; i <= Histogram::kBounds; i++) {
    count += sum(view, [&](const auto& worker) { return (worker.*field).bucket(i); });
    const std::string bound =
        i == Histogram::kBounds ? "+Inf" : fmt::format("{}", static_cast<double>(Histogram::bound_us(i)) / 1e6);
    out.sample(bucket_name, fmt::format("le=\"{}\"", bound), count);
  }
  const uint64_t total_us = sum(view, [&](const auto& worker) { return (worker.*field).sum_us(); });
  out.sample(fmt::format("{}_sum", name), {}, static_cast<double>(total_us) / 1e6);
  out.sample(fmt::format("{}_count", name), {}, count);
}

void add_journals(const MetricsView& view, Exposition& out) {
  out.metric("weir_journal_size_bytes", "gauge", "Room of each worker's journal.");
  for (size_t i = 0; i < view.journals.size(); i++) {
    out.sample("weir_journal_size_bytes", fmt::format("worker=\"{}\"", i), view.journals[i].size);
  }
  out.metric("weir_journal_used_bytes", "gauge", "Of it, what is not in every sink yet.");
  for (size_t i = 0; i < view.journals.size(); i++) {
    out.sample("weir_journal_used_bytes", fmt::format("worker=\"{}\"", i), view.journals[i].used);
  }
  const uint64_t written = sum(view, [](const auto& worker) { return worker.journal_records.value(); });
  out.metric("weir_recorder_lag_records", "gauge", "Records in the journals that are not in the database yet.");
  out.sample("weir_recorder_lag_records", {}, written > view.records_delivered ? written - view.records_delivered : 0);
  out.metric("weir_recorder_records_total", "counter", "Records that were brought into the database.");
  out.sample("weir_recorder_records_total", {}, view.records_delivered);
  out.metric("weir_database_state", "gauge", "1 for the state of the database at the recorder's last attempt.");
  for (size_t i = 0; i < record::kDatabaseStateCount; i++) {
    const auto state = static_cast<record::DatabaseState>(i);
    out.sample("weir_database_state", fmt::format("state=\"{}\"", record::text(state)), view.database == state ? 1 : 0);
  }
}

void add_sinks(const MetricsView& view, Exposition& out) {
  out.metric("weir_sink_behind_bytes", "gauge", "Of the journals, what the sink does not have yet.");
  for (const record::SinkProgress& sink : view.sinks) {
    out.sample("weir_sink_behind_bytes", fmt::format("sink=\"{}\"", escape_label(sink.name)), sink.behind_bytes);
  }
  out.metric(
      "weir_sink_state", "gauge",
      "1 for the state of a sink at its last attempt; absent: its file or server is away, or no weir-sink runs.");
  for (const record::SinkProgress& sink : view.sinks) {
    for (size_t i = 0; i < record::kDatabaseStateCount; i++) {
      const auto state = static_cast<record::DatabaseState>(i);
      out.sample("weir_sink_state",
                 fmt::format("sink=\"{}\",state=\"{}\"", escape_label(sink.name), record::text(state)),
                 sink.state == state ? 1 : 0);
    }
  }
}

}  // namespace

std::string escape_label(std::string_view value) {
  std::string escaped;
  for (const char c : value) {
    if (c == '\\' || c == '"') escaped += '\\';
    if (c == '\n') {
      escaped += "\\n";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string render_metrics(const MetricsView& view) {
  Exposition out;
  out.metric("weir_build_info", "gauge", "1, with the version that runs.");
  out.sample("weir_build_info", fmt::format("version=\"{}\"", escape_label(view.version)), 1);
  out.metric("weir_uptime_seconds", "gauge", "Since the start.");
  const uint64_t uptime_ms = view.uptime_ns / kNsPerMs;
  out.sample("weir_uptime_seconds", {}, static_cast<double>(uptime_ms) / 1e3);
  out.metric("weir_workers", "gauge", "Worker threads.");
  out.sample("weir_workers", {}, view.workers.size());
  out.metric("weir_draining", "gauge", "1 once a stop was asked for.");
  out.sample("weir_draining", {}, view.draining ? 1 : 0);
  out.metric("weir_limit_table_full_total", "counter",
             "Times that an address or an initiator found no place in the table of limits and was not limited.");
  out.sample("weir_limit_table_full_total", {}, view.limit_table_full);
  out.metric("weir_file_descriptors_limit", "gauge", "How many files and sockets the process may have open.");
  out.sample("weir_file_descriptors_limit", {}, view.descriptor_limit);
  out.metric(
      "weir_connections_limit", "gauge",
      "Client connections that may be open: --connections, or fewer where the limit of file descriptors asks for "
      "it.");
  out.sample("weir_connections_limit", {}, view.connection_limit);
  add_worker_rows(view, out);
  add_refusals(view, out);
  add_histogram(view, "weir_first_byte_seconds", "From a request's whole head to the first byte of the answer's body.",
                &proxy::WorkerCounters::first_byte, out);
  add_histogram(view, "weir_exchange_seconds", "From a request's whole head to the end of its answer.",
                &proxy::WorkerCounters::duration, out);
  add_histogram(view, "weir_worker_turn_seconds",
                "What a worker did between two waits: so long everything else of its waited.",
                &proxy::WorkerCounters::turn, out);
  out.metric("weir_worker_longest_turn_seconds", "gauge", "The longest of these since the start, of each worker.");
  for (size_t i = 0; i < view.workers.size(); i++) {
    out.sample("weir_worker_longest_turn_seconds", fmt::format("worker=\"{}\"", i),
               static_cast<double>(view.workers[i]->longest_turn_us.value()) / 1e6);
  }
  add_journals(view, out);
  add_sinks(view, out);
  return out.take();
}

}  // namespace weir::server
