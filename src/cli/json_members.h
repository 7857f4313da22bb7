// A JSON object, member by member, into a string. The braces are the caller's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mock/json_text.h"

namespace weir::cli {

class Members {
 public:
  explicit Members(std::string& out) : out_(out) {}
  void text(std::string_view name, std::string_view value) {
    key(name);
    mock::append_json(out_, value);
  }
  void number(std::string_view name, int64_t value) {
    key(name);
    out_ += std::to_string(value);
  }
  void number(std::string_view name, const std::optional<int64_t>& value) {
    key(name);
    out_ += value ? std::to_string(*value) : "null";
  }
  void flag(std::string_view name, bool value) {
    key(name);
    out_ += value ? "true" : "false";
  }

 private:
  void key(std::string_view name) {
    mock::put(out_, {first_ ? "\"" : ",\"", name, "\":"});
    first_ = false;
  }
  std::string& out_;
  bool first_ = true;
};

}  // namespace weir::cli
