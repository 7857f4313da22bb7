// The entry (spec section 2, steps 1 to 9) and the choice of the provider's credential (section 1). Pure: a head in, a
// decision out. The authorizer's answer comes between enter() and admit().
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/policy.h"
#include "gateway/refusal.h"
#include "wire/head.h"

namespace weir::gateway {

// What the listener that a request came through allows.
struct Origin {
  bool trusted = false;      // its peer's uid was checked
  bool unix_socket = false;  // no web page reaches it
};

struct Entry {
  Refusal refusal = Refusal::none;
  std::string_view detail;  // for the refusal
  bool warn = true;         // a refusal for want of a token or a route is logged at warn; else, for a probe, at info
  std::string_view log_message;  // "unauthenticated HEAD request"; empty: the refusal's text
  ErrorShape shape = ErrorShape::openai;
  AuthMode mode = AuthMode::centralized;
  bool delegated = false;
  std::string_view token;  // the gateway token; empty for a delegated caller without one
  std::string_view delegated_key_id;
  std::string_view request_id;  // empty: none was sent
  bool websocket = false;       // the client asks for this protocol
  wire::Target target;
  Route route;
};

// Steps 1 to 5 and the route (needed early for the error's shape; a 404 is only refused by admit(), step 9, but for the
// paths of other APIs). Views are
// into the head's bytes. `strip` itself is done by the rule program; this decides what is known before the authorizer
// is asked.
Entry enter(const Policy& policy, const Origin& origin, const wire::RequestHead& head);

// Who the authorizer says is calling. Fixed storage: it is kept in caches and exchanges without allocation.
struct Identity {
  std::array<char, 64> initiator_id_text{};
  std::array<char, 256> username_text{};
  std::array<char, 128> api_key_id_text{};
  uint8_t initiator_id_size = 0;
  uint8_t username_size = 0;
  uint8_t api_key_id_size = 0;

  Identity() = default;
  Identity(const Identity& other) { *this = other; }
  // The texts alone, not the room behind them: it is copied for each request.
  Identity& operator=(const Identity& other);
  void clear() { initiator_id_size = username_size = api_key_id_size = 0; }
  std::string_view initiator_id() const { return {initiator_id_text.data(), initiator_id_size}; }
  std::string_view username() const { return {username_text.data(), username_size}; }
  std::string_view api_key_id() const { return {api_key_id_text.data(), api_key_id_size}; }
  // Longer texts are cut at a whole code point; an initiator id that does not fit becomes empty (and so is refused).
  static Identity make(std::string_view initiator_id, std::string_view username, std::string_view api_key_id);
};

enum class Verdict : uint8_t { allowed, refused, unreachable };

// The credential that goes upstream. A view into the head's bytes or the provider's key.
struct Credential {
  CredentialKind kind = CredentialKind::none;
  bool as_x_api_key = false;  // else `Authorization: Bearer <secret>`
  std::string_view secret;    // the bare key or token
  const wire::Header* client_header =
      nullptr;  // the client's own header that bears it and is forwarded as it came; null: injected
};

struct Admission {
  Refusal refusal = Refusal::none;
  std::string_view detail;  // may point into `detail_text`
  std::string detail_text;  // filled on refusals only
  Credential credential;
};

// Steps 6 to 9, then the credential: 503/403, BYOK allowed, UUID, 404/405, 401/502.
Admission admit(const Policy& policy, const Entry& entry, Verdict verdict, const Identity& identity,
                const wire::RequestHead& head);

// `Authorization` counts only as exactly two fields whose first is `bearer` in any case; returns the second, else
// empty.
std::string_view bearer_token(std::string_view authorization);

// What the start record takes from the head besides (spec section 5, "Client", "Session id"). Views into the head.
struct Caller {
  std::string_view client;   // "Claude Code", "Unknown"; static text
  uint8_t client_index = 0;  // for rules: index into the table of clients
  bool claude_code = false;  // `metadata.user_id` may give the session
  bool codex = false;        // of a stream that broke off it hears by `response.failed` alone
  std::string_view user_agent;
  std::string_view session_id;  // empty: none in the headers
  std::string_view agent_id;
  std::string_view parent_agent_id;
};
Caller identify_caller(const wire::RequestHead& head);

// What admit() answers to every request to this provider in this mode, whatever the client sends; `none`: it depends.
struct StandingRefusal {
  Refusal refusal = Refusal::none;
  std::string detail{};
};
StandingRefusal standing_refusal(const Policy& policy, const Provider& provider, AuthMode mode);

}  // namespace weir::gateway
