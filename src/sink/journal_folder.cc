#include "sink/journal_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "record/leftover.h"

namespace weir::sink {

namespace {

using record::FileHeader;
using record::Leftover;

// The file that is open, whatever its name is by now.
std::string path_of(int descriptor) {
  return fmt::format("/proc/self/fd/{}", descriptor);
}

}  // namespace

struct JournalFolder::File {
  std::string path;
  int descriptor = -1;
  FileHeader header{};
  bool left = false;  // *.left

  File() = default;
  File(File&& other) noexcept
      : path(std::move(other.path)),
        descriptor(std::exchange(other.descriptor, -1)),
        header(other.header),
        left(other.left) {}
  File& operator=(File&& other) noexcept {
    std::swap(path, other.path);
    std::swap(descriptor, other.descriptor);
    std::swap(header, other.header);
    std::swap(left, other.left);
    return *this;
  }
  ~File() {
    if (descriptor >= 0) ::close(descriptor);
  }
};

JournalFolder::Entries JournalFolder::list_live() const {
  Entries entries;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(path_, error), last; !error && entry != last; entry.increment(error)) {
    struct stat status{};
    if (entry->path().extension() != ".journal" || stat(entry->path().c_str(), &status) != 0) continue;
    entries.emplace_back(entry->path().string(), status.st_ino);
  }
  std::ranges::sort(entries);
  return entries;
}

bool JournalFolder::changed() const {
  return list_live() != seen_;
}

Result<std::vector<JournalFolder::File>> JournalFolder::open_all() const {
  std::vector<File> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(path_, error), last; !error && entry != last; entry.increment(error)) {
    const std::string extension = entry->path().extension().string();
    if (extension != ".journal" && extension != ".left") continue;
    File file;
    file.path = entry->path().string();
    file.left = extension == ".left";
    file.descriptor = ::open(file.path.c_str(), O_RDWR | O_CLOEXEC);
    if (file.descriptor < 0 && errno == ENOENT) continue;  // renamed or removed just now
    if (file.descriptor < 0) return fail("cannot open the journal {}: {}", file.path, std::strerror(errno));
    const ssize_t size = pread(file.descriptor, &file.header, sizeof file.header, 0);
    const FileHeader& header = file.header;
    if (size != sizeof header || std::memcmp(header.magic, record::kMagic, sizeof header.magic) != 0 ||
        header.byte_order != record::kByteOrderMark || header.checksum != record::header_checksum(header)) {
      continue;  // weir tells of it, and sets it aside
    }
    if (header.version > record::kFormatVersion) {
      return fail("{} was written by a newer weir (journal version {}, this weir-sink reads {})", file.path,
                  header.version, record::kFormatVersion);
    }
    if (header.version < record::kFormatVersion) continue;  // from when there was SQLite only
    files.push_back(std::move(file));
  }
  std::ranges::sort(files, {}, [](const File& file) { return file.header.created_at; });
  return files;
}

Result<Found> JournalFolder::look() {
  // Before the files: what changes in between is seen as a change.
  seen_ = list_live();
  auto files = open_all();
  if (!files) return std::unexpected(std::move(files.error()));
  Found found;
  if (files->empty()) return found;
  const auto is_dead = [&](const File& file) {
    return file.header.run != files->back().header.run || std::ranges::any_of(*files, [&](const File& other) {
             return other.left && other.header.run == file.header.run;
           });
  };
  for (const File& file : *files) {
    auto taken = is_dead(file) ? take_dead(file, found) : take_live(file, found);
    if (!taken) return std::unexpected(std::move(taken.error()));
  }
  return found;
}

Result<> JournalFolder::take_live(const File& file, Found& found) const {
  auto mapped = JournalReader::map(file.descriptor, file.path, file.header);
  if (!mapped) return std::unexpected(std::move(mapped.error()));
  const record::ConsumerPage page = (*mapped)->consumers();
  const auto index = page.sound() ? page.find(sink_name_) : std::nullopt;
  if (!index) {
    return fail(
        "{} is not written for a sink named {}: add that [[sink]] to weir's configuration and restart it, or "
        "name another with --sink",
        file.path, sink_name_);
  }
  found.ports.push_back((*mapped)->port(*index));
  found.live.push_back(std::move(*mapped));
  return {};
}

Result<> JournalFolder::take_dead(const File& file, Found& found) const {
  found.dead_ids.push_back(file.header.journal_id);
  auto loaded = Leftover::load(path_of(file.descriptor));
  if (!loaded) return std::unexpected(std::move(loaded.error()));
  std::shared_ptr<Leftover> leftover = std::move(*loaded);
  leftover->renamed(file.path);
  if (!leftover->is_journal() || !leftover->has_consumer_page()) return {};
  const auto from = leftover->position_of(sink_name_);
  if (!from || *from == record::kConsumed) return {};
  auto opened = record::MappedConsumerPage::open(path_of(file.descriptor));
  if (!opened) return std::unexpected(std::move(opened.error()));
  std::shared_ptr<record::MappedConsumerPage> page = std::move(*opened);
  const auto index = (*page)->find(sink_name_);
  if (!index) return {};
  found.dead.push_back({.leftover = leftover, .from = *from, .consumed = [page, index = *index] {
                          (*page)->set_position(index, record::kConsumed);
                          page->sync();  // before the database forgets its position
                        }});
  return {};
}

}  // namespace weir::sink
