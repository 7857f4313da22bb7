// Any bytes as an event stream: the events are the same however the bytes are cut, as the first byte says.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "wire/sse.h"

namespace {

using weir::wire::SseEvent;
using weir::wire::SseScanner;

std::string events_of(std::string_view stream, size_t step) {
  SseScanner scanner;
  std::string text;
  const auto add = [&text](const SseEvent& event) {
    text.append(event.name).append("|").append(event.data).append("\n\n");
  };
  SseEvent event;
  for (size_t at = 0; at < stream.size(); at += step) {
    std::string_view piece = stream.substr(at, step);
    while (scanner.next(piece, event)) add(event);
    ASSERT(piece.empty());
    ASSERT(scanner.open_line_ends() <= 2);
  }
  const bool partial = scanner.open_line_ends() > 0;
  if (scanner.finish(event)) {
    ASSERT(partial);
    add(event);
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  ASSERT(events_of(stream, size) == events_of(stream, 1 + data[0] % 64));
  return 0;
}
