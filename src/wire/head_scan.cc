#include "wire/head_scan.h"

namespace weir::wire {
namespace {

constexpr bool is_token_character(uint8_t byte) {
  const bool alphanumeric =
      (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
  return alphanumeric || std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(byte)) != std::string_view::npos;
}
constexpr bool is_control(uint8_t byte) {
  return (byte < 0x20 && byte != '\t') || byte == 0x7F;
}

enum ByteClass : uint8_t { kNonToken = 1, kControl = 2 };
constexpr std::array<uint8_t, 256> make_classes() {
  std::array<uint8_t, 256> classes{};
  for (size_t i = 0; i < 256; ++i) {
    const auto byte = static_cast<uint8_t>(i);
    classes[i] = static_cast<uint8_t>((is_token_character(byte) ? 0 : kNonToken) | (is_control(byte) ? kControl : 0));
  }
  return classes;
}
constexpr std::array<uint8_t, 256> kClasses = make_classes();

}  // namespace

void classify_scalar(const char* bytes, size_t size, ScanMasks& out) {
  out.non_token.fill(0);
  out.control.fill(0);
  for (size_t i = 0; i < size; ++i) {
    const uint64_t byte_class = kClasses[static_cast<uint8_t>(bytes[i])];
    out.non_token[i / 64] |= (byte_class & 1) << (i % 64);
    out.control[i / 64] |= (byte_class >> 1) << (i % 64);
  }
}

Classify best_classify() {
  return classify_scalar;
}

}  // namespace weir::wire
