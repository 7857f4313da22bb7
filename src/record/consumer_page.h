// The page of a journal's file in which its consumers (the sinks) keep how far they are; format.h draws it. Each writes
// its own position alone; the recorder reads them all. A view: whoever mapped the page owns it.
//
// A position may be read and written by several processes at once; it only rises, until it is kConsumed.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "record/format.h"

namespace weir::record {

class ConsumerPage {
 public:
  explicit ConsumerPage(char* page) : page_(page) {}

  // REQUIRES: at most kConsumersMax names of at most kConsumerNameMax bytes.
  void format(std::span<const std::string> names);

  // False: the table's bytes are damaged. Everything below REQUIRES that it is sound.
  bool sound() const;
  size_t count() const { return table().count; }
  std::string_view name(size_t index) const;
  std::optional<size_t> find(std::string_view name) const;

  // What a consumer of another process was doing at its last attempt (a DatabaseState), and when that was, in ms of
  // CLOCK_MONOTONIC, which all processes of the machine share. 0: it has never said so.
  struct Pulse {
    uint8_t state = 0;
    uint64_t at_ms = 0;
  };
  Pulse pulse(size_t index) const {
    const uint64_t word = pulse_at(index).load(std::memory_order_relaxed);
    return {.state = static_cast<uint8_t>(word & 0xFF), .at_ms = word >> 8};
  }
  void set_pulse(size_t index, Pulse pulse) {
    pulse_at(index).store(pulse.at_ms << 8 | pulse.state, std::memory_order_relaxed);
  }

  // Release: whoever reads the position knows that the consumer is done with the bytes before it.
  uint64_t position(size_t index) const { return at(index).load(std::memory_order_acquire); }
  void set_position(size_t index, uint64_t position) { at(index).store(position, std::memory_order_release); }

 private:
  const ConsumerTable& table() const { return *reinterpret_cast<const ConsumerTable*>(page_); }
  std::atomic_ref<uint64_t> at(size_t index) const {
    char* const place = page_ + kConsumerPositionsOffset + index * kConsumerPositionStride;
    return std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(place));
  }
  std::atomic_ref<uint64_t> pulse_at(size_t index) const {
    char* const place = page_ + kConsumerPositionsOffset + index * kConsumerPositionStride + kConsumerPulseOffset;
    return std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(place));
  }

  char* page_;
};

// That page alone, of a journal whose process is gone. The file may be renamed or removed meanwhile.
class MappedConsumerPage {
 public:
  // REQUIRES: a file of this version that is at least kHeaderSize long.
  static Result<std::unique_ptr<MappedConsumerPage>> open(const std::string& path);
  ~MappedConsumerPage();
  MappedConsumerPage(const MappedConsumerPage&) = delete;
  MappedConsumerPage& operator=(const MappedConsumerPage&) = delete;

  ConsumerPage& operator*() { return page_; }
  ConsumerPage* operator->() { return &page_; }
  // Blocks until the positions are on the disk.
  void sync();

 private:
  explicit MappedConsumerPage(char* mapping) : mapping_(mapping), page_(mapping) {}

  char* mapping_;
  ConsumerPage page_;
};

}  // namespace weir::record
