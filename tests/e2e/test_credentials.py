"""Spec section 1, over a socket: who pays, what reaches the provider, what the record says."""
import base64

import pytest
from rig import (ANTHROPIC_KEY, CHAT, JSON, MESSAGE, OPENAI_KEY, RESPONSES, USER_ID, ask, bearer, configuration, now_us)

PERSONAL = "sk-ant-api03-my-own-key-7890"
OAUTH = "sk-ant-oat01-login-of-mine-4567"
GOVERNANCE = ("X-Coder-AI-Governance-Token", "X-Coder-AI-Governance-BYOK-Token", "X-Weir-Token")
ANTHROPIC, CHATS, ANSWERS = "/anthropic/v1/messages", "/openai/v1/chat/completions", "/openai/v1/responses"
MODELS = "/anthropic/v1/models"


def own(token, *headers, name="X-Weir-Token"):
    return [(name, token), *headers]


# (what, path, body, headers for a token, credential at the provider, kind, hint)
CHOICES = [
    ("anthropic centralized, token as bearer", ANTHROPIC, MESSAGE, bearer,
     ("x-api-key", ANTHROPIC_KEY), "centralized", "sk-a...cdef"),
    ("anthropic centralized, token as X-Api-Key", ANTHROPIC, MESSAGE, lambda t: [("X-Api-Key", t)],
     ("x-api-key", ANTHROPIC_KEY), "centralized", "sk-a...cdef"),
    ("anthropic centralized, the bearer is no bearer", ANTHROPIC, MESSAGE,
     lambda t: [("Authorization", f"Basic {t}"), ("X-Api-Key", t)], ("x-api-key", ANTHROPIC_KEY), "centralized", "sk-a...cdef"),
    ("anthropic with a key of one's own", ANTHROPIC, MESSAGE, lambda t: own(t, ("X-Api-Key", PERSONAL)),
     ("x-api-key", PERSONAL), "personal_api_key", "sk-a...7890"),
    ("anthropic with a login", ANTHROPIC, MESSAGE, lambda t: own(t, ("Authorization", f"Bearer {OAUTH}")),
     ("authorization", f"Bearer {OAUTH}"), "subscription", "sk-a...4567"),
    ("anthropic with a key of one's own as a bearer", ANTHROPIC, MESSAGE, lambda t: own(t, ("Authorization", f"Bearer {PERSONAL}")),
     ("authorization", f"Bearer {PERSONAL}"), "personal_api_key", "sk-a...7890"),
    ("anthropic with both: the key wins", ANTHROPIC, MESSAGE,
     lambda t: own(t, ("Authorization", f"Bearer {OAUTH}"), ("X-Api-Key", PERSONAL)),
     ("x-api-key", PERSONAL), "personal_api_key", "sk-a...7890"),
    ("openai centralized", CHATS, CHAT, bearer, ("authorization", f"Bearer {OPENAI_KEY}"), "centralized", "sk-o...cdef"),
    ("openai centralized, token as X-Api-Key", ANSWERS, RESPONSES, lambda t: [("X-Api-Key", t)],
     ("authorization", f"Bearer {OPENAI_KEY}"), "centralized", "sk-o...cdef"),
    ("openai with a key of one's own", ANSWERS, RESPONSES, lambda t: own(t, ("Authorization", "Bearer sk-proj-mine-01234567")),
     ("authorization", "Bearer sk-proj-mine-01234567"), "personal_api_key", "sk-p...4567"),
    ("openai with an account: a subscription", ANSWERS, RESPONSES,
     lambda t: own(t, ("Authorization", "Bearer eyJhbGciOiJSUzI1NiJ9.login"), ("ChatGPT-Account-Id", "acct-1")),
     ("authorization", "Bearer eyJhbGciOiJSUzI1NiJ9.login"), "subscription", "eyJh...ogin"),
    ("openai with a bearer and a key: the key is dropped", CHATS, CHAT,
     lambda t: own(t, ("Authorization", "Bearer sk-proj-mine-01234567"), ("X-Api-Key", "sk-other-0123456789")),
     ("authorization", "Bearer sk-proj-mine-01234567"), "personal_api_key", "sk-p...4567"),
    ("chatgpt: always a subscription", "/chatgpt/v1/responses", RESPONSES,
     lambda t: own(t, ("Authorization", "Bearer eyJhbGciOiJSUzI1NiJ9.login")),
     ("authorization", "Bearer eyJhbGciOiJSUzI1NiJ9.login"), "subscription", "eyJh...ogin"),
    ("copilot", "/copilot/chat/completions", CHAT, lambda t: own(t, ("Authorization", "Bearer ghu_0123456789abcdefghij")),
     ("authorization", "Bearer ghu_0123456789abcdefghij"), "subscription", "ghu_...ghij"),
    ("copilot in GitHub's own scheme", "/copilot/chat/completions", CHAT, lambda t: own(t, ("Authorization", "Token ghu_0123456789abcdefghij")),
     ("authorization", "Token ghu_0123456789abcdefghij"), "subscription", "ghu_...ghij"),
]


@pytest.mark.parametrize("what, path, body, headers, credential, kind, hint", CHOICES, ids=[c[0] for c in CHOICES])
def test_the_right_credential_goes_upstream(gateway, mock, what, path, body, headers, credential, kind, hint):
    sent = headers(gateway.token)
    answer = ask(gateway.address, "POST", path, JSON + sent, body)
    assert answer.status == 200, answer
    seen = mock.only_request()
    assert seen.credentials() == [credential]
    assert gateway.token not in str(seen)
    assert not [n for n, _ in seen.headers if n in GOVERNANCE]
    row = gateway.row(answer.interception)
    secret = credential[1].split(" ")[-1]
    assert (row["credential_kind"], row["credential_hint"], row["credential_length"]) == (kind, hint, len(secret))
    assert row["auth_mode"] == ("centralized" if kind == "centralized" else "byok")
    assert (row["initiator_id"], row["username"], row["auth_delegated"], row["source"]) == (USER_ID, "alice", 0, "public")
    assert row["outcome"] == "completed"


@pytest.mark.parametrize("name", GOVERNANCE + tuple(n.lower() for n in GOVERNANCE))
def test_each_governance_header_means_the_same_in_any_case(gateway, mock, name):
    answer = ask(gateway.address, "POST", ANTHROPIC, own(gateway.token, ("X-Api-Key", PERSONAL), name=name), MESSAGE)
    assert answer.status == 200, answer
    assert mock.only_request().credentials() == [("x-api-key", PERSONAL)]


REFUSED = [
    ("anthropic, the governance header alone", ANTHROPIC, MESSAGE, own, 401),
    ("anthropic, a malformed Authorization", ANTHROPIC, MESSAGE, lambda t: own(t, ("Authorization", "Bearer a b")), 401),
    ("openai with only X-Api-Key", CHATS, CHAT, lambda t: own(t, ("X-Api-Key", PERSONAL)), 401),
    ("copilot without a bearer of its own", "/copilot/chat/completions", CHAT, own, 401),
    ("copilot centralized", "/copilot/chat/completions", CHAT, bearer, 401),
    ("copilot with the gateway token in GitHub's scheme", "/copilot/chat/completions", CHAT, lambda t: [("Authorization", f"token {t}")], 400),
    ("openai with a token in GitHub's scheme", CHATS, CHAT, lambda t: own(t, ("Authorization", "token gho_mine_0123456789")), 401),
    ("chatgpt centralized has no operator key", "/chatgpt/v1/responses", RESPONSES, bearer, 502),
    ("governance headers with different values", ANTHROPIC, MESSAGE,
     lambda t: own(t, ("X-Coder-AI-Governance-Token", "another"), ("X-Api-Key", PERSONAL)), 400),
    ("passthrough, the governance header alone", MODELS, None, own, 401),
]


@pytest.mark.parametrize("what, path, body, headers, status", REFUSED, ids=[c[0] for c in REFUSED])
def test_without_a_usable_credential_nothing_goes_upstream(gateway, mock, what, path, body, headers, status):
    began = now_us()
    answer = ask(gateway.address, "POST" if body else "GET", path, headers(gateway.token), body)
    assert answer.status == status, answer
    assert mock.requests() == []
    assert gateway.token.encode() not in answer.body
    assert gateway.recorded_since(began) == []


# What each is told: (what, path, body, headers for a token, status, words of the message).
ADVICE = [
    ("a key of one's own as the token", ANTHROPIC, MESSAGE, lambda t: [("X-Api-Key", PERSONAL)], 403,
     ("unauthorized", "an Anthropic API key", "X-Coder-AI-Governance-Token")),
    ("a login's token as the token", ANTHROPIC, MESSAGE, lambda t: bearer(OAUTH), 403,
     ("unauthorized", "a Claude login", "X-Coder-AI-Governance-Token")),
    ("a ChatGPT login as the token", "/chatgpt/v1/responses", RESPONSES, lambda t: bearer("eyJhbGciOiJSUzI1NiJ9.e30.c2ln"), 403,
     ("unauthorized", "a JWT", "X-Coder-AI-Governance-Token")),
    ("an unknown token", ANTHROPIC, MESSAGE, lambda t: bearer("weir_unknown"), 403, ("unauthorized", "unknown, expired or revoked")),
    ("the token alone to ChatGPT", "/chatgpt/v1/responses", RESPONSES, bearer, 502,
     ("no operator key is configured for provider chatgpt", "X-Coder-AI-Governance-Token", "ChatGPT login")),
    ("the token alone to Copilot", "/copilot/chat/completions", CHAT, bearer, 401, ("X-Coder-AI-Governance-Token", "Copilot token")),
    ("the token as one's own bearer", ANTHROPIC, MESSAGE, lambda t: own(t, ("Authorization", f"Bearer {t}")), 401,
     ("Authorization has the gateway token", "X-Api-Key")),
    ("an OpenAI key in X-Api-Key", CHATS, CHAT, lambda t: own(t, ("X-Api-Key", "sk-proj-mine-01234567")), 401,
     ("X-Api-Key is not used for this provider", "Authorization: Bearer")),
]


@pytest.mark.parametrize("what, path, body, headers, status, words", ADVICE, ids=[c[0] for c in ADVICE])
def test_who_puts_a_credential_in_the_wrong_place_is_told_the_right_one(gateway, mock, what, path, body, headers, status, words):
    sent = headers(gateway.token)
    answer = ask(gateway.address, "POST", path, JSON + sent, body)
    assert answer.status == status, answer
    for word in words:
        assert word in answer.message(), answer
    for _, secret in sent:
        assert secret.split(" ")[-1] not in answer.message() + gateway.log()
    assert mock.requests() == []


@pytest.mark.parametrize("headers, status", [
    (lambda t: [("Authorization", f"BEARer {t}")], 200),
    (lambda t: [("Authorization", f"  Bearer \t {t}  ")], 200),
    (lambda t: [("aUTHORIZATION", f"Bearer {t}")], 200),
    (lambda t: [("Authorization", "Bearer wrong"), ("X-Api-Key", t)], 403),
    (lambda t: [("Authorization", "Bearer"), ("X-Api-Key", t)], 200),
    (lambda t: [("Authorization", f"Bearer {t} b"), ("X-Api-Key", t)], 200),
    (lambda t: [("X-Weir-Token", " "), ("Authorization", f"Bearer {t}")], 200),
    (lambda t: [("Authorization", t)], 400),
    (lambda t: [("Authorization", f"Basic {t}")], 400),
    (lambda t: [("Authorization", f"Bearer {t} b")], 400),
    (lambda t: [("X-Api-Key", "  ")], 400),
    (lambda t: [], 400),
])
def test_the_token_is_found_where_the_contract_says(gateway, mock, headers, status):
    answer = ask(gateway.address, "GET", MODELS, headers(gateway.token))
    assert answer.status == status, answer
    assert len(mock.requests()) == (status == 200)


@pytest.mark.parametrize("path, body", [(ANTHROPIC, MESSAGE), (MODELS, None)], ids=["bridged", "passthrough"])
def test_own_headers_and_duplicates_are_stripped(gateway, mock, path, body):
    machinery = [("X-Coder-AI-Governance-Request-Id", "edge-7"), ("x-weir-delegated-key-id", "k"),
                 ("X-Coder-AI-Gateway-Delegated-Key-ID", "k"), ("X-AI-Bridge-Actor-ID", "0"),
                 ("X-AI-Bridge-Actor-Metadata-Username", "root"), ("X-WEIR-Anything", "1"),
                 ("AUTHORIZATION", "Bearer x"), ("x-api-key", "y"), ("X-API-KEY", "z")]
    kept = [("Anthropic-Version", "2023-06-01"), ("x-Unknown", "kept as it is"), ("Cookie", "a=b")]
    answer = ask(gateway.address, "POST" if body else "GET", path, bearer(gateway.token) + machinery + kept, body)
    assert answer.status == 200, answer
    seen = mock.only_request()
    assert seen.credentials() == [("x-api-key", ANTHROPIC_KEY)]
    lower = [n.lower() for n, _ in seen.headers]
    assert not [n for n in lower if n.startswith(("x-weir-", "x-ai-bridge-actor-", "x-coder-ai-g"))]
    assert [h for h in seen.headers if h in kept] == kept
    if body:
        assert gateway.row(answer.interception)["request_id"] == "edge-7"


@pytest.mark.parametrize("path, body", [(CHATS, CHAT), ("/openai/v1/models", None)], ids=["bridged", "passthrough"])
def test_look_alikes_of_weirs_own_headers_are_stripped_and_mean_nothing(start, mock, path, body):
    gateway = start(configuration(mock.port, top='governance_headers = ["X-Acme-Gateway"]',
                                  extra='[[rule]]\nname = "tag"\nset = { "x-team-name" = "{initiator.username}" }'))
    gateway.token = gateway.add_key()
    spoofed = [(n, "spoofed") for n in ("X_Weir_Interception_Id", "x_ai_bridge_actor_id", "X-AI_Bridge-Actor_Metadata-Username",
                                        "x_coder_ai_governance_request_id", "X_Acme_Gateway", "x-acme_gateway", "x_team_name",
                                        "X-Team_Name", "X_Api_Key", "Content_Length", "transfer_encoding", "X_Forwarded_For")]
    kept = [("x_keep", "kept"), ("X_Weirdness", "kept"), ("session_id", "kept"), ("x-team", "kept")]
    answer = ask(gateway.address, "POST" if body else "GET", path, bearer(gateway.token) + spoofed + kept, body)
    assert answer.status == 200, answer
    seen = mock.only_request()
    assert "spoofed" not in str(seen)
    assert [h for h in seen.headers if h in kept] == kept
    assert seen.all("x-team-name") == ["alice"]
    if body:
        assert gateway.row(answer.interception)["request_id"] == answer.interception
        assert gateway.row(answer.interception)["auth_mode"] == "centralized"


@pytest.mark.parametrize("path, body", [(CHATS, CHAT), ("/openai/v1/models", None)], ids=["bridged", "passthrough"])
@pytest.mark.parametrize("auth", [bearer, lambda t: own(t, ("Authorization", "Bearer sk-proj-mine-01234567"))], ids=["centralized", "byok"])
def test_the_gateway_token_reaches_no_provider_wherever_it_is_repeated(gateway, mock, path, body, auth):
    token = gateway.token
    basic = base64.b64encode(f"alice:{token}".encode()).decode()
    copies = [("Api-Key", token), ("X-Goog-Api-Key", token), ("api_key", f"Bearer {token}"), ("Coder-Session-Token", token),
              ("X-Auth", f"Basic {basic}"), ("Proxy-Authorization", f"Basic {basic}"), ("X-Api-Key", token),
              ("Authorization", f"Basic {basic}"), ("Authorization", f"token {token}"), ("Cookie", f"session={token}")]
    kept = [("Api-Key", "of-another-service-0123456789-0123456789-0123456789"), ("X-Auth", "Basic YTpi"), ("X-Kept", "v")]
    cookies = [("Cookie", f"a=b ;s={token};  c=\"d\"")]
    answer = ask(gateway.address, "POST" if body else "GET", path, auth(token) + copies + cookies + kept, body)
    assert answer.status == 200, answer
    seen = mock.only_request()
    assert token not in str(seen) and basic not in str(seen)
    assert [h for h in seen.headers if h in kept] == kept
    assert seen.all("Cookie") == ['a=b ;  c="d"']


def test_the_interception_id_serves_as_the_request_id(gateway):
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token), MESSAGE)
    assert gateway.row(answer.interception)["request_id"] == answer.interception


@pytest.mark.parametrize("status, kind", [(401, "unauthorized"), (403, "unauthorized"), (429, "rate_limited")])
def test_a_refusal_by_the_provider_is_logged_with_its_credential(gateway, mock, status, kind):
    answer = ask(gateway.address, "POST", ANTHROPIC,
                 own(gateway.token, ("X-Api-Key", PERSONAL), ("x-mock-status", str(status))), MESSAGE)
    assert answer.status == status
    line = gateway.log_line(answer.interception)
    for part in ("warn", "provider=anthropic", f"{status}", "byok", "personal_api_key", "sk-a...7890", USER_ID, "public"):
        assert part in line, line
    assert PERSONAL not in gateway.log()
    row = gateway.row(answer.interception)
    assert (row["outcome"], row["error_type"], row["upstream_status"]) == ("upstream_error", kind, status)


def test_actor_headers_only_where_they_are_asked_for(start, mock):
    gateway = start(configuration(mock.port).replace('type = "anthropic"', 'type = "anthropic"\nsend_actor_headers = true'))
    token = gateway.add_key()
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200
    seen = mock.only_request()
    assert seen.all("X-AI-Bridge-Actor-ID") == [USER_ID]
    assert seen.all("X-AI-Bridge-Actor-Metadata-Username") == ["alice"]
