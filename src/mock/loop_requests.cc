// The loop's requests and answers; loop.cc has the sockets and timers.
#include <fmt/format.h>

#include "base/clock.h"
#include "base/digest.h"
#include "mock/json_text.h"
#include "mock/loop.h"

namespace weir::mock {

namespace {

constexpr std::string_view kAdmin = "/__mock/";
constexpr std::string_view kControl = "x-mock-";
// Above this, a stream waits until the peer has taken what is there.
constexpr size_t kPendingMax = 64 << 10;
constexpr size_t kBodyStartShown = 4096;

bool begins_ignoring_case(std::string_view text, std::string_view prefix) {
  return wire::equals_ignoring_case(text.substr(0, prefix.size()), prefix);
}

std::string_view reason(uint16_t status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 429:
      return "Too Many Requests";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    default:
      return "Status";
  }
}

}  // namespace

void Loop::read_requests(uint32_t index) {
  Connection& connection = at(index);
  while (connection.state == Connection::State::idle) {
    switch (connection.reader.advance()) {
      case RequestReader::Status::need_more:
        return;
      case RequestReader::Status::head:
        on_head(index);
        break;
      case RequestReader::Status::complete:
        on_request(index);
        break;
      case RequestReader::Status::invalid: {
        connection.answer = Answer();
        connection.answer.plan.status = 400;
        connection.answer.close_after = true;
        connection.state = Connection::State::writing;
        std::string body;
        write_error(connection.answer.ask, 400, connection.reader.fault(), body);
        write_whole(index, body);
        break;
      }
    }
  }
}

void Loop::on_head(uint32_t index) {
  Connection& connection = at(index);
  const wire::RequestHead& head = connection.reader.head();
  Answer& answer = connection.answer;
  answer = Answer();
  answer.head_only = head.method == wire::Method::head;
  const size_t question = head.target.find('?');
  answer.path = head.target.substr(0, question);
  if (question != std::string_view::npos) answer.query = head.target.substr(question + 1);
  answer.admin = answer.path.starts_with(kAdmin);
  answer.ask.api = api_of_path(answer.path);
  if (answer.ask.api == Api::model) answer.ask.model = answer.path.substr(answer.path.rfind('/') + 1);
  answer.ask.anthropic = answer.ask.api == Api::messages || answer.ask.api == Api::count_tokens;
  if (!answer.admin) {
    answer.plan = options_.defaults;
    if (!script_.empty()) {
      answer.plan = std::move(script_.front());
      script_.pop_front();
    }
    if (!connection.counted) connection.counted = true, open_count_++;
    requests_++;
  }
  for (uint32_t i = 0; i < head.header_count; i++) {
    const wire::Header& header = head.headers[i];
    if (begins_ignoring_case(header.name, kControl)) {
      std::string key(header.name.substr(kControl.size()));
      for (char& byte : key) byte = static_cast<char>(byte | 0x20);
      // A control that is not understood must not pass for one that was obeyed.
      if (const auto applied = apply(answer.plan, key, header.value); !applied) {
        answer.plan.complaint = "x-mock-" + applied.error().message;
      }
    } else if (begins_ignoring_case(header.name, "anthropic-version")) {
      answer.ask.anthropic = true;
    } else if (header.id == wire::HeaderName::content_encoding) {
      answer.ask.stream = true;  // not decoded here: every client that compresses streams
    }
  }
  if (!answer.plan.complaint.empty()) answer.plan.status = 400;
  connection.seen.reset();
  if (!answer.admin && options_.requests_kept > 0) {
    Seen& seen = connection.seen.emplace();
    seen.number = requests_;
    put(seen.line, {head.method_text, " ", head.target});
    for (uint32_t i = 0; i < head.header_count; i++) {
      seen.headers.emplace_back(head.headers[i].name, head.headers[i].value);
    }
  }
  if (head.expect_continue) {
    connection.out += "HTTP/1.1 100 Continue\r\n\r\n";
    flush(index);
  }
}

void Loop::on_request(uint32_t index) {
  Connection& connection = at(index);
  Answer& answer = connection.answer;
  const std::string_view body = connection.reader.body();
  answer.active = true;
  answer.close_after = !connection.reader.keep_alive();
  if (answer.admin) return answer_admin(index);
  active_count_++;
  if (connection.seen) {
    connection.seen->body_size = body.size();
    connection.seen->body_sha256 = to_hex(sha256(body));
    connection.seen->body_start = body.substr(0, kBodyStartShown);
    if (seen_.size() == options_.requests_kept) seen_.pop_front();
    seen_.push_back(std::move(*connection.seen));
    connection.seen.reset();
  }
  if (!body.empty()) read_ask(body, answer.ask);
  if (answer.plan.delay_ns > 0) {
    connection.state = Connection::State::delayed;
    return wait_until(index, monotonic_ns() + answer.plan.delay_ns);
  }
  begin_answer(index);
}

void Loop::answer_admin(uint32_t index) {
  Connection& connection = at(index);
  Answer& answer = connection.answer;
  const std::string_view command = std::string_view(answer.path).substr(kAdmin.size());
  std::string body;
  if (command == "state") {
    write_state(body);
  } else if (command == "requests") {
    for (const Seen& seen : seen_) seen.write(body);
  } else if (command == "reset") {
    seen_.clear();
    script_.clear();
    step_credits_ = 0;
    requests_ = broken_off_ = 0;
    body = "{}";
  } else if (command == "script") {
    Result<std::vector<Plan>> plans = parse_script(connection.reader.body(), options_.defaults);
    if (plans) {
      for (Plan& plan : *plans) script_.push_back(std::move(plan));
      body = "{}";
    } else {
      answer.plan.status = 400;
      write_error(answer.ask, 400, plans.error().message, body);
    }
  } else if (command == "next") {
    uint64_t count = 1;
    if (answer.query.starts_with("n=")) count = std::strtoull(answer.query.c_str() + 2, nullptr, 10);
    step_credits_ += count;
    let_steps_go();
    body = "{}";
  } else {
    answer.plan.status = 404;
    write_error(answer.ask, 404, "there are state, requests, script, next and reset", body);
  }
  connection.state = Connection::State::writing;
  write_whole(index, body);
}

void Loop::write_state(std::string& out) const {
  fmt::format_to(std::back_inserter(out),
                 R"({{"connections":{},"streams":{},"requests":{},"broken_off":{},"scripted":{}}})", open_count_,
                 active_count_, requests_, broken_off_, script_.size());
}

void Loop::let_steps_go() {
  while (step_credits_ > 0 && !step_waiters_.empty()) {
    const Due waiter = step_waiters_.front();
    step_waiters_.pop_front();
    if (at(waiter.index).generation != waiter.generation) continue;
    at(waiter.index).waits_for_step = false;
    if (at(waiter.index).state != Connection::State::writing) continue;
    pump(waiter.index);
    flush(waiter.index);
  }
}

void Loop::begin_answer(uint32_t index) {
  Connection& connection = at(index);
  Answer& answer = connection.answer;
  Plan& plan = answer.plan;
  connection.state = Connection::State::writing;
  if (plan.interim) connection.out += "HTTP/1.1 103 Early Hints\r\nLink: </mock>\r\n\r\n";
  if (!plan.cut && plan.ending != Ending::keep) {
    if (plan.ending == Ending::drop) {
      answer.active = false;
      active_count_--;
      return close_now(index);
    }
    if (plan.ending == Ending::reset) return reset(index);
    connection.state = Connection::State::hanging;
    return flush(index);
  }
  const std::string id = plan.id.empty() ? fmt::format("mock{:016x}", requests_) : plan.id;
  std::string body;
  if (plan.body) {
    body = *plan.body;
  } else if (plan.status >= 400) {
    const std::string_view told = "the mock provider was told to fail";
    write_error(answer.ask, plan.status, plan.complaint.empty() ? told : plan.complaint, body);
  } else if (answer.ask.stream && (answer.ask.api == Api::messages || answer.ask.api == Api::chat_completions ||
                                   answer.ask.api == Api::responses)) {
    answer.stream.emplace(answer.ask, plan.shape, id);
  } else {
    write_body(answer.ask, plan.shape, id, body);
    if (answer.ask.api == Api::none) plan.status = 404;
  }
  if (!answer.stream || plan.framing == Framing::length) {
    if (answer.stream) {
      for (size_t i = 0; i < answer.stream->size(); i++) answer.stream->write(i, body);
    }
    return write_whole(index, body);
  }
  write_answer_head(index, 0);
  if (answer.head_only) return finish(index);
  pump(index);
  flush(index);
}

void Loop::write_answer_head(uint32_t index, uint64_t length) {
  Connection& connection = at(index);
  Answer& answer = connection.answer;
  const Plan& plan = answer.plan;
  std::string& out = connection.out;
  Framing framing = plan.framing;
  if (framing == Framing::usual) framing = answer.stream ? Framing::chunked : Framing::length;
  answer.chunked = framing == Framing::chunked;
  if (framing == Framing::close) answer.close_after = true;
  fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\n", plan.status, reason(plan.status));
  if (!plan.headers.empty()) {
    for (const auto& [name, value] : plan.headers) put(out, {name, ": ", value, "\r\n"});
  } else if (answer.stream) {
    put(out, {"Content-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"});
  } else {
    put(out, {"Content-Type: application/json\r\n"});
  }
  if (plan.headers.empty() && !answer.admin) {
    fmt::format_to(std::back_inserter(out), "{}: req_mock{:016x}\r\n",
                   answer.ask.anthropic ? "request-id" : "x-request-id", requests_);
  }
  if (answer.chunked) put(out, {"Transfer-Encoding: chunked\r\n"});
  if (framing == Framing::length) fmt::format_to(std::back_inserter(out), "Content-Length: {}\r\n", length);
  if (answer.close_after) put(out, {"Connection: close\r\n"});
  put(out, {"\r\n"});
}

// An answer whose body is known as a whole.
void Loop::write_whole(uint32_t index, std::string_view body) {
  Answer& answer = at(index).answer;
  write_answer_head(index, body.size());
  if (!answer.head_only) write_piece(index, body);
  finish(index);
}

// One piece of the body in the answer's framing, as far as a cut lets it.
void Loop::write_piece(uint32_t index, std::string_view piece) {
  Connection& connection = at(index);
  Answer& answer = connection.answer;
  if (piece.empty() || answer.cut_off) return;
  // A chunk that is cut still announces its whole size: its end is what the peer misses.
  if (answer.chunked) fmt::format_to(std::back_inserter(connection.out), "{:x}\r\n", piece.size());
  if (answer.plan.cut && answer.body_bytes + piece.size() >= *answer.plan.cut) {
    piece = piece.substr(0, *answer.plan.cut - answer.body_bytes);
    answer.cut_off = true;
  }
  connection.out.append(piece);
  answer.body_bytes += piece.size();
  if (answer.chunked && !answer.cut_off) connection.out += "\r\n";
}

// Writes the events whose time has come; sets the timer for the next one.
void Loop::pump(uint32_t index) {
  Connection& connection = at(index);
  Answer& answer = connection.answer;
  if (!answer.active || !answer.stream) return;
  const Plan& plan = answer.plan;
  const uint64_t now = plan.gap_ns > 0 ? monotonic_ns() : 0;
  bool stepped = false;
  while (answer.next_event < answer.stream->size() && !answer.cut_off) {
    if (connection.out.size() >= kPendingMax || (plan.separate && connection.sending)) return;  // on_send() comes back
    if (plan.step) {
      if (connection.waits_for_step) return;
      if (step_credits_ == 0 || stepped) {  // one event, then it is the next stream's turn
        connection.waits_for_step = true;
        step_waiters_.push_back({0, index, connection.generation});
        return;
      }
      stepped = true;
      step_credits_--;
    } else if (plan.gap_ns > 0) {
      if (answer.due_ns == 0) answer.due_ns = now;
      if (now < answer.due_ns) return wait_until(index, answer.due_ns);
      answer.due_ns += plan.gap_ns;  // by the clock, not by the last event: the pace does not drift
    }
    event_.clear();
    answer.stream->write(answer.next_event++, event_);
    if (plan.shape.stamped) stamp(event_, monotonic_ns());
    write_piece(index, event_);
    if (plan.separate) flush(index);
  }
  finish(index);
}

// The body is complete, or cut: what remains is to send it.
void Loop::finish(uint32_t index) {
  Connection& connection = at(index);
  Answer& answer = connection.answer;
  if (answer.chunked && !answer.cut_off && !answer.head_only) connection.out += "0\r\n\r\n";
  if (answer.active && !answer.admin) active_count_--;
  answer.active = false;
  flush(index);
  if (!connection.sending) sent_all(index);
}

// Everything written so far has reached the socket.
void Loop::sent_all(uint32_t index) {
  Connection& connection = at(index);
  if (connection.state != Connection::State::writing || connection.answer.active) return;
  const Answer& answer = connection.answer;
  if (answer.cut_off) {
    if (answer.plan.ending == Ending::reset) return reset(index);
    if (answer.plan.ending == Ending::hang) {
      connection.state = Connection::State::hanging;
      return;
    }
    return close_gently(index);
  }
  if (answer.close_after) return close_gently(index);
  connection.state = Connection::State::idle;
  read_requests(index);
}

}  // namespace weir::mock
