#include "record/jsonl_sink.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "record/jsonl_text.h"
#include "record/sqlite_sink.h"

namespace weir::record {

namespace {

constexpr const char* kStateMigrations[] = {
    R"sql(
-- How much of the file holds whole lines that will not come again.
CREATE TABLE place (inode INTEGER NOT NULL, size INTEGER NOT NULL);
INSERT INTO place VALUES (0, 0);
CREATE TABLE journal_positions (journal_id TEXT NOT NULL PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
-- What is running: the parts of lines that are still to be written, in the order in which they came.
CREATE TABLE fragments (
  interception_id BLOB NOT NULL,
  part INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  json TEXT NOT NULL
);
CREATE INDEX fragments_by_interception ON fragments (interception_id);
)sql"};

constexpr int kBusyTimeoutMs = 100;
constexpr int kCheckpointPages = 2048;
constexpr const char* kListNames[] = {"", "token_usages", "user_prompts", "tool_usages", "model_thoughts"};

std::string_view bytes_of(const Uuid& id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

}  // namespace

size_t JsonlSink::UuidHash::operator()(const Uuid& id) const {
  // The random half of a UUIDv7.
  uint64_t half;
  std::memcpy(&half, id.bytes.data() + 8, sizeof half);
  return half;
}

JsonlSink::JsonlSink(Options options)
    : options_(std::move(options)),
      file_({.path = options_.path, .rotate_size = options_.rotate_size, .keep = options_.keep}) {}

SinkResult<bool> JsonlSink::connect() {
  if (state_ != nullptr && state_->moved()) disconnect();
  const bool is_new = state_ == nullptr;
  if (is_new) {
    auto opened = Database::open({.path = options_.state_path,
                                  .busy_timeout_ms = kBusyTimeoutMs,
                                  .durable_commits = options_.durable_commits,
                                  .checkpoint_pages = kCheckpointPages,
                                  .one_thread = true,
                                  .migrations = kStateMigrations});
    if (!opened) return std::unexpected(std::move(opened.error()));
    state_ = std::move(*opened);
    if (auto loaded = load_state(); !loaded) {
      disconnect();
      return std::unexpected(std::move(loaded.error()));
    }
  }
  if (file_.is_open() && !file_.moved()) return is_new;
  auto inode = state_->query_integer("SELECT inode FROM place");
  auto size = state_->query_integer("SELECT size FROM place");
  if (!inode) return std::unexpected(std::move(inode.error()));
  if (!size) return std::unexpected(std::move(size.error()));
  const JsonlFile::Place committed{.inode = *inode, .size = *size};
  if (auto opened = file_.open(committed); !opened) return std::unexpected(std::move(opened.error()));
  // Before anything is written to a new file: else a crash could not tell its lines from somebody else's.
  if (file_.place() != committed) {
    if (auto written = write_place(file_.place()); !written) return std::unexpected(std::move(written.error()));
  }
  return is_new;
}

void JsonlSink::disconnect() {
  rollback();
  file_.close();
  state_.reset();
  open_.clear();
}

SinkResult<> JsonlSink::load_state() {
  open_.clear();
  auto query = state_->prepare("SELECT interception_id, part, started_at, json FROM fragments ORDER BY rowid");
  if (!query) return std::unexpected(std::move(query.error()));
  for (;;) {
    auto row = query->step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return {};
    Uuid id;
    const std::string bytes = query->text(0);
    const int64_t part = query->integer(1);
    if (bytes.size() != id.bytes.size() || part < 0 || part >= k_part_count) continue;
    std::memcpy(id.bytes.data(), bytes.data(), bytes.size());
    Open& open = open_[id];
    std::string& list = open.parts[static_cast<size_t>(part)];
    if (part == k_start) open.started_at = query->integer(2);
    if (!list.empty()) list += ',';
    list += query->text(3);
  }
}

SinkResult<> JsonlSink::write_place(JsonlFile::Place place) {
  return state_->execute(fmt::format("UPDATE place SET inode={}, size={}", place.inode, place.size).c_str());
}

SinkResult<std::optional<uint64_t>> JsonlSink::position(uint64_t journal_id) {
  return stored_position(*state_, journal_id);
}

// ---- a batch

SinkResult<> JsonlSink::begin() {
  rollback();
  batch_oddities_ = oddities_;
  auto rotated = file_.rotate_if_due();
  if (!rotated) return std::unexpected(std::move(rotated.error()));
  return *rotated ? write_place(file_.place()) : SinkResult<>();
}

void JsonlSink::rollback() {
  if (state_ != nullptr && state_->in_transaction()) state_->attempt("ROLLBACK");
  file_.reject();
  touched_.clear();
  ended_.clear();
  fragments_.clear();
  lines_.clear();
}

JsonlSink::Open* JsonlSink::find(const Uuid& id) {
  if (const auto found = touched_.find(id); found != touched_.end()) return &found->second;
  const auto committed = open_.find(id);
  if (committed == open_.end() || std::ranges::find(ended_, id) != ended_.end()) return nullptr;
  return &touched_.emplace(id, committed->second).first->second;
}

void JsonlSink::add(const Uuid& id, Part part, std::string json) {
  Open* const open = find(id);
  if (open == nullptr) {
    ++batch_oddities_.refused_rows;
    return;
  }
  std::string& list = open->parts[part];
  if (!list.empty()) list += ',';
  list += json;
  fragments_.push_back({id, part, open->started_at, std::move(json)});
}

void JsonlSink::finish(const Uuid& id, const Open& open, const std::string& end) {
  lines_ += '{';
  lines_ += open.parts[k_start];
  lines_ += ',';
  lines_ += end;
  for (size_t part = k_usages; part < k_part_count; ++part) {
    lines_ += fmt::format(",\"{}\":[", kListNames[part]);
    lines_ += open.parts[part];
    lines_ += ']';
  }
  lines_ += "}\n";
  ended_.push_back(id);
}

SinkResult<> JsonlSink::apply(const Event& event) {
  if (const auto* start = std::get_if<Start>(&event)) {
    if (find(start->id) != nullptr) {
      ++batch_oddities_.repeated_starts;
      return {};
    }
    touched_[start->id].started_at = start->started_at;
    add(start->id, k_start, start_members(*start, options_.node));
  } else if (const auto* usage = std::get_if<TokenUsage>(&event)) {
    add(usage->id, k_usages, object_of(*usage));
  } else if (const auto* prompt = std::get_if<UserPrompt>(&event)) {
    add(prompt->id, k_prompts, object_of(*prompt));
  } else if (const auto* tool = std::get_if<ToolUsage>(&event)) {
    add(tool->id, k_tools, object_of(*tool));
  } else if (const auto* thought = std::get_if<ModelThought>(&event)) {
    add(thought->id, k_thoughts, object_of(*thought));
  } else if (const auto* end = std::get_if<End>(&event)) {
    Open* const open = find(end->id);
    if (open == nullptr) {
      ++batch_oddities_.unknown_ends;
      return {};
    }
    finish(end->id, *open, end_members(*end));
    touched_.erase(end->id);
  }
  return {};
}

SinkResult<> JsonlSink::commit(std::span<const JournalPosition> positions) {
  if (auto appended = file_.append(lines_); !appended) return appended;
  if (options_.durable_commits) {
    if (auto synced = file_.sync(); !synced) return synced;
  }
  if (auto begun = state_->execute("BEGIN IMMEDIATE"); !begun) return begun;
  if (auto written = write_state(positions); !written) return written;
  if (auto committed = state_->execute("COMMIT"); !committed) {
    // It may have happened all the same: what of the file counts is asked when it is opened again.
    file_.close();
    return committed;
  }
  file_.accept();
  for (const Uuid& id : ended_) open_.erase(id);
  for (auto& [id, open] : touched_) open_[id] = std::move(open);
  oddities_ = batch_oddities_;
  touched_.clear();
  ended_.clear();
  fragments_.clear();
  lines_.clear();
  return {};
}

SinkResult<> JsonlSink::write_state(std::span<const JournalPosition> positions) {
  auto insert = state_->prepare("INSERT INTO fragments VALUES (?,?,?,?)");
  auto remove = state_->prepare("DELETE FROM fragments WHERE interception_id = ?");
  auto move = state_->prepare("INSERT OR REPLACE INTO journal_positions VALUES (?,?)");
  for (auto* statement : {&insert, &remove, &move}) {
    if (!*statement) return std::unexpected(std::move(statement->error()));
  }
  for (const Fragment& fragment : fragments_) {
    if (!touched_.contains(fragment.id)) continue;  // it has ended in this batch
    insert->bind_blob(1, bytes_of(fragment.id));
    insert->bind(2, int64_t{fragment.part});
    insert->bind(3, fragment.started_at);
    insert->bind(4, fragment.json);
    if (auto run = insert->run(); !run) return run;
  }
  for (const Uuid& id : ended_) {
    if (!open_.contains(id)) continue;
    remove->bind_blob(1, bytes_of(id));
    if (auto run = remove->run(); !run) return run;
  }
  for (const JournalPosition& position : positions) {
    const std::string id = journal_text(position.journal_id);
    move->bind(1, id);
    move->bind(2, static_cast<int64_t>(position.position));
    if (auto run = move->run(); !run) return run;
  }
  return write_place(file_.place_after_accept());
}

// ---- recovery

SinkResult<int64_t> JsonlSink::close_interrupted(const Recovery& recovery) {
  if (auto begun = begin(); !begun) return std::unexpected(std::move(begun.error()));
  std::vector<Uuid> ids;
  for (const auto& [id, open] : open_) ids.push_back(id);
  std::ranges::sort(ids, {}, &Uuid::bytes);  // by their time
  for (const Uuid& id : ids) {
    const Open& open = open_.at(id);
    finish(id, open, interrupted_members(std::max(open.started_at, recovery.now_us)));
  }
  if (auto stored = commit({}); !stored) return std::unexpected(std::move(stored.error()));
  return static_cast<int64_t>(ids.size());
}

SinkResult<> JsonlSink::forget_positions(const Recovery& recovery) {
  auto statement = state_->prepare("DELETE FROM journal_positions WHERE journal_id = ?");
  if (!statement) return std::unexpected(std::move(statement.error()));
  for (const uint64_t journal_id : recovery.dead_ids) {
    const std::string id = journal_text(journal_id);
    statement->bind(1, id);
    if (auto run = statement->run(); !run) return run;
  }
  return {};
}

void JsonlSink::checkpoint() {
  // Without durable commits a power cut could keep the state's word of lines that the file does not have.
  [[maybe_unused]] const auto synced = file_.sync();
  state_->attempt("PRAGMA wal_checkpoint(PASSIVE)");
}

}  // namespace weir::record
