"""The http authorizer against a service that does not behave, many users at once, and guesses."""
import contextlib
import json
import signal
import socket
import threading
import time

import pytest
from rig import MESSAGE, PATIENCE, Client, ask, bearer, configuration, eventually, request

ANTHROPIC = "/anthropic/v1/messages"


def user_id(token):
    return "00000000-0000-4000-8000-%012x" % int.from_bytes(token.encode()[-6:], "big")


def granted(token, prefix=""):
    body = json.dumps({"id": user_id(token), "username": f"{prefix}user of {token}"})
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


class Service:
    """An operator's service on plain sockets: `answer(token, send)` writes what it likes, `send(b"")` closes."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []
        self.open = self.open_most = self.connections = 0
        self.lock = threading.Lock()
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/who"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with self.lock:
            self.connections += 1
            self.open += 1
            self.open_most = max(self.open_most, self.open)
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as file:
            while head := b"".join(iter(lambda: file.readline().rstrip(b"\r\n"), b"")):
                token = head.rpartition(b"Bearer ")[2].decode()
                with self.lock:
                    self.asked.append(token)
                self.answer(token, connection.sendall)
        with self.lock:
            self.open -= 1


def with_service(mock, service, workers=1, timeout="5s"):
    return configuration(mock.port, workers,
                         extra=f'[authorizer]\nkind = "http"\nurl = "{service.url}"\ntimeout = "{timeout}"')


def user_of(gateway, token, client=None):
    """As whom the request is recorded."""
    answer = client.send(request("POST", ANTHROPIC, bearer(token), MESSAGE)).answer() if client else \
        ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE)
    assert answer.status == 200, answer
    return gateway.row(answer.interception)["initiator_id"]


@pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3,
                                     b"HTTP/1.1 102 Processing\r\n\r\n"])
def test_interim_responses_are_skipped(start, mock, interim):
    gateway = start(with_service(mock, Service(lambda token, send: send(interim + granted(token)))))
    began = time.monotonic()
    assert user_of(gateway, "token-a") == user_id("token-a")
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("more", [
    lambda token, send: send(granted(token) + granted(token)),
    lambda token, send: (send(granted(token)), send(granted(token))),
    lambda token, send: (send(granted(token)), time.sleep(0.02), send(granted(token))),
    lambda token, send: (send(granted(token)), time.sleep(0.2), send(granted(token))),
    lambda token, send: send(b"HTTP/1.1 204 No Content\r\nContent-Length: 99\r\n\r\n" + granted(token)),
    lambda token, send: send(granted(token) + b"HTTP/1.1 100 Continue\r\n\r\n" + granted(token)),
], ids=["one write", "two writes", "20 ms later", "200 ms later", "behind a 204", "behind an interim response"])
def test_a_second_answer_is_nobody_elses_verdict(start, mock, more):
    gateway = start(with_service(mock, Service(lambda token, send: more(token, send) if token == "token-bad" else
                                               send(granted(token)))))
    with Client(gateway.address) as client:
        for number in range(5):
            client.send(request("POST", ANTHROPIC, bearer("token-bad"), MESSAGE)).answer()
            other = f"token-{number}"
            assert user_of(gateway, other, client) == user_id(other)
            time.sleep(0.03 * number)  # so that connections have rested, or not


def test_a_connection_is_kept_for_later_questions(start, mock):
    service = Service(lambda token, send: send(granted(token)))
    gateway = start(with_service(mock, service))
    for number in range(5):
        assert user_of(gateway, f"token-{number}") == user_id(f"token-{number}")
        time.sleep(0.15)  # Callout::kRestNs
    assert service.connections == 1


def test_a_kept_connection_that_the_service_closes_costs_nobody_an_answer(start, mock):
    def answer_and_close(token, send):
        send(granted(token))
        time.sleep(0.13)
        raise OSError("closed")

    service = Service(answer_and_close)
    gateway = start(with_service(mock, service))
    for number in range(8):
        assert user_of(gateway, f"token-{number}") == user_id(f"token-{number}")
        time.sleep(0.1 + number * 0.01)


@pytest.mark.parametrize("answer, why", [
    (b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n", "it answered with status 418"),
    (b"HTTP/1.1 500 X\r\nContent-Length: 12\r\n\r\nsecret-0815!", "it answered with status 500"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "no `id`"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "more than one Content-Length"),
    (b"SSH-2.0-x\r\n\r\n", "status line"),
])
def test_an_unexpected_answer_is_named(start, mock, answer, why):
    service = Service(lambda token, send: send(answer))
    gateway = start(with_service(mock, service))
    refused = ask(gateway.address, "POST", ANTHROPIC, bearer("token-a"), MESSAGE)
    assert (refused.status, refused.message()) == (503, "could not connect to the authorizer")
    assert refused.get("Retry-After") == "1"
    line = gateway.log_line("request refused.*authorizer_unreachable|authorizer_unreachable.*request refused")
    assert why in line and f"127.0.0.1:{service.socket.getsockname()[1]}" in line, line
    assert "token-a" not in gateway.log() and "secret-0815" not in gateway.log()


def at_once(count, ask_one):
    results = [None] * count

    def run(index):
        results[index] = ask_one(index)

    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return results


def test_no_more_than_64_connections(start, mock):
    service = Service(lambda token, send: (time.sleep(0.3), send(granted(token))))
    gateway = start(with_service(mock, service), "--admin", "127.0.0.1:0")
    statuses = at_once(200, lambda i: ask(gateway.address, "POST", ANTHROPIC, bearer(f"token-{i}"), MESSAGE).status)
    assert statuses == [200] * 200
    assert service.open_most <= 64
    assert sorted(service.asked) == sorted(f"token-{i}" for i in range(200)), "each is asked about once"
    assert gateway.metric("weir_authorizer_callouts_total") == 200


def test_equal_questions_are_asked_once_and_whoever_leaves_takes_nobody_along(start, mock):
    answer_now = threading.Event()
    service = Service(lambda token, send: (answer_now.wait(PATIENCE), send(granted(token))))
    gateway = start(with_service(mock, service), "--admin", "127.0.0.1:0")
    clients = [Client(gateway.address).send(request("POST", ANTHROPIC, bearer("token-a"), MESSAGE)) for _ in range(40)]
    eventually("all wait", lambda: gateway.metric("weir_authorizer_shared_total") == 39)
    for client in clients[::2]:  # the first one, who asked, is among them
        client.close()
    eventually("half have left", lambda: gateway.metric("weir_connections_open") == 20)
    answer_now.set()
    for client in clients[1::2]:
        answer = client.answer()
        assert answer.status == 200, answer
        assert gateway.row(answer.interception)["initiator_id"] == user_id("token-a")
    assert service.asked == ["token-a"]


def test_guesses_keep_nobody_out(start, mock):
    service = Service(lambda token, send: (time.sleep(0.05), send(granted(token) if token == "token-good" else REFUSED)))
    gateway = start(with_service(mock, service))
    assert user_of(gateway, "token-good") == user_id("token-good")
    with contextlib.ExitStack() as stack:
        for number in range(300):
            client = stack.enter_context(Client(gateway.address))
            client.send(request("POST", ANTHROPIC, bearer(f"guess-{number}"), MESSAGE))
        began = time.monotonic()
        assert user_of(gateway, "token-good") == user_id("token-good"), "cached: no question, and not evicted"
        assert time.monotonic() - began < 4
    assert service.asked.count("token-good") == 1


def test_what_waits_is_bounded(start, mock):
    answer_now = threading.Event()
    service = Service(lambda token, send: (answer_now.wait(PATIENCE), send(REFUSED)))
    gateway = start(with_service(mock, service, timeout="60s"), "--admin", "127.0.0.1:0")
    room, more = 1536, 40
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(gateway.address)) for _ in range(room + more)]
        for number, client in enumerate(clients):
            client.send(request("POST", ANTHROPIC, bearer(f"guess-{number}"), MESSAGE))
        eventually("the room is full", lambda: gateway.metric("weir_authorizer_overflows_total") == more)
        answer_now.set()
        answers = [client.answer() for client in clients]
    statuses = [answer.status for answer in answers]
    assert (statuses.count(403), statuses.count(503)) == (room, more)
    assert all(answer.get("Retry-After") == "1" for answer in answers if answer.status == 503)
    assert gateway.log_line("too many questions wait for the authorizer.*held_back")


def test_a_verdict_belongs_to_the_configuration_that_asked_for_it(start, mock):
    answer_now = threading.Event()
    old = Service(lambda token, send: (answer_now.wait(PATIENCE), send(granted("token-old"))))
    new = Service(lambda token, send: send(granted("token-new")))
    gateway = start(with_service(mock, old))
    with Client(gateway.address) as before:
        before.send(request("POST", ANTHROPIC, bearer("token-a"), MESSAGE))
        eventually("the old service is asked", lambda: old.asked)
        gateway.config_path.write_text(with_service(mock, new), encoding="utf-8")
        gateway.signal(signal.SIGHUP)
        gateway.log_line("configuration reloaded")
        # Equal, but of the new configuration: another question.
        assert eventually("the new service decides", lambda: user_of(gateway, "token-a")) == user_id("token-new")
        answer_now.set()
        answer = before.answer()
        assert gateway.row(answer.interception)["initiator_id"] == user_id("token-old")
        assert user_of(gateway, "token-a") == user_id("token-new"), "the old verdict is not in the new cache"
    assert len(old.asked) == 1
