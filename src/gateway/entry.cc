#include "gateway/entry.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "base/ids.h"
#include "base/utf8.h"
#include "gateway/advice.h"
#include "gateway/head_index.h"
#include "gateway/local_names.h"
#include "gateway/probe.h"
#include "gateway/route_hint.h"
#include "gateway/token_copy.h"

namespace weir::gateway {

namespace {

using wire::HeaderName;

constexpr uint64_t kUpgradeBit = uint64_t{1} << std::to_underlying(HeaderName::upgrade);

ErrorShape shape_of(const Route& route) {
  return route.shape_api == Api::messages ? ErrorShape::anthropic : ErrorShape::openai;
}

// What follows the scheme if there are exactly these two fields; else empty.
std::string_view token_after(std::string_view scheme, std::string_view authorization) {
  const std::string_view text = trim(authorization);
  if (text.size() <= scheme.size() || !is_blank(text[scheme.size()])) return {};
  if (!wire::equals_ignoring_case(text.substr(0, scheme.size()), scheme)) return {};
  const std::string_view token = trim(text.substr(scheme.size()));
  // Not find_first_of(" \t"): the library's asks memchr() about each byte of a long token.
  return token.find(' ') == token.npos && token.find('\t') == token.npos ? token : std::string_view();
}

struct Bearer {
  const wire::Header* header = nullptr;  // null: there is none
  std::string_view token;
};

enum class Schemes : uint8_t {
  bearer,
  bearer_or_token,  // "token VALUE" is GitHub's own scheme: a user's credential for Copilot, never a gateway token
};

// The first valid bearer among all copies of `Authorization` that does not hold `except`.
Bearer find_bearer(const wire::RequestHead& head, std::string_view except, Schemes schemes = Schemes::bearer) {
  for (uint32_t i = 0; i < head.header_count; ++i) {
    const wire::Header& header = head.headers[i];
    if (header.id != HeaderName::authorization) continue;
    std::string_view token = bearer_token(header.value);
    if (token.empty() && schemes == Schemes::bearer_or_token) token = token_after("token", header.value);
    if (!token.empty() && !holds_token(token, except)) return {&header, token};
  }
  return {};
}

const wire::Header* find_api_key(const wire::RequestHead& head, std::string_view except) {
  for (uint32_t i = 0; i < head.header_count; ++i) {
    const wire::Header& header = head.headers[i];
    if (header.id != HeaderName::x_api_key) continue;
    const std::string_view key = trim(header.value);
    if (!key.empty() && !holds_token(key, except)) return &header;
  }
  return nullptr;
}

// Before all else: what asks nobody for a token must not be called by web pages.
void refuse_foreign_names(const Policy& policy, const wire::RequestHead& head, Entry& entry) {
  const ForeignName foreign =
      find_foreign_name(head, entry.target.authority, policy.config.authorizer.hosts, Addresses::loopback);
  switch (foreign.where) {
    case ForeignName::Where::none:
      return;
    case ForeignName::Where::host:
      entry.refusal = Refusal::foreign_host;
      break;
    case ForeignName::Where::origin:
      entry.refusal = Refusal::foreign_origin;
      break;
  }
  entry.detail = foreign.name;
}

// Step 2: any governance header that is not blank means BYOK and bears the gateway token.
Refusal read_governance(const Policy& policy, const HeadIndex& index, const wire::RequestHead& head, Entry& entry) {
  if (policy.governance_names.empty() && (index.seen() & policy.governance_mask) == 0) return Refusal::none;
  for (uint32_t i = 0; i < head.header_count; ++i) {
    const wire::Header& header = head.headers[i];
    if (!policy.is_governance(header)) continue;
    const std::string_view value = trim(header.value);
    if (value.empty()) continue;
    if (!entry.token.empty() && entry.token != value) return Refusal::conflicting_governance;
    entry.mode = AuthMode::byok;
    entry.token = value;
  }
  return Refusal::none;
}

// Step 3, in the order of spec section 1.
void read_token(const HeadIndex& index, const wire::RequestHead& head, Entry& entry) {
  if (!entry.token.empty()) return;
  const Bearer bearer = find_bearer(head, {});
  entry.token = bearer.header != nullptr ? bearer.token : index.value(HeaderName::x_api_key);
}

void read_delegation(const Origin& origin, const HeadIndex& index, Entry& entry) {
  if (!origin.trusted) return;
  entry.delegated_key_id = index.value(HeaderName::x_weir_delegated_key_id);
  if (entry.delegated_key_id.empty()) {
    entry.delegated_key_id = index.value(HeaderName::x_coder_ai_gateway_delegated_key_id);
  }
  entry.delegated = !entry.delegated_key_id.empty();
}

// RFC 9110 section 7.8: Upgrade means something only where Connection names it, and nothing in HTTP/1.0. Any other
// protocol may be ignored; whoever asks for WebSocket waits for an answer about it.
bool asks_for_websocket(const wire::RequestHead& head) {
  bool named = false;
  bool websocket = false;
  for (uint32_t i = 0; i < head.header_count; ++i) {
    const wire::Header& header = head.headers[i];
    if (header.id != HeaderName::connection && header.id != HeaderName::upgrade) continue;
    wire::for_each_token(header.value, [&](std::string_view token) {
      if (header.id == HeaderName::connection) {
        named = named || wire::equals_ignoring_case(token, "upgrade");
      } else {
        websocket = websocket || wire::equals_ignoring_case(token, "websocket");
      }
    });
  }
  return named && websocket && head.minor_version > 0;
}

struct Choice {
  Refusal refusal = Refusal::none;
  Credential credential;
};

Choice bearer_choice(const Bearer& bearer, CredentialKind kind) {
  if (bearer.header == nullptr) return {.refusal = Refusal::credential_missing, .credential = {}};
  Choice choice;
  choice.credential = {.kind = kind, .as_x_api_key = false, .secret = bearer.token, .client_header = bearer.header};
  return choice;
}

// The official SDKs send a personal key as a bearer if they are told to (spec section 9, "Credential kind"). A login's
// token begins with "sk-ant-oat"; whatever else comes as a bearer is taken for a login too.
CredentialKind anthropic_bearer_kind(std::string_view token) {
  return token.starts_with("sk-ant-api") ? CredentialKind::personal_api_key : CredentialKind::subscription;
}

// The user's own credential, the table of spec section 1. A copy of the gateway token is nobody's provider credential:
// it would go upstream.
Choice choose_byok(const Provider& provider, const Entry& entry, const wire::RequestHead& head) {
  const bool github = provider.type == ProviderType::copilot;
  const Bearer bearer = find_bearer(head, entry.token, github ? Schemes::bearer_or_token : Schemes::bearer);
  switch (provider.type) {
    case ProviderType::anthropic: {
      const wire::Header* key = find_api_key(head, entry.token);
      if (key == nullptr) return bearer_choice(bearer, anthropic_bearer_kind(bearer.token));
      Choice choice;
      choice.credential = {.kind = CredentialKind::personal_api_key,
                           .as_x_api_key = true,
                           .secret = trim(key->value),
                           .client_header = key};
      return choice;
    }
    case ProviderType::openai: {
      const wire::Header* account = head.find(HeaderName::chatgpt_account_id);
      const bool subscription = provider.chatgpt_backend || account != nullptr;
      return bearer_choice(bearer, subscription ? CredentialKind::subscription : CredentialKind::personal_api_key);
    }
    case ProviderType::copilot:
      return bearer_choice(bearer, CredentialKind::subscription);
  }
  std::unreachable();
}

Choice choose_centralized(const Provider& provider) {
  if (provider.type == ProviderType::copilot) {
    // The gateway token came where the user's own credential belongs, or as an API key.
    return {.refusal = Refusal::credential_missing, .credential = {}};
  }
  if (provider.key.empty() || provider.chatgpt_backend) {
    return {.refusal = Refusal::no_operator_key, .credential = {}};
  }
  Choice choice;
  choice.credential = {.kind = CredentialKind::centralized,
                       .as_x_api_key = provider.type == ProviderType::anthropic,
                       .secret = provider.key.view(),
                       .client_header = nullptr};
  return choice;
}

// `detail` is static, or lives as long as the policy.
Admission refuse(Refusal refusal, std::string_view detail = {}) {
  Admission admission;
  admission.refusal = refusal;
  admission.detail = detail;
  return admission;
}

Admission refuse_with(Refusal refusal, std::string detail) {
  Admission admission;
  admission.refusal = refusal;
  admission.detail_text = std::move(detail);
  // Too long for the string's own bytes: the view stays valid when the Admission is moved.
  admission.detail_text.reserve(sizeof(std::string));
  admission.detail = admission.detail_text;
  return admission;
}

// The detail is "POST /anthropic/v1/other", as the client sent it, without the query.
Admission refuse_route(Refusal refusal, const wire::RequestHead& head, const Entry& entry) {
  return refuse_with(refusal, fmt::format("{} {}", head.method_text, entry.target.path));
}

Admission refuse_token(const Policy& policy, const Entry& entry) {
  std::string advice = advise_token(policy, entry);
  return advice.empty() ? refuse(Refusal::unauthorized) : refuse_with(Refusal::credential_as_token, std::move(advice));
}

Admission refuse_credential(const Policy& policy, const Entry& entry, const wire::RequestHead& head, Refusal refusal) {
  return refuse_with(refusal, refusal == Refusal::no_operator_key ? advise_own_login(policy, *entry.route.provider)
                                                                  : advise_credential(policy, entry, head));
}

size_t copy_text(std::string_view text, std::span<char> room) {
  const size_t size_max = std::min<size_t>(room.size(), UINT8_MAX);
  const std::string_view cut = text.size() <= size_max ? text : cut_at_code_point(text, size_max);
  if (!cut.empty()) std::memcpy(room.data(), cut.data(), cut.size());
  return cut.size();
}

}  // namespace

StandingRefusal standing_refusal(const Policy& policy, const Provider& provider, AuthMode mode) {
  if (mode == AuthMode::byok) return {policy.config.allow_byok ? Refusal::none : Refusal::byok_disabled, {}};
  const Refusal refusal = choose_centralized(provider).refusal;
  if (refusal == Refusal::no_operator_key) return {refusal, advise_own_login(policy, provider)};
  if (refusal == Refusal::none) return {};
  return {refusal, fmt::format("provider {} takes users' own tokens only", provider.name)};
}

std::string_view bearer_token(std::string_view authorization) {
  return token_after("bearer", authorization);
}

Entry enter(const Policy& policy, const Origin& origin, const wire::RequestHead& head) {
  Entry entry;
  const HeadIndex index(head);
  entry.request_id = index.value(HeaderName::x_coder_ai_governance_request_id);
  if (entry.request_id.empty()) entry.request_id = index.value(HeaderName::x_weir_request_id);

  entry.target = wire::parse_target(head.target);
  if (!entry.target.path.empty()) {
    entry.route = policy.routes->match(entry.target.path, head.method);
    entry.shape = shape_of(entry.route);
  }

  entry.warn = !is_probe(head.method, entry.route, entry.target.path);
  if ((index.seen() & kUpgradeBit) != 0) [[unlikely]]
    entry.websocket = asks_for_websocket(head);

  if (policy.config.authorizer.kind == AuthorizerKind::none && !origin.unix_socket) {
    refuse_foreign_names(policy, head, entry);
    if (entry.refusal != Refusal::none) return entry;
  }
  // Whoever speaks another API has no gateway token where weir looks for one: what is wrong is the path.
  if (!entry.route.found && entry.target.fault == wire::TargetFault::none && !foreign_api(entry.target.path).empty())
      [[unlikely]] {
    entry.refusal = Refusal::route_not_supported;
    return entry;
  }
  entry.refusal = read_governance(policy, index, head, entry);
  if (entry.refusal != Refusal::none) return entry;
  read_token(index, head, entry);
  read_delegation(origin, index, entry);
  if (entry.token.empty() && !entry.delegated) {
    entry.refusal = Refusal::no_authentication_key;
    if (head.method == wire::Method::head) entry.log_message = "unauthenticated HEAD request";
    return entry;
  }
  if (entry.target.fault != wire::TargetFault::none) {
    entry.refusal = Refusal::malformed_target;
    entry.detail = wire::describe(entry.target.fault);
    entry.route.found = false;
  }
  return entry;
}

Identity& Identity::operator=(const Identity& other) {
  std::copy_n(other.initiator_id_text.begin(), other.initiator_id_size, initiator_id_text.begin());
  std::copy_n(other.username_text.begin(), other.username_size, username_text.begin());
  std::copy_n(other.api_key_id_text.begin(), other.api_key_id_size, api_key_id_text.begin());
  initiator_id_size = other.initiator_id_size;
  username_size = other.username_size;
  api_key_id_size = other.api_key_id_size;
  return *this;
}

Identity Identity::make(std::string_view initiator_id, std::string_view username, std::string_view api_key_id) {
  Identity identity;
  if (initiator_id.size() <= identity.initiator_id_text.size()) {
    identity.initiator_id_size = static_cast<uint8_t>(copy_text(initiator_id, identity.initiator_id_text));
  }
  identity.username_size = static_cast<uint8_t>(copy_text(username, identity.username_text));
  identity.api_key_id_size = static_cast<uint8_t>(copy_text(api_key_id, identity.api_key_id_text));
  return identity;
}

Admission admit(const Policy& policy, const Entry& entry, Verdict verdict, const Identity& identity,
                const wire::RequestHead& head) {
  if (entry.refusal != Refusal::none) return refuse(entry.refusal, entry.detail);
  switch (verdict) {
    case Verdict::unreachable:
      return refuse(Refusal::authorizer_unreachable);
    case Verdict::refused:
      return refuse_token(policy, entry);
    case Verdict::allowed:
      break;
  }
  if (entry.mode == AuthMode::byok && !policy.config.allow_byok) return refuse(Refusal::byok_disabled);
  if (!is_uuid(identity.initiator_id())) return refuse(Refusal::initiator_invalid);
  if (!entry.route.found) return refuse_route(Refusal::route_not_supported, head, entry);
  // Before the method is judged: a client that hears 405 tries several times before it does without WebSocket.
  if (entry.websocket) return refuse(Refusal::websocket_not_supported);
  if (!entry.route.method_allowed) return refuse_route(Refusal::method_not_allowed, head, entry);

  const Provider& provider = *entry.route.provider;
  const Choice choice =
      entry.mode == AuthMode::byok ? choose_byok(provider, entry, head) : choose_centralized(provider);
  if (choice.refusal != Refusal::none) return refuse_credential(policy, entry, head, choice.refusal);
  Admission admission;
  admission.credential = choice.credential;
  return admission;
}

}  // namespace weir::gateway
