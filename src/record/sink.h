// A sink: where records end up. Each is fed by a Consumer (consumer.h) with batches of events, and keeps the positions
// of the journals that they came from in the same transaction, so that each record arrives exactly once. Owned by one
// thread; knows nothing of journals but their ids.
//
// A batch: begin(), apply() for each event in order, commit(). After any error: rollback(), and connect() again before
// the next begin().
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "record/codec.h"

namespace weir::record {

struct SinkError {
  int code = 1;            // the sink's own; a failure that changes it is told again
  std::string message;     // a whole sentence that names the file or server
  bool permanent = false;  // trying again cannot help: the schema is newer than this program
  bool locked = false;     // it goes away by itself, and the connection is still good
};
template <class T = void>
using SinkResult = std::expected<T, SinkError>;

// What a sink was doing at its last attempt.
enum class DatabaseState : uint8_t { ok, recovering, locked, full, read_only, corrupt, absent, failing };
inline constexpr size_t kDatabaseStateCount = 8;
std::string_view text(DatabaseState state);  // "read_only"

// How sinks write a journal's id: 16 hexadecimal digits (an unsigned number of 64 bits is none in SQL).
std::string journal_text(uint64_t journal_id);

struct JournalPosition {
  uint64_t journal_id;
  uint32_t worker_index;
  uint64_t position;
};

// What cannot be a row, counted since the start: each is told in the log, none stops the rest.
struct SinkOddities {
  uint64_t unknown_ends = 0;  // their start is not known, or has ended already
  uint64_t repeated_starts = 0;
  uint64_t refused_rows = 0;  // a constraint or a limit of the database
  bool operator==(const SinkOddities&) const = default;
};

// The journals of processes that are gone, all of which the sink has now, and those of the process that runs.
struct Recovery {
  std::span<const uint64_t> dead_ids;
  std::span<const uint64_t> live_ids;
  int64_t now_us;
};

class Sink {
 public:
  virtual ~Sink() = default;

  virtual std::string_view noun() const = 0;  // for messages: "the database"

  // Connects if there is no connection. True: it is a new connection, and positions must be asked for again.
  virtual SinkResult<bool> connect() = 0;
  virtual void disconnect() = 0;
  virtual SinkResult<std::optional<uint64_t>> position(uint64_t journal_id) = 0;

  virtual SinkResult<> begin() = 0;
  // Borrows the event's texts until commit() or rollback().
  virtual SinkResult<> apply(const Event& event) = 0;
  virtual SinkResult<> commit(std::span<const JournalPosition> positions) = 0;
  virtual void rollback() = 0;

  // Ends as `interrupted` what is running, unless it is of a live journal. Returns how many there were. Doing it again
  // changes nothing.
  virtual SinkResult<int64_t> close_interrupted(const Recovery& recovery) = 0;
  virtual SinkResult<> forget_positions(const Recovery& recovery) = 0;
  // Commits so far are on the disk after this, as far as the sink can see to it.
  virtual void checkpoint() = 0;

  virtual const SinkOddities& oddities() const = 0;
};

}  // namespace weir::record
