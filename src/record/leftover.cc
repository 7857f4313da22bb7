#include "record/leftover.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "record/codec.h"
#include "record/journal_file.h"

namespace weir::record {

namespace {

// Of positions, which count bytes from 0: nobody writes that many. So no sum of ours wraps.
constexpr uint64_t kPositionMax = uint64_t{1} << 62;
// A consumer moves the tail a few times a second; two readings of it enclose one of the head sooner than this.
constexpr int kPositionReadingsMax = 100;

std::string reason(int error) {
  return std::strerror(error);
}

Result<uint64_t> read_at(int descriptor, char* to, uint64_t size, uint64_t offset, const std::string& path) {
  uint64_t done = 0;
  while (done < size) {
    const ssize_t got = pread(descriptor, to + done, size - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail("cannot read the journal {} at offset {}: {}", path, offset + done, reason(errno));
    if (got == 0) break;  // it became shorter: the rest stays zero, which is no record
    done += static_cast<uint64_t>(got);
  }
  return done;
}

bool is_sound(const FileHeader& header) {
  const bool known = (header.version == kFormatVersion && header.header_size == kHeaderSize) ||
                     (header.version == 1 && header.header_size == kHeaderSizeV1);
  return known && std::has_single_bit(header.ring_size) && header.ring_size >= kRingSizeMin &&
         header.ring_size <= kRingSizeMax;
}

}  // namespace

Result<std::unique_ptr<Leftover>> Leftover::load(const std::string& path, Scope scope) {
  std::unique_ptr<Leftover> leftover(new Leftover(path));
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO must not hold us
  if (descriptor < 0) return fail("cannot open the journal {}: {}", path, reason(errno));
  auto read = leftover->read_file(descriptor);
  ::close(descriptor);
  if (!read) return std::unexpected(read.error());
  if (leftover->is_journal()) leftover->scan(scope);
  return leftover;
}

Leftover::~Leftover() {
  if (ring_ != nullptr) munmap(ring_, memory_size_);
}

// The header first: a file that is no journal, however large, is not read further.
Result<> Leftover::read_file(int descriptor) {
  struct stat status{};
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail("{} is not a file: move it out of the journal's folder", path_);
  }
  file_size_ = static_cast<uint64_t>(status.st_size);
  alignas(uint64_t) std::array<char, kHeaderSize> page{};
  if (auto read = read_at(descriptor, page.data(), page.size(), 0, path_); !read) {
    return std::unexpected(read.error());
  }
  if (auto read = read_header({page.data(), page.size()}); !read) return read;
  if (!is_journal()) return {};
  if (auto read = read_positions(descriptor); !read) return read;
  read_consumers(page.data() + kConsumersOffset);
  return read_ring(descriptor);
}

// Takes the first of the two headers that is whole.
Result<> Leftover::read_header(std::string_view page) {
  FileHeader header;
  std::string_view what = "not a journal: it does not begin with WEIRJRNL";
  for (const size_t offset : {size_t{0}, kHeaderCopyOffset}) {
    std::memcpy(&header, page.data() + offset, sizeof header);
    if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) continue;
    what = "both headers are damaged";
    if (header.byte_order == std::byteswap(kByteOrderMark)) what = "written by a machine of the other byte order";
    if (header.byte_order != kByteOrderMark) continue;
    if (header.checksum != header_checksum(header)) continue;
    if (header.version > kFormatVersion) {
      return fail(
          "{} was written by a newer weir (journal version {}, this one reads {}): run that one until it has "
          "delivered it, or move the file away",
          path_, header.version, kFormatVersion);
    }
    if (!is_sound(header)) continue;
    if (offset != 0) damage_.push_back({0, sizeof header, "the first header is damaged, its copy is used"});
    header_ = header;
    break;
  }
  if (!header_) {
    damage_.push_back({0, file_size_, std::string(what)});
    return {};
  }
  const uint64_t whole_size = header.header_size + header.ring_size;
  if (file_size_ < whole_size) damage_.push_back({file_size_, whole_size - file_size_, "the file is cut short"});
  if (file_size_ > whole_size) {
    damage_.push_back({whole_size, file_size_ - whole_size, "what follows the ring is no part of a journal"});
  }
  return {};
}

// The head between two equal readings of the tail, so that both are of one moment. Each is one aligned word, which the
// kernel copies at once.
Result<> Leftover::read_positions(int descriptor) {
  uint64_t tail_before = 0;
  for (int i = 0; i < kPositionReadingsMax; ++i) {
    for (const auto& [offset, to] :
         {std::pair{kTailOffset, &tail_before}, {kHeadOffset, &head_}, {kTailOffset, &tail_}}) {
      if (auto read = read_at(descriptor, reinterpret_cast<char*>(to), sizeof *to, offset, path_); !read) {
        return std::unexpected(read.error());
      }
    }
    if (tail_before == tail_) return {};
  }
  return fail("the journal {} changes too fast to be read", path_);
}

void Leftover::read_consumers(char* page_bytes) {
  if (header_->version == 1) {
    consumers_known_ = true;
    consumers_.emplace_back("sqlite", tail_);
    return;
  }
  const ConsumerPage page(page_bytes);
  has_consumer_page_ = consumers_known_ = file_size_ >= kHeaderSize && page.sound();
  if (!consumers_known_) {
    // Better twice asked for than lost: every sink that there is goes on where the slowest was.
    damage_.push_back({kConsumersOffset, kConsumerPageSize, "the list of consumers is damaged"});
    return;
  }
  for (size_t i = 0; i < page.count(); ++i) consumers_.emplace_back(page.name(i), page.position(i));
}

std::optional<uint64_t> Leftover::position_of(std::string_view consumer) const {
  const uint64_t least = positions_possible() ? tail_ : 0;
  if (!consumers_known_) return least;
  for (const auto& [name, position] : consumers_) {
    if (name != consumer) continue;
    if (position == kConsumed) return kConsumed;
    const bool possible = positions_possible() && position >= tail_ && position <= head_;
    return possible ? position : least;
  }
  return std::nullopt;
}

uint64_t Leftover::end() const {
  const uint64_t least = positions_possible() ? head_ : 0;
  return positions_.empty() ? least : std::max(least, record(positions_.back()).end);
}

Result<> Leftover::read_ring(int descriptor) {
  const uint64_t size = header_->ring_size;
  memory_size_ = size + kRecordSizeMax;
  // Not reserved: of a file that is shorter than its header says only what is there takes memory.
  void* const memory =
      mmap(nullptr, memory_size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return fail("no memory to read the journal {} ({} bytes)", path_, memory_size_);
  ring_ = static_cast<char*>(memory);
  auto read = read_at(descriptor, ring_, size, header_->header_size, path_);
  if (!read) return std::unexpected(read.error());
  present_ = *read;
  // A record may wrap: behind the ring its front once more, as in the live mapping.
  std::memcpy(ring_ + size, ring_, std::min<uint64_t>(kRecordSizeMax, present_));
  // After the ring, the tail anew: what was before this one the writer may have written over while we read.
  head_after_ = head_;
  read = read_at(descriptor, reinterpret_cast<char*>(&head_after_), sizeof head_after_, kHeadOffset, path_);
  if (!read) return std::unexpected(read.error());
  if (head_after_ == head_) return {};
  const uint64_t tail_before = tail_;
  read = read_at(descriptor, reinterpret_cast<char*>(&tail_), sizeof tail_, kTailOffset, path_);
  if (!read) return std::unexpected(read.error());
  // What was published while we read is left out; the tail may have gone past it.
  tail_ = std::clamp(tail_, std::min(tail_before, head_), head_);
  return {};
}

bool Leftover::positions_possible() const {
  const bool aligned = head_ % kRecordAlignment == 0 && tail_ % kRecordAlignment == 0;
  return aligned && tail_ <= head_ && head_ - tail_ <= header_->ring_size && head_ <= head_after_ &&
         head_after_ <= kPositionMax;
}

void Leftover::scan(Scope scope) {
  if (!positions_possible()) {
    damage_.push_back({kHeadOffset, kTailOffset + sizeof tail_ - kHeadOffset, "the positions cannot be true"});
    return scan_everything();
  }
  scan_range(scope == Scope::whole_ring ? first_of_ring() : tail_, head_);
  scan_behind_head();
}

void Leftover::scan_range(uint64_t position, uint64_t to) {
  while (position < to) {
    if (const auto record = view().record_at(position, to)) {
      take(*record);
      position = record->end;
      continue;
    }
    const uint64_t next = find_record(position, to);
    add_damage(position, next, "no whole record here");
    position = next;
  }
}

// The first record before the tail that the writer cannot be writing over: it may be at a record behind the head.
uint64_t Leftover::first_of_ring() const {
  const uint64_t size = header_->ring_size;
  const uint64_t written = std::max(head_, head_after_) + kRecordSizeMax;
  if (written <= size) return 0;
  if (written - size >= tail_) return tail_;  // what is after the tail nobody writes over
  return std::min(find_record(written - size, head_), tail_);
}

// While the kernel lives, the head is what the process last stored, and at most one record behind it is whole that was
// not yet published, and so counts for nothing. After a power cut the head may be older than the records that reached
// the disk.
void Leftover::scan_behind_head() {
  const RingView ring = view();
  std::vector<RecordRef> behind;
  for (uint64_t position = std::max(head_, head_after_);;) {
    const auto record = ring.record_at(position, tail_ + ring.ring_size());
    if (!record) break;
    behind.push_back(*record);
    position = record->end;
  }
  char boot_id[sizeof header_->boot_id];
  read_boot_id(boot_id);
  const bool power_cut = std::memcmp(boot_id, header_->boot_id, sizeof boot_id) != 0;
  if (!power_cut && behind.size() < 2) return;
  if (!power_cut) {
    damage_.push_back({kHeadOffset, sizeof head_, "the head is wrong: there are whole records behind it"});
  }
  for (const RecordRef& record : behind) take(record);
}

void Leftover::scan_everything() {
  const RingView ring = view();
  const uint64_t size = header_->ring_size;
  for (uint64_t offset = 0; offset < present_; offset += kRecordAlignment) {
    RecordHeader header;
    std::memcpy(&header, ring_ + offset, sizeof header);
    const uint64_t limit = header.position + kRecordSizeMax;
    if (header.position % size != offset || limit < header.position) continue;
    if (const auto record = ring.record_at(header.position, limit)) take(*record);
  }
  std::ranges::sort(positions_);
}

void Leftover::take(const RecordRef& record) {
  if (decode(record.type, record.payload)) return positions_.push_back(record.position);
  add_damage(record.position, record.end,
             fmt::format("a whole record of no kind that is known (type {})", static_cast<uint16_t>(record.type)));
}

uint64_t Leftover::find_record(uint64_t position, uint64_t limit) const {
  const RingView ring = view();
  while (position < limit) {
    const uint64_t place = position & (ring.ring_size() - 1);
    if (place >= present_) {  // not in the file: hours of looking at zeros in a small file of a large ring
      position += ring.ring_size() - place;
      continue;
    }
    if (ring.record_at(position, limit)) return position;
    position += kRecordAlignment;
  }
  return limit;
}

void Leftover::add_damage(uint64_t from, uint64_t to, std::string what) {
  damage_.push_back({header_->header_size + (from & (header_->ring_size - 1)), to - from, std::move(what)});
}

RecordRef Leftover::record(uint64_t position) const {
  const auto record = view().record_at(position, position + kRecordSizeMax);
  ASSERT(record.has_value());  // it was whole when the file was scanned, and the memory is ours
  return *record;
}

}  // namespace weir::record
