#include "sim/script.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>

#include "base/clock.h"
#include "sim/report.h"

namespace weir::sim {

const ProviderSpec kProviders[kProviderCount] = {
    {"anthropic", "anthropic", "/anthropic", "", 0},
    {"openai", "openai", "/openai/v1", "/v1", 1},
    {"copilot", "copilot", "/copilot", "", 2},
    {"second", "anthropic", "/second", "", 0},
};

std::string_view text(Fault fault) {
  switch (fault) {
    case Fault::none:
      return "no fault";
    case Fault::reset:
      return "reset";
    case Fault::orderly_close:
      return "orderly close";
    case Fault::stall:
      return "stall";
  }
  return "?";
}

struct Scripts::Route {
  uint32_t provider;
  const char* method;
  const char* path;
  gateway::Api api;
};

namespace {

using gateway::Api;

bool is_openai(uint32_t provider) {
  return provider == 1;
}
bool is_copilot(uint32_t provider) {
  return provider == 2;
}

}  // namespace

// The table of spec section 1, as the client sees it.
void Scripts::choose_auth(Plan& plan, bool trusted) {
  const std::string& token = plan.person->token;
  const std::string own = fmt::format("sk-own-{}-{}", plan.marker, random_.letters(12));
  const uint64_t kind = random_.below(shape_.odd_requests ? 24 : 20);
  const char* const governance = random_.percent(50) ? "X-Weir-Token" : "x-coder-ai-governance-token";
  auth_headers_.clear();
  const bool known = plan.person->known || !shape_.authorizer_knows;
  if (kind == 23) {
    auth_headers_ = random_.percent(50) ? "" : "Authorization: Basic eA==\r\n";
    plan.refusal = 400;
    return;
  }
  if (kind >= 20) {
    auth_headers_ = fmt::format("{}: {}\r\n", governance, token);  // nothing of one's own
    plan.byok = true;
    plan.refusal = known ? 401 : 403;
    return;
  }
  const bool as_key = kind % 2 == 1;
  plan.byok = kind >= 10 || is_copilot(plan.provider);
  if (!plan.byok) {
    auth_headers_ =
        as_key ? fmt::format("x-api-key: {}\r\n", token) : fmt::format("Authorization: Bearer {}\r\n", token);
    plan.credential_header = is_openai(plan.provider) ? "authorization" : "x-api-key";
    plan.credential_kind = "centralized";
  } else {
    const bool key = as_key && !is_openai(plan.provider) && !is_copilot(plan.provider);
    auth_headers_ = fmt::format("{}: {}\r\n", governance, token);
    if (key) {
      auth_headers_ += fmt::format("X-Api-Key: {}\r\n", own);
      if (random_.percent(30)) auth_headers_ += fmt::format("Authorization: Bearer {}-loses\r\n", own);
      plan.credential_header = "x-api-key";
      plan.credential = own;
      plan.credential_kind = "personal_api_key";
    } else {
      auth_headers_ += fmt::format("Authorization: Bearer {}\r\n", own);
      plan.credential_header = "authorization";
      plan.credential = "Bearer " + own;
      plan.credential_kind = is_openai(plan.provider) ? "personal_api_key" : "subscription";
    }
  }
  if (!known) plan.refusal = 403;
  if (trusted && random_.percent(50)) {
    delegate(plan);
  } else if (!trusted && random_.percent(5)) {
    auth_headers_ += "X-Weir-Delegated-Key-Id: key-0\r\n";  // means nothing here
  }
}

std::string Person::id_of(uint32_t version) const {
  return fmt::format("{}{:03x}{}", id.substr(0, 20), version, id.substr(23));
}

// The key id stands for the token, which a centralized caller then leaves out.
void Scripts::delegate(Plan& plan) {
  plan.delegated = true;
  const std::string named = fmt::format("X-Weir-Delegated-Key-Id: key-{}\r\n", plan.person->number);
  auth_headers_ = plan.byok ? auth_headers_ + named : named;
}

void Scripts::fill(Plan& plan, uint32_t number, const Person& person, bool trusted) {
  static constexpr Route kBridged[] = {
      {0, "POST", "/v1/messages?beta=true", Api::messages},    {3, "POST", "/v1/messages", Api::messages},
      {1, "POST", "/chat/completions", Api::chat_completions}, {1, "POST", "/responses", Api::responses},
      {2, "POST", "/chat/completions", Api::chat_completions}, {2, "POST", "/v1/messages", Api::messages}};
  static constexpr Route kPassthrough[] = {{0, "GET", "/v1/models", Api::none},
                                           {0, "HEAD", "/v1/models", Api::none},
                                           {3, "POST", "/v1/messages/count_tokens", Api::none},
                                           {1, "GET", "/models?x=1", Api::none},
                                           {1, "POST", "/embeddings", Api::none},
                                           {2, "GET", "/models", Api::none}};
  plan.number = number;
  plan.marker = fmt::format("m{}x{}", number, random_.letters(6));
  plan.person = &person;
  if (shape_.odd_requests && random_.percent(4)) {
    write_malformed(plan);
    return;
  }
  const Route& route = random_.percent(70) ? kBridged[random_.below(std::size(kBridged))]
                                           : kPassthrough[random_.below(std::size(kPassthrough))];
  plan.provider = route.provider;
  plan.api = route.api;
  const ProviderSpec& provider = kProviders[route.provider];
  choose_auth(plan, trusted);
  const char* method = route.method;
  std::string path = route.path;
  if (plan.refusal == 0 && shape_.odd_requests && random_.percent(6)) {
    const bool unknown = random_.percent(50) || route.api == Api::none;
    if (unknown) path = "/v9/nowhere";
    if (!unknown) method = "PUT";
    plan.refusal = unknown ? 404 : 405;
  }
  const bool has_body = method[0] == 'P';
  plan.head_request = method[0] == 'H';
  plan.upstream_target = provider.base_path + path;
  if (has_body) {
    size_t size = static_cast<size_t>(random_.skewed(3000));
    if (random_.percent(8)) size = random_.size(16u << 10, 90u << 10);
    if (plan.refusal == 0 && shape_.odd_requests && random_.percent(3)) {
      size = static_cast<size_t>(shape_.max_body) + random_.size(1, 400u << 10);
      plan.refusal = 413;
    }
    write_body(plan, size);
    if (plan.refusal == 0 && plan.api != Api::none && random_.percent(8)) encode_body(plan, shape_.max_body);
  }
  const char* const prefix = random_.percent(20) ? "/api/v2/aibridge" : "";
  write_request(plan, method, fmt::format("{}{}{}", prefix, provider.prefix, path), has_body);
  plan_answer(plan);
}

void Scripts::write_body(Plan& plan, size_t size) {
  const std::string prompt = plan.marker + " " + filler(size);
  plan.streaming = plan.api != Api::none && random_.percent(60);
  const bool odd = plan.api != Api::none && plan.refusal == 0 && shape_.odd_requests && random_.percent(6);
  if (odd) {
    constexpr const char* kOdd[] = {"", "[1,2]", "{\"model\":", "not json"};
    plan.body = kOdd[random_.below(std::size(kOdd))];
    plan.refusal = 400;
    plan.streaming = false;
    return;
  }
  const char* const stream = plan.streaming ? "true" : "false";
  switch (plan.api) {
    case Api::none:
      plan.body = fmt::format(R"({{"input":"{}"}})", prompt);
      break;
    case Api::messages:
      plan.body =
          fmt::format(R"({{"model":"sim","max_tokens":9,"stream":{},"messages":[{{"role":"user","content":"{}"}}]}})",
                      stream, prompt);
      break;
    case Api::responses:
      plan.body = fmt::format(R"({{"model":"sim","stream":{},"input":"{}"}})", stream, prompt);
      break;
    case Api::chat_completions: {
      const uint64_t usage = plan.streaming ? random_.below(3) : 0;
      const char* const options = usage == 1   ? R"(,"stream_options":{"include_usage":true})"
                                  : usage == 2 ? R"(,"stream_options":{})"
                                               : "";
      plan.body = fmt::format(R"({{"model":"sim","stream":{},"messages":[{{"role":"user","content":"{}"}}]{}}})",
                              stream, prompt, options);
      if (plan.streaming && usage == 0) plan.inserted = R"(,"stream_options":{"include_usage":true})";
      if (plan.streaming && usage == 2) plan.inserted = R"("include_usage":true)";
      break;
    }
  }
}

// Weir reads such a body a slice a turn, while everything else happens. Blanks behind the JSON make it long.
void Scripts::encode_body(Plan& plan, size_t decoded_max) {
  std::string text = plan.body;
  if (text.size() < decoded_max) text += std::string(random_.below(decoded_max - text.size()), ' ');
  uLongf size = compressBound(text.size()) + 32;
  plan.body.resize(size);
  z_stream stream{};
  require(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK, "no deflate");
  stream.next_in = reinterpret_cast<Bytef*>(text.data());
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(plan.body.data());
  stream.avail_out = static_cast<uInt>(size);
  require(deflate(&stream, Z_FINISH) == Z_STREAM_END, "not deflated");
  plan.body.resize(stream.total_out);
  deflateEnd(&stream);
  plan.encoded = true;
  plan.inserted.clear();
}

std::string Scripts::chunked(std::string_view body) {
  std::string wire;
  while (!body.empty()) {
    const size_t size = random_.percent(30) ? body.size() : random_.size(1, std::min<size_t>(body.size(), 2000));
    const bool extended = random_.percent(5);
    wire += random_.percent(30) ? fmt::format("{:X}", size) : fmt::format("{:x}", size);
    if (extended) wire += ";name=value";
    wire += "\r\n";
    wire += body.substr(0, size);
    wire += "\r\n";
    body.remove_prefix(size);
  }
  wire += "0\r\n";
  if (random_.percent(5)) wire += "X-Trailer: late\r\n";
  return wire + "\r\n";
}

void Scripts::write_request(Plan& plan, const char* method, const std::string& target, bool has_body) {
  plan.http_1_0 = random_.percent(5);
  plan.close = random_.percent(5);
  const bool as_chunks = has_body && !plan.http_1_0 && random_.percent(25);
  plan.expect_continue = has_body && !plan.http_1_0 && random_.percent(8);
  std::string head = fmt::format("{} {} HTTP/1.{}\r\nHost: localhost\r\n", method, target, plan.http_1_0 ? 0 : 1);
  std::vector<std::string> headers = {
      fmt::format("X-Marker: {}\r\n", plan.marker),
      fmt::format("X-Weir-Request-Id: {}\r\n", plan.marker),
      auth_headers_,
      "User-Agent: sim/1\r\n",
      "X-Internal-Note: 1\r\n",
      "Accept-Encoding: gzip\r\n",
      fmt::format("X-Filler: {}\r\n", filler(static_cast<size_t>(random_.skewed(600))))};
  if (plan.close) headers.emplace_back("Connection: close\r\n");
  if (plan.http_1_0 && !plan.close && random_.percent(50)) headers.emplace_back("Connection: keep-alive\r\n");
  if (plan.expect_continue) headers.emplace_back("Expect: 100-continue\r\n");
  if (plan.encoded) headers.emplace_back("Content-Encoding: gzip\r\n");
  if (as_chunks) {
    headers.emplace_back("Transfer-Encoding: chunked\r\n");
  } else if (has_body) {
    headers.push_back(fmt::format("Content-Length: {}\r\n", plan.body.size()));
  }
  for (size_t i = headers.size(); i > 1; i--) std::swap(headers[i - 1], headers[random_.below(i)]);
  for (const std::string& header : headers) head += header;
  head += "\r\n";
  plan.head_size = head.size();
  plan.what = fmt::format("{} {} {}", method, target, plan.byok ? "byok" : "centralized");
  plan.wire = head + (as_chunks ? chunked(plan.body) : has_body ? plan.body : "");
}

void Scripts::write_malformed(Plan& plan) {
  constexpr const char* kHeads[] = {
      "GET /anthropic/v1/models HTTP/1.1\r\nHost : x\r\n\r\n",
      "GET /anthropic/v1/models HTTP/1.1\nHost: x\n\n",
      "POST /anthropic/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
      "POST /anthropic/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: "
      "chunked\r\n\r\n0\r\n\r\n",
      "GET /anthropic/v1/models HTTP/1.1\r\n\r\n",
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello hello hello\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
  };
  plan.wire = kHeads[random_.below(std::size(kHeads))];
  plan.head_size = plan.wire.size();
  plan.what = "malformed";
  plan.malformed = true;
  plan.refusal = 400;
}

// --- the answer ---

void Scripts::write_json(Plan& plan) {
  AnswerPlan& answer = plan.answer;
  const std::string said = filler(static_cast<size_t>(random_.skewed(random_.percent(5) ? 200'000 : 4000)));
  const std::string& id = plan.marker;
  if (answer.status >= 400) {
    answer.body = fmt::format(R"({{"type":"error","error":{{"type":"some_error","message":"{}"}}}})", said);
    return;
  }
  answer.input_tokens = random_.between(1, 5000);
  answer.output_tokens = random_.between(1, 5000);
  const uint64_t in = answer.input_tokens;
  const uint64_t out = answer.output_tokens;
  switch (plan.api) {
    case Api::none:
      answer.input_tokens = 0;
      answer.body = said;
      break;
    case Api::messages:
      answer.body = fmt::format(
          R"({{"id":"msg_{}","type":"message","role":"assistant","model":"sim","content":[{{"type":"text","text":"{}"}}],"stop_reason":"end_turn","usage":{{"input_tokens":{},"output_tokens":{}}}}})",
          id, said, in, out);
      break;
    case Api::chat_completions:
      answer.body = fmt::format(
          R"({{"id":"chatcmpl-{}","object":"chat.completion","model":"sim","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":{},"completion_tokens":{}}}}})",
          id, said, in, out);
      break;
    case Api::responses:
      answer.body = fmt::format(
          R"({{"id":"resp_{}","object":"response","status":"completed","output":[{{"type":"message","role":"assistant","content":[{{"type":"output_text","text":"{}"}}]}}],"usage":{{"input_tokens":{},"output_tokens":{}}}}})",
          id, said, in, out);
      break;
  }
}

void Scripts::write_stream(Plan& plan) {
  AnswerPlan& answer = plan.answer;
  const size_t events = random_.size(0, random_.percent(10) ? 200 : 12);
  const size_t size_max = random_.percent(10) ? 6000 : 200;
  answer.input_tokens = random_.between(1, 5000);
  answer.output_tokens = random_.between(1, 5000);
  const uint64_t in = answer.input_tokens;
  const uint64_t out = answer.output_tokens;
  const std::string& id = plan.marker;
  std::string& body = answer.body;
  std::string& seen = answer.seen;
  const auto both = [&](const std::string& event) {
    body += event;
    seen += event;
  };
  const auto delta = [&] { return filler(static_cast<size_t>(random_.skewed(size_max))); };
  switch (plan.api) {
    case Api::none:
      break;
    case Api::messages:
      both(
          fmt::format("event: message_start\ndata: "
                      "{{\"type\":\"message_start\",\"message\":{{\"id\":\"msg_{}\",\"type\":\"message\",\"role\":"
                      "\"assistant\",\"content\":[],"
                      "\"usage\":{{\"input_tokens\":{},\"output_tokens\":1}}}}}}\n\n",
                      id, in));
      both(
          "event: content_block_start\ndata: "
          "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n");
      for (size_t i = 0; i < events; i++) {
        both(
            fmt::format("event: content_block_delta\ndata: "
                        "{{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":"
                        "\"{}\"}}}}\n\n",
                        delta()));
      }
      both("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n");
      both(
          fmt::format("event: message_delta\ndata: "
                      "{{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"end_turn\"}},\"usage\":{{\"output_"
                      "tokens\":{}}}}}\n\n",
                      out));
      if (answer.last_event) both("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
      break;
    case Api::chat_completions: {
      for (size_t i = 0; i < events; i++) {
        both(
            fmt::format("data: "
                        "{{\"id\":\"chatcmpl-{}\",\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,"
                        "\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
                        id, delta()));
      }
      const std::string usage = fmt::format(
          "data: "
          "{{\"id\":\"chatcmpl-{}\",\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":{{\"prompt_tokens\":{"
          "},\"completion_tokens\":{}}}}}\n\n",
          id, in, out);
      body += usage;
      if (plan.inserted.empty()) seen += usage;
      if (answer.last_event) both("data: [DONE]\n\n");
      break;
    }
    case Api::responses:
      both(fmt::format(
          "event: response.created\ndata: "
          "{{\"type\":\"response.created\",\"response\":{{\"id\":\"resp_{}\",\"status\":\"in_progress\"}}}}\n\n",
          id));
      for (size_t i = 0; i < events; i++) {
        both(fmt::format(
            "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"delta\":\"{}\"}}\n\n",
            delta()));
      }
      if (answer.last_event) {
        both(
            fmt::format("event: response.completed\ndata: "
                        "{{\"type\":\"response.completed\",\"response\":{{\"id\":\"resp_{}\",\"status\":\"completed\","
                        "\"output\":[],"
                        "\"usage\":{{\"input_tokens\":{},\"output_tokens\":{}}}}}}}\n\n",
                        id, in, out));
      } else {
        answer.input_tokens = 0;
      }
      break;
  }
}

// Of an answer that has no body: half of them say that it has one, and some of these then send it.
void Scripts::announce_forbidden_body(Plan& plan) {
  AnswerPlan& answer = plan.answer;
  const bool length_0 = random_.percent(50);
  if (random_.percent(50)) {
    if (length_0) answer.wire += "Content-Length: 0\r\n";
    answer.forbidden_body = answer.status == 205 && !length_0;
  } else {
    answer.wire += random_.percent(50) ? "Content-Length: 4711\r\n" : "Transfer-Encoding: chunked\r\n";
    answer.forbidden_body = true;
  }
  if (!answer.forbidden_body || random_.percent(50)) return;
  answer.leftover = fmt::format("HTTP/1.1 200 OK\r\nX-Echo: {}\r\nContent-Length: 8\r\n\r\nleftover", plan.marker);
  answer.leftover_ns = random_.percent(50) ? 0 : random_.skewed(100 * kNsPerMs);
}

void Scripts::plan_answer(Plan& plan) {
  AnswerPlan& answer = plan.answer;
  answer.stream = plan.streaming;
  if (random_.percent(15)) {
    constexpr uint16_t kErrors[] = {400, 401, 403, 404, 429, 500, 503, 529};
    answer.status = kErrors[random_.below(std::size(kErrors))];
    answer.stream = false;
  } else if (random_.percent(plan.api == Api::none ? 10 : 5)) {
    constexpr uint16_t kBodiless[] = {204, 205, 304};
    answer.status = kBodiless[random_.below(std::size(kBodiless))];
    answer.stream = false;  // whatever its type says
  }
  const bool faulty = shape_.provider_faults;
  answer.last_event = !(answer.stream && faulty && random_.percent(8));
  if (answer.stream) {
    write_stream(plan);
  } else {
    write_json(plan);
    answer.seen = answer.body;
  }
  const bool bodiless = answer.status == 204 || answer.status == 205 || answer.status == 304 || plan.head_request;
  if (bodiless) {
    answer.body = answer.seen = "";
    answer.input_tokens = 0;
  }
  std::string& wire = answer.wire;
  if (random_.percent(6)) wire += "HTTP/1.1 100 Continue\r\n\r\n";
  if (random_.percent(6))
    wire += fmt::format("HTTP/1.1 103 Early Hints\r\nX-Echo: {}\r\nLink: </x>\r\n\r\n", plan.marker);
  wire += fmt::format("HTTP/1.1 {} Whatever\r\nX-Echo: {}\r\nContent-Type: {}\r\n", answer.status, plan.marker,
                      answer.stream || (bodiless && plan.streaming) ? "text/event-stream" : "application/json");
  wire += fmt::format("request-id: req_{}\r\n", plan.marker);
  answer.close = random_.percent(15);
  const uint64_t framing = bodiless ? 3 : random_.below(10);
  std::string framed = answer.body;
  if (framing >= 8) {
    answer.until_close = answer.close = true;
  } else if (framing >= 4) {
    wire += "Transfer-Encoding: chunked\r\n";
    framed = chunked(answer.body);
  } else if (!bodiless) {
    wire += fmt::format("Content-Length: {}\r\n", answer.body.size());
  } else {
    announce_forbidden_body(plan);
  }
  if (answer.close) wire += "Connection: close\r\n";
  wire += "\r\n";
  answer.head_end = wire.size();
  wire += framed;

  answer.think_ns = random_.skewed(random_.percent(10) ? 2 * kNsPerSecond : 20 * kNsPerMs);
  answer.pause_max_ns =
      random_.percent(40) ? 0 : random_.skewed(random_.percent(5) ? shape_.stream_timeout_ns / 4 : 30 * kNsPerMs);
  answer.piece_max = random_.percent(30) ? wire.size() : random_.size(1 + wire.size() / 60, 1 + wire.size() / 2);
  answer.idle_close = random_.percent(20);
  answer.idle_close_ns = random_.skewed(200 * kNsPerMs);
  if (random_.percent(15)) answer.at_reuse = random_.percent(50) ? Fault::reset : Fault::orderly_close;
  if (faulty && random_.percent(25)) {
    constexpr Fault kFaults[] = {Fault::reset, Fault::orderly_close, Fault::stall};
    answer.fault = kFaults[random_.below(3)];
    answer.fault_at = random_.size(0, wire.size() - 1);
    if (answer.until_close && answer.fault == Fault::orderly_close && answer.fault_at >= answer.head_end)
      answer.fault = Fault::reset;
  }
  answer.early = random_.percent(4);
}

}  // namespace weir::sim
