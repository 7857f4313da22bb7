"""File descriptors that are few: who gets them, what is said, and that nothing spins."""
import os
import pathlib
import resource
import time

import pytest
from rig import Client, MESSAGE, WEIR, ask, bearer, command, configuration, eventually, request

ANTHROPIC = "/anthropic/v1/messages"
ADMIN = ("--admin", "127.0.0.1:0")


@pytest.fixture
def limited(tmp_path):
    """A weir that may open so many files: a path to run."""

    def make(count):
        path = tmp_path / f"weir-{count}"
        path.write_text(f"#!/bin/sh\nulimit -n {count}\nexec {WEIR} \"$@\"\n", encoding="ascii")
        path.chmod(0o755)
        return str(path)

    return make


def cpu_seconds(gateway):
    fields = pathlib.Path(f"/proc/{gateway.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_share(gateway, seconds=1.0):
    """Of one core, from now on."""
    before = cpu_seconds(gateway)
    time.sleep(seconds)  # what is measured is that nothing happens
    return (cpu_seconds(gateway) - before) / seconds


def open_files(gateway):
    return len(os.listdir(f"/proc/{gateway.pid}/fd"))


@pytest.mark.parametrize("workers", [1, 2])
def test_strangers_cannot_take_what_a_request_needs(start, mock, limited, workers):
    gateway = start(configuration(mock.port, workers), *ADMIN, binary=limited(400))
    assert "allowed=" in gateway.log_line("allows fewer client connections than --connections ulimit_n=400")
    token = gateway.add_key()
    metrics = gateway.metrics()
    assert metrics["weir_file_descriptors_limit"] == 400
    room = int(metrics["weir_connections_limit"])
    assert 100 < room <= 200
    strangers = []
    for _ in range(3 * room):
        strangers.append(Client(gateway.address))
    # They are older than a second before they make room; until then those over the limit are closed at once.
    served = eventually("a valid client is served", lambda: try_once(gateway, token))
    assert served == 200
    for _ in range(20):
        assert eventually("and the next", lambda: try_once(gateway, token)) == 200
    assert open_files(gateway) < 400
    assert "out of file descriptors" not in gateway.log()
    assert gateway.metric("weir_connections_displaced_total") > 0
    assert gateway.metric("weir_upstream_connections_failed_total{reason=\"connect\"}") == 0
    assert cpu_share(gateway) < 0.5
    for stranger in strangers:
        stranger.close()


def try_once(gateway, token):
    """The status; None if the connection was closed at once."""
    try:
        return ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status
    except (OSError, EOFError, ValueError):
        return None


def test_a_connection_that_is_used_is_not_displaced_by_strangers(start, mock):
    gateway = start(configuration(mock.port, extra="[limits]\nconnections = 64"), *ADMIN)
    token = gateway.add_key()
    get = request("GET", "/anthropic/v1/models", bearer(token))
    with Client(gateway.address) as client:
        assert client.send(get).answer().status == 200
        strangers = [Client(gateway.address) for _ in range(60)]
        eventually("they have waited", lambda: strangers.append(Client(gateway.address)) or
                   gateway.metric("weir_connections_displaced_total") > 20)
        assert client.send(get).answer().status == 200, "those who never asked for anything go first"
        for stranger in strangers:
            stranger.close()


def test_a_limit_that_is_too_low_is_told(mock, limited, tmp_path):
    (tmp_path / "weir.toml").write_text(configuration(mock.port, 4), encoding="utf-8")
    done = command("serve", "--config", "weir.toml", folder=tmp_path, binary=limited(40))
    assert done.returncode == 1
    assert "the limit of 40 file descriptors (`ulimit -n`; LimitNOFILE= under systemd) is too low" in done.stderr


def test_the_soft_limit_is_raised_to_the_hard_one(start, mock, tmp_path):
    path = tmp_path / "soft"
    path.write_text(f"#!/bin/sh\nulimit -S -n 64\nexec {WEIR} \"$@\"\n", encoding="ascii")
    path.chmod(0o755)
    gateway = start(configuration(mock.port), *ADMIN, binary=str(path))
    assert gateway.metric("weir_file_descriptors_limit") == resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def test_without_any_descriptor_nothing_spins_and_everything_goes_on_later(start, mock):
    # An accept for many connections keeps the limit that it began with.
    gateway = start(configuration(mock.port), "--ring-without", "multishot-accept", *ADMIN)
    token = gateway.add_key()
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200
    limits = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (open_files(gateway), limits[1]))
    waiting = [Client(gateway.address) for _ in range(5)]
    for client in waiting:
        client.send(request("POST", ANTHROPIC, bearer(token), MESSAGE))
    gateway.log_line("cannot accept: out of file descriptors")
    with Client(gateway.admin) as first:  # it has a descriptor in reserve
        assert first.send(request("GET", "/healthz")).answer().status == 200
        second = Client(gateway.admin).send(request("GET", "/healthz"))
        assert cpu_share(gateway) < 0.5
    assert second.answer().status == 200, "as soon as the first has given it back"
    second.close()
    assert gateway.log().count("out of file descriptors") < 10
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, limits)
    for client in waiting:
        assert client.answer().status == 200
        client.close()
