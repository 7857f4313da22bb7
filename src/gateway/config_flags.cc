// Flags: every key of the file, set one at a time over what the file said.
#include <algorithm>

#include "gateway/config.h"
#include "gateway/messages.h"
#include "gateway/option.h"

namespace weir::gateway {

namespace {

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    std::string_view item = text.substr(0, comma);
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    if (!item.empty()) items.emplace_back(item);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return items;
}

// A flag's value is text; the type of the field says what is meant.
Written written_flag(const Slot& slot, std::string_view value) {
  Written written;
  written.flag = true;
  written.text = value;
  const bool list =
      std::holds_alternative<std::vector<std::string>*>(slot) || std::holds_alternative<std::vector<uint32_t>*>(slot);
  if (list) {
    written.form = Written::Form::list;
    written.items = split_list(value);
  }
  const size_t equals = value.find('=');
  if (std::holds_alternative<Pairs*>(slot) && equals != std::string_view::npos) {
    written.form = Written::Form::pairs;
    written.pairs.emplace_back(value.substr(0, equals), value.substr(equals + 1));
  }
  return written;
}

template <class T>
Result<> store_flag(const Option<T>& option, T& into, std::string_view value, std::string_view place) {
  if (auto stored = store(option, into, written_flag(option.slot(into), value)); !stored) {
    return fail("{} {}", place, stored.error().message);
  }
  into.place.keys.insert_or_assign(std::string(option.key), std::string(place));
  return {};
}

// "public.address" or "tag the team.when.route": the key is the longest known end, the name what stands before it.
template <class T>
const Option<T>* split_name(std::span<const Option<T>> options, std::string_view text, std::string_view& name) {
  const Option<T>* found = nullptr;
  for (const Option<T>& option : options) {
    if (text.size() < option.key.size() + 2 || !text.ends_with(option.key)) continue;
    if (text[text.size() - option.key.size() - 1] != '.') continue;
    if (found == nullptr || option.key.size() > found->key.size()) found = &option;
  }
  if (found != nullptr) name = text.substr(0, text.size() - found->key.size() - 1);
  return found;
}

template <class T, class Named, class Make>
Result<> store_named(std::span<const Option<T>> options, std::vector<T>& all, Named named, Make make,
                     std::string_view text, std::string_view value, std::string_view place) {
  std::string_view name;
  const Option<T>* option = split_name(options, text, name);
  if (option == nullptr) {
    const size_t dot = text.find('.');
    const auto keys = option_keys(options);
    return fail("{} is not known; it takes a name and one of {}{}", place, one_of(keys),
                dot == std::string_view::npos ? std::string() : suggestion(text.substr(dot + 1), keys));
  }
  auto existing = std::ranges::find_if(all, [&](const T& item) { return named(item) == name; });
  if (existing != all.end()) return store_flag(*option, *existing, value, place);
  T made = make(name);
  if (auto stored = store_flag(*option, made, value, place); !stored) return stored;
  all.push_back(std::move(made));
  return {};
}

Place flag_place(std::string_view place) {
  return {.file = std::string(place), .line = 0};
}

template <class T>
void list_options(std::string_view prefix, std::span<const Option<T>> options, std::vector<OptionText>& texts) {
  T scratch;
  for (const Option<T>& option : options) {
    texts.push_back({.key = fmt::format("{}{}", prefix, option.key),
                     .help = option.help,
                     .is_switch = std::holds_alternative<bool*>(option.slot(scratch))});
  }
}

}  // namespace

Result<> set_option(Config& config, std::string_view key, std::string_view value, std::string_view place) {
  const auto below = [&](std::string_view prefix) { return key.substr(prefix.size()); };
  if (key.starts_with("listener.")) {
    const auto make = [&](std::string_view name) {
      ListenerConfig made;
      made.name = name;
      made.place = flag_place(place);
      return made;
    };
    const auto named = [](const ListenerConfig& item) -> std::string_view { return item.name; };
    return store_named(listener_options(), config.listeners, named, make, below("listener."), value, place);
  }
  if (key.starts_with("provider.")) {
    const auto make = [&](std::string_view name) {
      ProviderConfig made = provider_named(name);
      made.place = flag_place(place);
      return made;
    };
    const auto named = [](const ProviderConfig& item) -> std::string_view { return item.name; };
    return store_named(provider_options(), config.providers, named, make, below("provider."), value, place);
  }
  if (key.starts_with("rule.")) {
    const auto make = [&](std::string_view name) {
      RuleConfig made;
      made.name = name;
      made.place = flag_place(place);
      return made;
    };
    const auto named = [](const RuleConfig& item) -> std::string_view { return item.name; };
    const bool writes = key.ends_with(".set") || key.ends_with(".add");
    if (writes && is_secret_header(value.substr(0, value.find('='))) && value.find("={") == std::string_view::npos) {
      return fail(
          "{} would be a secret on the command line, which every user of this machine can read; write the rule "
          "into the configuration file",
          place);
    }
    return store_named(rule_options(), config.rules, named, make, below("rule."), value, place);
  }
  if (key.starts_with("sink.")) {
    const auto make = [&](std::string_view name) {
      SinkConfig made;
      made.name = name;
      made.kind = sink_kind(name).value_or(SinkKind::sqlite);
      made.place = flag_place(place);
      return made;
    };
    const auto named = [](const SinkConfig& item) { return sink_name(item); };
    return store_named(sink_options(), config.sinks, named, make, below("sink."), value, place);
  }
  const Option<Config>* option = find_option(config_options(), key);
  if (option == nullptr) {
    // "providers.openai.base_url": the name of an array of tables is what is wrong.
    constexpr std::string_view kArrays[] = {"listener", "provider", "rule", "sink"};
    const size_t dots = static_cast<size_t>(std::ranges::count(key, '.'));
    return fail(
        "{} is not known{}", place,
        dots > 1 ? suggestion(key.substr(0, key.find('.')), kArrays) : suggestion(key, option_keys(config_options())));
  }
  if (key.starts_with("authorizer.")) config.authorizer.place = flag_place(place);
  return store_flag(*option, config, value, place);
}

std::vector<OptionText> option_texts() {
  std::vector<OptionText> texts;
  list_options("", config_options(), texts);
  list_options("listener.*.", listener_options(), texts);
  list_options("provider.*.", provider_options(), texts);
  list_options("rule.*.", rule_options(), texts);
  list_options("sink.*.", sink_options(), texts);
  return texts;
}

}  // namespace weir::gateway
