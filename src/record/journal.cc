// The producer's side. The consumer's is recorder.cc; the file between them is drawn in format.h.

#include "record/journal.h"

#include <algorithm>
#include <cstring>
#include <deque>

#include "base/assert.h"
#include "record/codec.h"
#include "record/journal_file.h"

namespace weir::record {

namespace {

// Kept for facts and for ends that are longer than planned: begin() leaves this part of the ring free.
constexpr uint64_t kReservedShare = 4;  // a quarter
// Kept for the end of each running interception; nearly all are far shorter.
constexpr uint64_t kEndReserve = 256;
// A start with long texts (ids, user agent, model).
constexpr uint64_t kUsualStart = 4096;
constexpr uint64_t kFetchAhead = 1024;
constexpr uint64_t kCacheLine = 64;

}  // namespace

struct JournalWriter::Impl {
  Journal& journal;
  uint64_t head;
  uint64_t tail;  // as last seen: the consumer's line is only read when this says that there is no room
  uint32_t open_count = 0;
  uint64_t written_count = 0;
  uint64_t fetched = 0;             // up to here lines have been asked for
  std::deque<std::string> backlog;  // whole records but for position and checksum, oldest first
  Encoded encoded;

  explicit Impl(Journal& owned) : journal(owned), head(owned.head()), tail(owned.tail()) {}

  bool has_room(uint64_t size) {
    if (journal.size() - (head - tail) >= size) [[likely]]
      return true;
    tail = journal.tail();
    return journal.size() - (head - tail) >= size;
  }

  // The one store that makes a record exist: before it a crash leaves nothing, after it the whole record.
  void publish(uint64_t size) {
    head += size;
    ++written_count;
    journal.publish(head);
  }

  void write() {
    write_record(encoded, head, journal.seed(), journal.at(head));
    publish(encoded.record_size);
    fetch_ahead();
  }

  // The ring is larger than the caches, so each line is cold when its turn comes: it is asked for a record before.
  void fetch_ahead() {
    for (fetched = std::max(fetched, head); fetched < head + kFetchAhead; fetched += kCacheLine) {
      __builtin_prefetch(journal.at(fetched), 1);
    }
  }

  // `kept_free`: room that this record must leave for others.
  void place_or_keep(uint64_t kept_free) {
    if (!backlog.empty()) [[unlikely]]
      place_backlog();
    if (backlog.empty() && has_room(encoded.record_size + kept_free)) [[likely]]
      return write();
    std::string record(encoded.record_size, '\0');
    write_record(encoded, 0, 0, record.data());
    backlog.push_back(std::move(record));
  }

  void place_backlog() {
    while (!backlog.empty() && has_room(backlog.front().size())) {
      std::string& record = backlog.front();
      RecordHeader header;
      std::memcpy(&header, record.data(), sizeof header);
      header.position = head;
      std::memcpy(record.data(), &header, sizeof header);
      header.checksum = record_checksum(journal.seed(), record.data(), record.size());
      std::memcpy(record.data(), &header, sizeof header);
      std::memcpy(journal.at(head), record.data(), record.size());
      publish(record.size());
      backlog.pop_front();
    }
  }

  template <class Fact>
  void add(const Fact& fact) {
    encode(fact, encoded);
    place_or_keep(kEndReserve * open_count);
  }
};

bool is_full(const Journal& journal, uint64_t open_count) {
  // The tail first: the head only grows, so the difference is never negative.
  const uint64_t tail = journal.tail();
  const uint64_t used = journal.head() - tail;
  return used + kUsualStart + journal.size() / kReservedShare + kEndReserve * (open_count + 1) > journal.size();
}

JournalWriter::JournalWriter(Journal& journal) : impl_(std::make_unique<Impl>(journal)) {}
JournalWriter::~JournalWriter() = default;

bool JournalWriter::begin(const Start& start) {
  Impl& self = *impl_;
  if (!self.backlog.empty()) [[unlikely]] {
    self.place_backlog();
    if (!self.backlog.empty()) return false;  // what was accepted goes first
  }
  encode(start, self.encoded);
  const uint64_t kept_free = self.journal.size() / kReservedShare + kEndReserve * (self.open_count + 1);
  if (!self.has_room(self.encoded.record_size + kept_free)) return false;
  self.write();
  ++self.open_count;
  return true;
}

void JournalWriter::add(const UserPrompt& prompt) {
  impl_->add(prompt);
}
void JournalWriter::add(const TokenUsage& usage) {
  impl_->add(usage);
}
void JournalWriter::add(const ToolUsage& tool) {
  impl_->add(tool);
}
void JournalWriter::add(const ModelThought& thought) {
  impl_->add(thought);
}

void JournalWriter::end(const End& end) {
  Impl& self = *impl_;
  ASSERT(self.open_count > 0);
  --self.open_count;
  encode(end, self.encoded);
  self.place_or_keep(0);
}

void JournalWriter::retry() {
  impl_->place_backlog();
}
bool JournalWriter::backlog_empty() const {
  return impl_->backlog.empty();
}
size_t JournalWriter::backlog_count() const {
  return impl_->backlog.size();
}
uint64_t JournalWriter::written_count() const {
  return impl_->written_count;
}
uint32_t JournalWriter::open_count() const {
  return impl_->open_count;
}

}  // namespace weir::record
