#include "server/metrics.h"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <sstream>

using namespace weir;
using namespace weir::server;

namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// "name{labels}" → value
std::map<std::string, double> samples_of(const std::string& text) {
  std::map<std::string, double> samples;
  for (const std::string& line : lines_of(text)) {
    if (line.starts_with('#')) continue;
    const size_t space = line.rfind(' ');
    CHECK(samples.emplace(line.substr(0, space), std::stod(line.substr(space + 1))).second);  // each once
  }
  return samples;
}

}  // namespace

TEST_CASE("metrics: the workers' numbers are added up") {
  proxy::WorkerCounters first;
  proxy::WorkerCounters second;
  first.connections_accepted.add(2);
  second.connections_accepted.add(3);
  second.refusals[static_cast<size_t>(gateway::Refusal::unauthorized)].add();
  auto samples = samples_of(render_metrics({.workers = {&first, &second}}));
  CHECK(samples["weir_connections_accepted_total"] == 5);
  CHECK(samples[R"(weir_refusals_total{reason="unauthorized",status="403"})"] == 1);
  CHECK(samples["weir_workers"] == 2);
}

TEST_CASE("metrics: the turns of all workers, and the longest of each") {
  proxy::WorkerCounters first;
  proxy::WorkerCounters second;
  first.turn.add_ns(100 * kNsPerUs);
  first.turn.add_ns(2 * kNsPerMs);
  first.longest_turn_us.set(2000);
  second.longest_turn_us.set(300);
  auto samples = samples_of(render_metrics({.workers = {&first, &second}}));
  CHECK(samples[R"(weir_worker_turn_seconds_bucket{le="0.000128"})"] == 1);
  CHECK(samples["weir_worker_turn_seconds_count"] == 2);
  CHECK(samples[R"(weir_worker_longest_turn_seconds{worker="0"})"] == doctest::Approx(0.002));
  CHECK(samples[R"(weir_worker_longest_turn_seconds{worker="1"})"] == doctest::Approx(0.0003));
}

TEST_CASE("metrics: every metric has one help and one type before its samples, and no other name") {
  proxy::WorkerCounters worker;
  std::set<std::string> seen;
  std::string metric;
  std::string type;
  for (const std::string& line : lines_of(render_metrics({.workers = {&worker}, .journals = {{64, 3}}}))) {
    INFO(line);
    if (line.starts_with("# HELP ")) {
      metric = line.substr(7, line.find(' ', 7) - 7);
      CHECK(line.size() > 7 + metric.size() + 5);
      CHECK(seen.insert(metric).second);
    } else if (line.starts_with("# TYPE ")) {
      type = line.substr(7);
      CHECK(type.starts_with(metric + " "));
      const bool total = metric.ends_with("_total");
      CHECK(total == type.ends_with(" counter"));
    } else {
      const std::string name = line.substr(0, line.find_first_of("{ "));
      if (type.ends_with(" histogram")) {
        CHECK((name == metric + "_bucket" || name == metric + "_sum" || name == metric + "_count"));
      } else {
        CHECK(name == metric);
      }
    }
  }
  CHECK(seen.size() > 30);
}

TEST_CASE("metrics: each sink tells how far it is and how it is") {
  auto samples =
      samples_of(render_metrics({.sinks = {
                                     {.name = "sqlite", .behind_bytes = 7, .state = record::DatabaseState::locked},
                                     {.name = "fleet \"a\"", .behind_bytes = 9},
                                 }}));
  CHECK(samples[R"(weir_sink_behind_bytes{sink="sqlite"})"] == 7);
  CHECK(samples[R"(weir_sink_behind_bytes{sink="fleet \"a\""})"] == 9);
  CHECK(samples[R"(weir_sink_state{sink="sqlite",state="locked"})"] == 1);
  CHECK(samples[R"(weir_sink_state{sink="sqlite",state="ok"})"] == 0);
  // Nothing was heard of it: nobody serves it.
  CHECK(samples[R"(weir_sink_state{sink="fleet \"a\"",state="absent"})"] == 1);
  CHECK(samples[R"(weir_sink_state{sink="fleet \"a\"",state="ok"})"] == 0);
}

TEST_CASE("metrics: a histogram's buckets are cumulative and end with all") {
  proxy::WorkerCounters worker;
  worker.first_byte.add_ns(100 * kNsPerUs);
  worker.first_byte.add_ns(10 * kNsPerMs);
  worker.first_byte.add_ns(20'000 * kNsPerSecond);
  auto samples = samples_of(render_metrics({.workers = {&worker}}));
  CHECK(samples[R"(weir_first_byte_seconds_bucket{le="0.000128"})"] == 1);
  CHECK(samples[R"(weir_first_byte_seconds_bucket{le="0.012288"})"] == 2);
  CHECK(samples[R"(weir_first_byte_seconds_bucket{le="+Inf"})"] == 3);
  CHECK(samples["weir_first_byte_seconds_count"] == 3);
  CHECK(samples["weir_first_byte_seconds_sum"] == doctest::Approx(20'000.0101));
}

TEST_CASE("metrics: the recorder's lag is what was written and not delivered; one database state is set") {
  proxy::WorkerCounters worker;
  worker.journal_records.set(10);
  auto samples = samples_of(render_metrics({.workers = {&worker},
                                            .journals = {{1024, 100}},
                                            .database = record::DatabaseState::locked,
                                            .records_delivered = 7}));
  CHECK(samples["weir_recorder_lag_records"] == 3);
  CHECK(samples[R"(weir_journal_used_bytes{worker="0"})"] == 100);
  CHECK(samples[R"(weir_database_state{state="locked"})"] == 1);
  CHECK(samples[R"(weir_database_state{state="ok"})"] == 0);
}

TEST_CASE("metrics: a label's value cannot leave its quotes") {
  CHECK(escape_label("plain") == "plain");
  CHECK(escape_label("a\"b\\c\nd") == R"(a\"b\\c\nd)");
}
