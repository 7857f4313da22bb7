"""Hostile clients and providers: each attack is bounded by a limit that the README names and shows in a metric, and
another client's stream goes on meanwhile: the longest gap between two of its events is measured."""
import contextlib
import random
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest
import rig
from rig import (Client, MESSAGE, MESSAGE_STREAM, ask, bearer, configuration, eventually, request)

ANTHROPIC = "/anthropic/v1/messages"
GAP_MAX = 3  # seconds between two events that are sent 20 ms apart; a stopped worker would be far over it
CONNECTIONS = 400
FLAGS = ("--admin", "127.0.0.1:0", "--connections", str(CONNECTIONS), "--head-timeout", "1s", "--body-timeout", "1s",
         "--idle-timeout", "1s", "--handshake-timeout", "1s", "--send-timeout", "1s", "--answer-timeout", "2s",
         "--stream-timeout", "2s")


class HostileProvider:
    """Answers every request with the pieces of `self.answer()`, until the other side has had enough."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.answer = None
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        with contextlib.suppress(OSError), connection:
            connection.settimeout(rig.PATIENCE)
            seen = b""
            while b"\r\n\r\n" not in seen:
                if not (part := connection.recv(4096)):
                    return
                seen += part
            for piece in self.answer():
                connection.sendall(piece)

    def close(self):
        self.listener.close()


@pytest.fixture(scope="module")
def provider():
    made = HostileProvider()
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, mock_process, provider, certificates):
    listeners = f"""[[listener]]
name = "public"
address = "127.0.0.1:0"
[[listener]]
name = "secure"
address = "127.0.0.1:0"
tls = {{ certificate = "{certificates["valid.pem"]}", key = "{certificates["valid.key"]}" }}
"""
    providers = f"""[[provider]]
name = "hostile"
type = "openai"
base_url = "http://127.0.0.1:{provider.port}"
key = {{ env = "WEIR_TEST_OPENAI" }}
"""
    process = rig.Weir(tmp_path_factory.mktemp("hostile"),
                       configuration(mock_process.port, 1, listeners=listeners, providers=providers), *FLAGS,
                       environment={"ASAN_OPTIONS": rig.ENVIRONMENT["ASAN_OPTIONS"] + ":quarantine_size_mb=8"})  # memory is measured
    process.token = process.add_key()
    yield process
    assert process.stop() == 0, process.log()


@pytest.fixture(autouse=True)
def others_go_on(gateway, mock):
    """Another client's stream during each test; what was open before is closed again after it."""
    client = Client(gateway.address)
    client.send(request("POST", ANTHROPIC, bearer(gateway.token) + [("x-mock-gap", "20ms"), ("x-mock-events", "1000000")],
                        MESSAGE_STREAM))
    assert client.head()[0] == 200
    client.chunk()
    stopping, gaps = threading.Event(), []

    def listen():
        last = time.monotonic()
        while not stopping.is_set():
            if not client.chunk():
                return
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    listener = threading.Thread(target=listen)
    listener.start()
    yield
    count = len(gaps)
    eventually("the stream goes on", lambda: len(gaps) > count + 10)
    stopping.set()
    listener.join()
    client.close()
    assert max(gaps) < GAP_MAX, f"{max(gaps):.3f} s between two events"
    eventually("no connection is left", lambda: gateway.metric("weir_connections_open") == 0)
    eventually("no exchange is left", lambda: gateway.metric("weir_exchanges_open") == 0)


@contextlib.contextmanager
def counted(gateway, name, by, *more):
    """The metric, with more of them their sum, grows by at least this much."""
    def total():
        metrics = gateway.metrics()
        return sum(metrics[each] for each in (name, *more))

    before = total()
    yield
    eventually(f"{name} grows by {by}", lambda: total() >= before + by)


@contextlib.contextmanager
def many(count, address):
    clients = [Client(address) for _ in range(count)]
    yield clients
    for client in clients:
        client.close()


def gone(client):
    """Waits until the other side has ended the connection, however."""
    with contextlib.suppress(ConnectionError):
        while client.socket.recv(65536):
            pass
    return True


def drip(clients, data):
    """Sends the data byte by byte, 100 ms apart, until the others have closed or answered."""
    for i in range(len(data)):
        for client in clients:
            client.send(data[i:i + 1])
        client.socket.settimeout(0.1)
        with contextlib.suppress(TimeoutError, ConnectionError):
            client.socket.recv(1, socket.MSG_PEEK)
            break
    for client in clients:
        client.socket.settimeout(rig.PATIENCE)


# --- slow and silent clients ---

def test_slow_heads(gateway):
    with many(50, gateway.address) as clients, counted(gateway, 'weir_timeouts_total{kind="head"}', 50):
        drip(clients, request("GET", "/anthropic/v1/models", bearer(gateway.token) + [("X-Pad", "y" * 200)]))
        for client in clients:
            assert client.answer().status == 408


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_slow_bodies(gateway, framing):
    head = [("Transfer-Encoding", "chunked")] if framing == "chunked" else [("Content-Length", "1000000")]
    body = b"1\r\nx\r\n" * 100 if framing == "chunked" else b"x" * 1000
    with many(50, gateway.address) as clients, counted(gateway, 'weir_timeouts_total{kind="body"}', 50):
        for client in clients:
            client.send(request("POST", ANTHROPIC, bearer(gateway.token) + head))
        drip(clients, body)
        for client in clients:
            assert client.answer().status == 408


def test_connections_that_say_nothing(gateway):
    with many(200, gateway.address) as clients, counted(gateway, 'weir_timeouts_total{kind="head"}', 200):
        assert all(gone(client) for client in clients)


def test_connections_that_stay_idle(gateway):
    with many(100, gateway.address) as clients, counted(gateway, 'weir_timeouts_total{kind="idle"}', 100):
        for client in clients:
            client.send(request("GET", "/nowhere", bearer(gateway.token)))
        for client in clients:
            assert client.answer().status == 404
        assert all(gone(client) for client in clients)


def test_more_connections_than_there_may_be(gateway):
    with counted(gateway, 'weir_connections_refused_total{reason="limit"}', 100), many(CONNECTIONS + 100, gateway.address) as clients:
        assert all(gone(client) for client in clients)
    assert ask(gateway.address, "GET", "/nowhere", bearer(gateway.token)).status == 404


def test_clients_that_do_not_read(gateway):
    flood = request("GET", "/nowhere", bearer(gateway.token) + [("X-Pad", "y" * 1000)]) * 100

    def pour(client):
        with contextlib.suppress(OSError):
            while True:
                client.socket.sendall(flood)

    before = gateway.resident_bytes()
    # The kernel may take some bytes yet when weir first looks: then it is the rate that was missed.
    kinds = [f'weir_timeouts_total{{kind="{kind}"}}' for kind in ("send", "send_rate")]
    with many(10, gateway.address) as clients, counted(gateway, kinds[0], 10, *kinds[1:]):
        threads = [threading.Thread(target=pour, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert gateway.resident_bytes() < before + (64 << 20)


class SlowReader:
    """Asks for an answer and reads so many bytes of it every 50 ms, until it is ended; a receive buffer as small as may be."""

    def __init__(self, gateway, piece, gap="0"):
        self.client = Client(gateway.address, receive_buffer=4096)
        self.client.send(request("POST", ANTHROPIC, bearer(gateway.token) + [
            ("x-mock-gap", gap), ("x-mock-events", "1000000"), ("x-mock-bytes", "1000")], MESSAGE_STREAM))
        self.piece, self.ended, self.stop = piece, threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        while not self.stop.wait(0.05):
            try:
                if not self.client.socket.recv(self.piece):
                    break
            except OSError:
                break
        self.ended.set()

    def close(self):
        self.stop.set()
        self.thread.join()
        self.client.close()


def test_clients_that_read_slowly(start, mock):
    """Only what waits for a client counts: one that reads too little is cut off, one that reads enough is not, although weir's
    sends to it take far longer than the timeout, and neither is one whose provider is quiet."""
    own = start(configuration(mock.port), "--admin", "127.0.0.1:0", "--send-timeout", "2s", "--send-rate", "32KiB")
    own.token = own.add_key()
    readers = {"drips": SlowReader(own, 300), "reads": SlowReader(own, 16384), "waits": SlowReader(own, 16384, "1h")}
    try:
        eventually("the slow one is cut off", lambda: own.metric('weir_timeouts_total{kind="send_rate"}') == 1)
        began = time.monotonic()
        eventually("three timeouts have passed", lambda: time.monotonic() > began + 6)
        assert not readers["reads"].ended.is_set() and not readers["waits"].ended.is_set()
        assert own.metric('weir_timeouts_total{kind="send"}') == 0
        assert own.metric("weir_exchanges_open") == 2
    finally:
        for reader in readers.values():
            reader.close()
    row = eventually("its end", lambda: own.rows("outcome = 'client_disconnected' AND error_type = 'timeout'"))[0]
    assert row["error_message"] == "the client reads too slowly"


# --- too much ---

def test_large_heads(gateway):
    large = request("GET", "/nowhere", bearer(gateway.token) + [("X-Pad", "y" * 100_000)])
    crowded = request("GET", "/nowhere", bearer(gateway.token) + [("X", "y")] * 200)
    with counted(gateway, 'weir_refusals_total{reason="head_too_large",status="431"}', 40), many(40, gateway.address) as clients:
        for i, client in enumerate(clients):
            client.send(crowded if i % 2 else large)
        for client in clients:
            assert client.answer().status == 431


@pytest.mark.parametrize("body", [b"5;" + b"a" * 100_000, b"1;aaaaaaaa\r\nx\r\n" * 20_000, b"0\r\nA: " + b"b" * 100_000,
                                  b"0\r\n" + b"a: b\r\n" * 20_000],
                         ids=["one-extension", "many-extensions", "one-trailer", "many-trailers"])
def test_endless_chunk_extensions_and_trailers(gateway, body):
    with counted(gateway, 'weir_refusals_total{reason="malformed_http",status="400"}', 10), many(10, gateway.address) as clients:
        for client in clients:
            client.send(request("POST", ANTHROPIC, bearer(gateway.token) + [("Transfer-Encoding", "chunked")]) + body)
        for client in clients:
            answer = client.answer()
            assert (answer.status, answer.get("Connection")) == (400, "close")


def test_pipelined_floods(gateway):
    count = 2000
    one = request("GET", "/nowhere", bearer(gateway.token) + [("X-Pad", "y" * 200)])
    before = gateway.resident_bytes()
    with counted(gateway, "weir_requests_total", 2 * count), many(2, gateway.address) as clients:
        threads = [threading.Thread(target=client.send, args=(one * count,)) for client in clients]
        for thread in threads:
            thread.start()
        for client in clients:
            assert all(client.answer().status == 404 for _ in range(count))
        for thread in threads:
            thread.join()
    assert gateway.resident_bytes() < before + (64 << 20)


def test_reset_storms(gateway):
    half = request("POST", ANTHROPIC, bearer(gateway.token), MESSAGE)
    starts = [b"", half[:30], half[:-10], half]
    with counted(gateway, "weir_connections_accepted_total", 400):
        for i in range(400):
            client = Client(gateway.address).send(starts[i % len(starts)])
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets
            client.close()


# --- TLS ---

def client_hello(**settings):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name, value in settings.items():
        setattr(context, name, value)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    machine = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        machine.do_handshake()
    return outgoing.read()


def test_tls_garbage(gateway):
    numbers = random.Random(1)
    failed = 'weir_tls_failures_total{side="client",phase="handshake"}'
    with counted(gateway, failed, 60), many(60, gateway.listening["secure"]) as clients:
        for i, client in enumerate(clients):
            hello = bytearray(client_hello())
            hello[9 + i] ^= 0xFF
            client.send([numbers.randbytes(4096), b"GET / HTTP/1.1\r\n\r\n", bytes(hello)][i % 3] + numbers.randbytes(2000))
        assert all(gone(client) for client in clients)


def test_truncated_handshakes(gateway):
    hello = client_hello()
    stalled, cut = 'weir_timeouts_total{kind="handshake"}', 'weir_tls_failures_total{side="client",phase="handshake"}'
    with counted(gateway, stalled, 30), counted(gateway, cut, 30):
        with many(30, gateway.listening["secure"]) as clients:
            for i, client in enumerate(clients):
                client.send(hello[:i * len(hello) // 30] if i % 2 else hello)
            assert all(gone(client) for client in clients)
        with many(30, gateway.listening["secure"]) as clients:
            for client in clients:
                client.send(hello[:len(hello) // 2])


def test_renegotiation(gateway, certificates):
    with counted(gateway, 'weir_tls_failures_total{side="client",phase="connection"}', 1):
        done = subprocess.run(["openssl", "s_client", "-connect", gateway.listening["secure"], "-tls1_2", "-CAfile",
                               certificates["ca.pem"]], input=b"R\n", capture_output=True, timeout=60, check=False)
    assert b"RENEGOTIATING" in done.stdout + done.stderr
    assert done.returncode != 0


# --- the provider ---

def repeat(start, again, pause=0.0):
    def pieces():
        yield start
        while True:
            yield again
            time.sleep(pause)
    return pieces


def ask_hostile(gateway):
    return ask(gateway.address, "GET", "/hostile/v1/models", bearer(gateway.token))


BAD_ANSWER = 'weir_refusals_total{reason="upstream_bad_answer",status="502"}'


@pytest.mark.parametrize("start, again", [(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 1000), (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 100),
                                          (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), (b"", b"\r\n" * 1000)],
                         ids=["header", "headers", "interim", "empty-lines"])
def test_a_provider_whose_head_never_ends(gateway, provider, start, again):
    provider.answer = repeat(start, again)
    with counted(gateway, BAD_ANSWER, 3):
        for _ in range(3):
            assert ask_hostile(gateway).status == 502


@pytest.mark.parametrize("again", [b"1;" + b"a" * 1000, b"1;aaaaaaaa\r\nx\r\n" * 100, b"0\r\n" + b"a: b\r\n" * 1000],
                         ids=["extension", "extensions", "trailers"])
def test_a_provider_whose_framing_never_ends(gateway, provider, again):
    provider.answer = repeat(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", again)
    with counted(gateway, 'weir_exchanges_total{outcome="upstream_error"}', 3):
        for _ in range(3):
            answer = ask_hostile(gateway)
            assert (answer.status, answer.complete) == (200, False)


def test_a_provider_that_answers_byte_by_byte(gateway, provider):
    provider.answer = repeat(b"HTTP/1.1 200 OK\r\nX: ", b"y", pause=0.05)
    with counted(gateway, 'weir_timeouts_total{kind="answer"}', 1):
        assert ask_hostile(gateway).status == 504


def test_a_provider_that_stops_inside_its_answer(gateway, provider):
    provider.answer = repeat(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", b"", pause=0.5)
    with counted(gateway, 'weir_timeouts_total{kind="stream"}', 1):
        answer = ask_hostile(gateway)
        assert (answer.status, answer.body, answer.complete) == (200, b"abc", False)
