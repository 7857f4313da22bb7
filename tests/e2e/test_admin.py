"""The admin endpoint: what it answers, what it counts, what it withstands."""
import re
import signal
import socket
import sqlite3

import pytest
import rig
from rig import Client, MESSAGE, MESSAGE_STREAM, ask, bearer, command, configuration, eventually, request

ANTHROPIC = "/anthropic/v1/messages"
ADMIN = ("--admin", "127.0.0.1:0")


@pytest.fixture(params=[1, 2], ids=["1worker", "2workers"])
def gateway(request, start, mock):
    process = start(configuration(mock.port, workers=request.param), *ADMIN)
    process.token = process.add_key()
    return process


def change(before, after):
    return {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}


def test_the_process_is_alive_and_ready(gateway):
    for path, body in (("/healthz", b"ok\n"), ("/readyz", b"ready\n")):
        answer = ask(gateway.admin, "GET", path)
        assert (answer.status, answer.body, answer.get("Connection")) == (200, body, "close")
        assert ask(gateway.admin, "HEAD", path).get("Content-Length") == str(len(body))


def test_other_requests_are_refused(gateway):
    assert ask(gateway.admin, "GET", "/").status == 404
    assert ask(gateway.admin, "GET", "/metrics/").status == 404
    answer = ask(gateway.admin, "POST", "/metrics", body=b"x")
    assert (answer.status, answer.get("Allow")) == (405, "GET, HEAD")
    with Client(gateway.admin) as client:
        assert client.send(b"GET /metrics\r\n\r\n").answer().status == 400


def test_a_request_shows_in_the_counters(gateway, mock):
    before = gateway.metrics()
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token), MESSAGE).status == 200
    assert ask(gateway.address, "POST", ANTHROPIC, bearer("wrong"), MESSAGE).status == 403
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token), b"{").status == 400
    eventually("the end of the connections", lambda: gateway.metric("weir_connections_open") == 0)
    eventually("the records are delivered", lambda: gateway.metric("weir_recorder_lag_records") == 0)
    found = change(before, gateway.metrics())
    assert found["weir_connections_accepted_total"] == 3
    assert found["weir_requests_total"] == 3
    assert found['weir_exchanges_total{outcome="completed"}'] == 1
    assert found['weir_exchanges_total{outcome="refused"}'] == 2
    assert found['weir_refusals_total{reason="unauthorized",status="403"}'] == 1
    assert found['weir_refusals_total{reason="invalid_json",status="400"}'] == 1
    assert found['weir_upstream_answers_total{class="2xx"}'] == 1
    assert found["weir_upstream_connections_opened_total"] == 1
    assert found['weir_received_bytes_total{side="client"}'] > 3 * len(request("POST", ANTHROPIC))
    assert found['weir_sent_bytes_total{side="upstream"}'] > len(MESSAGE)
    assert found["weir_first_byte_seconds_count"] == 1
    assert found["weir_exchange_seconds_count"] == 3
    assert found["weir_journal_records_total"] == found["weir_recorder_records_total"] >= 3
    assert gateway.metric('weir_database_state{state="ok"}') == 1


def test_no_token_and_no_name_is_in_the_metrics(gateway):
    ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token), MESSAGE)
    text = ask(gateway.admin, "GET", "/metrics").body.decode()
    for secret in (gateway.token, "alice", rig.USER_ID, rig.ANTHROPIC_KEY, rig.OPENAI_KEY, "127.0.0.1"):
        assert secret not in text


def test_every_metric_stands_in_the_readme(gateway):
    exposed = set(re.findall(r"# TYPE (\S+)", ask(gateway.admin, "GET", "/metrics").body.decode()))
    readme = (rig.ROOT / "README.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(weir_[a-z0-9_]+)", readme))
    assert exposed == told


def test_draining_is_not_ready(gateway, mock):
    client = Client(gateway.address)
    client.send(request("POST", ANTHROPIC, bearer(gateway.token) + [("x-mock-step", "1"), ("x-mock-events", "2")],
                        MESSAGE_STREAM))
    assert client.head()[0] == 200
    gateway.signal(signal.SIGTERM)
    answer = eventually("not ready", lambda: (a := ask(gateway.admin, "GET", "/readyz")).status == 503 and a)
    assert answer.body == b"draining\n"
    assert ask(gateway.admin, "GET", "/healthz").status == 200
    assert gateway.metric("weir_draining") == 1
    mock.next(100)
    while client.chunk():
        pass
    assert gateway.wait() == 0


def test_a_full_journal_is_not_ready_until_the_database_is_back(start, mock):
    gateway = start(configuration(mock.port), *ADMIN)
    token = gateway.add_key()
    holder = sqlite3.connect(gateway.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    prompt = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"' + b"x" * 60000 + b'"}]}'
    refused = 0
    while ask(gateway.address, "POST", ANTHROPIC, bearer(token), prompt).status != 503:
        refused += 1
        assert refused < 200
    assert ask(gateway.admin, "GET", "/readyz").body == b"the journal is full; it waits for the sink sqlite\n"
    eventually("the lock is told", lambda: gateway.metric('weir_database_state{state="locked"}') == 1)
    assert gateway.metric('weir_journal_used_bytes{worker="0"}') > 500_000
    assert gateway.metric("weir_recorder_lag_records") > 10
    assert gateway.metric('weir_refusals_total{reason="journal_full",status="503"}') == 1
    holder.execute("ROLLBACK")
    holder.close()
    eventually("ready again", lambda: ask(gateway.admin, "GET", "/readyz").status == 200)
    eventually("all delivered", lambda: gateway.metric("weir_recorder_lag_records") == 0)


def test_idle_admin_connections_hold_nobody_up_for_long(start, mock):
    gateway = start(configuration(mock.port), *ADMIN)
    idle = [Client(gateway.admin) for _ in range(40)]
    half = Client(gateway.admin).send(b"GET /metr")
    assert ask(gateway.admin, "GET", "/healthz").status == 200  # after their deadline
    for client in idle:
        assert client.ended() is not None
    half.close()
    with Client(gateway.admin) as client:
        assert client.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20000).answer().status == 400


def asked_as(address, host, *headers):
    with Client(address) as client:
        return client.send(request("GET", "/metrics", headers, host=host)).answer()


def test_a_unix_socket(start, mock, tmp_path):
    gateway = start(configuration(mock.port), "--admin", f"unix:{tmp_path}/admin.sock")
    assert gateway.admin == f"unix:{tmp_path}/admin.sock"
    assert ask(gateway.admin, "GET", "/readyz").status == 200
    assert asked_as(gateway.admin, "anything").status == 200


def test_no_web_page_reads_it(start, mock):
    """DNS rebinding: a page whose own name resolves to 127.0.0.1 would read what goes on here."""
    gateway = start(configuration(mock.port), *ADMIN, "--set", "admin.hosts=metrics.example")
    for host in ("localhost", gateway.admin, "metrics.example:9100"):
        assert asked_as(gateway.admin, host).status == 200, host
    for host, *headers in (("evil.example",), ("10.1.2.3",), ("localhost", ("Origin", "https://evil.example"))):
        answer = asked_as(gateway.admin, host, *headers)
        assert answer.status == 403 and b"admin.hosts" in answer.body and b"weir_" not in answer.body, answer


def test_what_is_open_to_other_machines_is_called_by_its_address(start, mock):
    gateway = start(configuration(mock.port), *ADMIN, "--set", "admin.allow_remote=true")
    assert asked_as(gateway.admin, "10.1.2.3:9100").status == 200  # a probe that knows the address alone
    assert asked_as(gateway.admin, "evil.example").status == 403


def test_an_address_for_everybody_must_be_asked_for(start, mock, tmp_path):
    (tmp_path / "weir.toml").write_text(configuration(mock.port), encoding="utf-8")
    done = command("check", "--config", str(tmp_path / "weir.toml"), "--admin", "0.0.0.0:0")
    assert done.returncode == 2
    assert "admin.allow_remote" in done.stderr
    gateway = start(configuration(mock.port), "--admin", "0.0.0.0:0", "--set", "admin.allow_remote=true")
    port = gateway.admin.rpartition(":")[2]
    assert ask(f"127.0.0.1:{port}", "GET", "/healthz").status == 200


def test_an_address_that_is_taken_is_told(mock, tmp_path):
    (tmp_path / "weir.toml").write_text(configuration(mock.port), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = command("serve", "--config", "weir.toml", "--admin", address, folder=tmp_path)
    assert done.returncode == 1
    assert address in done.stderr
