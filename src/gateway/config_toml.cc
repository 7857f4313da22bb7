// The TOML form of the configuration. The one file that includes toml++; it throws on malformed files, which is caught
// here.
#include <toml++/toml.h>

#include <algorithm>
#include <set>

#include "base/secret.h"
#include "base/whole_file.h"
#include "gateway/config.h"
#include "gateway/messages.h"
#include "gateway/option.h"
#include "gateway/rule.h"

namespace weir::gateway {

namespace {

uint32_t line_of(const toml::node& node) {
  return node.source().begin.line;
}
uint32_t line_of(const toml::key& key) {
  return key.source().begin.line;
}

std::string scalar_text(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* truth = node.as_boolean()) return truth->get() ? "true" : "false";
  return {};
}

// Keys in the order in which they were written: toml++ keeps them sorted.
std::vector<std::pair<const toml::key*, const toml::node*>> in_order(const toml::table& table) {
  std::vector<std::pair<const toml::key*, const toml::node*>> entries;
  for (auto&& [key, node] : table) entries.emplace_back(&key, &node);
  std::ranges::stable_sort(entries, {}, [](const auto& entry) {
    const auto& place = entry.first->source().begin;
    return std::pair(place.line, place.column);
  });
  return entries;
}

// The values of `set` and `add`: a text, or a list of texts for several headers of one name.
bool read_pairs(const toml::table& table, Pairs& pairs) {
  for (const auto& [key, node] : in_order(table)) {
    if (const auto* text = node->as_string()) {
      pairs.emplace_back(key->str(), text->get());
      continue;
    }
    const auto* list = node->as_array();
    if (list == nullptr) return false;
    for (const toml::node& item : *list) {
      const auto* text = item.as_string();
      if (text == nullptr) return false;
      pairs.emplace_back(key->str(), text->get());
    }
  }
  return true;
}

Written read_node(const toml::node& node) {
  Written written;
  written.text = scalar_text(node);
  switch (node.type()) {
    case toml::node_type::string:
      written.form = Written::Form::text;
      break;
    case toml::node_type::integer:
      written.form = Written::Form::integer;
      break;
    case toml::node_type::boolean:
      written.form = Written::Form::boolean;
      break;
    case toml::node_type::array:
      written.form = Written::Form::list;
      for (const toml::node& item : *node.as_array()) {
        written.items.push_back(scalar_text(item));
        written.items_are_texts = written.items_are_texts && item.is_string();
      }
      break;
    case toml::node_type::table:
      written.form = read_pairs(*node.as_table(), written.pairs) ? Written::Form::pairs : Written::Form::table;
      break;
    case toml::node_type::none:
    case toml::node_type::floating_point:
    case toml::node_type::date:
    case toml::node_type::time:
    case toml::node_type::date_time:
      written.form = Written::Form::other;
      break;
  }
  return written;
}

class Reader {
 public:
  Reader(std::string_view file, std::vector<std::string>& mistakes) : file_(file), mistakes_(mistakes) {}

  void read(const toml::table& root, Config& config) {
    config.file = file_;
    config.place = {.file = file_, .line = 0};
    config.authorizer.place = {.file = file_, .line = 0};
    if (const toml::node* authorizer = root.get("authorizer")) config.authorizer.place = place(line_of(*authorizer));
    read_array(root, "listener", config.listeners, [this](const toml::table& table) { return listener(table); });
    read_array(root, "provider", config.providers, [this](const toml::table& table) { return provider(table); });
    read_array(root, "rule", config.rules, [this](const toml::table& table) { return rule(table); });
    read_array(root, "sink", config.sinks, [this](const toml::table& table) { return sink(table); });
    walk(root, "", "", config_options(), config);
  }

 private:
  static constexpr std::string_view kArrays[] = {"listener", "provider", "rule", "sink"};

  Place place(uint32_t line) const { return {.file = file_, .line = line}; }

  template <class... Args>
  void mistake(uint32_t line, fmt::format_string<Args...> format, Args&&... args) {
    mistakes_.push_back(fmt::format("{}:{}: {}", file_, line, fmt::format(format, std::forward<Args>(args)...)));
  }

  template <class T, class ReadOne>
  void read_array(const toml::table& root, std::string_view name, std::vector<T>& all, ReadOne read_one) {
    const toml::node* node = root.get(name);
    if (node == nullptr) return;
    const auto* array = node->as_array();
    const bool tables =
        array != nullptr && std::ranges::all_of(*array, [](const toml::node& item) { return item.is_table(); });
    if (!tables) {
      mistake(line_of(*node), "{0} must be written [[{0}]], once for each", name);
      return;
    }
    all.clear();
    for (const toml::node& item : *array) all.push_back(read_one(*item.as_table()));
  }

  // `title` stands before keys in messages: "provider.".
  template <class T>
  void walk(const toml::table& table, const std::string& title, const std::string& prefix,
            std::span<const Option<T>> options, T& into) {
    for (const auto& [key, node] : in_order(table)) {
      const std::string path = prefix + std::string(key->str());
      if (title.empty() && std::ranges::find(kArrays, path) != std::end(kArrays)) continue;  // read_array()'s
      if (const Option<T>* option = find_option(options, path)) {
        into.place.keys.insert_or_assign(path, where(place(line_of(*key))));
        if (auto stored = store(*option, into, read_node(*node)); !stored) {
          mistake(line_of(*node), "{}{} {}", title, path, stored.error().message);
        }
        continue;
      }
      const bool has_parts =
          std::ranges::any_of(options, [&](const Option<T>& known) { return known.key.starts_with(path + "."); });
      if (has_parts && node->is_table()) {
        walk(*node->as_table(), title, path + ".", options, into);
      } else if (has_parts) {
        not_a_table(line_of(*node), title, path, options);
      } else {
        unknown_key(line_of(*key), title, path, option_keys(options));
      }
    }
  }

  template <class T>
  void not_a_table(uint32_t line, const std::string& title, const std::string& path,
                   std::span<const Option<T>> options) {
    std::vector<std::string_view> parts;
    for (const Option<T>& option : options) {
      if (option.key.starts_with(path + ".")) parts.push_back(option.key.substr(path.size() + 1));
    }
    // The value is not repeated: it may be a key that was written here by mistake.
    mistake(line, "{}{} must be a table with {}: {} = {{ {} = … }}", title, path, one_of(parts), path, parts.front());
  }

  void unknown_key(uint32_t line, const std::string& title, const std::string& path,
                   std::vector<std::string_view> known) {
    if (title.empty()) known.insert(known.end(), std::begin(kArrays), std::end(kArrays));
    // The names of tables, for a mistake in one of those.
    const bool top = path.find('.') == std::string::npos;
    for (size_t i = 0, count = known.size(); top && i < count; ++i) {
      if (const size_t dot = known[i].find('.'); dot != std::string_view::npos)
        known.push_back(known[i].substr(0, dot));
    }
    mistake(line, "unknown key {}{}{}", title, path, suggestion(path, known));
  }

  void require(const toml::table& table, std::string_view title, std::string_view key) {
    if (table.get(key) == nullptr) mistake(line_of(table), "[[{}]] needs {}", title, key);
  }

  ListenerConfig listener(const toml::table& table) {
    ListenerConfig result;
    result.place = place(line_of(table));
    require(table, "listener", "name");
    require(table, "listener", "address");
    walk(table, "listener.", "", listener_options(), result);
    if (result.address.empty()) result.address = kUnreadable;
    return result;
  }

  ProviderConfig provider(const toml::table& table) {
    const std::optional<std::string_view> name = table["name"].value<std::string_view>();
    const bool valid = name.has_value() && expect_provider_name(*name).empty();
    ProviderConfig result = provider_named(valid ? *name : std::string_view());
    result.place = place(line_of(table));
    require(table, "provider", "name");
    if (!is_default_name(result.name)) require(table, "provider", "type");
    walk(table, "provider.", "", provider_options(), result);
    return result;
  }

  static bool is_default_name(std::string_view name) {
    return std::ranges::any_of(default_config().providers,
                               [&](const ProviderConfig& known) { return known.name == name; });
  }

  RuleConfig rule(const toml::table& table) {
    RuleConfig result;
    result.place = place(line_of(table));
    require(table, "rule", "name");
    walk(table, "rule.", "", rule_options(), result);
    return result;
  }

  SinkConfig sink(const toml::table& table) {
    SinkConfig result;
    result.place = place(line_of(table));
    walk(table, "sink.", "", sink_options(), result);
    return result;
  }

  // A listener whose address could not be read has been told already; the checks across parts need not tell it again.
  static constexpr std::string_view kUnreadable = "127.0.0.1:0";

  std::string file_;
  std::vector<std::string>& mistakes_;
};

}  // namespace

Result<Config> parse_config(std::string_view toml, std::string_view file_name) {
  Config config = default_config();
  std::vector<std::string> mistakes;
  try {
    const toml::table root = toml::parse(toml, file_name);
    Reader(file_name, mistakes).read(root, config);
  } catch (const toml::parse_error& error) {
    return fail("{}:{}: not valid TOML: {}", file_name, error.source().begin.line, error.description());
  }
  find_contradictions(config, mistakes);
  if (auto result = all_mistakes(mistakes); !result) return std::unexpected(std::move(result.error()));
  return config;
}

namespace {

// What in the file looks like a secret; empty: nothing does. Operator keys cannot stand in it at all.
std::string secret_in(const Config& config) {
  for (const RuleConfig& rule : config.rules) {
    for (const Pairs* pairs : {&rule.set, &rule.add}) {
      for (const auto& [name, value] : *pairs) {
        if (!is_secret_header(name) || value.starts_with('{')) continue;
        if (!rule.response() && is_never_injected(name)) continue;  // the rule will be refused for that
        return fmt::format("{}: rule \"{}\" has a literal value for {}", where(rule.place), rule.name, name);
      }
    }
  }
  return {};
}

}  // namespace

Result<Config> load_config(const std::string& path) {
  auto text = read_whole_file(path);
  if (!text) {
    return fail("cannot read the configuration {}: {}; is the path right, and may this user read it?", path,
                text.error().message);
  }
  auto config = parse_config(*text, path);
  wipe(*text);
  if (!config) return config;
  if (const std::string secret = secret_in(*config); !secret.empty()) {
    if (auto good = check_private(path, "the configuration"); !good) {
      return fail("{}: {}, or take the secret out", secret, good.error().message);
    }
  }
  return config;
}

}  // namespace weir::gateway
