"""Limits for each client address and each initiator: on one worker, and on two that share a client's connections."""
import signal
import time

import pytest
from rig import (CHAT, Client, MESSAGE, MESSAGE_STREAM, USER_ID, ask, bearer, command, configuration, eventually, request)

ANTHROPIC, OPENAI = "/anthropic/v1/messages", "/openai/v1/chat/completions"
HERE, THERE = "127.0.0.5", "127.0.0.6"  # keys are added from 127.0.0.1


@pytest.fixture(params=[1, 2], ids=["1worker", "2workers"])
def limited(request, start, mock, tmp_path):
    """Starts a gateway with these limits; it has a token of alice's, made before so that no request was spent on it."""

    added = command("key", "add", "--user", "alice", "--id", USER_ID, "--data-dir", str(tmp_path / "data"))
    assert added.returncode == 0, added
    token = added.stdout.strip()

    def starter(limits, **settings):
        gateway = start(configuration(mock.port, workers=request.param, extra=f"[limits]\n{limits}", **settings),
                        "--admin", "127.0.0.1:0")
        gateway.token = token
        return gateway

    return starter


def open_stream(gateway, token, **options):
    client = Client(gateway.address, **options)
    client.send(request("POST", ANTHROPIC, bearer(token) + [("x-mock-step", "1"), ("x-mock-events", "2")], MESSAGE_STREAM))
    return client


def is_closed(client):
    """Whether the connection has ended, as of now."""
    client.socket.settimeout(0)
    try:
        return client.socket.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_connections_of_one_address(limited):
    gateway = limited("address_connections = 3")
    get = request("GET", "/anthropic/v1/models", bearer(gateway.token))
    inside = [Client(gateway.address, source=HERE) for _ in range(3)]
    for client in inside:
        assert client.send(get).answer().status == 200
    over = [Client(gateway.address, source=HERE) for _ in range(3)]  # these may still hear why
    answer = over[0].send(get).answer()
    assert answer.status == 429, answer
    assert answer.get("Retry-After") == "1"
    assert answer.get("Connection") == "close"
    assert answer.json()["error"] == {"type": "rate_limit_error", "message": "too many connections from this address; try again when one has ended"}
    assert over[0].ended()
    assert ask(gateway.address, "GET", "/anthropic/v1/models", bearer(gateway.token), source=THERE).status == 200
    for client in inside:
        assert client.send(get).answer().status == 200, "those inside the limit go on"
    # From twice the limit on they are closed at once.
    flood = [Client(gateway.address, source=HERE) for _ in range(10)]
    eventually("a flood is refused", lambda: gateway.metric('weir_connections_refused_total{reason="address"}') >= 9)
    eventually("they are closed", lambda: sum(is_closed(client) for client in flood) >= 9)
    for client in inside + over + flood:
        client.close()
    assert gateway.log().count("too many of this address") <= 3, "at most one line a second"

    def allowed_again():
        with Client(gateway.address, source=HERE) as client:
            return client.send(get).answer().status == 200

    eventually("room again", allowed_again)


def test_requests_of_one_address_count_before_the_token(limited):
    gateway = limited('address_requests = "10/h"\naddress_burst = 3')
    statuses = [ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE, source=HERE).status
                for token in (gateway.token, "guess", gateway.token, gateway.token, "guess")]
    assert statuses == [200, 403, 200, 429, 429]
    answer = ask(gateway.address, "POST", OPENAI, bearer(gateway.token), CHAT, source=HERE)
    assert answer.status == 429
    # A client that obeys would sleep for six minutes without a word to its user; the message has the whole time.
    assert answer.get("Retry-After") == "60"
    assert answer.get("x-should-retry") is None
    assert answer.json()["error"] == {"message": "too many requests from this address; the limit is 10/h; try again in 6 minutes",
                                      "type": "rate_limit_error", "param": None, "code": "address_rate"}
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token), MESSAGE, source=THERE).status == 200
    assert gateway.metric('weir_refusals_total{reason="address_rate",status="429"}') == 3


def test_a_connection_goes_on_after_its_rate_is_kept(limited):
    gateway = limited('address_requests = "2/s"\naddress_burst = 1')
    with Client(gateway.address, source=HERE) as client:
        get = request("GET", "/anthropic/v1/models", bearer(gateway.token))
        assert client.send(get).answer().status == 200
        refused = client.send(get).answer()
        assert (refused.status, refused.get("Retry-After"), refused.get("Connection")) == (429, "1", None)
        eventually("a token is back", lambda: client.send(get).answer().status == 200)


def test_requests_of_one_initiator_from_wherever(limited):
    gateway = limited('initiator_requests = "6/m"\ninitiator_burst = 2')
    bob = gateway.run("key", "add", "--user", "bob").strip()
    eventually("bob's key is known", lambda: ask(gateway.address, "GET", "/anthropic/v1/nothing", bearer(bob)).status == 404)
    found = [ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token), MESSAGE, source=source)
             for source in (HERE, THERE, HERE, THERE)]
    assert [answer.status for answer in found] == [200, 200, 429, 429]
    assert 1 <= int(found[2].get("Retry-After")) <= 10
    assert found[2].json()["type"] == "error"
    wait = int(found[2].get("Retry-After"))
    assert found[2].message() == ("too many requests of this user; the limit is 6/m; "
                                  f"try again in {wait} second{'s' if wait > 1 else ''}")
    assert found[2].interception is None
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(bob), MESSAGE, source=HERE).status == 200
    assert gateway.metric('weir_refusals_total{reason="initiator_rate",status="429"}') == 2
    eventually("the records", lambda: len(gateway.rows("ended_at IS NOT NULL")) >= 3)
    eventually("nothing is on its way", lambda: gateway.metric("weir_recorder_lag_records") == 0)
    assert len(gateway.rows()) == 3, "a refused request leaves no record"


def test_exchanges_of_one_initiator_at_once(limited, mock):
    gateway = limited("initiator_exchanges = 2")
    streams = [open_stream(gateway, gateway.token) for _ in range(2)]
    for stream in streams:
        assert stream.head()[0] == 200
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token), MESSAGE)
    assert (answer.status, answer.get("Retry-After")) == (429, "1")
    assert answer.message() == "too many requests of this user at once; the limit is 2; try again when one has ended"
    streams[0].close()  # an exchange whose client leaves gives its place back too
    eventually("a place is free", lambda: ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token), MESSAGE).status == 200)
    mock.next(100)
    while streams[1].chunk():
        pass
    for _ in range(5):
        assert ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token), MESSAGE).status == 200
    assert gateway.metric('weir_refusals_total{reason="initiator_exchanges",status="429"}') >= 1


def test_a_unix_socket_has_no_address(limited, tmp_path):
    gateway = limited('address_connections = 1\naddress_requests = "1/h"', listeners=f"""[[listener]]
name = "public"
address = "127.0.0.1:0"
[[listener]]
name = "local"
address = "unix:{tmp_path}/local.sock"
""")
    clients = [Client(gateway.listening["local"]) for _ in range(5)]
    for client in clients:
        assert client.send(request("GET", "/anthropic/v1/models", bearer(gateway.token))).answer().status == 200


def test_refusals_of_a_flood_are_few_lines(limited):
    gateway = limited('address_requests = "1/h"')
    with Client(gateway.address, source=HERE) as client:
        for i in range(200):
            status = client.send(request("GET", "/anthropic/v1/models", bearer(gateway.token))).answer().status
            assert status == (200 if i == 0 else 429)
    lines = [line for line in gateway.log().splitlines() if "reason=address_rate" in line]
    assert 1 <= len(lines) <= 20
    assert gateway.metric('weir_refusals_total{reason="address_rate",status="429"}') == 199


BAD = b"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n"
FLOODS = {  # one reason each: what is sent, whether on one connection, the words of the line
    "no token": (lambda token: request("GET", "/anthropic/v1/models"), True, "reason=no_authentication_key"),
    "a probe": (lambda token: request("HEAD", "/anthropic"), True, "unauthenticated HEAD request"),
    "a wrong token": (lambda token: request("GET", "/anthropic/v1/models", bearer("guess")), True, "reason=unauthorized"),
    "two tokens": (lambda token: request("GET", "/x", [("X-Weir-Token", "a"), ("X-Weir-Token", "b")]), True,
                   "reason=conflicting_governance"),
    "no route": (lambda token: request("GET", "/nowhere", bearer(token)), True, "reason=route_not_supported"),
    "no JSON": (lambda token: request("POST", OPENAI, bearer(token), b"{"), True, "reason=invalid_json"),
    "a bad target": (lambda token: request("GET", "/a/../b", bearer(token)), False,
                     'malformed request target reason=malformed_target status=400 detail="a '),
    "no HTTP": (lambda token: BAD, False, "reason=malformed_http"),
}


@pytest.mark.parametrize("what", FLOODS)
def test_every_refusal_of_a_flood_is_few_lines(limited, what):
    make, kept, words = FLOODS[what]
    gateway = limited("")
    began = time.monotonic()
    client = Client(gateway.address)
    method = make(gateway.token).split(b" ")[0].decode()
    for _ in range(150):
        assert client.send(make(gateway.token)).answer(method).status in (400, 403, 404), what
        if not kept:
            client.close()
            client = Client(gateway.address)
    client.close()
    lines = [line for line in gateway.log().splitlines() if words in line]
    seconds = time.monotonic() - began
    assert 1 <= len(lines) <= seconds + 1, "at most one a second, of all workers together"
    assert "{}" not in gateway.log()

    def told():  # with the next line, in another second
        with Client(gateway.address) as another:
            another.send(make(gateway.token)).answer(method)
        held = [int(line.rpartition("held_back=")[2].split()[0]) for line in gateway.log().splitlines() if words in line]
        return sum(held) + len(held) >= 151
    eventually("what was held back is told", told)


def test_a_reload_changes_the_limits(limited):
    gateway = limited("")
    get = request("GET", "/anthropic/v1/models", bearer(gateway.token))

    def status():
        with Client(gateway.address, source=HERE) as client:
            return client.send(get).answer().status

    assert [status() for _ in range(5)] == [200] * 5
    text = gateway.config_path.read_text(encoding="utf-8")
    gateway.config_path.write_text(text + 'address_requests = "1/h"\n', encoding="utf-8")
    gateway.signal(signal.SIGHUP)
    gateway.log_line("configuration reloaded")
    eventually("the limit is in force", lambda: status() == 429)
    gateway.config_path.write_text(text, encoding="utf-8")
    gateway.signal(signal.SIGHUP)
    eventually("no limit again", lambda: status() == 200)


BODY_MEMORY = "weir_body_memory_bytes"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_bodies_in_total(start, mock, framing):
    """Uploads that stop half-way hold no more than the worker's body memory, whoever sends them; small requests go on."""
    gateway = start(configuration(mock.port, extra='[limits]\nbody_memory = "8MiB"'), "--admin", "127.0.0.1:0")
    token = gateway.run("key", "add", "--user", "alice").strip()
    eventually("the key is known", lambda: ask(gateway.address, "GET", "/anthropic/v1/nothing", bearer(token)).status == 404)
    part = b"x" * ((2 << 20) - 4096)  # of three there is room: the last quarter is for small ones
    if framing == "length":
        start_of_body = [("Content-Length", str(len(part) + 1))], part
    else:
        start_of_body = [("Transfer-Encoding", "chunked")], b"%x\r\n" % (len(part) + 1) + part
    lines = "".join(f"{name}: {value}\r\n" for name, value in bearer(token) + start_of_body[0])
    upload = f"POST {ANTHROPIC} HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode() + start_of_body[1]
    clients = [Client(gateway.address) for _ in range(8)]
    refused = 0
    for client in clients:
        client.send(upload)
        held = gateway.metric(BODY_MEMORY)
        assert held <= 8 << 20, held
    for _ in range(8):
        assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200, "a small request goes on"
    # Each has its part by now, or was refused: as many as fit are still waited for.
    eventually("the others were refused", lambda: gateway.metric('weir_refusals_total{reason="body_memory",status="503"}') >= 5)
    for client in clients:
        client.socket.settimeout(1)
        try:
            answer = client.answer()
        except TimeoutError:
            continue
        refused += 1
        assert answer.status == 503, answer
        assert answer.get("Retry-After") == "1"
        assert answer.get("Connection") == "close"
        assert "too many request bodies" in answer.message()
    assert 5 <= refused <= 7, "one that is refused had its part of the memory, so another may have been refused before it"
    assert gateway.log().count("reason=body_memory") <= 2, "at most one line a second"
    for client in clients:
        client.close()
    eventually("the memory is free", lambda: gateway.metric(BODY_MEMORY) == 0)
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200
    assert gateway.metric("weir_worker_turn_seconds_count") > 0
    assert gateway.metric('weir_worker_longest_turn_seconds{worker="0"}') > 0


def large_message(size):
    """A body of this size that is dear to read: nothing but brackets."""
    return b'{"model":"m","max_tokens":1,"messages":[' + b"{}," * (size // 3) + b'{"role":"user","content":"hi"}]}'


def test_a_large_body_is_read_beside_others(start, mock):
    """Reading 6 MiB takes many turns of the only worker; meanwhile others are answered, again and again."""
    gateway = start(configuration(mock.port), "--admin", "127.0.0.1:0")
    token = gateway.run("key", "add", "--user", "alice").strip()
    eventually("the key is known", lambda: ask(gateway.address, "GET", "/anthropic/v1/nothing", bearer(token)).status == 404)
    large = request("POST", ANTHROPIC, bearer(token), large_message(6 << 20))
    small = request("POST", ANTHROPIC, bearer(token), MESSAGE)
    with Client(gateway.address) as first, Client(gateway.address) as other:
        first.send(large)
        answered = 0
        first.socket.setblocking(False)
        while True:
            try:
                assert first.socket.recv(1) == b"H", "the answer begins"
                break
            except BlockingIOError:
                assert other.send(small).answer().status == 200
                answered += 1
        assert answered >= 3, answered
    # A client that leaves while its body is read takes nothing with it.
    for _ in range(3):
        with Client(gateway.address) as client:
            client.send(large)
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200
    eventually("nothing is held", lambda: gateway.metric(BODY_MEMORY) == 0 and gateway.metric("weir_exchanges_open") == 0)
