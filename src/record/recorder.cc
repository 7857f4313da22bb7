#include "record/recorder.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/assert.h"
#include "base/clock.h"
#include "base/counter.h"
#include "record/codec.h"
#include "record/journal_directory.h"
#include "record/journal_file.h"
#include "record/leftover.h"
#include "record/sqlite_sink.h"

namespace weir::record {

namespace {

constexpr uint64_t kPollNs = 20 * kNsPerMs;
constexpr uint64_t kRetryNsMax = kNsPerSecond;
// Of one journal in one transaction: large enough that its fixed cost vanishes, small enough that a lock is held for
// some tens of milliseconds.
constexpr uint64_t kBatchBytes = 2ull << 20;
constexpr size_t kBatchRecords = 8192;
// Ahead of the writer: about what a busy worker writes until the next batch.
constexpr uint64_t kPrefaultBytes = 1ull << 20;

// A live journal and how far it is in the database.
struct Source {
  std::unique_ptr<Journal> journal;
  uint32_t worker_index;
  uint64_t position = 0;
  uint64_t synced = 0;  // msync'ed up to here
  uint64_t damage_count = 0;
  uint64_t batch_count = 0;  // records of the batch that is being taken
};

}  // namespace

struct Recorder::Impl {
  RecorderOptions options;
  std::unique_ptr<Logger> logger;
  std::optional<JournalDirectory> directory;
  SqliteSink sink;

  // The recorder's thread, or start() before it.
  std::vector<Source> sources;
  std::vector<std::unique_ptr<Leftover>> leftovers;
  std::vector<uint64_t> old_ids;  // of every journal that was found at start
  size_t leftover_index = 0;
  size_t leftover_delivered = 0;  // of this leftover's positions
  bool recovered = false;
  uint64_t recovered_count = 0;
  bool positions_known = false;
  int failing_code = SQLITE_OK;
  uint64_t failing_since_ns = 0;
  uint64_t pause_ns = kPollNs;
  uint64_t next_sync_ns = 0;
  SqliteSink::Oddities told;

  std::thread thread;
  std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false;                                        // mutex
  uint64_t stop_deadline_ns = 0;                                // mutex
  OnEnded on_ended;                                             // mutex
  std::atomic<DatabaseState> state{DatabaseState::recovering};  // written by the thread
  Counter delivered;                                            // written by the thread
  bool drained = false;                                         // written by the thread, read after its join

  Impl(const RecorderOptions& given, std::unique_ptr<Logger> given_logger)
      : options(given),
        logger(std::move(given_logger)),
        sink({.path = given.database_path, .node = given.node, .durable_commits = given.sync_interval_ns > 0}) {}

  template <class... Fields>
  void log(LogLevel level, std::string_view message, Fields... fields) {
    if (logger != nullptr) logger->log(level, message, {fields...});
  }

  // Start.
  Result<> take_over_folder();
  Result<> take_leftover(const std::string& path);
  void tell_damage(const Leftover& leftover);
  Result<> make_journals();

  // The thread.
  void run();
  DbResult<bool> turn();
  DbResult<bool> recover();
  DbResult<bool> deliver_leftover(const Leftover& leftover);
  DbResult<> finish_recovery();
  void put_away(const Leftover& leftover);
  DbResult<> learn_positions();
  static uint64_t count_records(const Source& source, uint64_t from);
  DbResult<bool> drain();
  DbResult<bool> take_batch(Source& source, uint64_t& position);
  void after_commit(std::span<const uint64_t> positions);
  void tell_oddities();
  void failed(const DatabaseError& error);
  void works();
  void sync_journals(uint64_t now_ns);
  bool empty() const;
};

namespace {

DatabaseState state_of(int sqlite_code) {
  switch (sqlite_code) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return DatabaseState::locked;
    case SQLITE_FULL:
      return DatabaseState::full;
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return DatabaseState::read_only;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return DatabaseState::corrupt;
    case SQLITE_CANTOPEN:
      return DatabaseState::absent;
    default:
      return DatabaseState::failing;
  }
}

constexpr std::string_view kStateTexts[kDatabaseStateCount] = {"ok",        "recovering", "locked", "full",
                                                               "read_only", "corrupt",    "absent", "failing"};

}  // namespace

std::string_view text(DatabaseState state) {
  return kStateTexts[static_cast<size_t>(state)];
}

// ---- start

Result<> Recorder::Impl::take_over_folder() {
  auto opened = JournalDirectory::open(options.journal_directory);
  if (!opened) return std::unexpected(opened.error());
  directory.emplace(std::move(*opened));
  auto paths = directory->journals();
  if (!paths) return std::unexpected(paths.error());
  for (const std::string& path : *paths) {
    if (auto taken = take_leftover(path); !taken) return taken;
  }
  // Interceptions get their rowid in the order in which they started, across runs too.
  std::ranges::sort(leftovers, {}, [](const auto& leftover) { return leftover->header().created_at; });
  return {};
}

// Decides what becomes of a file: used again, delivered first, or set aside.
Result<> Recorder::Impl::take_leftover(const std::string& path) {
  auto loaded = Leftover::load(path);
  if (!loaded) return std::unexpected(loaded.error());
  std::unique_ptr<Leftover> leftover = std::move(*loaded);
  tell_damage(*leftover);
  if (!leftover->is_journal()) {
    auto aside = JournalDirectory::set_aside(path);
    if (!aside) return std::unexpected(aside.error());
    log(LogLevel::error, "set a file aside that is no readable journal", LogField("from", path),
        LogField("to", *aside));
    return {};
  }
  const FileHeader& header = leftover->header();
  old_ids.push_back(header.journal_id);
  if (leftover->positions().empty() && leftover->damage().empty()) {
    // Its blocks serve the next journal, if there is one for this worker.
    if (path == directory->live_path(header.worker_index) && header.worker_index < options.worker_count) {
      return JournalDirectory::rename(path, path + ".new");
    }
    return JournalDirectory::remove(path);
  }
  const std::string left = directory->left_path(header.worker_index, header.journal_id);
  if (path != left) {
    if (auto renamed = JournalDirectory::rename(path, left); !renamed) return renamed;
    leftover->renamed(left);
  }
  leftovers.push_back(std::move(leftover));
  return {};
}

void Recorder::Impl::tell_damage(const Leftover& leftover) {
  for (const Damage& damage : leftover.damage()) {
    log(LogLevel::error, "the journal is damaged", LogField("path", leftover.path()),
        LogField("offset", damage.file_offset), LogField("size", damage.size), LogField("what", damage.what));
  }
}

Result<> Recorder::Impl::make_journals() {
  for (uint32_t i = 0; i < options.worker_count; ++i) {
    auto journal = Journal::create(directory->live_path(i), options.journal_size, i);
    if (!journal) return std::unexpected(journal.error());
    sources.push_back({.journal = std::move(*journal), .worker_index = i});
  }
  return {};
}

Recorder::Recorder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<Recorder>> Recorder::start(const RecorderOptions& options, std::unique_ptr<Logger> logger) {
  ASSERT(options.worker_count > 0);
  auto impl = std::make_unique<Impl>(options, std::move(logger));
  if (auto taken = impl->take_over_folder(); !taken) return std::unexpected(taken.error());
  if (auto made = impl->make_journals(); !made) return std::unexpected(made.error());
  // The first turns here, so that what can be recovered is before anything new is accepted.
  for (bool more = true; more && !impl->recovered;) {
    auto turned = impl->turn();
    if (!turned && turned.error().permanent) return std::unexpected(Error{turned.error().message});
    if (!turned) impl->failed(turned.error());
    more = turned.has_value() && *turned;
  }
  impl->thread = std::thread([self = impl.get()] {
    ::pthread_setname_np(::pthread_self(), "weir-recorder");
    self->run();
  });
  return std::unique_ptr<Recorder>(new Recorder(std::move(impl)));
}

Recorder::~Recorder() {
  stop(0);
}

Journal& Recorder::journal(uint32_t worker_index) {
  ASSERT(worker_index < impl_->sources.size());
  return *impl_->sources[worker_index].journal;
}

DatabaseState Recorder::database_state() const {
  return impl_->state.load(std::memory_order_relaxed);
}

uint64_t Recorder::delivered_count() const {
  return impl_->delivered.value();
}

void Recorder::set_on_ended(OnEnded on_ended) {
  const std::lock_guard lock(impl_->mutex);
  impl_->on_ended = std::move(on_ended);
}

bool Recorder::stop(uint64_t deadline_ns) {
  if (!impl_->thread.joinable()) return impl_->drained;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
    impl_->stop_deadline_ns = monotonic_ns() + deadline_ns;
  }
  impl_->wake.notify_one();
  impl_->thread.join();
  return impl_->drained;
}

// ---- the thread

void Recorder::Impl::run() {
  for (;;) {
    auto turned = turn();
    if (turned) {
      works();
    } else {
      failed(turned.error());
    }
    const uint64_t now_ns = monotonic_ns();
    sync_journals(now_ns);
    const bool more = turned.has_value() && *turned;
    std::unique_lock lock(mutex);
    if (stopping && (now_ns >= stop_deadline_ns || (turned.has_value() && !more && empty()))) break;
    if (more) continue;
    // A stop ends the pause, and none is long after it; but a failing database is not asked without a pause.
    const uint64_t pause = stopping ? kPollNs : pause_ns;
    wake.wait_for(lock, std::chrono::nanoseconds(pause), [&, was = stopping] { return stopping != was; });
  }
  drained = empty();
  sink.disconnect();
}

// One transaction at most. True: there is more to do at once.
DbResult<bool> Recorder::Impl::turn() {
  auto connected = sink.connect();
  if (!connected) return std::unexpected(std::move(connected.error()));
  if (*connected) positions_known = false;
  {
    const std::lock_guard lock(mutex);
    sink.collect_ended(on_ended != nullptr);
  }
  DbResult<bool> more = recovered ? drain() : recover();
  if (!more) sink.rollback();
  return more;
}

DbResult<bool> Recorder::Impl::recover() {
  if (leftover_index < leftovers.size()) {
    const Leftover& leftover = *leftovers[leftover_index];
    auto more = deliver_leftover(leftover);
    if (!more) return more;
    if (!*more) {
      ++leftover_index;
      leftover_delivered = 0;
    }
    return true;
  }
  if (auto finished = finish_recovery(); !finished) return std::unexpected(std::move(finished.error()));
  recovered = true;
  return true;
}

DbResult<bool> Recorder::Impl::deliver_leftover(const Leftover& leftover) {
  const auto& positions = leftover.positions();
  const uint64_t id = leftover.header().journal_id;
  // Asked for each batch: the database's answer is right also after a commit that failed half way.
  auto known = sink.position(id);
  if (!known) return std::unexpected(std::move(known.error()));
  if (*known) {
    const auto first_new = std::ranges::lower_bound(positions, **known);
    leftover_delivered = static_cast<size_t>(first_new - positions.begin());
  }
  if (leftover_delivered == positions.size()) return false;
  if (auto begun = sink.begin(); !begun) return std::unexpected(std::move(begun.error()));
  const size_t last = std::min(positions.size(), leftover_delivered + kBatchRecords);
  for (size_t i = leftover_delivered; i < last; ++i) {
    const RecordRef record = leftover.record(positions[i]);
    const auto event = decode(record.type, record.payload);
    ASSERT(event.has_value());  // the scan has seen to it; what is of no known kind is damage
    if (auto applied = sink.apply(*event); !applied) return std::unexpected(std::move(applied.error()));
  }
  const JournalPosition end{id, leftover.header().worker_index, leftover.record(positions[last - 1]).end};
  if (auto committed = sink.commit({&end, 1}); !committed) return std::unexpected(std::move(committed.error()));
  recovered_count += last - leftover_delivered;
  leftover_delivered = last;
  tell_oddities();
  return last < positions.size();
}

// Everything is delivered. The files go last, when the rows are sure to stay: a crash anywhere here only repeats what
// changes nothing the second time.
DbResult<> Recorder::Impl::finish_recovery() {
  auto closed = sink.close_interrupted(old_ids, unix_us());
  if (!closed) return std::unexpected(std::move(closed.error()));
  sink.checkpoint();
  for (const auto& leftover : leftovers) put_away(*leftover);
  if (auto synced = directory->sync(); !synced) log(LogLevel::warn, synced.error().message);
  if (auto forgotten = sink.forget_positions(old_ids); !forgotten) return forgotten;
  if (*closed > 0 || recovered_count > 0) {
    log(LogLevel::info, "recovered what an earlier process left", LogField("records", recovered_count),
        LogField("interrupted", *closed));
  }
  leftovers.clear();
  return {};
}

void Recorder::Impl::put_away(const Leftover& leftover) {
  if (leftover.damage().empty()) {
    if (auto removed = JournalDirectory::remove(leftover.path()); !removed)
      log(LogLevel::error, removed.error().message);
    return;
  }
  auto aside = JournalDirectory::set_aside(leftover.path());
  if (!aside) {
    log(LogLevel::error, aside.error().message);
    return;
  }
  log(LogLevel::error, "kept the damaged journal; its readable records are in the database",
      LogField("from", leftover.path()), LogField("to", *aside));
}

DbResult<> Recorder::Impl::learn_positions() {
  if (positions_known) return {};
  for (Source& source : sources) {
    auto known = sink.position(source.journal->id());
    if (!known) return std::unexpected(std::move(known.error()));
    // The tail is where the last commit that is known to have happened ended; the database may know of a later one. A
    // database that was put in this one's place knows nothing: then the tail holds.
    const uint64_t was = source.position;
    source.position = std::max(source.journal->tail(), known->value_or(0));
    delivered.add(count_records(source, was));
    source.journal->release_to(source.position);
  }
  positions_known = true;
  return {};
}

// Records from there to the source's position: those of a commit that was reported as failed and had happened.
uint64_t Recorder::Impl::count_records(const Source& source, uint64_t from) {
  const RingView ring = source.journal->view();
  uint64_t count = 0;
  for (auto record = ring.record_at(from, source.position); record;
       record = ring.record_at(record->end, source.position)) {
    ++count;
  }
  return count;
}

DbResult<bool> Recorder::Impl::drain() {
  if (auto learned = learn_positions(); !learned) return std::unexpected(std::move(learned.error()));
  if (empty()) return false;
  if (auto begun = sink.begin(); !begun) return std::unexpected(std::move(begun.error()));
  bool more = false;
  std::vector<uint64_t> positions;
  std::vector<JournalPosition> moved;
  for (Source& source : sources) {
    uint64_t position = source.position;
    auto taken = take_batch(source, position);
    if (!taken) return taken;
    more |= *taken;
    positions.push_back(position);
    if (position != source.position) moved.push_back({source.journal->id(), source.worker_index, position});
  }
  if (auto committed = sink.commit(moved); !committed) {
    positions_known = false;  // it may have happened all the same
    return std::unexpected(std::move(committed.error()));
  }
  after_commit(positions);
  return more;
}

// Applies what there is, up to a batch. True: it stopped at the batch's bound.
DbResult<bool> Recorder::Impl::take_batch(Source& source, uint64_t& position) {
  const uint64_t head = source.journal->head();
  const RingView ring = source.journal->view();
  const uint64_t bound = std::min(head, position + kBatchBytes);
  for (source.batch_count = 0; position < bound; ++source.batch_count) {
    if (source.batch_count == kBatchRecords) return true;
    const auto record = ring.record_at(position, head);
    const auto event = record ? decode(record->type, record->payload) : std::nullopt;
    if (!event) {
      // Only a stray store of our own process does this. What is whole goes on.
      const uint64_t next = record ? record->end : ring.find_record(position, head);
      log(LogLevel::error, "the live journal is damaged", LogField("path", source.journal->path()),
          LogField("offset", kHeaderSize + (position & (source.journal->size() - 1))),
          LogField("size", next - position));
      ++source.damage_count;
      position = next;
      continue;
    }
    if (auto applied = sink.apply(*event); !applied) return std::unexpected(std::move(applied.error()));
    position = record->end;
  }
  return position < head;
}

void Recorder::Impl::after_commit(std::span<const uint64_t> positions) {
  for (size_t i = 0; i < sources.size(); ++i) {
    if (sources[i].position == positions[i]) continue;
    sources[i].position = positions[i];
    delivered.add(sources[i].batch_count);
    sources[i].journal->release_to(positions[i]);
    sources[i].journal->prefault(positions[i], kPrefaultBytes);
  }
  tell_oddities();
  if (sink.ended().empty()) return;
  OnEnded tell;
  {
    const std::lock_guard lock(mutex);
    tell = on_ended;
  }
  if (tell == nullptr) return;
  for (const Uuid& id : sink.ended()) {
    auto row = sink.row(id);
    if (row && *row) tell(**row);
  }
}

void Recorder::Impl::tell_oddities() {
  const SqliteSink::Oddities& seen = sink.oddities();
  if (seen == told) return;
  log(LogLevel::warn, "records that could not be stored as rows (counts since the start)",
      LogField("ends_without_start", seen.unknown_ends), LogField("repeated_starts", seen.repeated_starts),
      LogField("refused_rows", seen.refused_rows));
  told = seen;
}

void Recorder::Impl::failed(const DatabaseError& error) {
  if (failing_code == SQLITE_OK) failing_since_ns = monotonic_ns();
  if (failing_code != error.code) {
    log(LogLevel::error, "the database fails; records wait in the journals, traffic goes on",
        LogField("error", error.message), LogField("code", error.code));
  }
  pause_ns = failing_code == SQLITE_OK ? kPollNs : std::min(pause_ns * 2, kRetryNsMax);
  failing_code = error.code;
  state.store(state_of(error.code), std::memory_order_relaxed);
  positions_known = false;
  // A lock goes away by itself. After anything else the connection is not trusted.
  if (error.code != SQLITE_BUSY && error.code != SQLITE_LOCKED) sink.disconnect();
}

void Recorder::Impl::works() {
  pause_ns = kPollNs;
  state.store(recovered ? DatabaseState::ok : DatabaseState::recovering, std::memory_order_relaxed);
  if (failing_code == SQLITE_OK) return;
  log(LogLevel::info, "the database works again", LogField("after_ms", (monotonic_ns() - failing_since_ns) / kNsPerMs));
  failing_code = SQLITE_OK;
}

void Recorder::Impl::sync_journals(uint64_t now_ns) {
  if (options.sync_interval_ns == 0 || now_ns < next_sync_ns) return;
  next_sync_ns = now_ns + options.sync_interval_ns;
  for (Source& source : sources) {
    const uint64_t head = source.journal->head();
    const uint64_t from = std::max(source.synced, source.journal->tail());
    if (from == head) continue;
    if (auto synced = source.journal->sync(from, head); !synced) log(LogLevel::error, synced.error().message);
    source.synced = head;
  }
}

bool Recorder::Impl::empty() const {
  return recovered && std::ranges::all_of(sources, [](const Source& source) {
           return source.journal->head() == source.journal->tail();
         });
}

}  // namespace weir::record
