// The three bridged APIs of answer.h, one file each: how the events of a stream are arranged, and the whole body.
#pragma once

#include <string>
#include <string_view>

#include "mock/answer.h"

namespace weir::mock {

struct MessagesEvents {
  static void arrange(EventStream& stream);
};
struct ChatEvents {
  static void arrange(EventStream& stream);
};
struct ResponsesEvents {
  static void arrange(EventStream& stream);
};

void write_messages_body(const Ask& ask, const Shape& shape, std::string_view id, std::string& out);
void write_chat_body(const Ask& ask, const Shape& shape, std::string_view id, std::string& out);
void write_responses_body(const Ask& ask, const Shape& shape, std::string_view id, std::string& out);

inline constexpr std::string_view kThought = "The mock thinks for a moment before it answers.";
inline constexpr std::string_view kToolArguments = R"({\"path\":\"README.md\"})";  // as text inside a JSON string

}  // namespace weir::mock
