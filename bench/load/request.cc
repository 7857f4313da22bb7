#include "load/request.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/units.h"
#include "load/answer.h"

namespace weir::load {

namespace {

constexpr uint64_t kLastMessageBytes = 1000;
constexpr uint64_t kTurnBytes = 4000;  // of a message before the last one, about

std::string_view path_of(Api api, Route route) {
  switch (api) {
    case Api::messages:
      return route == Route::gateway ? "/anthropic/v1/messages" : "/v1/messages";
    case Api::chat:
      return route == Route::gateway ? "/openai/v1/chat/completions" : "/v1/chat/completions";
    case Api::responses:
      return route == Route::gateway ? "/openai/v1/responses" : "/v1/responses";
  }
  return {};
}

// Text like source code in a prompt: lines, quotes and backslashes, so that its JSON has escapes.
std::string prompt(uint64_t size) {
  constexpr std::string_view line = R"(  if (found[i] == \"end\") return parse(next, \"\\n\");  // the usual case\n)";
  std::string text;
  text.reserve(size + line.size());
  while (text.size() + line.size() <= size) text += line;
  text.append(size - text.size(), 'x');
  return text;
}

// One message of the conversation, in the API's shape.
std::string message(Api api, std::string_view role, std::string_view text) {
  if (api != Api::responses) return fmt::format(R"({{"role":"{}","content":"{}"}})", role, text);
  const std::string_view type = role == "user" ? "input_text" : "output_text";
  return fmt::format(R"({{"type":"message","role":"{}","content":[{{"type":"{}","text":"{}"}}]}})", role, type, text);
}

// A long request is a long history, not a long last message: so it is with agents, and what is recorded as the prompt
// is the last message alone.
std::string conversation(const RequestKind& kind) {
  const uint64_t earlier = kind.prompt_bytes > kLastMessageBytes ? kind.prompt_bytes - kLastMessageBytes : 0;
  std::string messages;
  const uint64_t pairs = earlier == 0 ? 0 : std::max<uint64_t>(1, earlier / (2 * kTurnBytes));
  for (uint64_t i = 0; i < pairs; i++) {
    const uint64_t size = earlier / pairs + (i == 0 ? earlier % pairs : 0);
    messages += message(kind.api, "user", prompt(size / 2)) + ",";
    messages += message(kind.api, "assistant", prompt(size - size / 2)) + ",";
  }
  return messages + message(kind.api, "user", prompt(kind.prompt_bytes - earlier));
}

std::string body_of(const RequestKind& kind) {
  const std::string_view stream = kind.stream ? "true" : "false";
  const std::string messages = conversation(kind);
  switch (kind.api) {
    case Api::messages:
      return fmt::format(R"({{"model":"claude-sonnet-4-5","max_tokens":4096,"stream":{},"messages":[{}]}})", stream,
                         messages);
    case Api::chat:
      return fmt::format(R"({{"model":"gpt-5.2","stream":{},"messages":[{}]}})", stream, messages);
    case Api::responses:
      return fmt::format(R"({{"model":"gpt-5.2-codex","stream":{},"input":[{}]}})", stream, messages);
  }
  return {};
}

}  // namespace

std::string request_bytes(const RequestKind& kind, Route route, const std::string& token,
                          const std::vector<std::string>& headers) {
  const std::string body = body_of(kind);
  std::string head = fmt::format(
      "POST {} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: weir-load/1.0\r\nAccept: application/json\r\nContent-Type: "
      "application/json\r\nAuthorization: Bearer {}\r\nx-mock-id: bench\r\nx-mock-events: {}\r\nx-mock-bytes: "
      "{}\r\nx-mock-gap: {}\r\n",
      path_of(kind.api, route), token, kind.events, kind.event_bytes, format_duration(kind.gap_ns));
  if (kind.delay_ns > 0) head += fmt::format("x-mock-delay: {}\r\n", format_duration(kind.delay_ns));
  if (kind.status != 200) head += fmt::format("x-mock-status: {}\r\n", kind.status);
  if (kind.separate) head += "x-mock-separate: true\r\n";
  if (kind.stamped) head += "x-mock-stamped: true\r\n";
  for (const std::string& header : headers) head += header + "\r\n";
  return fmt::format("{}Content-Length: {}\r\n\r\n{}", head, body.size(), body);
}

Result<> learn_answer(const io::Address& reference, PreparedRequest& request) {
  // At once, whatever the pace of the real ones: the bytes are the same.
  RequestKind kind = *request.kind;
  kind.gap_ns = kind.delay_ns = 0;
  const std::string bytes = request_bytes(kind, Route::provider, "reference");
  auto opened = io::open_stream(reference.family());
  if (!opened) return std::unexpected(opened.error());
  const int socket = *opened;
  const auto failed = [&](std::string_view what) -> Result<> {
    Result<> error = fail("{}: cannot learn the answer: {}: {}", reference.text(), what, std::strerror(errno));
    ::close(socket);
    return error;
  };
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&reference.storage), reference.size) != 0)
    return failed("connect");
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t size = ::send(socket, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (size <= 0) return failed("send");
    sent += static_cast<size_t>(size);
  }
  AnswerReader reader;
  std::array<char, 65536> buffer;
  auto status = AnswerReader::Status::need_more;
  while (status == AnswerReader::Status::need_more) {
    const ssize_t size = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (size < 0) return failed("receive");
    status =
        size == 0
            ? reader.end()
            : reader.feed({buffer.data(), static_cast<size_t>(size)}, monotonic_ns(), [](uint64_t) {}, [](uint64_t) {});
  }
  if (status == AnswerReader::Status::invalid) return failed("its answer is no HTTP");
  ::close(socket);
  request.status = reader.status();
  request.body_size = reader.body_size();
  request.body_hash = reader.body_hash();
  return {};
}

}  // namespace weir::load
