// A live journal of another process, mapped: all of it for reading only, but for the page in which consumers keep their
// positions. The mapping stays good when the file is renamed or removed; weir never cuts a file that has its name.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "record/journal_file.h"

namespace weir::sink {

class JournalReader {
 public:
  // Borrows the descriptor (open for reading and writing) for the call. `header` is the file's, read and checked.
  static Result<std::unique_ptr<JournalReader>> map(int descriptor, const std::string& path,
                                                    const record::FileHeader& header);
  ~JournalReader();
  JournalReader(const JournalReader&) = delete;
  JournalReader& operator=(const JournalReader&) = delete;

  record::ConsumerPage consumers() const { return record::ConsumerPage(mapping_ + record::kConsumersOffset); }
  record::JournalPort port(size_t consumer_index) const;

 private:
  JournalReader(std::string path, const record::FileHeader& header, char* mapping, size_t size)
      : path_(std::move(path)), header_(header), mapping_(mapping), size_(size) {}

  std::string path_;
  record::FileHeader header_;
  char* mapping_;  // header, ring, the front of the ring again
  size_t size_;
};

}  // namespace weir::sink
