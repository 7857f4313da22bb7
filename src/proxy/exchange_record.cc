// Records and log lines of an exchange.
#include <algorithm>
#include <utility>

#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/worker.h"

namespace weir::proxy {

record::ErrorType error_type_of(uint16_t status) {
  switch (status) {
    case 400:
    case 404:
    case 413:
    case 422:
      return record::ErrorType::bad_request;
    case 401:
    case 403:
      return record::ErrorType::unauthorized;
    case 429:
      return record::ErrorType::rate_limited;
    case 503:
    case 529:
      return record::ErrorType::overloaded;
    case 408:
    case 504:
      return record::ErrorType::timeout;
    default:
      return status >= 500 && status < 600 ? record::ErrorType::server_error : record::ErrorType::unknown;
  }
}

std::string length_only(uint64_t size) {
  return fmt::format("[{} bytes]", size);
}

namespace {

LogLevel refusal_level(gateway::Refusal refusal, bool probe) {
  const bool nothing_there = refusal == gateway::Refusal::no_authentication_key ||
                             refusal == gateway::Refusal::route_not_supported ||
                             refusal == gateway::Refusal::method_not_allowed;
  if (probe && nothing_there) return LogLevel::info;
  switch (gateway::row(refusal).fault) {
    case gateway::Fault::gateway:
      return LogLevel::error;
    case gateway::Fault::client:
    case gateway::Fault::policy:
    case gateway::Fault::upstream:
      return LogLevel::warn;
    case gateway::Fault::nobody:
      return LogLevel::info;
  }
  std::unreachable();
}

// What the headers say counts more than the body.
std::string_view session_of(const gateway::Caller& caller, const reader::RequestFacts& facts) {
  if (!caller.session_id.empty()) return caller.session_id;
  if (caller.claude_code && !facts.metadata_session_id.empty()) return facts.metadata_session_id;
  return facts.prompt_cache_key;
}

}  // namespace

// False: the journal has no room; nothing was written.
bool Exchange::journal_start(const gateway::Entry& entry, const gateway::Caller& caller) {
  const reader::RequestFacts& facts = worker_->request_facts();
  const std::string_view id(id_text_.data(), id_text_.size());
  record::Start start;
  start.id = id_;
  start.started_at = worker_->now_us();
  start.initiator_id = identity_.initiator_id();
  start.username = identity_.username();
  start.api_key_id = identity_.api_key_id();
  start.provider = provider_->name;
  start.provider_type = gateway::text(provider_->type);
  start.route = gateway::text(api_);
  start.model = facts.model;
  start.streaming = facts.streaming;
  start.client = caller.client;
  start.user_agent = caller.user_agent;
  start.session_id = session_of(caller, facts);
  start.agent_id = caller.agent_id;
  start.parent_agent_id = caller.parent_agent_id;
  start.correlating_tool_call_id = facts.correlating_tool_call_id;
  start.auth_mode = gateway::text(mode_);
  start.auth_delegated = entry.delegated;
  start.source = downstream_->listener().name;
  start.request_id = request_id_.empty() ? id : request_id_.view();
  start.credential_kind = gateway::text(credential_kind_);
  start.credential_hint = {hint_.data(), hint_size_};
  start.credential_length = credential_length_;
  start.request_bytes = request_bytes_;
  record::JournalWriter& journal = worker_->journal();
  if (!journal.begin(start)) return false;
  begun_ = true;
  if (facts.has_prompt && provider_->record.prompts != gateway::Recording::off) {
    const bool full = provider_->record.prompts == gateway::Recording::full;
    const std::string length = full ? std::string() : length_only(facts.prompt_size);
    journal.add(record::UserPrompt{.id = id_,
                                   .prompt = full ? std::string_view(facts.prompt) : std::string_view(length),
                                   .truncated = facts.prompt_truncated,
                                   .created_at = start.started_at});
  }
  return true;
}

void Exchange::on_usage(const reader::Usage& usage) {
  if (!begun_) return;
  worker_->journal().add(record::TokenUsage{.id = id_,
                                            .response_id = usage.response_id,
                                            .input = usage.input,
                                            .output = usage.output,
                                            .cache_read = usage.cache_read,
                                            .cache_write = usage.cache_write,
                                            .extra = usage.extra,
                                            .created_at = worker_->now_us()});
}

void Exchange::on_tool(const reader::Tool& tool) {
  if (!begun_ || provider_->record.tools == gateway::Recording::off) return;
  const bool full = provider_->record.tools == gateway::Recording::full;
  const std::string length = full ? std::string() : length_only(tool.arguments_size);
  worker_->journal().add(record::ToolUsage{.id = id_,
                                           .response_id = tool.response_id,
                                           .tool_call_id = tool.tool_call_id,
                                           .tool = tool.name,
                                           .arguments = full ? tool.arguments : std::string_view(length),
                                           .truncated = tool.truncated,
                                           .server_url = {},
                                           .error = {},
                                           .created_at = worker_->now_us()});
}

void Exchange::on_thought(const reader::Thought& thought) {
  if (!begun_ || provider_->record.thoughts == gateway::Recording::off) return;
  const bool full = provider_->record.thoughts == gateway::Recording::full;
  const std::string length = full ? std::string() : length_only(thought.content_size);
  worker_->journal().add(record::ModelThought{.id = id_,
                                              .source = thought.source,
                                              .content = full ? thought.content : std::string_view(length),
                                              .truncated = thought.truncated,
                                              .created_at = worker_->now_us()});
}

// The first reason wins.
void Exchange::fail_with(record::Outcome outcome, record::ErrorType type, std::string_view message) {
  if (failed_) return;
  failed_ = true;
  outcome_ = outcome;
  error_type_ = type;
  error_message_.set(message);
}

// The answer is complete: what its status says, if nothing else has been said.
void Exchange::judge_status() {
  if (upstream_status_ >= 400) fail_with(record::Outcome::upstream_error, error_type_of(upstream_status_), {});
  if (!failed_ && request_unreadable_ && error_type_ == record::ErrorType::none) {
    error_type_ = record::ErrorType::unreadable;
  }
}

void Exchange::record_end() {
  if (state_ == State::over) return;
  state_ = State::over;
  log_end();
  count_end();
  if (begun_) {
    worker_->journal().end({.id = id_,
                            .ended_at = worker_->now_us(),
                            .upstream_status = upstream_status_,
                            .upstream_request_id = upstream_request_id_.view(),
                            .outcome = outcome_,
                            .error_type = error_type_,
                            .error_message = error_message_.view(),
                            .attempts = attempts_,
                            .first_byte_us = first_byte_us_,
                            .response_bytes = response_bytes_});
  }
  worker_->release_later(*this);
}

void Exchange::count_end() {
  WorkerCounters& counters = worker_->count();
  counters.duration.add_ns(worker_->now_ns() - head_complete_ns_);
  if (refusal_ != gateway::Refusal::none && !failed_) {
    counters.exchanges_refused.add();
    return;
  }
  switch (outcome_) {
    case record::Outcome::completed:
      counters.exchanges_completed.add();
      return;
    case record::Outcome::upstream_error:
      counters.exchanges_upstream_error.add();
      return;
    case record::Outcome::client_disconnected:
      counters.exchanges_client_disconnected.add();
      return;
    case record::Outcome::gateway_error:
    case record::Outcome::interrupted:
      counters.exchanges_gateway_error.add();
      return;
  }
}

// --- the log ---

// Some of the answer was forwarded but not read. Told once for each exchange, with what tells whether one provider
// sends giants or the worker's memory for all is too small.
void Exchange::note_unread(uint32_t count) {
  const uint64_t total = worker_->count_unread_events(count);
  const std::string_view id(id_text_.data(), id_text_.size());
  worker_->log().log(LogLevel::warn, "events too large to be read",
                     {{"interception_id", id},
                      {"request_id", request_id_.empty() ? id : request_id_.view()},
                      {"provider", std::string_view(provider_->name)},
                      {"route", route_text_.view()},
                      {"events", count},
                      {"events_of_worker", total},
                      {"event_memory", worker_->event_memory().limit()},
                      {"event_memory_held", worker_->event_memory().held()}});
}

void Exchange::log_entry_refusal(const gateway::Entry& entry) {
  entry_logged_ = true;
  const gateway::RefusalRow& row = gateway::row(entry.refusal);
  // A probe must not hold back the line of a real request.
  LogThrottle& throttle = probe_ ? worker_->throttle(Noise::probe) : worker_->throttle(entry.refusal);
  const auto held_back = throttle.pass(worker_->now_ns());
  if (!held_back) return;
  worker_->log().log(
      refusal_level(entry.refusal, probe_),
      entry.log_message.empty() ? gateway::text_without_detail(row) : entry.log_message,
      {{"reason", row.symbol},
       {"status", row.status},
       {"detail", entry.detail},
       {"route", route_text_.view()},
       {"request_id", request_id_.empty() ? std::string_view(id_text_.data(), id_text_.size()) : request_id_.view()},
       {"source", downstream_->listener().name},
       {"client", downstream_->client_address()},
       {"held_back", *held_back}});
}

void Exchange::log_refusal(gateway::Refusal refusal, std::string_view detail) {
  const gateway::RefusalRow& row = gateway::row(refusal);
  if (failed_) return;  // an exchange that failed upstream has its own line at the end
  // What is told once for each user needs no throttle.
  const bool once = refusal == gateway::Refusal::websocket_not_supported;
  if (once && !worker_->first_websocket(identity_.initiator_id())) return;
  LogThrottle& throttle = probe_ ? worker_->throttle(Noise::probe) : worker_->throttle(refusal);
  const auto held_back = once ? std::optional<uint64_t>(0) : throttle.pass(worker_->now_ns());
  if (!held_back) return;
  const bool token_refused =
      refusal == gateway::Refusal::unauthorized || refusal == gateway::Refusal::credential_as_token;
  const LogLevel level = refusal_level(refusal, probe_);
  worker_->log().log(
      level, "request refused",
      {{"reason", row.symbol},
       {"status", row.status},
       {"detail", detail},
       {"provider", provider_ != nullptr ? std::string_view(provider_->name) : std::string_view()},
       {"route", route_text_.view()},
       {"request_id", request_id_.empty() ? std::string_view(id_text_.data(), id_text_.size()) : request_id_.view()},
       {"source", downstream_->listener().name},
       {"auth_mode", gateway::text(mode_)},
       {"auth_delegated", delegated_},
       {"initiator_id", identity_.initiator_id()},
       {"token_hint", token_refused ? std::string_view(hint_.data(), hint_size_) : std::string_view()},
       {"client", downstream_->client_address()},
       {"held_back", *held_back}});
}

// One line for each exchange that failed; for 401, 403 and 429 it tells whose credential it was (spec section 1).
void Exchange::log_end() {
  const bool credential_refused = upstream_status_ == 401 || upstream_status_ == 403 || upstream_status_ == 429;
  if (!failed_ && !credential_refused && !worker_->log().enabled(LogLevel::debug)) return;
  uint64_t held_back = 0;
  if (failed_ && refusal_ != gateway::Refusal::none) {  // no provider's answer, but a refusal: as of any other
    const auto pass = worker_->throttle(refusal_).pass(worker_->now_ns());
    if (!pass) return;
    held_back = *pass;
  }
  const std::string_view id(id_text_.data(), id_text_.size());
  const bool left = outcome_ == record::Outcome::client_disconnected;
  const LogLevel level = !failed_ && !credential_refused ? LogLevel::debug : left ? LogLevel::info : LogLevel::warn;
  const std::string_view message = credential_refused ? "provider refused the credential"
                                   : !failed_         ? "exchange completed"
                                   : left             ? "client disconnected"
                                                      : "exchange failed";
  worker_->log().log(level, message,
                     {{"interception_id", kind_ == gateway::RouteKind::bridged ? id : std::string_view()},
                      {"request_id", request_id_.empty() ? id : request_id_.view()},
                      {"provider", provider_ != nullptr ? std::string_view(provider_->name) : std::string_view()},
                      {"route", route_text_.view()},
                      {"status", upstream_status_},
                      {"outcome", record::text(outcome_)},
                      {"error_type", record::text(error_type_)},
                      {"provider_error", provider_error_.view()},
                      {"reason", error_message_.view()},
                      {"auth_mode", gateway::text(mode_)},
                      {"auth_delegated", delegated_},
                      {"source", downstream_->listener().name},
                      {"credential_kind", gateway::text(credential_kind_)},
                      {"credential_hint", std::string_view(hint_.data(), hint_size_)},
                      {"credential_length", credential_length_},
                      {"initiator_id", identity_.initiator_id()},
                      {"username", identity_.username()},
                      {"attempts", attempts_},
                      {"held_back", held_back}});
}

}  // namespace weir::proxy
