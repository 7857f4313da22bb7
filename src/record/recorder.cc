#include "record/recorder.h"

#include <pthread.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

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
#include "base/units.h"
#include "record/consumer.h"
#include "record/dead_files.h"
#include "record/journal_directory.h"
#include "record/journal_file.h"
#include "record/jsonl_sink.h"
#include "record/sqlite_sink.h"

namespace weir::record {

namespace {

// Ahead of the writer: about what a busy worker writes until the next batch.
constexpr uint64_t kPrefaultBytes = 1ull << 20;
// weir-sink tells how it fares at least once a second, but for a wait on its server, which it gives up after 20 s.
constexpr uint64_t kPulseMsMax = 30'000;
// At the start, in each turn of the keeper.
constexpr uint64_t kMapSlice = 4ull << 20;

std::unique_ptr<Logger> logger_of(LogSink* log) {
  return log != nullptr ? log->make_logger() : nullptr;
}

// A sink of this process, with the thread that feeds it.
struct Feeder {
  std::unique_ptr<Logger> logger;
  std::unique_ptr<Sink> sink;
  SqliteSink* sqlite = nullptr;  // `sink`, if it is one
  std::optional<Consumer> consumer;
  size_t sink_index = 0;
  std::atomic<DatabaseState> state{DatabaseState::ok};  // written by the thread
  std::thread thread;
};

}  // namespace

struct Recorder::Impl {
  RecorderOptions options;
  LogSink* log_sink;
  std::unique_ptr<Logger> logger;  // the keeper's, and start()'s before it
  std::optional<JournalDirectory> directory;
  std::optional<DeadFiles> dead;
  std::vector<std::unique_ptr<Journal>> journals;
  std::vector<std::unique_ptr<Feeder>> feeders;
  std::vector<uint64_t> synced;  // of each journal: msync'ed up to here
  uint64_t next_sync_ns = 0;
  bool full = false;             // a journal is, as was told
  bool given_up = false;         // start(): told to stop
  std::vector<uint64_t> mapped;  // of each journal: its pages are there for writing up to here

  std::thread keeper;
  std::mutex space_mutex;  // one at a time moves the tails
  std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false;          // mutex
  bool keeper_stopping = false;   // mutex: the feeders have ended
  uint64_t stop_deadline_ns = 0;  // mutex
  Counter delivered_outside;      // space_mutex; counted where no sink of this process is
  bool drained = false;           // written by stop()

  Impl(const RecorderOptions& given, LogSink* given_log)
      : options(given), log_sink(given_log), logger(logger_of(given_log)) {}

  template <class... Fields>
  void log(LogLevel level, std::string_view message, Fields... fields) {
    if (logger != nullptr) logger->log(level, message, {fields...});
  }

  Result<> set_up();
  bool stops() { return given_up = given_up || (options.stop_asked && options.stop_asked()); }
  Result<> check_room() const;
  Result<> make_journals();
  Result<> make_journal(uint32_t worker_index, const JournalLabel& label);
  void map_ahead();
  void make_feeder(size_t sink_index);
  Result<> recover(Feeder& feeder);
  void feed(Feeder& feeder);
  void make_indexes(Feeder& feeder);
  void keep();
  void release_space();
  void tell_room();
  void tell_ended(Feeder& feeder);
  void sync_journals(uint64_t now_ns);
  bool empty() const;
  // The one whose state and progress are told: SQLite, else the first; null if every sink is outside.
  const Feeder* database() const;
  DatabaseState state_outside(size_t sink_index) const;
  static void note_state(Feeder& feeder, int code);
};

namespace {

DatabaseState state_of(int code) {
  switch (code) {
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

uint64_t count_records(const Journal& journal, uint64_t from, uint64_t to) {
  const RingView ring = journal.view();
  uint64_t count = 0;
  for (auto record = ring.record_at(from, to); record; record = ring.record_at(record->end, to)) ++count;
  return count;
}

}  // namespace

// ---- start

Result<> Recorder::Impl::set_up() {
  auto opened = JournalDirectory::open(options.journal_directory);
  if (!opened) return std::unexpected(opened.error());
  directory.emplace(std::move(*opened));
  dead.emplace(*directory, logger.get());
  if (auto taken = dead->take_over(options.sinks, options.worker_count, [this] { return stops(); }); !taken)
    return taken;
  if (given_up) return {};
  if (auto made = make_journals(); !made || given_up) {
    // They hold nothing yet.
    for (const auto& journal : journals) ::unlink(journal->path().c_str());
    return made;
  }
  for (size_t i = 0; i < options.sinks.size(); ++i) {
    if (options.sinks[i].kind != SinkSpec::Kind::outside) make_feeder(i);
  }
  // The first turns here, so that what can be recovered is before anything new is accepted.
  for (const auto& feeder : feeders) {
    if (auto recovered = recover(*feeder); !recovered || given_up) return recovered;
    // What an earlier process left is not told.
    if (feeder->sqlite != nullptr) feeder->sqlite->collect_ended(options.on_ended != nullptr);
  }
  dead->put_away();
  return {};
}

Result<> Recorder::Impl::make_journals() {
  JournalLabel label{.run = dead->new_run(), .consumers = {}};
  for (const SinkSpec& sink : options.sinks) label.consumers.push_back(sink.name);
  if (auto room = check_room(); !room) return room;
  for (uint32_t i = 0; i < options.worker_count && !stops(); ++i) {
    if (auto made = make_journal(i, label); !made) return made;
  }
  synced.assign(journals.size(), 0);
  mapped.assign(journals.size(), Journal::kMappedAtStart);
  return {};
}

Result<> Recorder::Impl::make_journal(uint32_t worker_index, const JournalLabel& label) {
  auto journal = Journal::create(directory->live_path(worker_index), options.journal_size, worker_index, label);
  if (!journal) return std::unexpected(journal.error());
  journals.push_back(std::move(*journal));
  return {};
}

// All of it at once, before the first gigabyte is taken from a disk that has no room for the last.
Result<> Recorder::Impl::check_room() const {
  struct statvfs disk{};
  if (::statvfs(options.journal_directory.c_str(), &disk) != 0) return {};  // whoever writes there tells why
  uint64_t wanted = options.worker_count * Journal::file_size(options.journal_size);
  for (uint32_t i = 0; i < options.worker_count; ++i) {
    struct stat used_again{};  // see DeadFiles
    if (::stat(Journal::building_path(directory->live_path(i)).c_str(), &used_again) != 0) continue;
    wanted -= std::min(wanted, static_cast<uint64_t>(used_again.st_blocks) * 512);
  }
  constexpr uint64_t kMiB = 1ull << 20;
  const uint64_t free = uint64_t{disk.f_bavail} * disk.f_frsize;
  if (wanted <= free) return {};
  return fail(
      "{}: no room on the disk for the journals: {} of {} need {} and {} are free: free some, or choose a smaller "
      "--journal-size or fewer --workers",
      options.journal_directory, options.worker_count, format_size(options.journal_size),
      format_size((wanted / kMiB + 1) * kMiB), format_size(free / kMiB * kMiB));
}

void Recorder::Impl::make_feeder(size_t sink_index) {
  const SinkSpec& spec = options.sinks[sink_index];
  const bool durable = options.sync_interval_ns > 0;
  auto feeder = std::make_unique<Feeder>();
  feeder->logger = logger_of(log_sink);
  feeder->sink_index = sink_index;
  if (spec.kind == SinkSpec::Kind::sqlite) {
    auto sqlite = std::make_unique<SqliteSink>(
        SqliteSink::Options{.path = spec.path, .node = options.node, .durable_commits = durable});
    feeder->sqlite = sqlite.get();
    feeder->sink = std::move(sqlite);
  } else {
    feeder->sink = std::make_unique<JsonlSink>(JsonlSink::Options{.path = spec.path,
                                                                  .state_path = spec.state_path,
                                                                  .node = options.node,
                                                                  .rotate_size = spec.rotate_size,
                                                                  .keep = spec.keep,
                                                                  .durable_commits = durable});
  }
  ConsumerOptions consumer{.name = spec.name,
                           .dead = dead->for_sink(sink_index),
                           .dead_ids = dead->ids(),
                           .live = {},
                           .committed = [this, feeder = feeder.get()] {
                             release_space();
                             tell_ended(*feeder);
                           }};
  for (const auto& journal : journals) consumer.live.push_back(journal->port(sink_index));
  feeder->consumer.emplace(*feeder->sink, feeder->logger.get(), std::move(consumer));
  feeders.push_back(std::move(feeder));
}

Result<> Recorder::Impl::recover(Feeder& feeder) {
  for (bool more = true; more && !feeder.consumer->recovered() && !stops();) {
    auto turned = feeder.consumer->turn();
    if (!turned && turned.error().permanent) return std::unexpected(Error{turned.error().message});
    if (!turned) feeder.consumer->failed(turned.error());
    note_state(feeder, turned ? SQLITE_OK : turned.error().code);
    more = turned.has_value() && *turned;
  }
  return {};
}

Recorder::Recorder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<Recorder>> Recorder::start(const RecorderOptions& options, LogSink* log) {
  ASSERT(options.worker_count > 0 && options.sinks.size() <= kConsumersMax);
  auto impl = std::make_unique<Impl>(options, log);
  if (auto set_up = impl->set_up(); !set_up) return std::unexpected(set_up.error());
  if (impl->given_up) return nullptr;
  for (const auto& feeder : impl->feeders) {
    feeder->thread = std::thread([self = impl.get(), feeder = feeder.get()] {
      ::pthread_setname_np(::pthread_self(), "weir-recorder");
      self->feed(*feeder);
    });
  }
  impl->keeper = std::thread([self = impl.get()] {
    ::pthread_setname_np(::pthread_self(), "weir-keeper");
    self->keep();
  });
  return std::unique_ptr<Recorder>(new Recorder(std::move(impl)));
}

Recorder::~Recorder() {
  stop(0);
}

Journal& Recorder::journal(uint32_t worker_index) {
  ASSERT(worker_index < impl_->journals.size());
  return *impl_->journals[worker_index];
}

DatabaseState Recorder::database_state() const {
  const Feeder* const feeder = impl_->database();
  if (feeder != nullptr) return feeder->state.load(std::memory_order_relaxed);
  return impl_->options.sinks.empty() ? DatabaseState::ok : impl_->state_outside(0);
}

DatabaseState Recorder::Impl::state_outside(size_t sink_index) const {
  const ConsumerPage::Pulse pulse = journals.front()->consumers().pulse(sink_index);
  const bool lives = pulse.at_ms != 0 && monotonic_ns() / kNsPerMs < pulse.at_ms + kPulseMsMax;
  return lives && pulse.state < kDatabaseStateCount ? static_cast<DatabaseState>(pulse.state) : DatabaseState::absent;
}

uint64_t Recorder::delivered_count() const {
  const Feeder* const feeder = impl_->database();
  return feeder != nullptr ? feeder->consumer->delivered_count() : impl_->delivered_outside.value();
}

const Feeder* Recorder::Impl::database() const {
  for (const auto& feeder : feeders) {
    if (feeder->sqlite != nullptr) return feeder.get();
  }
  return feeders.empty() ? nullptr : feeders.front().get();
}

std::vector<SinkProgress> Recorder::sinks() const {
  std::vector<SinkProgress> all;
  for (size_t i = 0; i < impl_->options.sinks.size(); ++i) {
    SinkProgress& sink = all.emplace_back(SinkProgress{.name = impl_->options.sinks[i].name});
    for (const auto& journal : impl_->journals) {
      const uint64_t position = journal->consumers().position(i);  // first: the head only grows
      sink.behind_bytes += journal->head() - position;
    }
    sink.state = impl_->state_outside(i);
  }
  for (const auto& feeder : impl_->feeders) {
    all[feeder->sink_index].state = feeder->state.load(std::memory_order_relaxed);
  }
  return all;
}

void Recorder::Impl::note_state(Feeder& feeder, int code) {
  DatabaseState now = feeder.consumer->recovered() ? DatabaseState::ok : DatabaseState::recovering;
  if (code != SQLITE_OK) now = feeder.sqlite != nullptr ? state_of(code) : DatabaseState::failing;
  feeder.state.store(now, std::memory_order_relaxed);
}

bool Recorder::stop(uint64_t deadline_ns) {
  Impl& self = *impl_;
  if (!self.keeper.joinable()) return self.drained;
  {
    const std::lock_guard lock(self.mutex);
    self.stopping = true;
    self.stop_deadline_ns = monotonic_ns() + deadline_ns;
  }
  self.wake.notify_all();
  for (const auto& feeder : self.feeders) feeder->thread.join();
  {
    const std::lock_guard lock(self.mutex);
    self.keeper_stopping = true;
  }
  self.wake.notify_all();
  self.keeper.join();
  self.drained = self.empty();
  return self.drained;
}

// ---- a feeder's thread

// In the database of an older weir, once. Requests go on meanwhile: their records wait in the journals.
void Recorder::Impl::make_indexes(Feeder& feeder) {
  const auto missing = feeder.sqlite->missing_indexes();
  if (!missing) return;  // the feeding tells what is wrong with the database
  const auto tell = [&](LogLevel level, std::string_view message, const Index& index, const LogField& more) {
    if (feeder.logger != nullptr) feeder.logger->log(level, message, {LogField("index", index.name), more});
  };
  for (const Index& index : *missing) {
    tell(LogLevel::info, "making an index that searches need; records wait in the journal until it is done", index,
         LogField("path", std::string_view(feeder.sqlite->path())));
    const uint64_t began_ns = monotonic_ns();
    const auto made = feeder.sqlite->make_index(index, [this] {
      const std::lock_guard lock(mutex);
      return stopping;
    });
    if (!made) {
      return tell(LogLevel::warn, "the index was not made; searches are slow until the next start, which tries again",
                  index, LogField("reason", std::string_view(made.error().message)));
    }
    tell(LogLevel::info, "the index is made", index, LogField("ms", (monotonic_ns() - began_ns) / kNsPerMs));
  }
}

void Recorder::Impl::feed(Feeder& feeder) {
  Consumer& consumer = *feeder.consumer;
  if (feeder.sqlite != nullptr) make_indexes(feeder);
  for (;;) {
    auto turned = consumer.turn();
    if (turned) {
      consumer.works();
    } else {
      consumer.failed(turned.error());
    }
    note_state(feeder, turned ? SQLITE_OK : turned.error().code);
    const bool more = turned.has_value() && *turned;
    std::unique_lock lock(mutex);
    const bool done = turned.has_value() && !more && consumer.empty();
    if (stopping && (done || monotonic_ns() >= stop_deadline_ns)) break;
    if (more) continue;
    // A stop ends the pause, and none is long after it; but a failing sink is not asked without a pause.
    const uint64_t pause = stopping ? kConsumerPollNs : consumer.pause_ns();
    wake.wait_for(lock, std::chrono::nanoseconds(pause), [&, was = stopping] { return stopping != was; });
  }
  feeder.sink->disconnect();
}

void Recorder::Impl::tell_ended(Feeder& feeder) {
  if (feeder.sqlite == nullptr || feeder.sqlite->ended().empty()) return;
  for (const Uuid& id : feeder.sqlite->ended()) {
    auto row = feeder.sqlite->row(id);
    if (row && *row) options.on_ended(**row);
  }
}

// ---- the keeper's thread

void Recorder::Impl::keep() {
  for (;;) {
    release_space();
    tell_room();
    dead->put_away();
    map_ahead();
    const uint64_t now_ns = monotonic_ns();
    sync_journals(now_ns);
    std::unique_lock lock(mutex);
    // Sinks outside are waited for, as long as the stop may take.
    if (keeper_stopping && (now_ns >= stop_deadline_ns || empty())) break;
    wake.wait_for(lock, std::chrono::nanoseconds(kConsumerPollNs),
                  [&, was = keeper_stopping] { return keeper_stopping != was; });
  }
}

// Also called by each feeder after its commit, so that a full journal has room again at once.
void Recorder::Impl::release_space() {
  const std::lock_guard lock(space_mutex);
  for (const auto& journal : journals) {
    const uint64_t slowest = journal->slowest();
    if (slowest <= journal->tail()) continue;
    if (feeders.empty()) delivered_outside.add(count_records(*journal, journal->tail(), slowest));
    journal->release_to(slowest);
    journal->prefault(slowest, kPrefaultBytes);
  }
}

// At the start only a journal's first part is mapped for writing: mapping all of sixteen takes seconds. The rest
// follows here, a slice at a time, long before a writer comes there.
void Recorder::Impl::map_ahead() {
  for (size_t i = 0; i < journals.size(); ++i) {
    if (mapped[i] >= journals[i]->size()) continue;
    journals[i]->prefault(mapped[i], kMapSlice);
    mapped[i] += kMapSlice;
    return;
  }
}

// By the bound at which a writer refuses new interceptions, and with a distance before it counts as over.
void Recorder::Impl::tell_room() {
  bool now_full = false;
  bool roomy = true;
  std::string_view slowest;
  for (const auto& journal : journals) {
    const uint64_t used = journal->head() - std::min(journal->head(), journal->tail());
    roomy = roomy && used <= journal->size() / 2;
    if (!is_full(*journal, 0)) continue;
    now_full = true;
    size_t last = 0;
    for (size_t i = 1; i < options.sinks.size(); ++i) {
      if (journal->consumers().position(i) < journal->consumers().position(last)) last = i;
    }
    slowest = options.sinks[last].name;
  }
  if (now_full && !full) {
    log(LogLevel::error, "a journal is full; new requests get 503 until its slowest sink goes on",
        LogField("sink", slowest));
    full = true;
  } else if (full && roomy) {
    log(LogLevel::info, "every journal has room again");
    full = false;
  }
}

void Recorder::Impl::sync_journals(uint64_t now_ns) {
  if (options.sync_interval_ns == 0 || now_ns < next_sync_ns) return;
  next_sync_ns = now_ns + options.sync_interval_ns;
  for (size_t i = 0; i < journals.size(); ++i) {
    const uint64_t head = journals[i]->head();
    const uint64_t from = std::max(synced[i], journals[i]->tail());
    if (from >= head) continue;
    if (auto done = journals[i]->sync(from, head); !done) log(LogLevel::error, done.error().message);
    synced[i] = head;
  }
}

bool Recorder::Impl::empty() const {
  const bool recovered = std::ranges::all_of(feeders, [](const auto& feeder) { return feeder->consumer->recovered(); });
  return recovered &&
         std::ranges::all_of(journals, [](const auto& journal) { return journal->head() == journal->tail(); });
}

}  // namespace weir::record
