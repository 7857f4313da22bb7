// What the mock answers, in the words of each provider's API: bodies, and the events of a stream one by one. Pure: text
// out, no I/O and no clock. Not a model: the text is fixed, its length is what the request asks for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::mock {

enum class Api : uint8_t { none, messages, count_tokens, chat_completions, responses, models, model, embeddings };

// What a request asks for.
struct Ask {
  Api api = Api::none;
  std::string model{};
  bool stream = false;
  bool include_usage = false;  // Chat Completions only
  bool anthropic = false;      // whose shape a list of models and an error have
  uint64_t prompt_tokens = 1;
};

// By the path's end, so that any base URL's path may stand in front.
Api api_of_path(std::string_view path);
// Reads model, stream and stream_options. REQUIRES: 64 readable bytes after `body`. False: not a JSON object.
bool read_ask(std::string_view body, Ask& ask);

// How long and of what parts an answer is.
struct Shape {
  uint32_t events = 24;       // pieces of text
  uint32_t event_bytes = 16;  // of text in each
  bool thinking = false;      // a thought (or reasoning summary) before the text
  std::string tool{};         // a call of this tool after the text
  bool stamped = false;       // each streamed piece of text begins with kStampPlace
};

// The events of one streamed answer; each can be written at any time. Borrows `ask` and `shape`.
class EventStream {
 public:
  EventStream(const Ask& ask, const Shape& shape, std::string_view id);
  size_t size() const { return before_.size() + shape_->events + after_.size(); }
  // Appends event `index` with its blank line.
  void write(size_t index, std::string& out) const;

 private:
  using Writer = void (*)(const EventStream&, std::string&);
  using PieceWriter = void (*)(const EventStream&, size_t, std::string&);
  friend struct MessagesEvents;
  friend struct ChatEvents;
  friend struct ResponsesEvents;

  const Ask* ask_;
  const Shape* shape_;
  std::string id_;
  std::vector<Writer> before_, after_;
  PieceWriter piece_ = nullptr;
};

// The whole body of an answer that is not streamed.
void write_body(const Ask& ask, const Shape& shape, std::string_view id, std::string& out);
// The body of an error in the API's shape.
void write_error(const Ask& ask, uint16_t status, std::string_view message, std::string& out);

// Where the time goes at which a stamped event is written: "@" and 16 hexadecimal digits (CLOCK_MONOTONIC, ns).
inline constexpr std::string_view kStampPlace = "@0000000000000000";
void stamp(std::string& event, uint64_t now_ns);

// Piece `index` of a stream's text, with the place of a stamp if the shape has them.
void append_event_text(size_t index, const Shape& shape, std::string& out);
// Piece `index` of the fixed text, `size` bytes; it needs no escaping in JSON.
void append_piece(size_t index, uint32_t size, std::string& out);
void append_text(const Shape& shape, std::string& out);

}  // namespace weir::mock
