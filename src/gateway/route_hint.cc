#include "gateway/route_hint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <tuple>
#include <vector>

#include "base/utf8.h"
#include "gateway/messages.h"

namespace weir::gateway {

namespace {

// Longer ones are nobody's misspelt route.
constexpr size_t kPathSizeMax = 512;
constexpr size_t kSegmentCountMax = 12;
constexpr size_t kHostSizeMax = 255;

// --- other APIs ---

struct ForeignApi {
  std::string_view name;
  std::string_view part;  // of its paths
};
constexpr ForeignApi kForeignParts[] = {
    {"Vertex AI", ":rawPredict"},
    {"Vertex AI", ":streamRawPredict"},
    {"Gemini", ":generateContent"},
    {"Gemini", ":streamGenerateContent"},
    {"Gemini", ":countTokens"},
    {"Gemini", ":embedContent"},
    {"Gemini", "/v1beta/"},
    {"Gemini", "/v1alpha/"},
    {"Azure OpenAI", "/openai/deployments/"},
};
constexpr ForeignApi kForeignEnds[] = {
    {"Ollama", "/api/chat"}, {"Ollama", "/api/generate"}, {"Ollama", "/api/embed"},
    {"Ollama", "/api/show"}, {"Ollama", "/api/tags"},
};
constexpr std::string_view kBedrockEnds[] = {"/invoke", "/invoke-with-response-stream", "/converse",
                                             "/converse-stream"};

// --- paths ---

using Segments = std::vector<std::string_view>;

// Empty segments are left out: a base URL with a slash at its end gives "/anthropic//v1/messages".
Segments split(std::string_view path) {
  Segments segments;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    if (slash != 0) segments.push_back(path.substr(0, slash));
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  }
  return segments;
}

// How far one word is from another, if it may be a misspelling of it; "v1" is none of "v2".
std::optional<size_t> misspelling(std::string_view word, std::string_view meant) {
  if (wire::equals_ignoring_case(word, meant)) return word == meant ? 0 : 1;
  const size_t far = meant.size() >= 8 ? 2 : meant.size() >= 4 ? 1 : 0;
  if (word.size() > meant.size() + far || meant.size() > word.size() + far || far == 0) return std::nullopt;
  // Two letters changed places, the most common slip, are two edits.
  const size_t distance = edit_distance(word, meant);
  if (distance <= far) return distance;
  return distance == 2 && word.size() == meant.size() && std::ranges::is_permutation(word, meant)
             ? std::optional<size_t>(distance)
             : std::nullopt;
}

// A route that the path may have meant, and how well it fits.
struct Candidate {
  KnownRoute route;
  ProviderType type = ProviderType::openai;
  const RoutePrefix* provider = nullptr;
  size_t edits = 0;         // in the route's own segments
  size_t name_penalty = 0;  // 0: its provider is named; 1: nearly; 2: not at all
  size_t preference = 0;    // of APIs that both have the path
  size_t size = 0;          // segments of the path that are the route's own
  size_t versions = 0;      // how often "v1" stands before them
  std::string_view rest;    // of a subtree's path: what follows

  auto rank() const { return std::tuple(edits, name_penalty, kSegmentCountMax - size, preference); }
};

struct Named {
  const RoutePrefix* provider = nullptr;
  size_t penalty = 2;
  size_t distance = SIZE_MAX;
  size_t index = 0;  // of the segment that names it
};

// The provider of this type that the segments name, exactly or nearly; else the type's first.
Named find_provider(const RouteTable& routes, ProviderType type, std::span<const std::string_view> head) {
  Named named;
  for (const RoutePrefix& prefix : routes.prefixes()) {
    const Provider& provider = *prefix.provider;
    if (provider.type != type) continue;
    // A subscription's backend takes no central key: it is nobody's default.
    const bool better = named.provider != nullptr && named.penalty == 2 && named.provider->provider->chatgpt_backend;
    if (named.provider == nullptr || (better && !provider.chatgpt_backend)) named.provider = &prefix;
    for (size_t i = 0; i < head.size(); ++i) {
      const auto distance = misspelling(head[i], provider.name);
      if (!distance || *distance >= named.distance) continue;
      named = {.provider = &prefix, .penalty = *distance == 0 ? 0u : 1u, .distance = *distance, .index = i};
    }
  }
  return named;
}

struct Fit {
  size_t begin = 0;  // of the route's own segments in the path
  size_t edits = 0;
};

// Whether the path ends with the route's own segments; of a subtree: has them, and something behind.
std::optional<Fit> fit(const Segments& path, std::span<const std::string_view> own, bool subtree) {
  if (path.size() < own.size() + (subtree ? 1 : 0)) return std::nullopt;
  if (subtree) {
    for (size_t begin = path.size() - own.size(); begin-- > 0;) {
      if (std::ranges::equal(own, std::span(path).subspan(begin, own.size()))) return Fit{.begin = begin, .edits = 0};
    }
    return std::nullopt;
  }
  Fit found{.begin = path.size() - own.size(), .edits = 0};
  for (size_t i = 0; i < own.size(); ++i) {
    const auto distance = misspelling(path[found.begin + i], own[i]);
    if (!distance) return std::nullopt;
    found.edits += *distance;
  }
  return found;
}

// Segments before the route's own that are neither a version nor the provider. Behind the provider's name there may be
// none: "/openai/v1/fine_tuning/models" is another route of the provider's. Before it may be a prefix that somebody
// made up.
size_t strangers(std::span<const std::string_view> head, const Named& named) {
  const auto counted = named.penalty < 2 ? head.subspan(named.index + 1) : head;
  return static_cast<size_t>(std::ranges::count_if(counted, [](std::string_view segment) { return segment != "v1"; }));
}
size_t strangers_max(const Named& named, bool distinct) {
  return named.penalty == 2 && distinct ? 1 : 0;
}

std::optional<Candidate> judge(const RouteTable& routes, ProviderType type, const KnownRoute& route,
                               const Segments& path) {
  const Segments whole = split(route.path);
  std::span<const std::string_view> own(whole);
  if (own.front() == "v1") own = own.subspan(1);
  const bool subtree = route.path.ends_with('/');
  const auto found = fit(path, own, subtree);
  if (!found) return std::nullopt;

  const auto head = std::span(path).first(found->begin);
  const Named named = find_provider(routes, type, head);
  if (named.provider == nullptr) return std::nullopt;
  // "/mcp" and "/.well-known" are many programs' paths.
  if (type == ProviderType::copilot && named.penalty == 2) return std::nullopt;
  Candidate candidate{.route = route,
                      .type = type,
                      .provider = named.provider,
                      .edits = found->edits,
                      .name_penalty = named.penalty,
                      .preference = 0,
                      .size = own.size(),
                      .versions = static_cast<size_t>(std::ranges::count(head, std::string_view("v1"))),
                      .rest = {}};
  if (strangers(head, named) > strangers_max(named, route.bridged || own.size() > 1)) return std::nullopt;
  if (subtree) {
    const std::string_view first_of_rest = path[found->begin + own.size()];
    candidate.rest = {first_of_rest.data(), path.back().data() + path.back().size()};
  }
  return candidate;
}

std::optional<Candidate> nearest(const RouteTable& routes, const Segments& path, bool anthropic_client) {
  std::optional<Candidate> best;
  for (const ProviderType type : {ProviderType::anthropic, ProviderType::openai, ProviderType::copilot}) {
    for (const KnownRoute& route : known_routes(type)) {
      auto candidate = judge(routes, type, route, path);
      if (!candidate) continue;
      candidate->preference = (type == ProviderType::anthropic) == anthropic_client ? 0 : 1;
      if (!best || candidate->rank() < best->rank()) best = candidate;
    }
  }
  return best;
}

// What a client that builds its paths as this one does must be told as its base URL. OpenAI's clients append
// "/chat/completions" to a base URL with "/v1"; Anthropic's append "/v1/messages", some of others "/messages" alone.
std::string base_path(const Candidate& candidate) {
  std::string path = candidate.provider->text;
  if (candidate.type == ProviderType::openai) {
    if (candidate.versions > 1) path.resize(path.size() - std::string_view("/v1").size());
  } else if (candidate.route.path.starts_with("/v1/") && candidate.versions == 0) {
    path += "/v1";
  }
  return path;
}

}  // namespace

std::string_view foreign_api(std::string_view path) {
  if (path.size() > kPathSizeMax) return {};
  for (const ForeignApi& api : kForeignParts) {
    if (path.find(api.part) != std::string_view::npos) return api.name;
  }
  for (const ForeignApi& api : kForeignEnds) {
    if (path.ends_with(api.part)) return api.name;
  }
  const bool bedrock = path.find("/model/") != std::string_view::npos &&
                       std::ranges::any_of(kBedrockEnds, [&](std::string_view end) { return path.ends_with(end); });
  return bedrock ? "Amazon Bedrock" : std::string_view();
}

MissingRoute missing_route(const wire::RequestHead& head, std::string_view path, bool tls) {
  MissingRoute missing{.method = head.method_text, .path = path, .host = {}, .tls = tls, .anthropic_client = false};
  for (uint32_t i = 0; i < head.header_count; ++i) {
    const wire::Header& header = head.headers[i];
    if (header.id == wire::HeaderName::host && header.value.size() <= kHostSizeMax) missing.host = header.value;
    if (wire::equals_ignoring_case(header.name, "anthropic-version")) missing.anthropic_client = true;
  }
  return missing;
}

std::string describe(const RouteTable& routes, const MissingRoute& missing) {
  const bool too_long = missing.path.size() > kPathSizeMax;
  const std::string_view path = too_long ? cut_at_code_point(missing.path, kPathSizeMax) : missing.path;
  std::string text = fmt::format("{} {}{}", missing.method, path, too_long ? "..." : "");
  if (too_long) return text;
  if (const std::string_view api = foreign_api(missing.path); !api.empty()) {
    text += fmt::format(
        "; this is a path of the {} API, and weir speaks Anthropic Messages, OpenAI Chat Completions and OpenAI "
        "Responses",
        api);
  }
  const std::string_view local = without_platform_prefix(missing.path);
  const std::string_view platform = missing.path.substr(0, missing.path.size() - local.size());
  const Segments segments = split(local);
  if (segments.empty() || segments.size() > kSegmentCountMax) return text;
  const auto candidate = nearest(routes, segments, missing.anthropic_client);
  if (!candidate) return text;
  const std::string_view scheme = missing.host.empty() ? "" : missing.tls ? "https://" : "http://";
  text += fmt::format("; did you mean {}{}{}{}? base URL: {}{}{}{}", platform, candidate->provider->text,
                      candidate->route.path, candidate->rest, scheme, missing.host, platform, base_path(*candidate));
  return text;
}

}  // namespace weir::gateway
