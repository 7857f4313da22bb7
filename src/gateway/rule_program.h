// What rules compile to: flat tables that a request is run through without a look-up by string. Immutable, shared by
// all workers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/rule.h"
#include "wire/head.h"

namespace weir::gateway {

// Header names with their look-alikes: well-known ones as bits, the others as texts.
class NameSet {
 public:
  void add(std::string_view pattern);  // a name or "prefix*"

  bool contains(const wire::Header& header) const {
    if (header.id != wire::HeaderName::other) [[likely]] {
      return (known_ >> static_cast<unsigned>(header.id) & 1) != 0;
    }
    // Most other names begin with "x-": the third letter tells "x-stainless-…" from "x-weir-…" without a comparison.
    if ((initials_ >> letter(header.name, 0) & 1) == 0) return false;
    if (header.name.size() > 2 && (thirds_ >> letter(header.name, 2) & 1) == 0) return false;
    return contains_other(header.name);
  }

 private:
  // Letters of either case are one bit; a byte that is no letter shares one with some letter, which is harmless.
  static unsigned letter(std::string_view name, size_t index) {
    return name.size() <= index ? 0 : static_cast<unsigned char>(name[index]) & 31u;
  }
  static uint32_t letter_bits(std::string_view name, size_t index);
  static unsigned size_bit(std::string_view name) { return static_cast<unsigned>(name.size()) & 63u; }
  bool contains_other(std::string_view name) const;

  static_assert(static_cast<unsigned>(wire::HeaderName::count) <= 64);
  uint64_t known_ = 0;
  uint32_t initials_ = 0;  // first letters of the texts below
  uint32_t thirds_ = 0;    // third letters; all if one of them is shorter
  uint64_t sizes_ = 0;     // of `names_`
  // Well-known names with a dash too: their look-alikes are no well-known names.
  std::vector<std::string> names_;
  std::vector<std::string> prefixes_;
};

// One direction of a program.
struct Pass {
  struct ForClients {
    uint32_t clients;  // mask by client_index
    NameSet strip;
  };
  NameSet strip;
  std::vector<ForClients> strip_for;  // rules with a client condition; mostly none
  bool strip_connection_named = false;
  bool keep_credential = false;
  std::vector<Injection> front;  // before the peer's headers: Host (RFC 9110 section 7.2 asks for it there)
  std::vector<Injection> back;
};

class Program {
 public:
  Pass request;
  Pass response;
};

}  // namespace weir::gateway
