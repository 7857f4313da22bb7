"""The real clients and the official SDKs through weir: each succeeds, the provider sees the right credential, the record says so."""
import json
import ssl

import anthropic
import httpx2 as httpx
import openai
import pytest
from rig import ANTHROPIC_KEY, OPENAI_KEY, USER_ID, configuration, eventually, run_client

PERSONAL = "sk-ant-api03-my-own-key-7890"
OAUTH = "sk-ant-oat01-login-of-mine-4567"
OWN_OPENAI = "sk-proj-my-own-key-3210"
# The beginning of the mock's text.
HELLO = "Hello from the mock provider"


@pytest.fixture
def gateway(start, mock):
    gateway = start(configuration(mock.port, workers=2))
    gateway.token = gateway.add_key()
    return gateway


def check(gateway, mock, credential, kind, client, route, provider):
    """Every model call that the client made (some make more than one)."""
    secret = credential[1].removeprefix("Bearer ")
    calls = [seen for seen in mock.requests() if seen.method == "POST"]
    assert calls
    for seen in mock.requests():
        assert gateway.token not in json.dumps(seen.headers) + seen.target + seen.body_start
        assert seen.credentials() == [credential]
        assert not [n for n, _ in seen.headers if n.lower().startswith("x-weir-")]
    rows = eventually("all records", lambda: (
        rows if len(rows := gateway.rows("ended_at IS NOT NULL")) == len(calls) else None))
    for row in rows:
        assert row["credential_kind"] == kind
        assert row["credential_length"] == len(secret)
        assert row["credential_hint"] == secret[:4] + "..." + secret[-4:]
        assert row["auth_mode"] == ("centralized" if kind == "centralized" else "byok")
        assert (row["client"], row["route"], row["provider"]) == (client, route, provider)
        assert (row["initiator_id"], row["username"], row["outcome"]) == (USER_ID, "alice", "completed")
    assert gateway.token not in gateway.log()
    assert secret not in gateway.log()
    return rows


CLAUDE = [
    ("centralized", lambda t: {"ANTHROPIC_AUTH_TOKEN": t}, ("x-api-key", ANTHROPIC_KEY), "centralized"),
    ("personal key", lambda t: {"ANTHROPIC_API_KEY": PERSONAL, "ANTHROPIC_CUSTOM_HEADERS": f"X-Weir-Token: {t}"},
     ("x-api-key", PERSONAL), "personal_api_key"),
    ("login", lambda t: {"CLAUDE_CODE_OAUTH_TOKEN": OAUTH, "ANTHROPIC_CUSTOM_HEADERS": f"X-Weir-Token: {t}"},
     ("authorization", f"Bearer {OAUTH}"), "subscription"),
]


@pytest.mark.parametrize("what, environment, credential, kind", CLAUDE, ids=[c[0] for c in CLAUDE])
def test_claude(gateway, mock, tmp_path, what, environment, credential, kind):
    done = run_client("claude", tmp_path, "-p", "hi", ANTHROPIC_BASE_URL=f"{gateway.url}/anthropic", **environment(gateway.token))
    assert done.returncode == 0, done
    assert HELLO in done.stdout
    rows = check(gateway, mock, credential, kind, "Claude Code", "messages", "anthropic")
    assert all(row["user_agent"].startswith("claude") and row["session_id"] for row in rows)


CODEX = [
    ("centralized", lambda t: {"TOKEN": t}, ["env_key=TOKEN"], ("authorization", f"Bearer {OPENAI_KEY}"), "centralized"),
    ("personal key", lambda t: {"KEY": OWN_OPENAI, "TOKEN": t}, ["env_key=KEY", 'env_http_headers={"X-Weir-Token"="TOKEN"}'],
     ("authorization", f"Bearer {OWN_OPENAI}"), "personal_api_key"),
]


@pytest.mark.parametrize("what, environment, settings, credential, kind", CODEX, ids=[c[0] for c in CODEX])
def test_codex(gateway, mock, tmp_path, what, environment, settings, credential, kind):
    settings = [f"base_url={gateway.url}/openai/v1", "name=weir", "wire_api=responses"] + settings
    flags = [part for setting in settings for part in ("-c", f"model_providers.weir.{setting}")]
    done = run_client("codex", tmp_path, "exec", "--skip-git-repo-check", "-c", "model_provider=weir", *flags, "hi",
                      **environment(gateway.token))
    assert done.returncode == 0, done
    assert HELLO in done.stdout
    rows = check(gateway, mock, credential, kind, "Codex", "responses", "openai")
    assert all(row["session_id"] for row in rows)


def test_codex_with_its_built_in_provider(start, mock, tmp_path):
    """It asks for WebSocket first. 426 makes it go on over HTTP at once; after a 405 it tries six times, for seven seconds."""
    gateway = start(configuration(mock.port), "--admin", "127.0.0.1:0")
    gateway.token = gateway.add_key()
    done = run_client("codex", tmp_path, "exec", "--skip-git-repo-check", "-c", f'openai_base_url="{gateway.url}/openai/v1"',
                      "hi", CODEX_API_KEY=gateway.token)
    assert done.returncode == 0, done
    assert HELLO in done.stdout
    assert "Reconnecting" not in done.stderr, done.stderr
    assert done.stderr.count("failed to connect to Responses WebSocket") <= 1, done.stderr
    assert 1 <= gateway.metric('weir_refusals_total{reason="websocket_not_supported",status="426"}') <= 2
    assert gateway.log().count("reason=websocket_not_supported") == 1
    check(gateway, mock, ("authorization", f"Bearer {OPENAI_KEY}"), "centralized", "Codex", "responses", "openai")


# --- the official Python SDKs ---

@pytest.fixture(params=["plain", "tls"])
def endpoint(request, start, mock, certificates):
    """(gateway, base URL, an HTTP client for the SDK or None)"""
    if request.param == "plain":
        gateway = start(configuration(mock.port))
        url, client = gateway.url, None
    else:
        gateway = start(configuration(mock.port, listeners=f"""[[listener]]
name = "plain"
address = "127.0.0.1:0"
[[listener]]
name = "public"
address = "127.0.0.1:0"
tls = {{ certificate = "{certificates["valid.pem"]}", key = "{certificates["valid.key"]}" }}
"""))
        url = f"https://localhost:{gateway.port}"
        client = httpx.Client(verify=ssl.create_default_context(cafile=str(certificates["ca.pem"])))
        gateway.listening["tls"], gateway.listening["public"] = gateway.listening["public"], gateway.listening["plain"]
    gateway.token = gateway.add_key()
    return gateway, url, client


AUTH = ["centralized", "personal"]


@pytest.mark.parametrize("auth", AUTH)
@pytest.mark.parametrize("streaming", [False, True], ids=["blocking", "streaming"])
def test_the_anthropic_sdk(endpoint, mock, auth, streaming):
    gateway, url, http_client = endpoint
    if auth == "centralized":
        who, credential, kind = {"auth_token": gateway.token}, ("x-api-key", ANTHROPIC_KEY), "centralized"
    else:
        who = {"api_key": PERSONAL, "default_headers": {"X-Weir-Token": gateway.token}}
        # This SDK sends a key as a bearer.
        credential, kind = ("authorization", f"Bearer {PERSONAL}"), "personal_api_key"
    client = anthropic.Anthropic(base_url=f"{url}/anthropic", http_client=http_client, max_retries=0, **who)
    asked = {"model": "claude-opus-4-8", "max_tokens": 64, "messages": [{"role": "user", "content": "hi"}]}
    if streaming:
        with client.messages.stream(**asked) as stream:
            text = "".join(stream.text_stream)
            assert stream.get_final_message().usage.output_tokens > 0
    else:
        text = client.messages.create(**asked).content[0].text
    assert text.startswith(HELLO)
    check(gateway, mock, credential, kind, "Anthropic SDK", "messages", "anthropic")


@pytest.mark.parametrize("auth", AUTH)
@pytest.mark.parametrize("streaming", [False, True], ids=["blocking", "streaming"])
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_the_openai_sdk(endpoint, mock, api, auth, streaming):
    gateway, url, http_client = endpoint
    if auth == "centralized":
        who, credential, kind = {"api_key": gateway.token}, ("authorization", f"Bearer {OPENAI_KEY}"), "centralized"
    else:
        who = {"api_key": OWN_OPENAI, "default_headers": {"X-Weir-Token": gateway.token}}
        credential, kind = ("authorization", f"Bearer {OWN_OPENAI}"), "personal_api_key"
    client = openai.OpenAI(base_url=f"{url}/openai/v1", http_client=http_client, max_retries=0, **who)
    if api == "chat":
        asked = {"model": "gpt-5.1", "messages": [{"role": "user", "content": "hi"}]}
        if streaming:
            chunks = list(client.chat.completions.create(stream=True, **asked))
            assert all(chunk.choices for chunk in chunks), "the usage that nobody asked for is withheld"
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        else:
            text = client.chat.completions.create(**asked).choices[0].message.content
    elif streaming:
        events = list(client.responses.create(model="gpt-5.1", input="hi", stream=True))
        assert events[-1].type == "response.completed"
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    else:
        text = client.responses.create(model="gpt-5.1", input="hi").output_text
    assert text.startswith(HELLO)
    check(gateway, mock, credential, kind, "OpenAI SDK", "chat_completions" if api == "chat" else "responses", "openai")


@pytest.mark.parametrize("wrong", ["", "/antropic", "/llm"])
def test_the_base_url_that_the_404_names_works(start, mock, wrong):
    gateway = start(configuration(mock.port))
    gateway.token = gateway.add_key()

    def call(url):
        client = anthropic.Anthropic(base_url=url, auth_token=gateway.token, max_retries=0)
        return client.messages.create(model="claude-opus-4-8", max_tokens=64, messages=[{"role": "user", "content": "hi"}])

    with pytest.raises(anthropic.NotFoundError) as missing:
        call(gateway.url + wrong)
    right = missing.value.body["error"]["message"].rpartition("base URL: ")[2]
    assert right == f"{gateway.url}/anthropic"
    assert call(right).content[0].text.startswith(HELLO)


@pytest.mark.parametrize("wrong", ["", "/v1", "/openai", "/opnai/v1"])
def test_the_base_url_that_the_404_names_works_for_openai(start, mock, wrong):
    gateway = start(configuration(mock.port))
    gateway.token = gateway.add_key()

    def call(url):
        return openai.OpenAI(base_url=url, api_key=gateway.token, max_retries=0).responses.create(model="gpt-5.1", input="hi")

    with pytest.raises(openai.NotFoundError) as missing:
        call(gateway.url + wrong)
    right = missing.value.body["message"].rpartition("base URL: ")[2]
    assert right == f"{gateway.url}/openai/v1"
    assert call(right).output_text.startswith(HELLO)


def test_the_sdks_understand_our_refusals(start, mock):
    gateway = start(configuration(mock.port))
    with pytest.raises(anthropic.PermissionDeniedError) as denied:
        anthropic.Anthropic(base_url=f"{gateway.url}/anthropic", auth_token="wrong", max_retries=0).messages.create(
            model="m", max_tokens=1, messages=[{"role": "user", "content": "hi"}])
    assert denied.value.body["error"]["type"] == "permission_error"
    with pytest.raises(openai.PermissionDeniedError) as denied:
        openai.OpenAI(base_url=f"{gateway.url}/openai/v1", api_key="wrong", max_retries=0).models.list()
    assert denied.value.type == "permission_error"


