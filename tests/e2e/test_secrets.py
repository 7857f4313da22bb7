"""Every secret that a gateway has seen, looked for in everything that it leaves behind."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest
import rig
from rig import (CHAT, JSON, MESSAGE, MESSAGE_STREAM, RESPONSES, Authorizer, Client, ask, bearer, configuration, request)

ANTHROPIC, CHATS, ANSWERS = "/anthropic/v1/messages", "/openai/v1/chat/completions", "/openai/v1/responses"

# Each tells by its middle which one it is; the ends are what hints may show.
CENTRAL = {"anthropic": "sk-ant-api03-centralfromenvironment-0001", "openai": "sk-proj-centralfromfile-0002",
           "extra": "sk-proj-centralfromcredential-0003"}
PERSONAL = {"key": "sk-ant-api03-personalkeyofalice-0004", "login": "sk-ant-oat01-loginofalice-0005",
            "openai": "sk-proj-personalopenai-0006", "jwt": "eyJhbGciOiJSUzI1NiJ9.chatgptlogin-0007",
            "copilot": "ghu_copilotloginofalice-0008"}
WRONG = {"token": "weir_nosuchtokenanywhere-0009", "malformed": "malformedauthorization-0010",
         "other": "weir_anothergovernancetoken-0011"}


def own(token, *headers):
    return JSON + [("X-Weir-Token", token), *headers]


def requests_of(token):
    """(method, path, headers, body): accepted, refused, malformed; and those that the provider refuses."""
    key, login = ("X-Api-Key", PERSONAL["key"]), ("Authorization", f"Bearer {PERSONAL['login']}")
    chatgpt = ("Authorization", f"Bearer {PERSONAL['jwt']}")
    copilot = ("Authorization", f"Bearer {PERSONAL['copilot']}")
    openai = ("Authorization", f"Bearer {PERSONAL['openai']}")
    yield "POST", ANTHROPIC, JSON + bearer(token), MESSAGE
    yield "POST", ANTHROPIC, JSON + [("X-Api-Key", token)], MESSAGE_STREAM
    yield "POST", ANTHROPIC, own(token, key), MESSAGE
    yield "POST", ANTHROPIC, own(token, key, login), MESSAGE_STREAM
    yield "POST", ANTHROPIC, own(token, login), MESSAGE
    yield "POST", CHATS, JSON + bearer(token), CHAT
    yield "POST", CHATS, own(token, openai), CHAT
    yield "POST", ANSWERS, own(token, chatgpt, ("ChatGPT-Account-Id", "acct-1")), RESPONSES
    yield "POST", "/copilot/chat/completions", own(token, copilot), CHAT
    yield "POST", "/extra/v1/chat/completions", JSON + bearer(token), CHAT
    yield "GET", "/anthropic/v1/models", bearer(token), None
    yield "GET", "/anthropic/v1/models", [("X-Weir-Token", token), key], None
    yield "POST", ANTHROPIC, bearer(WRONG["token"]), MESSAGE
    yield "POST", ANTHROPIC, own(WRONG["token"], key), MESSAGE
    yield "POST", ANTHROPIC, own(token, ("X-Coder-AI-Governance-Token", WRONG["other"]), key), MESSAGE
    yield "POST", ANTHROPIC, own(token, ("Authorization", f"Bearer {WRONG['malformed']} twice")), MESSAGE
    yield "POST", ANTHROPIC, [("Authorization", f"Basic {WRONG['malformed']}")], MESSAGE
    yield "POST", CHATS, own(token, key), CHAT
    yield "POST", "/copilot/chat/completions", bearer(token), CHAT
    yield "POST", ANTHROPIC, bearer(token), b"not JSON"
    yield "GET", "/nowhere", bearer(token), None
    yield "PUT", ANTHROPIC, own(token, key), MESSAGE
    yield "GET", "/anthropic/v1/../secrets", own(token, login), None
    yield "POST", ANTHROPIC, own(token, login, ("x-mock-status", "500")), MESSAGE
    yield "POST", ANTHROPIC, own(token, key, ("x-mock-ending", "reset")), MESSAGE_STREAM
    yield "POST", ANTHROPIC, own(token, key, ("x-mock-cut", "200")), MESSAGE_STREAM


def refused_by_provider(mock, address, token):
    """Providers that repeat the credential in what they say about it; the same of each, the answers' ids."""
    ids = []
    for path, body, headers, secret in [
            (ANTHROPIC, MESSAGE, JSON + bearer(token), CENTRAL["anthropic"]),
            (CHATS, CHAT, JSON + bearer(token), CENTRAL["openai"]),
            (ANTHROPIC, MESSAGE, own(token, ("X-Api-Key", PERSONAL["key"])), PERSONAL["key"]),
            (CHATS, CHAT, own(token, ("Authorization", f"Bearer {PERSONAL['openai']}")), PERSONAL["openai"])]:
        for status in ("401", "429"):
            said = json.dumps({"type": "error", "error": {"type": "authentication_error",
                                                          "message": f"Incorrect API key: {secret}. It was {secret[:24]}"}})
            mock.script({"status": status, "body": said})
            answer = ask(address, "POST", path, headers, body)
            assert answer.status == int(status), answer
            ids.append((answer.interception, secret))
    return ids


def broken_requests(address, token):
    """What is refused before it is a request."""
    for data in (b"POST /anthropic/v1/messages HTTP/1.1\r\nHost: h\r\nAuthorization : Bearer %s\r\n\r\n" % token.encode(),
                 b"GET / HTTP/1.1\r\nHost: h\r\nX-Api-Key: %s\r\n folded\r\n\r\n" % PERSONAL["key"].encode(),
                 b"GET / HTTP/9.9\r\nHost: h\r\nX-Weir-Token: %s\r\n\r\n" % token.encode(),
                 request("GET", "/", [("X-Api-Key", PERSONAL["key"]), ("X-Large", "x" * 70000)])):
        with Client(address) as client:
            try:
                yield client.send(data).answer().body
            except (EOFError, ConnectionError):
                pass


def core_of(gateway, folder):
    gcore = shutil.which("gcore")
    if not gcore:
        return None
    done = subprocess.run([gcore, "-o", str(folder / "core"), str(gateway.pid)], capture_output=True, text=True, timeout=120,
                          check=False)
    files = list(folder.glob("core.*"))
    return files[0] if done.returncode == 0 and files else None


def found_in(data, secrets):
    return [name for name, secret in secrets.items() if secret.encode() in data]


@pytest.fixture
def gateway(start, mock, tmp_path):
    """A gateway with keys from everywhere. The release build: sanitizers have their own memory, which dumps do not leave out."""
    (tmp_path / "openai.key").write_text(CENTRAL["openai"] + "\n", encoding="ascii")
    (tmp_path / "openai.key").chmod(0o600)
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/extra").write_text(CENTRAL["extra"], encoding="ascii")
    text = configuration(mock.port, workers=2, providers=f"""[[provider]]
name = "extra"
type = "openai"
base_url = "http://127.0.0.1:{mock.port}/v1"
key = {{ credential = "extra" }}
""").replace('{ env = "WEIR_TEST_OPENAI" }', '{ file = "openai.key" }')
    process = start(text, "--core-dumps", "true", binary=rig.WEIR_RELEASE,
                    environment={"WEIR_TEST_ANTHROPIC": CENTRAL["anthropic"], "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")})
    process.token = process.add_key()
    return process


def test_no_secret_is_left_anywhere(gateway, mock, tmp_path):
    secrets = {**CENTRAL, **PERSONAL, **WRONG, "gateway token": gateway.token}
    bodies = []
    for method, path, headers, body in requests_of(gateway.token):
        bodies.append(ask(gateway.address, method, path, headers, body).body)
    bodies += broken_requests(gateway.address, gateway.token)
    assert [found_in(body, secrets) for body in bodies if found_in(body, secrets)] == []
    echoed = refused_by_provider(mock, gateway.address, gateway.token)
    for ident, secret in echoed:
        row = gateway.row(ident)
        hint = f"{secret[:4]}...{secret[-4:]}"
        assert row["error_message"] == f"Incorrect API key: {hint}. It was {hint}"

    # The process, from outside: also with its first connections still open.
    process = pathlib.Path(f"/proc/{gateway.pid}")
    for name in ("cmdline", "environ"):
        assert found_in((process / name).read_bytes(), secrets) == [], name
    core = core_of(gateway, tmp_path)
    if core:
        data = core.read_bytes()
        assert b"weir.toml" in data, "the core has the process's memory"
        assert found_in(data, secrets) == []
    assert gateway.stop() == 0
    places = [gateway.log_path, *(tmp_path / "data").rglob("*")]
    assert any(path.name == "weir.db" for path in places)
    for path in places:
        if path.is_file():
            assert found_in(path.read_bytes(), secrets) == [], path
    if not core:
        pytest.skip("all but the core was looked at: gcore (Debian: gdb) is absent or may not look into a process here")


def test_nor_with_an_authorizer_that_is_asked(start, mock, tmp_path):
    secrets = {"good": "session-token-goodone-0020", "bad": "session-token-refusedone-0021", **PERSONAL}
    good = Authorizer({"id": rig.USER_ID, "username": "ann"})
    bad = Authorizer({"message": "who is session-token-refusedone-0021?"}, 401)
    for service, token in ((good, secrets["good"]), (bad, secrets["bad"])):
        gateway = start(configuration(mock.port, extra=f'[authorizer]\nkind = "http"\nurl = "{service.url}"'), "--core-dumps",
                        "true", binary=rig.WEIR_RELEASE, name="good" if service is good else "bad")
        for headers in (bearer(token), own(token, ("X-Api-Key", PERSONAL["key"]))):
            answer = ask(gateway.address, "POST", ANTHROPIC, headers, MESSAGE)
            assert answer.status == (200 if service is good else 403), answer
            assert found_in(answer.body, secrets) == []
        service.server.shutdown()
        service.server.server_close()
        ask(gateway.address, "POST", ANTHROPIC, bearer(token + "-unknown"), MESSAGE)
        folder = tmp_path / f"core-{service is good}"
        folder.mkdir()
        if core := core_of(gateway, folder):
            assert found_in(core.read_bytes(), secrets) == []
        assert gateway.stop() == 0
        for path in [gateway.log_path, *(tmp_path / "data").rglob("*")]:
            if path.is_file():
                assert found_in(path.read_bytes(), secrets) == [], path


def test_the_environment_no_longer_shows_the_key_and_a_reload_still_knows_it(start, mock):
    gateway = start(configuration(mock.port), environment={"WEIR_TEST_ANTHROPIC": CENTRAL["anthropic"]})
    token = gateway.add_key()
    environ = pathlib.Path(f"/proc/{gateway.pid}/environ").read_bytes()
    assert b"WEIR_TEST_ANTHROPIC=\0" in environ
    gateway.signal(rig.signal.SIGHUP)
    gateway.log_line("configuration reloaded")
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200
    assert mock.only_request().credentials() == [("x-api-key", CENTRAL["anthropic"])]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_file_that_others_may_read_is_refused(tmp_path, mock, mode):
    (tmp_path / "key").write_text(CENTRAL["openai"], encoding="ascii")
    (tmp_path / "key").chmod(mode)
    (tmp_path / "weir.toml").write_text(configuration(mock.port).replace('{ env = "WEIR_TEST_OPENAI" }', '{ file = "key" }'),
                                        encoding="utf-8")
    done = rig.command("serve", "--config", "weir.toml", folder=tmp_path)
    assert done.returncode == 1, done
    assert "chmod 600 key" in done.stderr
    assert CENTRAL["openai"] not in done.stderr


def test_a_file_with_a_secret_in_a_rule_must_be_private(tmp_path, mock):
    path = tmp_path / "weir.toml"
    path.write_text(configuration(mock.port, extra='[[rule]]\nname = "pay"\nset = { "X-Service-Token" = "hush-0030" }\n'),
                    encoding="utf-8")
    path.chmod(0o644)
    done = rig.command("check", "--config", "weir.toml", folder=tmp_path)
    assert done.returncode == 2 and "chmod 600 weir.toml" in done.stderr, done
    assert "hush-0030" not in done.stderr
    path.chmod(0o600)
    assert rig.command("check", "--config", "weir.toml", folder=tmp_path).returncode == 0


@pytest.mark.parametrize("option", ["rule.pay.set=X-Service-Token=hush-0030", "rule.pay.add=authorization=hush-0030",
                                    "provider.openai.key.env=sk-proj-hush-0030", "provider.openai.key=hush-0030"])
def test_no_flag_takes_a_secret(tmp_path, mock, option):
    (tmp_path / "weir.toml").write_text(configuration(mock.port), encoding="utf-8")
    done = rig.command("check", "--config", "weir.toml", "--set", option, folder=tmp_path)
    assert done.returncode == 2, done
    assert "hush-0030" not in done.stderr


def test_without_core_dumps_nobody_of_the_same_user_may_look_in(start, mock):
    gateway = start(configuration(mock.port))
    limits = pathlib.Path(f"/proc/{gateway.pid}/limits").read_text(encoding="ascii")
    assert next(l for l in limits.splitlines() if l.startswith("Max core file size")).split()[4] == "0"
    with_cores = start(configuration(mock.port).replace('"data"', '"data2"'), "--core-dumps", "true", name="cores")
    if os.getuid() != 0:
        assert os.stat(f"/proc/{gateway.pid}/environ").st_uid == 0
        assert os.stat(f"/proc/{with_cores.pid}/environ").st_uid == os.getuid()
