#include "record/consumer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/assert.h"
#include "record/codec.h"

namespace weir::record {

namespace {

constexpr uint64_t kRetryNsMax = kNsPerSecond;
// Of one journal in one transaction: large enough that its fixed cost vanishes, small enough that a lock is held for
// some tens of milliseconds.
constexpr uint64_t kBatchBytes = 2ull << 20;
constexpr size_t kBatchRecords = 8192;

}  // namespace

Consumer::Consumer(Sink& sink, Logger* logger, ConsumerOptions options)
    : sink_(sink), logger_(logger), options_(std::move(options)) {
  for (const JournalPort& port : options_.live) {
    live_ids_.push_back(port.id);
    sources_.push_back({.port = port});
  }
}

Recovery Consumer::recovery() const {
  return {.dead_ids = options_.dead_ids, .live_ids = live_ids_, .now_us = unix_us()};
}

SinkResult<bool> Consumer::turn() {
  auto connected = sink_.connect();
  if (!connected) return std::unexpected(std::move(connected.error()));
  if (*connected) positions_known_ = false;
  SinkResult<bool> more = recovered_ ? drain() : recover();
  if (!more) sink_.rollback();
  return more;
}

SinkResult<bool> Consumer::recover() {
  if (dead_index_ < options_.dead.size()) {
    auto more = deliver(options_.dead[dead_index_]);
    if (!more) return more;
    if (!*more) ++dead_index_;
    return true;
  }
  if (auto finished = finish_recovery(); !finished) return std::unexpected(std::move(finished.error()));
  recovered_ = true;
  return true;
}

SinkResult<bool> Consumer::deliver(const DeadJournal& dead) {
  const Leftover& leftover = *dead.leftover;
  const auto& positions = leftover.positions();
  const uint64_t id = leftover.header().journal_id;
  // Asked for each batch: the sink's answer is right also after a commit that failed half way.
  auto known = sink_.position(id);
  if (!known) return std::unexpected(std::move(known.error()));
  const uint64_t from = std::max(dead.from, known->value_or(0));
  const auto first = static_cast<size_t>(std::ranges::lower_bound(positions, from) - positions.begin());
  if (first == positions.size()) return false;
  if (auto begun = sink_.begin(); !begun) return std::unexpected(std::move(begun.error()));
  const size_t last = std::min(positions.size(), first + kBatchRecords);
  for (size_t i = first; i < last; ++i) {
    const RecordRef record = leftover.record(positions[i]);
    const auto event = decode(record.type, record.payload);
    ASSERT(event.has_value());  // the scan has seen to it; what is of no known kind is damage
    if (auto applied = sink_.apply(*event); !applied) return std::unexpected(std::move(applied.error()));
  }
  const JournalPosition end{id, leftover.header().worker_index, leftover.record(positions[last - 1]).end};
  if (auto committed = sink_.commit({&end, 1}); !committed) return std::unexpected(std::move(committed.error()));
  recovered_count_ += last - first;
  tell_oddities();
  return last < positions.size();
}

// Everything is delivered. The files go last, when the rows are sure to stay: a crash anywhere here only repeats what
// changes nothing the second time.
SinkResult<> Consumer::finish_recovery() {
  auto closed = sink_.close_interrupted(recovery());
  if (!closed) return std::unexpected(std::move(closed.error()));
  sink_.checkpoint();
  for (const DeadJournal& dead : options_.dead) dead.consumed();
  if (auto forgotten = sink_.forget_positions(recovery()); !forgotten) return forgotten;
  if (*closed > 0 || recovered_count_ > 0) {
    log(LogLevel::info, "recovered what an earlier process left", LogField("records", recovered_count_),
        LogField("interrupted", *closed));
  }
  options_.dead.clear();
  return {};
}

SinkResult<> Consumer::learn_positions() {
  if (positions_known_) return {};
  for (Source& source : sources_) {
    auto known = sink_.position(source.port.id);
    if (!known) return std::unexpected(std::move(known.error()));
    // The page has where the last commit that is known to have happened ended; the sink may know of a later one. A
    // database that was put in this one's place knows nothing: then the page holds.
    const uint64_t was = source.position;
    source.position = std::max(source.port.page.position(source.port.index), known->value_or(0));
    delivered_.add(count_records(source, was));
    source.port.page.set_position(source.port.index, source.position);
  }
  positions_known_ = true;
  return {};
}

// Records from there to the source's position: those of a commit that was reported as failed and had happened.
uint64_t Consumer::count_records(const Source& source, uint64_t from) {
  const RingView& ring = source.port.ring;
  uint64_t count = 0;
  for (auto record = ring.record_at(from, source.position); record;
       record = ring.record_at(record->end, source.position)) {
    ++count;
  }
  return count;
}

SinkResult<bool> Consumer::drain() {
  if (auto learned = learn_positions(); !learned) return std::unexpected(std::move(learned.error()));
  if (empty()) return false;
  if (auto begun = sink_.begin(); !begun) return std::unexpected(std::move(begun.error()));
  bool more = false;
  std::vector<uint64_t> positions;
  std::vector<JournalPosition> moved;
  for (Source& source : sources_) {
    uint64_t position = source.position;
    auto taken = take_batch(source, position);
    if (!taken) return taken;
    more |= *taken;
    positions.push_back(position);
    if (position != source.position) moved.push_back({source.port.id, source.port.worker_index, position});
  }
  if (auto committed = sink_.commit(moved); !committed) {
    positions_known_ = false;  // it may have happened all the same
    return std::unexpected(std::move(committed.error()));
  }
  for (size_t i = 0; i < sources_.size(); ++i) {
    delivered_.add(sources_[i].batch_count);
    sources_[i].position = positions[i];
    sources_[i].port.page.set_position(sources_[i].port.index, positions[i]);
  }
  tell_oddities();
  if (options_.committed) options_.committed();
  return more;
}

// Applies what there is, up to a batch. True: it stopped at the batch's bound.
SinkResult<bool> Consumer::take_batch(Source& source, uint64_t& position) {
  const uint64_t head = source.port.load_head();
  const RingView& ring = source.port.ring;
  const uint64_t bound = std::min(head, position + kBatchBytes);
  for (source.batch_count = 0; position < bound; ++source.batch_count) {
    if (source.batch_count == kBatchRecords) return true;
    const auto record = ring.record_at(position, head);
    const auto event = record ? decode(record->type, record->payload) : std::nullopt;
    if (!event) {
      // Only a stray store of the writing process does this. What is whole goes on.
      const uint64_t next = record ? record->end : ring.find_record(position, head);
      log(LogLevel::error, "the live journal is damaged", LogField("path", source.port.path),
          LogField("offset", kHeaderSize + (position & (ring.ring_size() - 1))), LogField("size", next - position));
      position = next;
      continue;
    }
    if (auto applied = sink_.apply(*event); !applied) return std::unexpected(std::move(applied.error()));
    position = record->end;
  }
  return position < head;
}

void Consumer::tell_oddities() {
  const SinkOddities& seen = sink_.oddities();
  if (seen == told_) return;
  log(LogLevel::warn, "records that could not be stored as rows (counts since the start)",
      LogField("ends_without_start", seen.unknown_ends), LogField("repeated_starts", seen.repeated_starts),
      LogField("refused_rows", seen.refused_rows));
  told_ = seen;
}

void Consumer::failed(const SinkError& error) {
  if (failing_code_ == 0) failing_since_ns_ = monotonic_ns();
  if (failing_code_ != error.code) {
    const std::string message = fmt::format("{} fails; records wait in the journals, traffic goes on", sink_.noun());
    log(LogLevel::error, message, LogField("error", error.message), LogField("code", error.code));
  }
  pause_ns_ = failing_code_ == 0 ? kConsumerPollNs : std::min(pause_ns_ * 2, kRetryNsMax);
  failing_code_ = error.code;
  positions_known_ = false;
  // A lock goes away by itself. After anything else the connection is not trusted.
  if (!error.locked) sink_.disconnect();
}

void Consumer::works() {
  pause_ns_ = kConsumerPollNs;
  if (failing_code_ == 0) return;
  const std::string message = fmt::format("{} works again", sink_.noun());
  log(LogLevel::info, message, LogField("after_ms", (monotonic_ns() - failing_since_ns_) / kNsPerMs));
  failing_code_ = 0;
}

bool Consumer::empty() const {
  return recovered_ && std::ranges::all_of(sources_, [](const Source& source) {
           return source.port.load_head() == source.port.page.position(source.port.index);
         });
}

}  // namespace weir::record
