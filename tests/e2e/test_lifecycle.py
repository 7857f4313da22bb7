"""Start, drain, reload, sudden death, keys that come and go."""
import os
import pathlib
import shutil
import signal
import socket

import pytest
import rig
from rig import (Client, MESSAGE, MESSAGE_STREAM, USER_ID, ask, bearer, command, configuration, eventually, request)

ANTHROPIC = "/anthropic/v1/messages"


def open_stream(gateway, token):
    """A step-wise stream whose head has come."""
    client = Client(gateway.address)
    client.send(request("POST", ANTHROPIC, bearer(token) + [("x-mock-step", "1"), ("x-mock-events", "2")], MESSAGE_STREAM))
    assert client.head()[0] == 200
    return client


def rest_of(client):
    body = b""
    while piece := client.chunk():
        body += piece
    return body


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_running_exchanges_finish_before_the_end(start, mock, number):
    gateway = start(configuration(mock.port, workers=2))
    token = gateway.add_key()
    client = open_stream(gateway, token)
    idle = Client(gateway.address)
    assert idle.send(request("GET", "/nowhere", bearer(token))).answer().status == 404
    gateway.signal(number)
    gateway.log_line("draining")
    assert idle.ended(), "an idle connection is closed"
    mock.next(100)
    assert rest_of(client).endswith(b'{"type":"message_stop"}\n\n')
    assert client.ended()
    assert gateway.wait() == 0
    assert gateway.only_row()["outcome"] == "completed"


def test_while_draining_what_has_begun_is_finished_and_nothing_new_begins(start, mock):
    gateway = start(configuration(mock.port))
    token = gateway.add_key()
    client = open_stream(gateway, token)
    begun, half = Client(gateway.address), Client(gateway.address)
    half.send(request("POST", ANTHROPIC, bearer(token), MESSAGE)[:40])
    begun.send(request("POST", ANTHROPIC, bearer(token) + [("Expect", "100-continue")], MESSAGE)[:-len(MESSAGE)])
    assert begun.head()[0] == 100  # so its head was read, and so was the half one before it
    gateway.signal(signal.SIGTERM)
    gateway.log_line("draining")
    assert begun.send(MESSAGE).answer().status == 200
    answer = half.send(request("POST", ANTHROPIC, bearer(token), MESSAGE)[40:]).answer()
    assert answer.status == 503, answer
    assert answer.get("Connection") == "close"
    assert half.ended()
    mock.next(100)
    rest_of(client)
    assert gateway.wait() == 0
    assert len(mock.requests()) == 2


def test_the_drain_has_an_end(start, mock):
    gateway = start(configuration(mock.port), "--drain-timeout", "300ms")
    token = gateway.add_key()
    client = open_stream(gateway, token)
    gateway.signal(signal.SIGTERM)
    assert gateway.wait() == 0
    row = gateway.only_row()
    assert row["outcome"] == "gateway_error", row
    client.close()


def test_after_a_sudden_death_every_start_has_an_end(start, mock, tmp_path):
    text = configuration(mock.port, workers=2)
    gateway = start(text)
    token = gateway.add_key()
    for _ in range(3):
        assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200
    clients = [open_stream(gateway, token) for _ in range(3)]
    gateway.kill()
    for client in clients:
        client.close()
    again = start(text, name="again")
    rows = eventually("every row has its end",
                      lambda: rows if len(rows := again.rows("ended_at IS NOT NULL")) == 6 else None)
    assert sorted(row["outcome"] for row in rows) == ["completed"] * 3 + ["interrupted"] * 3
    assert again.rows("ended_at IS NULL") == []
    assert ask(again.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200


def test_two_gateways_on_one_folder_are_refused(start, mock, tmp_path):
    gateway = start(configuration(mock.port))
    done = command("serve", "--config", "weir.toml", folder=tmp_path)
    assert done.returncode == 1
    assert str(gateway.pid) in done.stderr


def test_a_reload_takes_the_new_file(start, mock):
    gateway = start(configuration(mock.port))
    token = gateway.add_key()
    rule = '[[rule]]\nname = "tag"\nset = { "x-new" = "1" }\n'
    gateway.config_path.write_text(configuration(mock.port, extra=rule), encoding="utf-8")
    gateway.signal(signal.SIGHUP)
    gateway.log_line("configuration reloaded")
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200
    assert mock.only_request().all("x-new") == ["1"]


def test_an_exchange_keeps_the_policy_that_it_began_with(start, mock):
    gateway = start(configuration(mock.port))
    token = gateway.add_key()
    client = open_stream(gateway, token)
    gateway.config_path.write_text(configuration(1), encoding="utf-8")
    gateway.signal(signal.SIGHUP)
    gateway.log_line("configuration reloaded")
    mock.next(100)
    assert rest_of(client).endswith(b'{"type":"message_stop"}\n\n')
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 502


@pytest.mark.parametrize("text, why", [
    ("workers = \"many\"\n", "weir.toml:1: "),
    ("this is no TOML", "weir.toml:1"),
    ('[[rule]]\nname = "leak"\nset = { "x-api-key" = "{request.id}" }\n', "leak"),
])
def test_an_invalid_file_leaves_the_old_one_in_force(start, mock, text, why):
    gateway = start(configuration(mock.port))
    token = gateway.add_key()
    gateway.config_path.write_text(text, encoding="utf-8")
    gateway.signal(signal.SIGHUP)
    assert why in gateway.log_line("reload refused")
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200
    assert len(mock.requests()) == 1


def test_a_flag_wins_over_the_file_also_after_a_reload(start, mock):
    gateway = start(configuration(mock.port, extra='[limits]\nmax_body = "64KiB"'), "--max-body", "2KiB")
    token = gateway.add_key()
    body = b'{"a":"' + b"x" * 3000 + b'"}'
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), body).status == 413
    gateway.signal(signal.SIGHUP)
    gateway.log_line("configuration reloaded")
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), body).status == 413


def test_a_revoked_key_ends_within_a_second(start, mock):
    gateway = start(configuration(mock.port, workers=2))
    token = gateway.add_key()
    ident = rig.query(gateway.database, "SELECT id FROM gateway_keys")[0]["id"]
    assert ask(gateway.address, "GET", "/anthropic/v1/models", bearer(token)).status == 200
    gateway.run("key", "revoke", ident[:13])
    for _ in range(4):  # on either worker
        eventually("the token is refused",
                   lambda: ask(gateway.address, "GET", "/anthropic/v1/models", bearer(token)).status == 403, patience=1)
    gateway.run("key", "revoke", ident[:13], code=1)


def test_an_expired_key_is_refused(start, mock):
    gateway = start(configuration(mock.port))
    token = gateway.add_key("alice", "--expires", "1s")
    eventually("the token is refused",
               lambda: ask(gateway.address, "GET", "/anthropic/v1/models", bearer(token)).status == 403)


def test_several_listeners_name_the_source(start, mock, tmp_path):
    path = tmp_path / "agents.sock"
    gateway = start(configuration(mock.port, workers=2, listeners=f"""[[listener]]
name = "public"
address = "127.0.0.1:0"
[[listener]]
name = "six"
address = "[::1]:0"
[[listener]]
name = "agents"
address = "unix:{path}"
trusted = true
allowed_uids = [{os.getuid()}]
"""))
    token = gateway.add_key()
    key_id = rig.query(gateway.database, "SELECT id FROM gateway_keys")[0]["id"]
    for name in ("public", "six", "agents"):
        answer = ask(gateway.listening[name], "POST", ANTHROPIC, bearer(token), MESSAGE)
        assert answer.status == 200, answer
        assert gateway.row(answer.interception)["source"] == name
    # A delegated caller names a key id; only the trusted listener lets it.
    delegated = [("X-Weir-Delegated-Key-Id", key_id)]
    answer = ask(gateway.listening["agents"], "POST", ANTHROPIC, delegated, MESSAGE)
    assert answer.status == 200, answer
    row = gateway.row(answer.interception)
    assert (row["auth_delegated"], row["api_key_id"], row["initiator_id"]) == (1, key_id, USER_ID)
    assert ask(gateway.listening["public"], "POST", ANTHROPIC, delegated, MESSAGE).status == 400
    assert ask(gateway.listening["agents"], "POST", ANTHROPIC, [("X-Weir-Delegated-Key-Id", "nobody")], MESSAGE).status == 403
    assert not any(seen.all("X-Weir-Delegated-Key-Id") for seen in mock.requests())


def test_a_peer_whose_uid_is_not_allowed_is_turned_away(start, mock, tmp_path):
    path = tmp_path / "agents.sock"
    gateway = start(configuration(mock.port, listeners=f"""[[listener]]
name = "public"
address = "127.0.0.1:0"
[[listener]]
name = "agents"
address = "unix:{path}"
trusted = true
allowed_uids = [{os.getuid() + 1}]
"""))
    gateway.add_key()
    with Client(f"unix:{path}") as client:
        client.send(request("GET", "/anthropic/v1/models", [("X-Weir-Delegated-Key-Id", "x")]))
        try:
            assert client.answer().status in (400, 403)
        except (EOFError, ConnectionError, ValueError):
            pass  # closed without an answer
    assert mock.requests() == []


def test_systemd_is_told(start, mock, tmp_path):
    path = str(tmp_path / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(rig.PATIENCE)
        gateway = start(configuration(mock.port), environment={"NOTIFY_SOCKET": path})
        assert manager.recv(4096) == b"READY=1"
        gateway.signal(signal.SIGHUP)
        assert manager.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(4096) == b"READY=1"
        assert gateway.stop() == 0
        assert manager.recv(4096) == b"STOPPING=1"


def test_a_full_disk_of_the_journal_is_told_at_start(mock, tmp_path):
    done = command("serve", "--data-dir", "/proc/weir", "--listen", "127.0.0.1:0", folder=tmp_path)
    assert done.returncode == 1
    assert "/proc/weir" in done.stderr


def test_no_descriptor_is_lost(start, mock):
    gateway = start(configuration(mock.port))
    token = gateway.add_key()

    def descriptors():
        return len(list(pathlib.Path(f"/proc/{gateway.pid}/fd").iterdir()))

    assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200
    before = descriptors()  # the pooled connection among them
    for _ in range(30):
        assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200
        ask(gateway.address, "POST", ANTHROPIC, bearer(token) + [("x-mock-ending", "reset")], MESSAGE)
    eventually("the descriptors of before", lambda: descriptors() <= before + 1)


def test_a_database_that_is_not_ours_is_left_alone(mock, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/weir.db").write_bytes(b"something else" * 100)
    (tmp_path / "weir.toml").write_text(configuration(mock.port), encoding="utf-8")
    done = command("serve", "--config", "weir.toml", folder=tmp_path)
    assert done.returncode == 1
    assert "weir.db" in done.stderr
    assert (tmp_path / "data/weir.db").read_bytes() == b"something else" * 100
    shutil.rmtree(tmp_path / "data")
