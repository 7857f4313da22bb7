// `weir rules explain`: what becomes of each header, and which rule says so. Reads the same rules that the programs
// were compiled from, in the order in which they apply.
#include <algorithm>

#include "gateway/caller.h"
#include "gateway/messages.h"
#include "gateway/policy.h"
#include "gateway/ruleset_impl.h"

namespace weir::gateway {

namespace {

struct Line {
  std::string header;
  std::string what;
  std::string rule;
};

std::string rule_text(const Rule& rule) {
  std::string clients;
  if (rule.clients != kAllClients) clients = fmt::format(", only for {}", rule.config.when.client);
  return fmt::format("{} ({}){}", rule.config.name, where(rule.config.place), clients);
}

// A later strip takes back what an earlier rule wrote: such a line would tell an untruth.
void take_back(std::vector<Line>& written, std::string_view pattern, const Rule& rule) {
  if (rule.clients != kAllClients) return;
  std::erase_if(written, [&](const Line& line) { return pattern_matches(pattern, line.header); });
}

void explain_rule(const Policy& policy, const ProgramKey& key, const Rule& rule, std::vector<Line>& stripped,
                  std::vector<Line>& written) {
  for (const std::string& pattern : rule.config.strip) {
    take_back(written, pattern, rule);
    const bool named = pattern == kConnectionNamed;
    stripped.push_back({named ? "(named by Connection)" : pattern, "stripped", rule_text(rule)});
  }
  if (!rule.config.keep.empty()) {
    const auto headers = credential_headers(policy, key);
    for (const std::string_view header : headers) {
      written.push_back({std::string(header),
                         fmt::format("kept where it stands: the user's own credential{}{}",
                                     header == headers.front() ? "" : ", if it is not in ",
                                     header == headers.front() ? "" : headers.front()),
                         rule_text(rule)});
    }
  }
  for (const auto& [name, value] : rule.config.set) {
    take_back(written, name, rule);
    written.push_back({name, fmt::format("set to {}", value), rule_text(rule)});
  }
  for (const auto& [name, value] : rule.config.add) {
    written.push_back({name, fmt::format("added: {}", value), rule_text(rule)});
  }
}

void print(std::string_view title, const std::vector<Line>& stripped, const std::vector<Line>& written,
           std::string& out) {
  size_t header_width = 0;
  size_t what_width = 0;
  const auto measure = [&](const std::vector<Line>& lines) {
    for (const Line& line : lines) {
      header_width = std::max(header_width, line.header.size());
      what_width = std::max(what_width, line.what.size());
    }
  };
  measure(stripped);
  measure(written);
  fmt::format_to(std::back_inserter(out), "{}\n", title);
  const auto print_lines = [&](const std::vector<Line>& lines) {
    for (const Line& line : lines) {
      fmt::format_to(std::back_inserter(out), "  {:<{}}  {:<{}}  {}\n", line.header, header_width, line.what,
                     what_width, line.rule);
    }
  };
  print_lines(stripped);
  print_lines(written);
  fmt::format_to(std::back_inserter(out), "  {:<{}}  unchanged, in order and byte for byte\n", "(every other)",
                 header_width);
}

}  // namespace

std::string Ruleset::explain(const Policy& policy, const ProgramKey& key) const {
  const Provider& provider = *policy.providers[key.provider_index];
  std::string out = fmt::format("provider {} ({}), auth {}, route {}{}{}, credential {}\n", provider.name,
                                text(provider.type), text(key.mode), text(key.kind), key.api == Api::none ? "" : " ",
                                text(key.api), key.credential == CredentialKind::none ? "none" : text(key.credential));
  for (const bool response : {false, true}) {
    std::vector<Line> stripped;
    std::vector<Line> written;
    for (const Rule& rule : impl_->rules) {
      if (rule.config.response() != response || !applies(policy, rule.config.when, key)) continue;
      explain_rule(policy, key, rule, stripped, written);
    }
    print(response ? "answer, from the provider to the client" : "request, from the client to the provider", stripped,
          written, out);
  }
  return out;
}

}  // namespace weir::gateway
