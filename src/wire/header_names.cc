#include "wire/head.h"
#include "wire/header_table.h"

namespace weir::wire {
namespace {

constexpr uint8_t lower(char c) {
  const auto byte = static_cast<uint8_t>(c);
  return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

constexpr uint8_t fold(char c) {
  return c == '_' ? '-' : lower(c);
}

}  // namespace

HeaderName header_name(std::string_view name) {
  return find_header_name(name);
}

std::string_view header_text(HeaderName name) {
  return name < HeaderName::count ? kTexts[static_cast<size_t>(name)] : std::string_view();
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

bool looks_like(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && fold(a[i]) != fold(b[i])) return false;
  }
  return true;
}

}  // namespace weir::wire
