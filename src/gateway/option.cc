#include "gateway/option.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/units.h"
#include "gateway/messages.h"
#include "wire/head.h"

namespace weir::gateway {

namespace {

template <class T>
struct Word {
  std::string_view word;
  T value;
};

constexpr Word<LogFormat> kLogFormats[] = {{"text", LogFormat::text}, {"json", LogFormat::json}};
constexpr Word<LogLevel> kLogLevels[] = {
    {"debug", LogLevel::debug}, {"info", LogLevel::info}, {"warn", LogLevel::warn}, {"error", LogLevel::error}};
constexpr Word<AuthorizerKind> kAuthorizerKinds[] = {
    {"store", AuthorizerKind::store}, {"http", AuthorizerKind::http}, {"none", AuthorizerKind::none}};
constexpr Word<ProviderType> kProviderTypes[] = {
    {"anthropic", ProviderType::anthropic}, {"openai", ProviderType::openai}, {"copilot", ProviderType::copilot}};
constexpr Word<SandboxMode> kSandboxModes[] = {
    {"off", SandboxMode::off}, {"on", SandboxMode::on}, {"required", SandboxMode::required}};
constexpr Word<SinkKind> kSinkKinds[] = {
    {"sqlite", SinkKind::sqlite}, {"jsonl", SinkKind::jsonl}, {"postgres", SinkKind::postgres}};
constexpr Word<Recording> kRecordings[] = {
    {"full", Recording::full}, {"length", Recording::length}, {"off", Recording::off}};

std::string shown(const Written& written, bool secret) {
  if (secret) return "not shown";
  switch (written.form) {
    case Written::Form::text:
      return fmt::format("\"{}\"", written.text);
    case Written::Form::integer:
    case Written::Form::boolean:
      return written.text;
    case Written::Form::list:
      return "a list";
    case Written::Form::pairs:
    case Written::Form::table:
      return "a table";
    case Written::Form::other:
      return written.text.empty() ? "of another type" : written.text;
  }
  std::unreachable();
}

struct Storer {
  const Written& written;
  Unit unit;
  uint64_t min;
  uint64_t max;
  Expect expect;
  bool secret;

  std::unexpected<Error> must_be(std::string_view what) const {
    return fail("must be {} (was {})", what, shown(written, secret));
  }
  bool is_text() const { return written.form == Written::Form::text; }

  Result<> operator()(std::string* field) const {
    if (!is_text()) return must_be("a text");
    const std::string_view wanted = expect == nullptr ? std::string_view() : expect(written.text);
    if (!wanted.empty()) return must_be(wanted);
    *field = written.text;
    return {};
  }

  Result<> operator()(std::vector<std::string>* field) const {
    if (written.form != Written::Form::list || !written.items_are_texts) {
      return must_be(R"(a list of texts such as ["a", "b"])");
    }
    for (const std::string& item : written.items) {
      const std::string_view wanted = expect == nullptr ? std::string_view() : expect(item);
      if (!wanted.empty()) return fail("must hold only {} (one was \"{}\")", wanted, item);
    }
    *field = written.items;
    return {};
  }

  Result<> operator()(std::vector<uint32_t>* field) const {
    if (written.form != Written::Form::list) return must_be("a list of numbers such as [0, 1]");
    std::vector<uint32_t> numbers;
    for (const std::string& item : written.items) {
      const auto number = whole_number(item);
      if (!number || *number < min || *number > max || (written.items_are_texts && !written.flag)) {
        return fail("must be a list of numbers {}..{} (one was \"{}\")", min, max, item);
      }
      numbers.push_back(static_cast<uint32_t>(*number));
    }
    *field = std::move(numbers);
    return {};
  }

  Result<> operator()(Pairs* field) const {
    if (written.form != Written::Form::pairs) return must_be(R"(a table of texts such as { "x-team" = "blue" })");
    field->insert(field->end(), written.pairs.begin(), written.pairs.end());
    return {};
  }

  Result<> operator()(bool* field) const {
    const bool readable = written.form == Written::Form::boolean || (written.flag && is_text());
    if (!readable || (written.text != "true" && written.text != "false")) return must_be("true or false");
    *field = written.text == "true";
    return {};
  }

  Result<> operator()(uint32_t* field) const {
    if (unit == Unit::bytes) {
      uint64_t size = 0;
      if (auto stored = (*this)(&size); !stored) return stored;
      *field = static_cast<uint32_t>(size);
      return {};
    }
    const auto number =
        written.form == Written::Form::integer || written.flag ? whole_number(written.text) : std::nullopt;
    if (!number || *number < min || *number > max) return must_be(fmt::format("a number {}..{}", min, max));
    *field = static_cast<uint32_t>(*number);
    return {};
  }

  Result<> operator()(uint64_t* field) const {
    const bool readable = is_text() || written.form == Written::Form::integer;
    if (unit == Unit::time) {
      const auto duration = readable ? parse_duration(written.text) : Result<uint64_t>(fail("not a text"));
      if (!duration || *duration < min || *duration > max) {
        return must_be(fmt::format("a duration {}..{} with its unit, such as \"30s\"", format_duration(min),
                                   format_duration(max)));
      }
      *field = *duration;
      return {};
    }
    if (unit == Unit::rate) {
      const auto rate = readable ? parse_rate(written.text) : Result<uint64_t>(fail("not a text"));
      if (!rate || *rate < min || *rate > max) {
        return must_be(fmt::format("a rate {}..{}, such as \"20/s\" or \"100/m\"", format_rate(min), format_rate(max)));
      }
      *field = *rate;
      return {};
    }
    const auto size = readable ? parse_size(written.text) : Result<uint64_t>(fail("not a text"));
    if (!size || *size < min || *size > max) {
      return must_be(fmt::format("{}..{}", format_size(min), format_size(max)));
    }
    *field = *size;
    return {};
  }

  Result<> operator()(LogFormat* field) const { return word(field, kLogFormats); }
  Result<> operator()(LogLevel* field) const { return word(field, kLogLevels); }
  Result<> operator()(AuthorizerKind* field) const { return word(field, kAuthorizerKinds); }
  Result<> operator()(ProviderType* field) const { return word(field, kProviderTypes); }
  Result<> operator()(SandboxMode* field) const { return word(field, kSandboxModes); }
  Result<> operator()(SinkKind* field) const { return word(field, kSinkKinds); }
  Result<> operator()(Recording* field) const { return word(field, kRecordings); }
  Result<> operator()(std::optional<Recording>* field) const { return word(field, kRecordings); }

  template <class Field, class T, size_t N>
  Result<> word(Field* field, const Word<T> (&words)[N]) const {
    std::array<std::string_view, N> known;
    for (size_t i = 0; i < N; ++i) {
      known[i] = words[i].word;
      if (!is_text() || words[i].word != written.text) continue;
      *field = words[i].value;
      return {};
    }
    return fail("must be {} (was {}){}", one_of(known), shown(written, secret),
                is_text() ? suggestion(written.text, known) : std::string());
  }

  static std::optional<uint64_t> whole_number(std::string_view text) {
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
    return number;
  }
};

}  // namespace

std::string_view text(SinkKind kind) {
  return std::ranges::find(kSinkKinds, kind, &Word<SinkKind>::value)->word;
}

std::optional<SinkKind> sink_kind(std::string_view word) {
  const auto* found = std::ranges::find(kSinkKinds, word, &Word<SinkKind>::word);
  return found != std::end(kSinkKinds) ? std::optional(found->value) : std::nullopt;
}

Result<> store(const Slot& slot, const Written& written, Unit unit, uint64_t min, uint64_t max, Expect expect,
               bool secret) {
  return std::visit(
      Storer{.written = written, .unit = unit, .min = min, .max = max, .expect = expect, .secret = secret}, slot);
}

}  // namespace weir::gateway
