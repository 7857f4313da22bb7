#include "cli/event_text.h"

#include <algorithm>
#include <limits>
#include <variant>

#include "cli/json_members.h"
#include "cli/print.h"
#include "cli/time_text.h"

namespace weir::cli {

namespace {

using namespace record;

// Plain words stay as they are; what has a blank, a quote or a control byte is shown as a JSON string.
std::string value_text(std::string_view value) {
  const bool plain = harmless(value) == value && value.find_first_of(" \"=\\") == std::string_view::npos;
  if (plain) return std::string(value);
  std::string quoted;
  mock::append_json(quoted, value);
  return harmless(quoted);
}

class TextFields {
 public:
  TextFields(std::string& out, LongTexts long_texts) : out_(out), long_texts_(long_texts) {}
  void text(std::string_view name, std::string_view value) {
    if (!value.empty()) put(name, value_text(value));
  }
  void long_text(std::string_view name, std::string_view value) {
    if (long_texts_ == LongTexts::full) return text(name, value);
    put(name, std::to_string(value.size()) + "B");
  }
  void number(std::string_view name, uint64_t value) {
    if (value != 0) put(name, std::to_string(value));
  }
  void maybe(std::string_view name, bool is_set, int64_t value) {
    if (is_set) put(name, std::to_string(value));
  }
  void flag(std::string_view name, bool value) {
    if (value) put(name, "yes");
  }
  void time(std::string_view name, int64_t us) { put(name, format_rfc3339(us)); }

 private:
  void put(std::string_view name, const std::string& value) { mock::put(out_, {" ", name, "=", value}); }
  std::string& out_;
  LongTexts long_texts_;
};

class JsonFields {
 public:
  JsonFields(std::string& out, LongTexts long_texts) : out_(out), long_texts_(long_texts) {}
  void text(std::string_view name, std::string_view value) { one().text(name, value); }
  void long_text(std::string_view name, std::string_view value) {
    if (long_texts_ == LongTexts::full) return text(name, value);
    number(std::string(name) + "_bytes", value.size());
  }
  void number(std::string_view name, uint64_t value) {
    constexpr auto max = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    one().number(name, static_cast<int64_t>(std::min(value, max)));
  }
  void maybe(std::string_view name, bool is_set, int64_t value) {
    one().number(name, is_set ? std::optional(value) : std::nullopt);
  }
  void flag(std::string_view name, bool value) { one().flag(name, value); }
  void time(std::string_view name, int64_t us) { text(name, format_rfc3339(us)); }

 private:
  Members one() {
    out_ += ',';
    return Members(out_);
  }
  std::string& out_;
  LongTexts long_texts_;
};

void put_fields(auto& out, const Start& e) {
  out.time("started_at", e.started_at);
  out.text("initiator_id", e.initiator_id);
  out.text("username", e.username);
  out.text("api_key_id", e.api_key_id);
  out.text("provider", e.provider);
  out.text("provider_type", e.provider_type);
  out.text("route", e.route);
  out.text("model", e.model);
  out.flag("streaming", e.streaming);
  out.text("client", e.client);
  out.text("user_agent", e.user_agent);
  out.text("session_id", e.session_id);
  out.text("agent_id", e.agent_id);
  out.text("parent_agent_id", e.parent_agent_id);
  out.text("correlating_tool_call_id", e.correlating_tool_call_id);
  out.text("auth_mode", e.auth_mode);
  out.flag("auth_delegated", e.auth_delegated);
  out.text("source", e.source);
  out.text("request_id", e.request_id);
  out.text("credential_kind", e.credential_kind);
  out.text("credential_hint", e.credential_hint);
  out.number("credential_length", e.credential_length);
  out.number("request_bytes", e.request_bytes);
}

void put_fields(auto& out, const UserPrompt& e) {
  out.time("created_at", e.created_at);
  out.long_text("prompt", e.prompt);
  out.flag("truncated", e.truncated);
}

void put_fields(auto& out, const TokenUsage& e) {
  out.time("created_at", e.created_at);
  out.text("response_id", e.response_id);
  out.number("input", e.input);
  out.number("output", e.output);
  out.number("cache_read", e.cache_read);
  out.number("cache_write", e.cache_write);
  out.text("extra", e.extra);
}

void put_fields(auto& out, const ToolUsage& e) {
  out.time("created_at", e.created_at);
  out.text("response_id", e.response_id);
  out.text("tool_call_id", e.tool_call_id);
  out.text("tool", e.tool);
  out.long_text("arguments", e.arguments);
  out.flag("truncated", e.truncated);
  out.flag("injected", e.injected);
  out.text("server_url", e.server_url);
  out.text("error", e.error);
}

void put_fields(auto& out, const ModelThought& e) {
  out.time("created_at", e.created_at);
  out.text("source", e.source);
  out.long_text("content", e.content);
  out.flag("truncated", e.truncated);
}

void put_fields(auto& out, const End& e) {
  out.time("ended_at", e.ended_at);
  out.maybe("upstream_status", e.upstream_status != 0, e.upstream_status);
  out.text("upstream_request_id", e.upstream_request_id);
  out.text("outcome", text(e.outcome));
  out.text("error_type", text(e.error_type));
  out.text("error_message", e.error_message);
  out.number("attempts", e.attempts);
  out.maybe("first_byte_us", e.first_byte_us >= 0, e.first_byte_us);
  out.number("response_bytes", e.response_bytes);
}

struct Kind {
  std::string_view operator()(const Start&) const { return "start"; }
  std::string_view operator()(const UserPrompt&) const { return "user_prompt"; }
  std::string_view operator()(const TokenUsage&) const { return "token_usage"; }
  std::string_view operator()(const ToolUsage&) const { return "tool_usage"; }
  std::string_view operator()(const ModelThought&) const { return "model_thought"; }
  std::string_view operator()(const End&) const { return "end"; }
};

template <class Fields>
std::string fields_of(const Event& event, LongTexts long_texts) {
  std::string out;
  Fields fields(out, long_texts);
  std::visit([&](const auto& known) { put_fields(fields, known); }, event);
  return out;
}

}  // namespace

std::string_view event_kind(const Event& event) {
  return std::visit(Kind{}, event);
}

const Uuid& event_id(const Event& event) {
  return std::visit([](const auto& known) -> const Uuid& { return known.id; }, event);
}

std::string event_text(const Event& event, LongTexts long_texts) {
  return fields_of<TextFields>(event, long_texts);
}

std::string event_json(const Event& event, LongTexts long_texts) {
  return fields_of<JsonFields>(event, long_texts);
}

}  // namespace weir::cli
