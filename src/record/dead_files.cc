#include "record/dead_files.h"

#include <sys/random.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "record/leftover.h"

namespace weir::record {

// A sink that is to get a file's records. `slot` is its place in the file's page of consumers.
struct DeadFiles::File {
  struct Need {
    size_t sink_index;
    std::optional<size_t> slot;
    bool outside;
    bool done = false;
    uint64_t from;
  };
  std::string path;
  bool damaged;
  std::shared_ptr<const Leftover> leftover;  // until every sink of this process has it
  std::unique_ptr<MappedConsumerPage> page;  // null: version 1, or damaged there
  std::vector<Need> needs;
};

Result<> DeadFiles::take_over(std::span<const SinkSpec> sinks, uint32_t worker_count,
                              const std::function<bool()>& stops) {
  auto paths = directory_.journals();
  if (!paths) return std::unexpected(paths.error());
  for (const std::string& path : *paths) {
    if (stops()) return {};
    if (auto taken = take(path, sinks, worker_count); !taken) return taken;
  }
  // Interceptions get their rowid in the order in which they started, across runs too.
  std::ranges::sort(files_, {}, [](const auto& file) { return file->leftover->header().created_at; });
  return {};
}

// Decides what becomes of a file: used again, delivered first, or set aside.
Result<> DeadFiles::take(const std::string& path, std::span<const SinkSpec> sinks, uint32_t worker_count) {
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
  ids_.push_back(header.journal_id);
  runs_.push_back(header.run);
  auto file = std::make_shared<File>();
  file->damaged = !leftover->damage().empty();
  bool known = false;
  for (size_t i = 0; i < sinks.size(); ++i) {
    const auto from = leftover->position_of(sinks[i].name);
    known |= from.has_value();
    if (!from || *from == kConsumed || (*from >= leftover->end() && !file->damaged)) continue;
    const bool outside = sinks[i].kind == SinkSpec::Kind::outside;
    if (outside && !leftover->has_consumer_page()) continue;  // it could never tell that it is through
    file->needs.push_back({.sink_index = i, .slot = std::nullopt, .outside = outside, .from = *from});
  }
  const bool outside_readers =
      std::ranges::any_of(sinks, [](const SinkSpec& sink) { return sink.kind == SinkSpec::Kind::outside; });
  if (!known && !leftover->positions().empty()) {
    auto aside = JournalDirectory::set_aside(path);
    if (!aside) return std::unexpected(aside.error());
    log(LogLevel::error, "kept a journal with records for sinks that are not configured any more",
        LogField("from", path), LogField("to", *aside));
    return {};
  }
  if (file->needs.empty() && !file->damaged) {
    // Its blocks serve the next journal, if there is one for this worker and nobody else can still have it mapped.
    const bool reuse =
        path == directory_.live_path(header.worker_index) && header.worker_index < worker_count && !outside_readers;
    return dispose(path, header, reuse);
  }
  file->path = directory_.left_path(header.worker_index, header.journal_id);
  if (path != file->path) {
    if (auto renamed = JournalDirectory::rename(path, file->path); !renamed) return renamed;
    leftover->renamed(file->path);
  }
  if (leftover->has_consumer_page()) {
    auto page = MappedConsumerPage::open(file->path);
    if (!page) return std::unexpected(page.error());
    file->page = std::move(*page);
    for (File::Need& need : file->needs) need.slot = (*file->page)->find(sinks[need.sink_index].name);
  }
  file->leftover = std::move(leftover);
  files_.push_back(std::move(file));
  return {};
}

Result<> DeadFiles::dispose(const std::string& path, const FileHeader& header, bool reuse) {
  return reuse ? JournalDirectory::rename(path, directory_.live_path(header.worker_index) + ".new")
               : JournalDirectory::remove(path);
}

void DeadFiles::tell_damage(const Leftover& leftover) {
  for (const Damage& damage : leftover.damage()) {
    log(LogLevel::error, "the journal is damaged", LogField("path", leftover.path()),
        LogField("offset", damage.file_offset), LogField("size", damage.size), LogField("what", damage.what));
  }
}

std::vector<DeadJournal> DeadFiles::for_sink(size_t sink_index) {
  std::vector<DeadJournal> dead;
  for (const auto& file : files_) {
    for (const File::Need& need : file->needs) {
      if (need.sink_index != sink_index || need.outside) continue;
      dead.push_back({.leftover = file->leftover, .from = need.from, .consumed = [this, file, sink_index] {
                        consumed(*file, sink_index);
                      }});
    }
  }
  return dead;
}

uint32_t DeadFiles::new_run() const {
  uint32_t run = 0;
  while (run == 0 || std::ranges::find(runs_, run) != runs_.end()) {
    if (getrandom(&run, sizeof run, 0) != sizeof run) run = static_cast<uint32_t>(unix_us());
  }
  return run;
}

void DeadFiles::consumed(File& file, size_t sink_index) {
  const std::lock_guard lock(mutex_);
  bool all_inside = true;
  for (File::Need& need : file.needs) {
    if (need.sink_index == sink_index) {
      need.done = true;
      if (need.slot) {
        (*file.page)->set_position(*need.slot, kConsumed);
        file.page->sync();  // before the sink forgets its position
      }
    }
    all_inside = all_inside && (need.done || need.outside);
  }
  if (all_inside) file.leftover.reset();
}

void DeadFiles::put_away() {
  const std::lock_guard lock(mutex_);
  const auto done = [](const std::shared_ptr<File>& file) {
    return std::ranges::all_of(file->needs, [&](const File::Need& need) {
      return need.done || (need.outside && need.slot && (*file->page)->position(*need.slot) == kConsumed);
    });
  };
  const size_t count = std::erase_if(files_, [&](const auto& file) {
    if (!done(file)) return false;
    put_away(*file);
    return true;
  });
  if (count == 0) return;
  if (auto synced = directory_.sync(); !synced) log(LogLevel::warn, synced.error().message);
}

void DeadFiles::put_away(const File& file) {
  if (!file.damaged) {
    if (auto removed = JournalDirectory::remove(file.path); !removed) log(LogLevel::error, removed.error().message);
    return;
  }
  auto aside = JournalDirectory::set_aside(file.path);
  if (!aside) {
    log(LogLevel::error, aside.error().message);
    return;
  }
  log(LogLevel::error, "kept the damaged journal; its readable records are in the sinks", LogField("from", file.path),
      LogField("to", *aside));
}

}  // namespace weir::record
