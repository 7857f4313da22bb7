"""Names with several addresses, of which some are dead (RFC 8305). `localhost` is ::1, then 127.0.0.1, in a mount namespace."""
import contextlib
import select
import shutil
import socket
import subprocess
import time

import pytest
from raw_provider import RawProvider, always, head
from rig import MESSAGE, USER_ID, WEIR, Authorizer, Client, ask, bearer, configuration, eventually, request
from tls_front import TlsFront

MODELS = "/anthropic/v1/models"
ONCE = head(200, "Content-Length: 2", "Connection: close") + b"{}"  # so that each request needs a connection of its own


def may_unshare():
    return shutil.which("unshare") and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not may_unshare(), reason="needs a mount namespace for a hosts file of its own: root or CAP_SYS_ADMIN")


@pytest.fixture
def begin(start, tmp_path):
    """begin(text, *options): a gateway for which localhost has two addresses."""
    (tmp_path / "hosts").write_text("::1 localhost\n127.0.0.1 localhost\n", encoding="ascii")
    wrapper = tmp_path / "weir-with-hosts"
    wrapper.write_text(f"#!/bin/sh\nexec unshare -m sh -c 'mount --bind {tmp_path}/hosts /etc/hosts && exec {WEIR} \"$@\"' sh \"$@\"\n",
                       encoding="ascii")
    wrapper.chmod(0o755)

    def starter(text, *options):
        gateway = start(text, "--admin", "127.0.0.1:0", *options, binary=str(wrapper))
        gateway.binary = WEIR
        return gateway

    return starter


def at_localhost(port, extra=""):
    return configuration(port, extra=extra).replace(f"http://127.0.0.1:{port}", f"http://localhost:{port}")


@contextlib.contextmanager
def hole(host, port):
    """Nothing answers there, nor refuses: the queue of a listener that never accepts is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_INET6))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(10):
            filler = stack.enter_context(socket.socket(socket.AF_INET6))
            filler.setblocking(False)
            filler.connect_ex((host, port))
            if not select.select([], [filler], [], 0.2)[1]:
                break
        else:
            raise AssertionError("its queue has no end")
        yield


def told(gateway, count):
    """The log's lines about addresses, once there are so many."""
    def lines():
        found = [line for line in gateway.log().splitlines() if "no connection to an upstream address" in line]
        return found if len(found) >= count else None

    return eventually("lines of the log", lines)


def test_a_dead_first_address_costs_a_moment_once(begin):
    with RawProvider(always(ONCE)) as provider, hole("::1", provider.port):
        gateway = begin(at_localhost(provider.port), "--log-level", "info")
        token = gateway.add_key()
        began = time.monotonic()
        with Client(gateway.address) as client:
            for _ in range(4):
                assert client.send(request("GET", MODELS, bearer(token))).answer().status == 200
        assert time.monotonic() - began < 5, "less than one connect timeout"
        assert len(provider.connections) == 4
        # The first connection has found out; the others began with the address that works.
        assert gateway.metric('weir_upstream_connections_failed_total{reason="overtaken"}') == 1
        assert gateway.metric('weir_upstream_connections_failed_total{reason="timeout"}') == 0
        lines = told(gateway, 1)
        assert len(lines) == 1 and f"[::1]:{provider.port}" in lines[0], lines


def test_a_first_address_that_refuses_costs_nothing_and_is_told_once_a_minute(begin):
    with RawProvider(always(ONCE)) as provider:
        gateway = begin(at_localhost(provider.port))
        token = gateway.add_key()
        for _ in range(3):
            assert ask(gateway.address, "GET", MODELS, bearer(token)).status == 200
        assert gateway.metric('weir_upstream_connections_failed_total{reason="connect"}') == 1
        assert "connection refused" in gateway.log_line("no connection to an upstream address")


def test_without_any_address_that_works_it_is_502_and_told_once_for_each(begin):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    gateway = begin(at_localhost(port))
    token = gateway.add_key()
    for _ in range(2):
        answer = ask(gateway.address, "POST", "/anthropic/v1/messages", bearer(token), MESSAGE)
        assert answer.status == 502 and f":{port})" in answer.message(), answer
    assert gateway.metric('weir_upstream_connections_failed_total{reason="connect"}') == 4
    lines = told(gateway, 2)
    assert len(lines) == 2 and "[::1]" in lines[0] and "127.0.0.1" in lines[1], lines


def says_nothing(connection):
    connection.ended()


def no_tls(connection):
    connection.more()
    connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("first, reason", [(no_tls, "tls"), (says_nothing, "overtaken")])
def test_a_first_address_whose_tls_fails_is_followed_by_the_next(begin, certificates, first, reason):
    with RawProvider(always(ONCE)) as provider:
        front = TlsFront(provider.port, certificates["valid.pem"], certificates["valid.key"])
        with RawProvider(first, "::1", front.port) as other:
            gateway = begin(configuration(1).replace(
                'base_url = "http://127.0.0.1:1"\n', f'base_url = "https://localhost:{front.port}"\nca_file = "{certificates["ca.pem"]}"\n', 1))
            token = gateway.add_key()
            for _ in range(3):
                assert ask(gateway.address, "GET", MODELS, bearer(token)).status == 200
            assert len(other.connections) == 1, "it is tried once, and then what worked comes first"
            assert gateway.metric(f'weir_upstream_connections_failed_total{{reason="{reason}"}}') == 1
        front.close()


def test_an_authorizer_behind_a_dead_first_address_answers(begin):
    port = Authorizer({"id": USER_ID, "username": "ann"}).server.server_port
    with RawProvider(always(ONCE)) as provider, hole("::1", port):
        gateway = begin(configuration(provider.port, extra=f'[authorizer]\nkind = "http"\nurl = "http://localhost:{port}/who"\n'))
        assert ask(gateway.address, "GET", MODELS, bearer("any-token")).status == 200


def test_a_client_that_leaves_while_addresses_are_tried_leaves_nothing_behind(begin):
    with RawProvider(always(ONCE)) as provider, hole("::1", provider.port):
        gateway = begin(at_localhost(provider.port))
        token = gateway.add_key()
        with Client(gateway.address) as client:
            client.send(request("POST", "/anthropic/v1/messages", bearer(token), MESSAGE))
        assert gateway.only_row()["outcome"] == "client_disconnected"
        eventually("no connection is left", lambda: gateway.metric("weir_upstream_connections_open") == 0)
