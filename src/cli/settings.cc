#include "cli/settings.h"

#include <algorithm>

namespace weir::cli {

namespace {

// "NAME=ADDRESS" or "ADDRESS". The listeners that are named replace the file's; one that the file knows keeps its
// certificate and its trust, so that a flag can move it to another port.
Result<> apply_listen(const std::vector<std::string>& texts, gateway::Config& config) {
  if (texts.empty()) return {};
  const std::vector<gateway::ListenerConfig> known = std::move(config.listeners);
  config.listeners.clear();
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    std::string name;
    if (equals != std::string::npos) {
      name = text.substr(0, equals);
    } else {
      const size_t number = config.listeners.size();
      name = number == 0 ? "public" : fmt::format("public{}", number + 1);
    }
    const auto same = [&](const gateway::ListenerConfig& listener) { return listener.name == name; };
    if (std::ranges::any_of(config.listeners, same)) return fail("--listen: two listeners are named {}", name);
    if (const auto found = std::ranges::find_if(known, same); found != known.end()) config.listeners.push_back(*found);
    const std::string address = equals == std::string::npos ? text : text.substr(equals + 1);
    if (auto set = gateway::set_option(config, fmt::format("listener.{}.address", name), address, "--listen"); !set) {
      return set;
    }
  }
  return {};
}

}  // namespace

Result<gateway::Config> read_settings(const Arguments& arguments, const gateway::Config& defaults) {
  Result<gateway::Config> config =
      arguments.config_file.empty() ? Result<gateway::Config>(defaults) : gateway::load_config(arguments.config_file);
  if (!config) return config;
  for (const Setting& setting : arguments.settings) {
    if (auto set = gateway::set_option(*config, setting.key, setting.value, setting.flag); !set) {
      return std::unexpected(set.error());
    }
  }
  if (auto set = apply_listen(arguments.listen, *config); !set) return std::unexpected(set.error());
  if (auto good = gateway::check_config(*config); !good) return std::unexpected(good.error());
  return config;
}

Result<gateway::Config> read_settings(const Arguments& arguments) {
  return read_settings(arguments, gateway::default_config());
}

}  // namespace weir::cli
