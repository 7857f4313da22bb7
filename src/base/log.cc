#include "base/log.h"

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log_format.h"
#include "base/utf8.h"

namespace weir {
namespace {

// What the sink's thread does; the word that it sleeps on.
enum Activity : uint32_t {
  kDraining,  // looks at every ring before it sleeps
  kNapping,   // wakes by itself after kNapNs: lines need no wake-up, unless their ring fills
  kAsleep,    // every ring was empty; the next line wakes it
};
// Long enough that a busy process writes in batches, short enough for a person who watches.
constexpr uint64_t kNapNs = 5 * kNsPerMs;
// Bytes collected before a write(2).
constexpr size_t kBatchSize = size_t{64} * 1024;

// Sleeps while `word` holds `expected`, at most `timeout_ns` (0: without end).
void futex_wait(std::atomic<uint32_t>& word, uint32_t expected, uint64_t timeout_ns) {
  const timespec timeout{.tv_sec = static_cast<time_t>(timeout_ns / kNsPerSecond),
                         .tv_nsec = static_cast<long>(timeout_ns % kNsPerSecond)};
  // Early returns (a signal, a changed word) are fine: the caller looks again.
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, timeout_ns == 0 ? nullptr : &timeout, nullptr, 0);
}
void futex_wake(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

// A line in the ring: this, then the message, then the fields, each a FieldRecord, its key and its text. Padded to
// kRecordAlign. A record is never split at the ring's end: a `size` of 0 there means "go on at the front".
struct LineRecord {
  uint32_t size = 0;  // with everything that follows, and the padding
  uint32_t message_size = 0;
  int64_t unix_us = 0;
  LogLevel level = LogLevel::info;
  uint8_t field_count = 0;
};
struct FieldRecord {
  int64_t number = 0;
  uint16_t key_size = 0;
  uint16_t text_size = 0;
  bool is_number = false;
  bool is_unsigned = false;
};
constexpr size_t kRecordAlign = 8;
constexpr size_t kKeySizeMax = 64;
constexpr size_t kRecordSizeMax =
    sizeof(LineRecord) + kLogTextMax + kLogFieldCountMax * (sizeof(FieldRecord) + kKeySizeMax + kLogTextMax);
// Half, because a record that does not fit before the ring's end leaves that part unused.
static_assert(kRecordSizeMax + kRecordAlign <= kLogRingSize / 2);

char* put(char* out, const void* bytes, size_t size) {
  if (size > 0) std::memcpy(out, bytes, size);
  return out + size;
}

}  // namespace

// One producer, the logger's thread; one consumer, the sink's thread. Positions only grow; the place is their
// remainder.
struct Logger::Ring {
  explicit Ring(LogSink::Impl& sink_in) : sink(sink_in), bytes(new char[kLogRingSize]) {}

  // The place for a record of `size` bytes, or null if the ring is full. Producer only.
  char* claim(size_t size) {
    const size_t place = write_position % kLogRingSize;
    const size_t to_end = kLogRingSize - place;
    const size_t skipped = size > to_end ? to_end : 0;
    if (write_position + skipped + size - cached_head > kLogRingSize) {
      cached_head = head.load(std::memory_order_acquire);  // pairs with the sink's release: it has read these bytes
      if (write_position + skipped + size - cached_head > kLogRingSize) return nullptr;
    }
    if (skipped > 0) {
      std::memset(bytes.get() + place, 0, sizeof(LineRecord::size));
      write_position += skipped;
    }
    return bytes.get() + write_position % kLogRingSize;
  }

  // Each side writes a cache line of its own: without this each log() would take the sink's and the other way round.
  alignas(64) LogSink::Impl& sink;
  std::unique_ptr<char[]> bytes;
  uint64_t write_position = 0;
  uint64_t cached_head = 0;       // spares the producer the sink's cache line
  std::atomic<uint64_t> tail{0};  // written up to here
  std::atomic<uint64_t> dropped{0};
  std::atomic<bool> is_closed{false};         // the logger is gone: the sink drains and deletes the ring
  alignas(64) std::atomic<uint64_t> head{0};  // read up to here
  uint64_t dropped_reported = 0;
};

struct LogSink::Impl {
  Impl(int descriptor_in, LogFormat format_in, LogLevel level_in)
      : descriptor(descriptor_in), format(format_in), level(level_in) {
    batch.reserve(kBatchSize * 2);
  }

  void run();
  bool drain_all();
  bool drain(Logger::Ring& ring);
  void format_record(const char* at);
  void report_dropped(Logger::Ring& ring);
  void write_batch();
  bool has_lines();
  void adopt_new_rings();
  // For a line: `is_pressing` when its ring is half full. For flush and the end: always.
  void wake(bool is_pressing);

  const int descriptor;
  const LogFormat format;
  const LogLevel level;
  std::string batch;                 // the sink's thread alone
  std::vector<Logger::Ring*> rings;  // the sink's thread alone; a ring with is_closed is its own
  alignas(64) std::atomic<uint32_t> activity{kDraining};
  std::atomic<bool> is_ending{false};
  std::atomic<uint64_t> flush_requested{0};
  std::atomic<uint64_t> flush_done{0};
  std::mutex new_rings_mutex;
  std::vector<Logger::Ring*> new_rings;
  std::thread thread;
};

void LogSink::Impl::wake(bool is_pressing) {
  // Sequentially consistent, as are the caller's store before it (a tail, a flag) and, in run(), the store of
  // `activity` and the looks at tails and flags after it: either the sink sees the news before it sleeps, or we see
  // that it sleeps.
  const uint32_t seen = activity.load(std::memory_order_seq_cst);
  if (seen == kDraining || (seen == kNapping && !is_pressing)) return;
  if (activity.exchange(kDraining, std::memory_order_seq_cst) != kDraining) futex_wake(activity);
}

void LogSink::Impl::run() {
  while (true) {
    const bool is_last = is_ending.load(std::memory_order_acquire);
    const uint64_t flush_wanted = flush_requested.load(std::memory_order_acquire);
    const bool has_written = drain_all();
    if (flush_done.load(std::memory_order_relaxed) != flush_wanted) {
      flush_done.store(flush_wanted, std::memory_order_release);
      flush_done.notify_all();
    }
    if (is_last) return;
    // After lines, a nap: more will come. After a look without lines, sleep.
    const Activity rest = has_written ? kNapping : kAsleep;
    activity.store(rest, std::memory_order_seq_cst);
    const bool is_wanted =
        is_ending.load(std::memory_order_seq_cst) || flush_requested.load(std::memory_order_seq_cst) != flush_wanted;
    if (!is_wanted && (rest == kNapping || !has_lines())) futex_wait(activity, rest, rest == kNapping ? kNapNs : 0);
    activity.store(kDraining, std::memory_order_seq_cst);
  }
}

void LogSink::Impl::adopt_new_rings() {
  const std::lock_guard lock(new_rings_mutex);
  rings.insert(rings.end(), new_rings.begin(), new_rings.end());
  new_rings.clear();
}

bool LogSink::Impl::has_lines() {
  adopt_new_rings();
  for (const Logger::Ring* ring : rings) {
    const bool is_changed = ring->tail.load(std::memory_order_seq_cst) != ring->head.load(std::memory_order_relaxed);
    if (is_changed || ring->is_closed.load(std::memory_order_seq_cst)) return true;
  }
  return false;
}

// True if there was a line.
bool LogSink::Impl::drain_all() {
  adopt_new_rings();
  bool has_written = false;
  for (Logger::Ring*& ring : rings) {
    // Before the lines: what was logged before the end is seen below.
    const bool is_closed = ring->is_closed.load(std::memory_order_acquire);
    has_written = drain(*ring) || has_written;
    if (!is_closed) continue;
    delete ring;
    ring = nullptr;
  }
  std::erase(rings, nullptr);
  write_batch();
  return has_written;
}

bool LogSink::Impl::drain(Logger::Ring& ring) {
  const uint64_t tail = ring.tail.load(std::memory_order_acquire);
  uint64_t head = ring.head.load(std::memory_order_relaxed);
  const bool has_lines = head != tail;
  while (head != tail) {
    const char* const at = ring.bytes.get() + head % kLogRingSize;
    uint32_t size = 0;
    std::memcpy(&size, at, sizeof(size));
    if (size == 0) {
      head += kLogRingSize - head % kLogRingSize;
      continue;
    }
    format_record(at);
    head += size;
    if (batch.size() < kBatchSize) continue;
    // The bytes are read: free them before a write that may take long.
    ring.head.store(head, std::memory_order_release);
    write_batch();
  }
  ring.head.store(head, std::memory_order_release);
  report_dropped(ring);
  return has_lines;
}

void LogSink::Impl::format_record(const char* at) {
  LineRecord record;
  std::memcpy(&record, at, sizeof(record));
  at += sizeof(record);
  LogLine line{.unix_us = record.unix_us, .level = record.level, .message = {at, record.message_size}, .fields = {}};
  at += record.message_size;
  std::array<LogField, kLogFieldCountMax> fields;
  for (size_t i = 0; i < record.field_count; ++i) {
    FieldRecord field;
    std::memcpy(&field, at, sizeof(field));
    at += sizeof(field);
    fields[i].key = {at, field.key_size};
    at += field.key_size;
    fields[i].text_value = {at, field.text_size};
    at += field.text_size;
    fields[i].number_value = field.number;
    fields[i].is_number = field.is_number;
    fields[i].is_unsigned = field.is_unsigned;
  }
  line.fields = std::span(fields).first(record.field_count);
  append_log_line(format, line, batch);
}

void LogSink::Impl::report_dropped(Logger::Ring& ring) {
  const uint64_t dropped = ring.dropped.load(std::memory_order_relaxed);
  if (dropped == ring.dropped_reported) return;
  const LogField count("log_lines_dropped", dropped - ring.dropped_reported);
  ring.dropped_reported = dropped;
  append_log_line(format,
                  {.unix_us = unix_us(),
                   .level = LogLevel::warn,
                   .message = "log lines dropped: they came faster than they could be written",
                   .fields = {&count, 1}},
                  batch);
}

// Lines that cannot be written (a closed pipe, a full disk) are lost: there is nowhere to say so.
void LogSink::Impl::write_batch() {
  std::string_view rest = batch;
  while (!rest.empty()) {
    const ssize_t written = write(descriptor, rest.data(), rest.size());
    if (written > 0) {
      rest.remove_prefix(static_cast<size_t>(written));
    } else if (written < 0 && errno == EAGAIN) {
      pollfd writable{.fd = descriptor, .events = POLLOUT, .revents = 0};
      poll(&writable, 1, -1);
    } else if (written == 0 || errno != EINTR) {
      break;
    }
  }
  batch.clear();
}

LogSink::LogSink(int descriptor, LogFormat format, LogLevel level, Start start_when)
    : impl_(std::make_unique<Impl>(descriptor, format, level)) {
  if (start_when == Start::now) start();
}

void LogSink::start() {
  if (impl_->thread.joinable()) return;
  impl_->thread = std::thread([impl = impl_.get()] {
    ::pthread_setname_np(::pthread_self(), "weir-log");
    impl->run();
  });
}

LogSink::~LogSink() {
  start();
  impl_->is_ending.store(true, std::memory_order_seq_cst);
  impl_->wake(true);
  impl_->thread.join();
  // A ring that is left belongs to a logger which outlives its sink.
  ASSERT(impl_->rings.empty());
}

std::unique_ptr<Logger> LogSink::make_logger() {
  auto ring = std::make_unique<Logger::Ring>(*impl_);
  const std::lock_guard lock(impl_->new_rings_mutex);
  impl_->new_rings.push_back(ring.get());
  return std::unique_ptr<Logger>(new Logger(std::move(ring)));
}

void LogSink::flush() {
  start();
  const uint64_t wanted = impl_->flush_requested.fetch_add(1, std::memory_order_seq_cst) + 1;
  impl_->wake(true);
  for (uint64_t done = 0; (done = impl_->flush_done.load(std::memory_order_acquire)) < wanted;) {
    impl_->flush_done.wait(done, std::memory_order_acquire);
  }
}

Logger::Logger(std::unique_ptr<Ring> ring) : ring_(std::move(ring)) {}

Logger::~Logger() {
  LogSink::Impl& sink = ring_->sink;
  // From here on the ring is the sink's, which may already have deleted it when the store returns.
  ring_.release()->is_closed.store(true, std::memory_order_seq_cst);
  sink.wake(true);
}

bool Logger::enabled(LogLevel level) const {
  return level >= ring_->sink.level;
}

void Logger::log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (!enabled(level)) return;
  message = cut_at_code_point(message, kLogTextMax);
  const size_t field_count = fields.size() < kLogFieldCountMax ? fields.size() : kLogFieldCountMax;
  size_t size = sizeof(LineRecord) + message.size();
  for (size_t i = 0; i < field_count; ++i) {
    const LogField& field = fields.begin()[i];
    size += sizeof(FieldRecord) + cut_at_code_point(field.key, kKeySizeMax).size() +
            cut_at_code_point(field.text_value, kLogTextMax).size();
  }
  size = (size + kRecordAlign - 1) / kRecordAlign * kRecordAlign;
  char* out = ring_->claim(size);
  if (out == nullptr) {
    ring_->dropped.fetch_add(1, std::memory_order_relaxed);
    ring_->sink.wake(true);
    return;
  }
  const LineRecord record{.size = static_cast<uint32_t>(size),
                          .message_size = static_cast<uint32_t>(message.size()),
                          .unix_us = unix_us(),
                          .level = level,
                          .field_count = static_cast<uint8_t>(field_count)};
  out = put(out, &record, sizeof(record));
  out = put(out, message.data(), message.size());
  for (size_t i = 0; i < field_count; ++i) {
    const LogField& field = fields.begin()[i];
    const std::string_view key = cut_at_code_point(field.key, kKeySizeMax);
    const std::string_view text = cut_at_code_point(field.text_value, kLogTextMax);
    const FieldRecord field_record{.number = field.number_value,
                                   .key_size = static_cast<uint16_t>(key.size()),
                                   .text_size = static_cast<uint16_t>(text.size()),
                                   .is_number = field.is_number,
                                   .is_unsigned = field.is_unsigned};
    out = put(out, &field_record, sizeof(field_record));
    out = put(out, key.data(), key.size());
    out = put(out, text.data(), text.size());
  }
  ring_->write_position += size;
  ring_->tail.store(ring_->write_position, std::memory_order_seq_cst);
  ring_->sink.wake(ring_->write_position - ring_->head.load(std::memory_order_relaxed) > kLogRingSize / 2);
}

Result<LogLevel> parse_log_level(std::string_view text) {
  if (text == "debug") return LogLevel::debug;
  if (text == "info") return LogLevel::info;
  if (text == "warn") return LogLevel::warn;
  if (text == "error") return LogLevel::error;
  return fail("\"{}\" is not a log level: debug, info, warn or error", text);
}

Result<LogFormat> parse_log_format(std::string_view text) {
  if (text == "text") return LogFormat::text;
  if (text == "json") return LogFormat::json;
  return fail("\"{}\" is not a log format: text or json", text);
}

}  // namespace weir
