#include "load/scenario.h"

#include <toml++/toml.h>

#include <filesystem>

#include "base/units.h"

namespace weir::load {

namespace {

Result<> read_duration(const toml::node& node, std::string_view key, uint64_t& out) {
  const auto text = node.value<std::string>();
  const auto read = text ? parse_duration(*text) : Result<uint64_t>(fail("must be a duration such as \"10ms\""));
  if (!read) return fail("{}: {}", key, read.error().message);
  out = *read;
  return {};
}

template <class Number>
Result<> read_number(const toml::node& node, std::string_view key, Number& out) {
  const auto number = node.value<Number>();
  if (!number || *number < Number{}) return fail("{} must be a number, 0 or more", key);
  out = *number;
  return {};
}

Result<> read_flag(const toml::node& node, std::string_view key, bool& out) {
  if (!node.is_boolean()) return fail("{} must be true or false", key);
  out = *node.value<bool>();
  return {};
}

Result<> read_api(const toml::node& node, Api& out) {
  const std::string text = node.value_or(std::string());
  if (text == "messages") return out = Api::messages, Result<>();
  if (text == "chat") return out = Api::chat, Result<>();
  if (text == "responses") return out = Api::responses, Result<>();
  return fail("api must be messages, chat or responses");
}

// True: the key is one of a kind of request.
Result<bool> read_request_key(std::string_view key, const toml::node& node, RequestKind& kind) {
  Result<> read;
  if (key == "weight") {
    read = read_number(node, key, kind.weight);
  } else if (key == "api") {
    read = read_api(node, kind.api);
  } else if (key == "stream") {
    read = read_flag(node, key, kind.stream);
  } else if (key == "separate") {
    read = read_flag(node, key, kind.separate);
  } else if (key == "stamped") {
    read = read_flag(node, key, kind.stamped);
  } else if (key == "prompt_bytes") {
    read = read_number(node, key, kind.prompt_bytes);
  } else if (key == "events") {
    read = read_number(node, key, kind.events);
  } else if (key == "event_bytes") {
    read = read_number(node, key, kind.event_bytes);
  } else if (key == "status") {
    read = read_number(node, key, kind.status);
  } else if (key == "gap") {
    read = read_duration(node, key, kind.gap_ns);
  } else if (key == "delay") {
    read = read_duration(node, key, kind.delay_ns);
  } else {
    return false;
  }
  if (!read) return std::unexpected(read.error());
  return true;
}

Result<> read_mode(const toml::node& node, bool& open_loop) {
  const std::string text = node.value_or(std::string());
  if (text != "open" && text != "closed") return fail("mode must be open or closed");
  open_loop = text == "open";
  return {};
}

Result<> read_top_key(std::string_view key, const toml::node& node, Scenario& scenario) {
  if (key == "description") return scenario.description = node.value_or(std::string()), Result<>();
  if (key == "connections") return read_number(node, key, scenario.connections);
  if (key == "mode") return read_mode(node, scenario.open_loop);
  if (key == "rate") return read_number(node, key, scenario.rate);
  if (key == "seconds") return read_number(node, key, scenario.seconds);
  if (key == "warm_up") return read_number(node, key, scenario.warm_up);
  if (key == "new_connections") return read_flag(node, key, scenario.new_connections);
  if (key == "tls") return read_flag(node, key, scenario.tls);
  return fail("{} is nothing that a scenario has", key);
}

Result<> read_table(const toml::table& table, Scenario& scenario, RequestKind& common) {
  for (const auto& [key, node] : table) {
    if (key.str() == "request") continue;
    auto of_request = read_request_key(key.str(), node, common);
    if (!of_request) return std::unexpected(of_request.error());
    if (*of_request) continue;
    if (auto read = read_top_key(key.str(), node, scenario); !read) return read;
  }
  return {};
}

Result<> read_requests(const toml::table& table, const RequestKind& common, Scenario& scenario) {
  const toml::array* const list = table["request"].as_array();
  if (list == nullptr) return scenario.requests.push_back(common), Result<>();
  for (const toml::node& element : *list) {
    RequestKind kind = common;
    if (!element.is_table()) return fail("request must be [[request]] tables");
    for (const auto& [key, node] : *element.as_table()) {
      auto known = read_request_key(key.str(), node, kind);
      if (!known) return std::unexpected(known.error());
      if (!*known) return fail("{} is nothing that a [[request]] has", key.str());
    }
    scenario.requests.push_back(kind);
  }
  return {};
}

Result<Scenario> read_text(std::string_view text, const std::vector<std::string>& overrides) {
  toml::table table = toml::parse(text);
  for (const std::string& override : overrides) {
    toml::table laid_over = toml::parse(override);
    for (auto&& [key, node] : laid_over) table.insert_or_assign(key, node);
  }
  Scenario scenario;
  RequestKind common;
  if (auto read = read_table(table, scenario, common); !read) return std::unexpected(read.error());
  if (auto read = read_requests(table, common, scenario); !read) return std::unexpected(read.error());
  if (scenario.requests.empty() || scenario.connections == 0) return fail("no requests or no connections");
  if (scenario.open_loop && scenario.rate <= 0) return fail("mode \"open\" needs a rate");
  return scenario;
}

}  // namespace

Result<Scenario> read_scenario(const std::string& path, const std::vector<std::string>& overrides) {
  try {
    const toml::table whole = toml::parse_file(path);
    std::ostringstream text;
    text << whole;
    auto scenario = read_text(text.str(), overrides);
    if (!scenario) return fail("{}: {}", path, scenario.error().message);
    scenario->name = std::filesystem::path(path).stem().string();
    return scenario;
  } catch (const toml::parse_error& error) {
    return fail("{}:{}: {}", path, error.source().begin.line, error.description());
  }
}

}  // namespace weir::load
