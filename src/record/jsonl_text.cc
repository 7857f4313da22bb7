#include "record/jsonl_text.h"

#include <array>

#include "base/utf8.h"

namespace weir::record {

namespace {

void append_quoted(std::string& out, std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += "\\u00";
      out += kDigits[static_cast<unsigned char>(c) >> 4];
      out += kDigits[static_cast<unsigned char>(c) & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

class Members {
 public:
  void text(std::string_view name, std::string_view value) {
    key(name);
    if (is_valid_utf8(value)) {
      append_quoted(out_, value);
    } else {
      append_quoted(out_, replace_invalid_utf8(value));
    }
  }
  template <class Integer>
  void number(std::string_view name, Integer value) {
    key(name);
    out_ += std::to_string(value);
  }
  void flag(std::string_view name, bool value) { number(name, value ? 1 : 0); }
  void null(std::string_view name) { raw(name, "null"); }
  void raw(std::string_view name, std::string_view json) {
    key(name);
    out_ += json;
  }
  std::string take() { return std::move(out_); }
  std::string take_object() { return "{" + std::move(out_) + "}"; }

 private:
  void key(std::string_view name) {
    if (!out_.empty()) out_ += ',';
    out_ += '"';
    out_ += name;
    out_ += "\":";
  }
  std::string out_;
};

}  // namespace

std::string start_members(const Start& start, std::string_view node) {
  std::array<char, kUuidTextSize> id;
  start.id.format(id.data());
  Members members;
  members.text("id", {id.data(), id.size()});
  members.number("started_at", start.started_at);
  members.text("initiator_id", start.initiator_id);
  members.text("username", start.username);
  members.text("api_key_id", start.api_key_id);
  members.text("provider", start.provider);
  members.text("provider_type", start.provider_type);
  members.text("route", start.route);
  members.text("model", start.model);
  members.flag("streaming", start.streaming);
  members.text("client", start.client);
  members.text("user_agent", start.user_agent);
  members.text("session_id", start.session_id);
  members.text("agent_id", start.agent_id);
  members.text("parent_agent_id", start.parent_agent_id);
  members.text("correlating_tool_call_id", start.correlating_tool_call_id);
  members.text("auth_mode", start.auth_mode);
  members.flag("auth_delegated", start.auth_delegated);
  members.text("source", start.source);
  members.text("request_id", start.request_id);
  members.text("credential_kind", start.credential_kind);
  members.text("credential_hint", start.credential_hint);
  members.number("credential_length", start.credential_length);
  members.number("request_bytes", start.request_bytes);
  members.text("node", node);
  return members.take();
}

std::string end_members(const End& end) {
  Members members;
  members.number("ended_at", end.ended_at);
  if (end.upstream_status != 0) {
    members.number("upstream_status", end.upstream_status);
  } else {
    members.null("upstream_status");
  }
  members.text("upstream_request_id", end.upstream_request_id);
  members.text("outcome", text(end.outcome));
  members.text("error_type", text(end.error_type));
  members.text("error_message", end.error_message);
  members.number("attempts", end.attempts);
  if (end.first_byte_us >= 0) {
    members.number("first_byte_us", end.first_byte_us);
  } else {
    members.null("first_byte_us");
  }
  members.number("response_bytes", end.response_bytes);
  return members.take();
}

std::string interrupted_members(int64_t ended_at) {
  return end_members({.id = {}, .ended_at = ended_at, .outcome = Outcome::interrupted});
}

std::string object_of(const TokenUsage& usage) {
  Members members;
  members.text("response_id", usage.response_id);
  members.number("input", usage.input);
  members.number("output", usage.output);
  members.number("cache_read", usage.cache_read);
  members.number("cache_write", usage.cache_write);
  members.raw("extra", usage.extra.empty() ? "{}" : usage.extra);  // our own reader's: an object
  members.number("created_at", usage.created_at);
  return members.take_object();
}

std::string object_of(const UserPrompt& prompt) {
  Members members;
  members.text("prompt", prompt.prompt);
  members.flag("truncated", prompt.truncated);
  members.number("created_at", prompt.created_at);
  return members.take_object();
}

std::string object_of(const ToolUsage& tool) {
  Members members;
  members.text("response_id", tool.response_id);
  members.text("tool_call_id", tool.tool_call_id);
  members.text("tool", tool.tool);
  members.text("arguments", tool.arguments);
  members.flag("truncated", tool.truncated);
  members.flag("injected", tool.injected);
  members.text("server_url", tool.server_url);
  members.text("error", tool.error);
  members.number("created_at", tool.created_at);
  return members.take_object();
}

std::string object_of(const ModelThought& thought) {
  Members members;
  members.text("source", thought.source);
  members.text("content", thought.content);
  members.flag("truncated", thought.truncated);
  members.number("created_at", thought.created_at);
  return members.take_object();
}

}  // namespace weir::record
