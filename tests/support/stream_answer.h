// A provider's stream in the shape of the messages API, for scripts of a Provider.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace weir::testing {

inline constexpr const char* kStreamHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
inline constexpr const char* kStreaming =
    R"({"model":"claude","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]})";

inline std::string chunk(std::string_view payload) {
  return fmt::format("{:x}\r\n{}\r\n", payload.size(), payload);
}
inline std::string event(std::string_view type, std::string_view rest = "") {
  return fmt::format("event: {0}\ndata: {{\"type\":\"{0}\"{1}}}\n\n", type, rest);
}
inline const std::string kStart = event(
    "message_start", R"(,"message":{"id":"msg_1","model":"claude","usage":{"input_tokens":5,"output_tokens":1}})");
inline const std::string kStop =
    event("message_delta", R"(,"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7})") +
    event("message_stop");

}  // namespace weir::testing
