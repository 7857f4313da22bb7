"""Spec section 2, over a socket: what weir refuses, how it says so, and that the provider hears nothing of it."""
import socket
import threading

import pytest
from rig import (Authorizer, CHAT, Client, MESSAGE, USER_ID, ask, bearer, configuration, eventually, now_us, request)

ANTHROPIC = "/anthropic/v1/messages"


def check_shape(answer, shape, error_type, message):
    assert answer.get("Content-Type").startswith("application/json")
    document = answer.json()
    if shape == "anthropic":
        assert set(document) == {"type", "error", "request_id"} and document["type"] == "error"
    else:
        assert set(document) == {"error"} and {"message", "type", "param", "code"} == set(document["error"])
    assert document["error"]["type"] == error_type
    assert message in document["error"]["message"]


# (what, method, path, headers for a token, body, status, shape, type, message)
ROWS = [
    ("no token", "POST", ANTHROPIC, lambda t: [], MESSAGE, 400, "anthropic", "invalid_request_error",
     "no authentication key provided"),
    ("no token, openai", "POST", "/openai/v1/responses", lambda t: [], CHAT, 400, "openai", "invalid_request_error",
     "no authentication key provided"),
    ("wrong token", "POST", ANTHROPIC, lambda t: bearer("weir_wrong"), MESSAGE, 403, "anthropic", "permission_error",
     "unauthorized: this gateway token is unknown, expired or revoked"),
    ("unknown route", "GET", "/nowhere/at/all?x=1", bearer, None, 404, "openai", "invalid_request_error",
     "route not supported: GET /nowhere/at/all"),
    ("unknown route of a provider", "PUT", "/anthropic/v1/files", bearer, b"", 404, "anthropic", "not_found_error",
     "route not supported: PUT /anthropic/v1/files"),
    ("wrong method", "GET", ANTHROPIC, bearer, None, 405, "anthropic", "invalid_request_error", ""),
    ("empty body", "POST", ANTHROPIC, bearer, b"", 400, "anthropic", "invalid_request_error", "empty"),
    ("invalid JSON", "POST", ANTHROPIC, bearer, b'{"model":"m",]', 400, "anthropic", "invalid_request_error", "at byte 13"),
    ("not an object", "POST", "/openai/v1/chat/completions", bearer, b"[1]", 400, "openai", "invalid_request_error",
     "object"),
    ("encoded slash", "GET", "/anthropic/v1%2Fmodels", bearer, None, 400, "any", "invalid_request_error", ""),
    ("dot segment", "GET", "/anthropic/v1/../v1/models", bearer, None, 400, "any", "invalid_request_error", ""),
    ("dot segment with parameters", "GET", "/anthropic/v1/models/..;/organizations", bearer, None, 400, "any", "invalid_request_error", ""),
    ("dot segment with encoded parameters", "GET", "/anthropic/v1/models/..%3Bv=1/organizations", bearer, None, 400, "any", "invalid_request_error", ""),
    ("copilot's messages have anthropic's shape", "POST", "/copilot/v1/messages", bearer, MESSAGE, 401, "anthropic",
     "authentication_error", ""),
]


@pytest.mark.parametrize("what, method, path, headers, body, status, shape, kind, message", ROWS, ids=[r[0] for r in ROWS])
@pytest.mark.parametrize("prefix", ["", "/api/v2/ai-gateway", "/api/v2/aibridge"])
def test_refusal(gateway, mock, prefix, what, method, path, headers, body, status, shape, kind, message):
    began = now_us()
    answer = ask(gateway.address, method, prefix + path, headers(gateway.token), body)
    assert answer.status == status, answer
    if shape == "any":
        shape = "anthropic" if answer.json().get("type") == "error" else "openai"
    check_shape(answer, shape, kind, message.replace(" /", " " + prefix + "/") if "route not" in message else message)
    assert answer.interception is None
    if status == 405:
        assert answer.get("Allow") == "POST"
    assert mock.requests() == []
    assert gateway.recorded_since(began) == []


def test_a_head_without_a_token_is_a_probe(gateway):
    answer = ask(gateway.address, "HEAD", "/anthropic")
    assert (answer.status, answer.body) == (400, b"")
    assert "info" in gateway.log_line("unauthenticated HEAD request")


WRONG_BASE_URLS = [
    ("POST", "/v1/messages", "did you mean /anthropic/v1/messages? base URL: http://localhost/anthropic"),
    ("POST", "/anthropic/messages?beta=true", "did you mean /anthropic/v1/messages? base URL: http://localhost/anthropic/v1"),
    ("POST", "/antropic/v1/messages", "did you mean /anthropic/v1/messages? base URL: http://localhost/anthropic"),
    ("POST", "/openai/chat/completions", "did you mean /openai/v1/chat/completions? base URL: http://localhost/openai/v1"),
    ("GET", "/v1/models", "did you mean /openai/v1/models? base URL: http://localhost/openai/v1"),
]


@pytest.mark.parametrize("method, path, hint", WRONG_BASE_URLS, ids=[r[1] for r in WRONG_BASE_URLS])
@pytest.mark.parametrize("prefix", ["", "/api/v2/ai-gateway"])
def test_a_404_names_the_base_url_that_would_be_right(gateway, mock, prefix, method, path, hint):
    answer = ask(gateway.address, method, prefix + path, bearer(gateway.token), MESSAGE if method == "POST" else None)
    assert answer.status == 404 and answer.get("x-should-retry") == "false"
    hint = hint.replace("mean ", f"mean {prefix}").replace("localhost", f"localhost{prefix}")
    assert answer.message() == f"route not supported: {method} {prefix}{path.partition('?')[0]}; {hint}"
    assert mock.requests() == []


def test_a_path_of_another_api_is_404_before_a_token_is_asked_for(gateway, mock):
    path = "/v1beta/models/gemini-3-pro:generateContent"
    for headers in ([], [("x-goog-api-key", "AIza-of-the-user")], bearer(gateway.token), bearer("weir_wrong")):
        answer = ask(gateway.address, "POST", f"{path}?key=AIza-of-the-user", headers, b"{}")
        assert answer.status == 404, answer
        assert answer.message().startswith(f"route not supported: POST {path}; this is a path of the Gemini API")
    assert "AIza-of-the-user" not in gateway.log()
    assert mock.requests() == []


@pytest.mark.parametrize("path", ["/anthropic/api/hello", "/anthropic/v1/messages", "/"])
def test_a_probe_with_a_token_is_no_warning(start, mock, path):
    """Claude Code's warm-up bears what its custom headers say, and is answered like every request."""
    gateway = start(configuration(mock.port))
    token = gateway.add_key()
    marked = bearer(token) + [("X-Weir-Request-Id", "the-probe")]
    answer = ask(gateway.address, "HEAD", path, marked)
    assert answer.status == (405 if path.endswith("messages") else 404) and answer.body == b""
    assert "info" in gateway.log_line("request_id=the-probe")
    # The same path in earnest is one.
    if path != "/anthropic/v1/messages":
        # Lines of one reason are at most one a second, and looking for the key took some.
        def told():
            answer = ask(gateway.address, "POST", path, bearer(token) + [("X-Weir-Request-Id", "in-earnest")], b"{}")
            assert answer.status == 404
            return next((line for line in gateway.log().splitlines() if "request_id=in-earnest" in line), None)

        assert " warn " in eventually("its line", told)


UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
           ("Sec-WebSocket-Key", "dGhpcyBpcyBhIG5vbmNlIQ==")]


def test_websocket_is_refused_with_426_and_told_once(start, mock):
    gateway = start(configuration(mock.port))
    token = gateway.add_key()
    with Client(gateway.address) as client:
        for path, shape in (("/openai/v1/responses", "openai"), (ANTHROPIC, "anthropic"), ("/openai/v1/models", "openai")):
            answer = client.send(request("GET", path, bearer(token) + UPGRADE)).answer()
            assert answer.status == 426 and answer.reason == "Upgrade Required", answer
            assert (answer.get("Upgrade"), answer.get("Connection")) == ("HTTP/1.1", "Upgrade")
            assert answer.get("x-should-retry") == "false"
            check_shape(answer, shape, "invalid_request_error", "WebSocket")
        assert client.send(request("POST", ANTHROPIC, bearer(token), MESSAGE)).answer().status == 200, "the connection goes on"
    line = gateway.log_line("reason=websocket_not_supported")
    assert "info" in line
    # One line for each user, however often.
    bob = gateway.run("key", "add", "--user", "bob").strip()
    eventually("bob's key is known", lambda: ask(gateway.address, "GET", "/openai/v1/responses", bearer(bob) + UPGRADE).status == 426)
    eventually("bob's line", lambda: gateway.log().count("reason=websocket_not_supported") == 2)
    ask(gateway.address, "GET", "/openai/v1/responses", bearer(bob) + UPGRADE)
    ask(gateway.address, "GET", "/openai/v1/responses", bearer(token) + UPGRADE)
    ask(gateway.address, "GET", "/openai/v1/models", bearer("wrong") + UPGRADE)
    gateway.log_line("reason=unauthorized.*|unauthorized")
    assert gateway.log().count("reason=websocket_not_supported") == 2
    assert len(mock.requests()) == 1


def test_another_upgrade_is_plain_http(gateway, mock):
    headers = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA")]
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token) + headers, MESSAGE).status == 200
    seen = [name.lower() for name, _ in mock.only_request().headers]
    assert not {"upgrade", "http2-settings"} & set(seen)


def test_a_refused_get_is_logged_at_warn(gateway):
    ask(gateway.address, "GET", "/anthropic/v1/models")
    assert " warn " in gateway.log_line("no authentication key provided")


def test_a_refused_token_is_logged_by_its_hint(start, mock, tmp_path):
    """The hint is what `weir key list` shows, so that an operator finds the token that was revoked."""
    gateway = start(configuration(mock.port))
    token = gateway.add_key("carol")
    ident = next(line.split()[0] for line in gateway.run("key", "list").splitlines() if "carol" in line)
    gateway.run("key", "revoke", ident)
    answer = eventually("the revocation is in force", lambda: (
        answer if (answer := ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE)).status == 403 else None))
    assert answer.message() == "unauthorized: this gateway token is unknown, expired or revoked"
    assert answer.get("x-should-retry") == "false"
    line = gateway.log_line("request refused")
    hint = f"{token[:4]}...{token[-4:]}"
    assert "reason=unauthorized" in line and f"token_hint={hint}" in line
    assert hint in gateway.run("key", "list")
    assert token not in gateway.log()


def test_own_keys_can_be_forbidden(start, mock):
    gateway = start(configuration(mock.port, top="allow_byok = false"))
    token = gateway.add_key()
    answer = ask(gateway.address, "POST", ANTHROPIC, [("X-Weir-Token", token), ("X-Api-Key", "sk-mine-0123456789")], MESSAGE)
    assert answer.status == 403
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200
    assert len(mock.requests()) == 1


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_over_the_limit_is_413_and_a_clean_close(start, mock, framing):
    gateway = start(configuration(mock.port, extra='[limits]\nmax_body = "64KiB"'))
    token = gateway.add_key()
    body = b'{"model":"m","x":"' + b"a" * (1 << 20) + b'"}'
    with Client(gateway.address) as client:
        if framing == "length":
            client.send(request("POST", ANTHROPIC, bearer(token), body))
        else:
            client.send(request("POST", ANTHROPIC, bearer(token) + [("Transfer-Encoding", "chunked")]))
            client.send(b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
        answer = client.answer("POST")
        assert answer.status == 413
        assert "64KiB" in answer.message()
        assert client.ended()
    assert mock.requests() == []


def test_a_body_at_the_limit_passes(start, mock):
    gateway = start(configuration(mock.port, extra='[limits]\nmax_body = "64KiB"'))
    token = gateway.add_key()
    body = b'{"model":"m","x":"' + b"a" * (65536 - 20) + b'"}'
    assert len(body) == 65536
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), body).status == 200
    assert mock.only_request().has_body(body)


def test_a_head_over_the_limit_is_431(gateway, mock):
    for headers in ([("X-Long", "a" * (70 << 10))], [(f"X-{i}", "1") for i in range(200)]):
        answer = ask(gateway.address, "GET", "/anthropic/v1/models", bearer(gateway.token) + headers)
        assert answer.status == 431, answer
    assert mock.requests() == []


def test_a_provider_that_is_not_there_is_502(start, mock):
    gateway = start(configuration(1))
    token = gateway.add_key()
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE)
    assert answer.status == 502
    check_shape(answer, "anthropic", "api_error", "could not be reached")
    row = gateway.row(answer.interception)
    assert (row["outcome"], row["error_type"], row["upstream_status"]) == ("upstream_error", "network", None)
    assert "anthropic" in gateway.log_line("could not be reached|refused")


@pytest.mark.parametrize("ending", ["drop", "reset"])
def test_a_provider_that_gives_no_answer_is_502(gateway, mock, ending):
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token) + [("x-mock-ending", ending)], MESSAGE)
    assert answer.status == 502
    row = gateway.row(answer.interception)
    assert (row["outcome"], row["error_type"], row["upstream_status"]) == ("upstream_error", "network", None)


def test_a_provider_that_is_silent_is_504(start, mock):
    of_others = mock.state()["connections"]
    gateway = start(configuration(mock.port, extra='[timeouts]\nanswer = "300ms"'))
    token = gateway.add_key()
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer(token) + [("x-mock-ending", "hang")], MESSAGE)
    assert answer.status == 504
    check_shape(answer, "anthropic", "timeout_error", "")
    row = gateway.row(answer.interception)
    assert (row["outcome"], row["error_type"]) == ("upstream_error", "timeout")
    eventually("the provider's connection is closed", lambda: mock.state()["connections"] <= of_others)


def test_an_answer_that_is_not_http_is_502(start):
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        connection.close()

    threading.Thread(target=serve, daemon=True).start()
    gateway = start(configuration(listener.getsockname()[1]))
    token = gateway.add_key()
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE)
    assert answer.status == 502, answer
    listener.close()


def test_an_initiator_that_is_no_uuid_is_403(start, mock):
    """Such an id can only come from an authorizer of the operator's own."""
    authorizer = Authorizer({"id": "not-a-uuid", "username": "eve"})
    gateway = start(configuration(mock.port, extra=f'[authorizer]\nkind = "http"\nurl = "{authorizer.url}"'))
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer("any"), MESSAGE)
    assert (answer.status, answer.message()) == (403, "unauthorized: the authorizer gave this token no valid user id")
    assert "reason=initiator_invalid" in gateway.log_line("request refused")
    assert mock.requests() == []


def http_authorizer(authorizer_url):
    return f'[authorizer]\nkind = "http"\nurl = "{authorizer_url}"'


def test_an_authorizer_of_ones_own_is_asked_once_and_believed(start, mock):
    authorizer = Authorizer({"id": USER_ID, "username": "bob"})
    gateway = start(configuration(mock.port, extra=http_authorizer(authorizer.url)))
    for _ in range(3):
        answer = ask(gateway.address, "POST", ANTHROPIC, bearer("session-token-of-bob"), MESSAGE)
        assert answer.status == 200
    assert len(authorizer.asked) == 1, "answers are cached"
    assert authorizer.asked[0][0] == "/api/v2/users/me"
    assert any("session-token-of-bob" in value for value in authorizer.asked[0][1].values())
    row = gateway.row(answer.interception)
    assert (row["initiator_id"], row["username"]) == (USER_ID, "bob")
    assert "session-token-of-bob" not in gateway.log()


@pytest.mark.parametrize("status, expected", [(401, 403), (404, 403), (500, 503)])
def test_what_an_authorizer_answers_decides(start, mock, status, expected):
    authorizer = Authorizer({}, status)
    gateway = start(configuration(mock.port, extra=http_authorizer(authorizer.url)))
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer("token"), MESSAGE)
    assert answer.status == expected
    assert mock.requests() == []


def test_an_authorizer_that_is_not_there_is_503(start, mock):
    gateway = start(configuration(mock.port, extra=http_authorizer("http://127.0.0.1:1/")))
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer("token"), MESSAGE)
    assert (answer.status, answer.message()) == (503, "could not connect to the authorizer")
    assert answer.get("Retry-After") == "1"


def test_the_authorizer_none_lets_everybody_in_as_one_user(start, mock):
    gateway = start(configuration(mock.port, extra=f'[authorizer]\nkind = "none"\nuser = "me"\nuser_id = "{USER_ID}"'))
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer("anything"), MESSAGE)
    assert answer.status == 200, answer
    row = gateway.row(answer.interception)
    assert (row["initiator_id"], row["username"]) == (USER_ID, "me")


def test_without_an_authorizer_no_web_page_gets_in(start, mock, tmp_path):
    """DNS rebinding: a page whose own name resolves to 127.0.0.1 would spend the operator's key."""
    listeners = ('[[listener]]\nname = "public"\naddress = "127.0.0.1:0"\n'
                 f'[[listener]]\nname = "socket"\naddress = "unix:{tmp_path}/weir.sock"\n')
    none = '[authorizer]\nkind = "none"\n'
    gateway = start(configuration(mock.port, listeners=listeners, extra=none + 'hosts = ["weir.example"]'))

    def status(host, headers=(), address=gateway.address):
        with Client(address) as client:
            answer = client.send(request("POST", ANTHROPIC, bearer("anything") + list(headers), MESSAGE, host=host)).answer()
        if answer.status != 200:
            assert "authorizer.hosts" in answer.message() and (host in answer.message() or headers), answer
        return answer.status

    for host in ("localhost", gateway.address, "[::1]:4001", "weir.example"):
        assert status(host) == 200, host
    assert status("localhost", [("Origin", "http://localhost:3000")]) == 200
    mock.reset()
    for host in ("evil.example", f"evil.example:{gateway.port}", "0.0.0.0", "127.0.0.1.evil.example"):
        assert status(host) == 403, host
    for origin in ("https://evil.example", "null"):
        assert status("localhost", [("Origin", origin)]) == 403, origin
    assert mock.requests() == []
    assert status("evil.example", address=gateway.listening["socket"]) == 200
