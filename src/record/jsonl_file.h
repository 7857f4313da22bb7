// The file that the jsonl sink appends to, or standard output ("-"). What is committed is a length of a file of a
// certain inode; the sink keeps both in its state, and what lies behind it (a batch that a crash cut) is cut off again.
//
// Standard output has no length: what was written stays written, so a batch that is repeated comes twice there. A line
// is never torn in the middle, except by the death of the process.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "record/sink.h"

namespace weir::record {

class JsonlFile {
 public:
  struct Place {
    int64_t inode = 0;
    int64_t size = 0;
    bool operator==(const Place&) const = default;
  };
  struct Options {
    std::string path;
    uint64_t rotate_size;
    uint32_t keep;
  };

  explicit JsonlFile(Options options) : options_(std::move(options)) {}
  ~JsonlFile() { close(); }
  JsonlFile(const JsonlFile&) = delete;
  JsonlFile& operator=(const JsonlFile&) = delete;

  bool is_stdout() const { return options_.path == "-"; }
  const std::string& path() const { return options_.path; }
  bool is_open() const { return descriptor_ >= 0; }
  // True if another file (or none) is at the path now: something rotated it.
  bool moved() const;

  // Opens (0600) what is at the path. If it is the file of `committed`, what lies behind that length is cut off; if it
  // is another one, it is appended to.
  SinkResult<> open(Place committed);
  void close();

  // Renames path to path.1, path.1 to path.2 and so on, and begins a new file, if it has grown over its size.
  SinkResult<bool> rotate_if_due();

  // Appends after place(); overwrites what a failed append left.
  SinkResult<> append(std::string_view lines);
  SinkResult<> sync();
  // What was appended is committed; else the next append() takes its place.
  void accept() { place_.size += static_cast<int64_t>(appended_), appended_ = 0; }
  void reject();

  Place place() const { return place_; }
  Place place_after_accept() const { return {place_.inode, place_.size + static_cast<int64_t>(appended_)}; }

 private:
  SinkResult<> append_to_stdout(std::string_view lines);
  SinkError error(std::string_view what, int cause) const;

  Options options_;
  int descriptor_ = -1;
  Place place_;
  uint64_t appended_ = 0;
  bool torn_ = false;       // there are bytes behind the place that nobody committed
  std::string unfinished_;  // stdout: the rest of a line whose beginning is written
};

}  // namespace weir::record
