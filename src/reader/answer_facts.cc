#include "reader/answer_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

namespace weir::reader {
namespace {

// More than any answer has; beyond it nothing more is collected, and the answer is marked unreadable.
constexpr size_t kFactsMax = 1024;
// All of it goes into the journal in one step.
constexpr size_t kTextHeldMax = size_t{8} << 20;
// What a recycled reader keeps.
constexpr size_t kFactsKept = 32;
constexpr size_t kTextKept = 4096;
// So much text is part of what an exchange costs anyway; only what is beyond it is taken of the budget.
constexpr size_t kTextFree = size_t{64} * 1024;

constexpr std::array<std::string_view, kExtraCountMax> kExtraNames = {
    "cache_write_5m", "cache_write_1h", "web_search_requests", "reasoning",
    "input_audio",    "output_audio",   "accepted_prediction", "rejected_prediction",
};

// The providers' own words for an error, types and codes alike, and the status that they give it.
struct ErrorWord {
  std::string_view word;
  uint16_t status;
};
constexpr ErrorWord kErrorWords[] = {
    {"invalid_request_error", 400},
    {"context_length_exceeded", 400},
    {"invalid_prompt", 400},
    {"content_policy_violation", 400},
    {"image_parse_error", 400},
    {"bio_policy", 400},
    {"authentication_error", 401},
    {"invalid_api_key", 401},
    {"invalid_authentication", 401},
    {"token_expired", 401},
    {"billing_error", 402},
    {"permission_error", 403},
    {"permission_denied", 403},
    {"unsupported_country_region_territory", 403},
    {"not_found_error", 404},
    {"model_not_found", 404},
    {"conflict_error", 409},
    {"request_too_large", 413},
    {"unprocessable_entity_error", 422},
    {"rate_limit_error", 429},
    {"rate_limit_exceeded", 429},
    {"insufficient_quota", 429},
    {"usage_limit_reached", 429},
    {"billing_hard_limit_reached", 429},
    {"tokens", 429},
    {"requests", 429},
    {"api_error", 500},
    {"server_error", 500},
    {"internal_server_error", 500},
    {"internal_error", 500},
    {"service_unavailable", 503},
    {"service_unavailable_error", 503},
    {"server_is_overloaded", 503},
    {"slow_down", 503},
    {"engine_overloaded", 503},
    {"timeout_error", 504},
    {"vector_store_timeout", 504},
    {"overloaded_error", 529},
};

uint16_t status_of(const JsonValue& word) {
  if (word.is(JsonKind::number)) {
    const uint64_t status = count_of(word);
    return status >= 400 && status <= 599 ? static_cast<uint16_t>(status) : uint16_t{0};
  }
  char room[64];
  const std::string_view text = word.short_text(room);
  for (const ErrorWord& known : kErrorWords) {
    if (known.word == text) return known.status;
  }
  return 0;
}

void shrink(std::string& text) {
  if (text.capacity() > kTextKept) std::string().swap(text);
}

// What the budget knows of when so much text is held.
size_t counted_text(size_t held) {
  return held - std::min(held, kTextFree);
}

}  // namespace

void AnswerFacts::forget() {
  give_back();
  fact_count_ = 0;
  if (facts_.size() > kFactsKept) facts_ = std::vector<Fact>();
  for (Fact& fact : facts_) {
    shrink(fact.id);
    shrink(fact.name);
    shrink(fact.text.text);
  }
  if (items_.capacity() > kFactsKept) items_ = std::vector<uint64_t>();
  if (sorted_.capacity() > kFactsKept) sorted_ = std::vector<uint32_t>();
  items_.clear();
}

void AnswerFacts::reset(const AnswerSettings& settings) {
  forget();
  for (std::string* text : {&response_id, &error_type, &error_message}) {
    shrink(*text);
    text->clear();
  }
  budget_ = settings.budget;
  usage = {};
  choices.clear();
  message_ended = stream_ended = unreadable = failed = false;
  error_status = 0;
  unheld = 0;
  want_tools_ = settings.want_tools;
  want_thoughts_ = settings.want_thoughts;
}

Fact* AnswerFacts::add(Fact::Kind kind) {
  if (!(kind == Fact::Kind::tool ? want_tools_ : want_thoughts_)) return nullptr;
  if (fact_count_ == kFactsMax) {
    unreadable = true;
    return nullptr;
  }
  if (fact_count_ == facts_.size()) facts_.emplace_back();
  Fact& fact = facts_[fact_count_++];
  fact.kind = kind;
  fact.whole = fact.dropped = fact.provisional = false;
  fact.order = 0;
  fact.choice = fact.index = 0;
  fact.source = {};
  fact.id.clear();
  fact.name.clear();
  fact.text.clear();
  return &fact;
}

void AnswerFacts::append(Fact& fact, const JsonValue& value) {
  if (value.is(JsonKind::none) || value.is(JsonKind::null)) return;
  const size_t room = fact.text.truncated ? 0 : kTextMax - fact.text.text.size();
  // From here on only its size grows.
  if (!hold(std::min(value.raw.size(), room))) fact.text.truncated = true;
  if (value.is_string()) {
    append_unescaped(value.raw, fact.text);
  } else {
    fact.text.append(value.raw);
  }
}

void AnswerFacts::assign(std::string& text, const JsonValue& value) {
  if (value.is_string() && hold(std::min(value.raw.size(), kTextMax))) assign_unescaped(value.raw, text);
}

// Whether so much more text may be held; if not, the answer is not read whole.
bool AnswerFacts::hold(size_t more) {
  if (more <= kTextHeldMax - text_held_) {
    const size_t counted = counted_text(text_held_ + more) - counted_text(text_held_);
    if (counted == 0 || budget_ == nullptr || budget_->take(counted)) {
      text_held_ += more;
      return true;
    }
  }
  unreadable = true;
  ++unheld;
  return false;
}

void AnswerFacts::give_back() {
  if (budget_ != nullptr) budget_->give_back(counted_text(text_held_));
  text_held_ = 0;
}

void AnswerFacts::drop_all() {
  give_back();
  fact_count_ = 0;
  items_.clear();
}

void AnswerFacts::add_thought(std::string_view source, const JsonValue& text, uint32_t order) {
  if (!text.has_text()) return;
  Fact* const fact = add(Fact::Kind::thought);
  if (fact == nullptr) return;
  fact->source = source;
  fact->order = order;
  fact->whole = true;
  append(*fact, text);
}

uint32_t AnswerFacts::item_order(const JsonValue& output_index) {
  const bool known = output_index.is(JsonKind::number);
  const uint64_t index = known ? count_of(output_index) : UINT64_MAX;
  const auto found = known ? std::find(items_.begin(), items_.end(), index) : items_.end();
  const auto order = static_cast<uint32_t>(found - items_.begin());
  if (found != items_.end()) return order;
  if (items_.size() == kFactsMax) {
    unreadable = true;
    return kFactsMax;
  }
  items_.push_back(index);
  return order;
}

void AnswerFacts::set_response_id(const JsonValue& id) {
  if (id.has_text()) assign_unescaped(id.raw, response_id);
}

void AnswerFacts::set_error(const JsonValue& error) {
  JsonValue type, code, message;
  if (error.is_object()) {
    read_members(error, {{"type", &type}, {"code", &code}, {"message", &message}});
  } else {
    message = error;
  }
  set_error(type, code, message);
}

void AnswerFacts::set_error(const JsonValue& type, const JsonValue& code, const JsonValue& message) {
  failed = true;
  const bool typed = type.has_text() && !type.is_text("error");
  error_type.clear();
  error_message.clear();
  if (typed || code.has_text()) assign_unescaped(typed ? type.raw : code.raw, error_type);
  if (message.is_string()) assign_unescaped(message.raw, error_message);
  // The code is the more exact word: OpenAI calls a wrong key an invalid_request_error with code invalid_api_key.
  error_status = status_of(code);
  if (error_status == 0) error_status = status_of(type);
}

void AnswerFacts::emit_usage(RequestApi api, FactSink& sink) {
  if (!usage.reported) return;
  fmt::memory_buffer extra;
  extra.push_back('{');
  for (size_t i = 0; i < kExtraCountMax; ++i) {
    if (usage.extra[i] == 0) continue;
    fmt::format_to(std::back_inserter(extra), "{}\"{}\":{}", extra.size() > 1 ? "," : "", kExtraNames[i],
                   usage.extra[i]);
  }
  extra.push_back('}');
  // OpenAI counts the cached tokens among the input, Anthropic beside it.
  const uint64_t cached = api == RequestApi::messages ? 0 : usage.cache_read;
  sink.on_usage({.response_id = response_id,
                 .input = usage.input > cached ? usage.input - cached : 0,
                 .output = usage.output,
                 .cache_read = usage.cache_read,
                 .cache_write = usage.cache_write,
                 .extra = {extra.data(), extra.size()}});
}

void AnswerFacts::emit_fact(RequestApi api, const Fact& fact, FactSink& sink) {
  if (fact.kind == Fact::Kind::thought) {
    sink.on_thought({.source = fact.source,
                     .content = fact.text.text,
                     .truncated = fact.text.truncated,
                     .content_size = fact.text.size});
    return;
  }
  const bool without_input = api == RequestApi::messages && fact.text.size == 0;
  const std::string_view arguments = without_input ? std::string_view("{}") : std::string_view(fact.text.text);
  sink.on_tool({.response_id = response_id,
                .tool_call_id = fact.id,
                .name = fact.name,
                .arguments = arguments,
                .truncated = fact.text.truncated,
                .arguments_size = without_input ? arguments.size() : fact.text.size});
}

void AnswerFacts::emit(RequestApi api, FactSink& sink) {
  emit_usage(api, sink);
  sorted_.clear();
  for (size_t i = 0; i < fact_count_; ++i) {
    const Fact& fact = facts_[i];
    const bool empty_thought = fact.kind == Fact::Kind::thought && fact.text.size == 0;
    if (!fact.dropped && (fact.whole || message_ended) && !empty_thought) sorted_.push_back(static_cast<uint32_t>(i));
  }
  std::sort(sorted_.begin(), sorted_.end(), [this](uint32_t a, uint32_t b) {
    return facts_[a].order != facts_[b].order ? facts_[a].order < facts_[b].order : a < b;
  });
  for (size_t i = 0; i < sorted_.size(); ++i) {
    const Fact& fact = facts_[sorted_[i]];
    // An item that was reported in two places is one tool use (spec section 5: "by call_id").
    const auto same_call = [&](uint32_t earlier) {
      return facts_[earlier].kind == Fact::Kind::tool && facts_[earlier].id == fact.id;
    };
    const bool again = api == RequestApi::responses && fact.kind == Fact::Kind::tool && !fact.id.empty() &&
                       std::any_of(sorted_.begin(), sorted_.begin() + static_cast<ptrdiff_t>(i), same_call);
    if (!again) emit_fact(api, fact, sink);
  }
}

size_t AnswerFacts::memory() const {
  size_t total = facts_.capacity() * sizeof(Fact) + items_.capacity() * sizeof(uint64_t) +
                 sorted_.capacity() * sizeof(uint32_t) + response_id.capacity() + error_type.capacity() +
                 error_message.capacity();
  for (const Fact& fact : facts_) total += fact.id.capacity() + fact.name.capacity() + fact.text.text.capacity();
  return total;
}

}  // namespace weir::reader
