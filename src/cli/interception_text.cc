#include "cli/interception_text.h"

#include <fmt/core.h>

#include <limits>

#include "cli/json_members.h"
#include "cli/print.h"
#include "cli/time_text.h"
#include "mock/json_text.h"

namespace weir::cli {

namespace {

std::string credential_of(const record::InterceptionRow& row) {
  return fmt::format("{} {}", row.credential_kind, row.credential_hint);
}

// "name (detail)", of which either may be missing.
std::string with_detail(std::string_view name, std::string_view detail) {
  return detail.empty() ? std::string(name) : fmt::format("{} ({})", name, detail);
}

// `text` with its line ends kept and every line pushed in, for a person.
std::string indented(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    out += "\n  " + harmless(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return out;
}
std::string_view cut_mark(bool truncated) {
  return truncated ? " (cut)" : "";
}

// Writes `"name":[{…},{…}]`; `write` gives each row's members.
template <class Row, class Write>
void append_rows(std::string& out, std::string_view name, const std::vector<Row>& rows, Write write) {
  mock::put(out, {",\"", name, "\":["});
  for (const Row& row : rows) {
    out += &row == rows.data() ? "{" : ",{";
    Members members(out);
    write(members, row);
    out += '}';
  }
  out += ']';
}

}  // namespace

std::string duration_of(const record::InterceptionRow& row) {
  return row.ended_at ? format_span(*row.ended_at - row.started_at) : "running";
}

std::string outcome_of(const record::InterceptionRow& row) {
  if (!row.ended_at) return "running";
  return row.error_type.empty() ? row.outcome : row.outcome + "/" + row.error_type;
}

std::string tokens_of(const record::InterceptionRow& row) {
  if (row.input_tokens == 0 && row.output_tokens == 0 && row.cache_read_tokens == 0) return "-";
  return fmt::format("{}/{}", capped_sum({row.input_tokens, row.cache_read_tokens, row.cache_write_tokens}),
                     row.output_tokens);
}

int64_t capped_sum(std::initializer_list<int64_t> numbers) {
  int64_t sum = 0;
  for (const int64_t number : numbers) {
    if (__builtin_add_overflow(sum, number, &sum)) return std::numeric_limits<int64_t>::max();
  }
  return sum;
}

void add_tokens(record::InterceptionRow& sum, const record::InterceptionRow& row) {
  sum.input_tokens = capped_sum({sum.input_tokens, row.input_tokens});
  sum.output_tokens = capped_sum({sum.output_tokens, row.output_tokens});
  sum.cache_read_tokens = capped_sum({sum.cache_read_tokens, row.cache_read_tokens});
  sum.cache_write_tokens = capped_sum({sum.cache_write_tokens, row.cache_write_tokens});
}

std::vector<std::string> interception_heading() {
  return {"STARTED", "USER", "CLIENT", "PROVIDER", "MODEL", "CREDENTIAL", "OUTCOME", "STATUS", "TOKENS", "TIME", "ID"};
}

std::vector<std::string> interception_cells(const record::InterceptionRow& row) {
  return {format_moment(row.started_at),
          row.username,
          row.client,
          row.provider,
          row.model.empty() ? "-" : row.model,
          credential_of(row),
          outcome_of(row),
          row.upstream_status ? std::to_string(*row.upstream_status) : "-",
          tokens_of(row),
          duration_of(row),
          row.id};
}

std::string interception_json(const record::InterceptionRow& row) {
  std::string out = "{";
  Members members(out);
  members.text("id", row.id);
  members.text("started_at", format_rfc3339(row.started_at));
  if (row.ended_at) {
    members.text("ended_at", format_rfc3339(*row.ended_at));
  } else {
    members.number("ended_at", std::optional<int64_t>());
  }
  members.text("initiator_id", row.initiator_id);
  members.text("username", row.username);
  members.text("api_key_id", row.api_key_id);
  members.text("provider", row.provider);
  members.text("provider_type", row.provider_type);
  members.text("route", row.route);
  members.text("model", row.model);
  members.flag("streaming", row.streaming);
  members.text("client", row.client);
  members.text("user_agent", row.user_agent);
  members.text("session_id", row.session_id);
  members.text("agent_id", row.agent_id);
  members.text("parent_agent_id", row.parent_agent_id);
  members.text("correlating_tool_call_id", row.correlating_tool_call_id);
  members.text("auth_mode", row.auth_mode);
  members.flag("auth_delegated", row.auth_delegated);
  members.text("source", row.source);
  members.text("request_id", row.request_id);
  members.text("credential_kind", row.credential_kind);
  members.text("credential_hint", row.credential_hint);
  members.number("credential_length", row.credential_length);
  members.number("upstream_status", row.upstream_status);
  members.text("upstream_request_id", row.upstream_request_id);
  members.text("outcome", row.outcome);
  members.text("error_type", row.error_type);
  members.text("error_message", row.error_message);
  members.number("attempts", row.attempts);
  members.number("first_byte_us", row.first_byte_us);
  members.number("request_bytes", row.request_bytes);
  members.number("response_bytes", row.response_bytes);
  members.text("node", row.node);
  members.number("input_tokens", row.input_tokens);
  members.number("output_tokens", row.output_tokens);
  members.number("cache_read_tokens", row.cache_read_tokens);
  members.number("cache_write_tokens", row.cache_write_tokens);
  out += '}';
  return out;
}

std::string facts_text(const record::Facts& facts) {
  const record::InterceptionRow& row = facts.interception;
  std::string out;
  const auto line = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) out += fmt::format("{:<14}{}\n", name, harmless(value));
  };
  line("id", row.id);
  line("request id", row.request_id == row.id ? "" : row.request_id);
  line("started", format_rfc3339(row.started_at));
  line("took", duration_of(row));
  line("first byte", row.first_byte_us ? format_span(*row.first_byte_us) : "");
  line("user", fmt::format("{} ({}), key {}", row.username, row.initiator_id, row.api_key_id));
  line("client", with_detail(row.client, row.user_agent));
  line("session", row.session_id);
  line("agent", row.parent_agent_id.empty() ? row.agent_id
                                            : fmt::format("{}, started by {}", row.agent_id, row.parent_agent_id));
  line("result of", row.correlating_tool_call_id);
  line("provider", fmt::format("{} {} {}", row.provider, row.route, row.model));
  line("credential",
       fmt::format("{} {} ({} bytes), {}{}, through {}", row.credential_kind, row.credential_hint,
                   row.credential_length, row.auth_mode, row.auth_delegated ? ", delegated" : "", row.source));
  line("outcome", outcome_of(row) + (row.error_message.empty() ? "" : ": " + row.error_message));
  line("upstream",
       with_detail(row.upstream_status ? std::to_string(*row.upstream_status) : "no answer", row.upstream_request_id) +
           fmt::format(", attempts {}", row.attempts));
  line("bytes",
       fmt::format("{} in, {} out{}", row.request_bytes, row.response_bytes, row.streaming ? ", streamed" : ""));
  for (const record::UsageRow& usage : facts.usages) {
    line("tokens", fmt::format("input {}, output {}, cache read {}, cache write {}{}", usage.input, usage.output,
                               usage.cache_read, usage.cache_write, usage.extra == "{}" ? "" : " " + usage.extra));
  }
  for (const record::PromptRow& prompt : facts.prompts) {
    out += fmt::format("\nprompt{}{}\n", cut_mark(prompt.truncated), indented(prompt.prompt));
  }
  for (const record::ThoughtRow& thought : facts.thoughts) {
    out += fmt::format("\n{}{}{}\n", harmless(thought.source), cut_mark(thought.truncated), indented(thought.content));
  }
  for (const record::ToolRow& tool : facts.tools) {
    out += fmt::format("\ntool {} {}{}{}\n", harmless(tool.tool), harmless(tool.tool_call_id), cut_mark(tool.truncated),
                       indented(tool.arguments));
  }
  out.pop_back();
  return out;
}

std::string facts_json(const record::Facts& facts) {
  std::string out = interception_json(facts.interception);
  out.pop_back();
  append_rows(out, "token_usages", facts.usages, [&](Members& members, const record::UsageRow& row) {
    members.text("response_id", row.response_id);
    members.number("input", row.input);
    members.number("output", row.output);
    members.number("cache_read", row.cache_read);
    members.number("cache_write", row.cache_write);
    mock::put(out, {",\"extra\":", row.extra.empty() ? "{}" : row.extra});
  });
  append_rows(out, "user_prompts", facts.prompts, [](Members& members, const record::PromptRow& row) {
    members.text("prompt", row.prompt);
    members.flag("truncated", row.truncated);
  });
  append_rows(out, "tool_usages", facts.tools, [](Members& members, const record::ToolRow& row) {
    members.text("response_id", row.response_id);
    members.text("tool_call_id", row.tool_call_id);
    members.text("tool", row.tool);
    members.text("arguments", row.arguments);
    members.flag("truncated", row.truncated);
  });
  append_rows(out, "model_thoughts", facts.thoughts, [](Members& members, const record::ThoughtRow& row) {
    members.text("source", row.source);
    members.text("content", row.content);
    members.flag("truncated", row.truncated);
  });
  out += '}';
  return out;
}

std::string interception_line(const record::InterceptionRow& row, Colour colour) {
  const std::string status = row.upstream_status ? std::to_string(*row.upstream_status) : "-";
  const std::string plain = harmless(fmt::format(
      "{}  {}  {}  {}  {} {}  ", format_moment(row.ended_at.value_or(row.started_at)).substr(11), row.username,
      row.provider, row.model.empty() ? "-" : row.model, row.credential_kind, row.credential_hint));
  const std::string outcome = harmless(outcome_of(row));
  const std::string rest = fmt::format("  {}  tokens {}  {}", status, tokens_of(row), duration_of(row));
  if (colour == Colour::off) return plain + outcome + rest;
  const std::string_view code = row.outcome == "completed"       ? "\x1b[32m"
                                : row.outcome == "gateway_error" ? "\x1b[31m"
                                                                 : "\x1b[33m";
  return fmt::format("{}{}{}\x1b[0m{}", plain, code, outcome, rest);
}

}  // namespace weir::cli
