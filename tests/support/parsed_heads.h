// Heads parsed whole, for tests. They own their bytes, because a head only borrows them.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "wire/head.h"

namespace weir::test {

inline constexpr size_t kHeadSizeMax = size_t{64} * 1024;

struct ParsedRequest {
  explicit ParsedRequest(std::string_view text, size_t head_size_max = kHeadSizeMax)
      : bytes(std::make_unique<std::string>(text)),
        head(std::make_unique<wire::RequestHead>()),
        result(wire::parse_request_head(*bytes, 0, head_size_max, *head)) {}
  const wire::RequestHead* operator->() const { return head.get(); }

  std::unique_ptr<std::string> bytes;
  std::unique_ptr<wire::RequestHead> head;
  wire::HeadResult result;
};

struct ParsedResponse {
  explicit ParsedResponse(std::string_view text, size_t head_size_max = kHeadSizeMax)
      : bytes(std::make_unique<std::string>(text)),
        head(std::make_unique<wire::ResponseHead>()),
        result(wire::parse_response_head(*bytes, 0, head_size_max, *head)) {}
  const wire::ResponseHead* operator->() const { return head.get(); }

  std::unique_ptr<std::string> bytes;
  std::unique_ptr<wire::ResponseHead> head;
  wire::HeadResult result;
};

}  // namespace weir::test
