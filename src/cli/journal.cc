// `weir journal dump`. Takes no lock and writes nothing, so a weir that runs on the folder does not notice.
#include <fmt/core.h>

#include "cli/commands.h"
#include "cli/event_text.h"
#include "cli/json_members.h"
#include "cli/print.h"
#include "cli/settings.h"
#include "cli/time_text.h"
#include "record/codec.h"
#include "record/journal_directory.h"
#include "record/leftover.h"

namespace weir::cli {

namespace {

struct Form {
  bool json;
  LongTexts long_texts;
};

std::string consumer_text(uint64_t position) {
  return position == record::kConsumed ? "consumed" : std::to_string(position);
}

std::string header_line(const record::Leftover& journal, Form form) {
  const record::FileHeader& header = journal.header();
  if (!form.json) {
    std::string consumers;
    for (const auto& [name, position] : journal.consumers()) {
      consumers += fmt::format(", {} {}", harmless(name), consumer_text(position));
    }
    return fmt::format(
        "{}: worker {}, journal {:016x}, version {}, made {} by pid {}, ring {} bytes, tail {}, head {}{}",
        harmless(journal.path()), header.worker_index, header.journal_id, header.version,
        format_rfc3339(header.created_at), header.pid, header.ring_size, journal.tail(), journal.head(), consumers);
  }
  std::string out = "{";
  Members members(out);
  members.text("file", journal.path());
  members.number("version", int64_t{header.version});
  members.text("journal_id", fmt::format("{:016x}", header.journal_id));
  members.number("worker", int64_t{header.worker_index});
  members.text("created_at", format_rfc3339(header.created_at));
  members.number("pid", int64_t{header.pid});
  members.number("ring_bytes", static_cast<int64_t>(header.ring_size));
  // A damaged position may be any number; as text it is none that a reader of JSON would round.
  members.text("tail", std::to_string(journal.tail()));
  members.text("head", std::to_string(journal.head()));
  out += ",\"consumers\":{";
  Members consumers(out);
  for (const auto& [name, position] : journal.consumers()) consumers.text(name, consumer_text(position));
  return out + "}}";
}

std::string record_line(const record::Leftover& journal, uint64_t position, Form form) {
  const record::RecordRef record = journal.record(position);
  const auto event = record::decode(record.type, record.payload);
  const uint64_t offset = journal.header().header_size + position % journal.header().ring_size;
  const std::string_view state = !journal.positions_possible() ? "unknown"
                                 : position < journal.tail()   ? "delivered"
                                                               : "pending";
  const std::string id = event_id(*event).text();
  if (!form.json) {
    return fmt::format("{:>9}  {:>12}  {:<9}  {:<13}  {} {}", offset, position, state, event_kind(*event), id,
                       event_text(*event, form.long_texts));
  }
  std::string out = "{";
  Members members(out);
  members.text("file", journal.path());
  members.number("offset", static_cast<int64_t>(offset));
  members.number("position", static_cast<int64_t>(position));
  members.text("state", state);
  members.text("kind", event_kind(*event));
  members.text("interception_id", id);
  return out + event_json(*event, form.long_texts) + "}";
}

bool print_damage(const record::Leftover& journal, Form form) {
  for (const record::Damage& damage : journal.damage()) {
    complain(fmt::format("{}: offset {}, {} bytes: {}", harmless(journal.path()), damage.file_offset, damage.size,
                         damage.what));
    if (!form.json) continue;
    std::string out = "{";
    Members members(out);
    members.text("file", journal.path());
    members.number("offset", static_cast<int64_t>(damage.file_offset));
    members.number("bytes", static_cast<int64_t>(damage.size));
    members.text("damage", damage.what);
    if (!print_line(out + "}")) return false;
  }
  return true;
}

// False: it is damaged, or cannot be read, or nobody reads what we print.
bool dump(const std::string& path, Form form) {
  const auto loaded = record::Leftover::load(path, record::Scope::whole_ring);
  if (!loaded) return complain(harmless(loaded.error().message)), false;
  const record::Leftover& journal = **loaded;
  if (journal.is_journal()) {
    if (!print_line(header_line(journal, form))) return false;
    for (const uint64_t position : journal.positions()) {
      if (!print_line(record_line(journal, position, form))) return false;
    }
  }
  return print_damage(journal, form) && journal.damage().empty();
}

Result<std::vector<std::string>> files_of(const Arguments& arguments) {
  if (!arguments.files.empty()) return arguments.files;
  const Result<gateway::Config> config = read_settings(arguments);
  if (!config) return std::unexpected(config.error());
  const std::string folder = config->data_dir + "/journal";
  auto files = record::JournalDirectory::list(folder);
  if (files && files->empty()) return fail("there is no journal in {}", folder);
  return files;
}

}  // namespace

int run_journal_dump(const Arguments& arguments) {
  const auto files = files_of(arguments);
  if (!files) return complain(files.error().message), kExitFailure;
  const Form form{.json = arguments.json, .long_texts = arguments.full ? LongTexts::full : LongTexts::sizes};
  bool sound = true;
  for (const std::string& file : *files) sound = dump(file, form) && sound;
  return sound ? 0 : kExitFailure;
}

}  // namespace weir::cli
