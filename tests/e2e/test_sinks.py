"""Where records end up: SQLite, JSON lines and PostgreSQL, alone and at once, and what becomes of them when one fails.

The measure is always the same: every interception is there exactly once, and equal in every sink."""
import contextlib
import itertools
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading

import pytest
import rig
from rig import CHAT, Client, MESSAGE, MESSAGE_STREAM, RESPONSES, WEIR, ask, bearer, command, configuration, eventually, request

import postgres

ANTHROPIC = "/anthropic/v1/messages"
WEIR_SINK = str(pathlib.Path(WEIR).parent / "weir-sink")
TABLES = ("interceptions", "token_usages", "user_prompts", "tool_usages", "model_thoughts")

needs_postgres = pytest.mark.skipif(postgres.programs() is None, reason="needs Debian's package postgresql")


@pytest.fixture(scope="module")
def server():
    process = postgres.Server()
    yield process
    process.close()


@pytest.fixture
def database(server):
    """An empty database of the test's own."""
    name = f"test_{next(NUMBERS)}"
    if not server.running:
        server.start()
    server.psql("postgres", f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    return name


NUMBERS = itertools.count()


@pytest.fixture
def begin(tmp_path):
    """Starts weir in a folder of its own: begin(name, text). All are stopped at the end, and must end well."""
    started = []

    def starter(folder, text, *options, name="weir", environment=None):
        (tmp_path / folder).mkdir(exist_ok=True)
        gateway = rig.Weir(tmp_path / folder, text, *options, name=name, environment=environment)
        gateway.token = gateway.add_key()
        started.append(gateway)
        return gateway

    yield starter
    for process in started:
        if process.process.poll() is None:
            assert process.stop() == 0, process.log()
        assert "AddressSanitizer" not in process.log() and "runtime error" not in process.log(), process.log()


def sinks(*tables):
    return '[[sink]]\nkind = "sqlite"\n' + "".join(f"[[sink]]\n{table}\n" for table in tables)


def to_postgres(tmp_path, server, database, port=None, more=""):
    """A [[sink]] with its connection string in a file."""
    place = f"host=127.0.0.1 port={port}" if port else f"host={server.folder}"
    path = tmp_path / f"dsn-{database}"
    path.write_text(f"{place} user={postgres.USER} dbname={database}\n", encoding="ascii")
    return f'kind = "postgres"\ndsn_file = "{path}"\n{more}'


def in_sqlite(gateway, table):
    rows = rig.query(gateway.database, f"SELECT * FROM {table} ORDER BY rowid")
    return rows if table == "interceptions" else in_groups(rows)


def in_groups(rows):
    """Rows of one interception stay in their order; those of several may be mixed."""
    return sorted(rows, key=lambda row: row["interception_id"])


def in_postgres(server, database, table, node=None):
    where = ""
    if node and table == "interceptions":
        where = f"WHERE node = '{node}'"
    elif node:
        where = f"WHERE interception_id IN (SELECT id FROM interceptions WHERE node = '{node}')"
    rows = server.rows(database, f"SELECT * FROM {table} {where} ORDER BY seq")
    for row in rows:
        del row["seq"]
    return rows if table == "interceptions" else in_groups(rows)


def in_lines(path, table):
    rows = []
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        whole = json.loads(line)
        facts = {name: whole.pop(name) for name in TABLES[1:]}
        for fact in facts["token_usages"]:
            fact["extra"] = json.dumps(fact["extra"], separators=(",", ":"))
        rows += [whole] if table == "interceptions" else [{"interception_id": whole["id"], **fact} for fact in facts[table]]
    return rows if table == "interceptions" else in_groups(rows)


def by_id(rows):
    return sorted(rows, key=lambda row: row.get("id", ""))


def ended_count(rows):
    return sum(row["ended_at"] is not None for row in rows)


def assert_postgres_has_all(gateway, server, database, count, node=None):
    """... of what SQLite has, which is `count` ended interceptions."""
    eventually(f"{count} interceptions in SQLite", lambda: ended_count(in_sqlite(gateway, "interceptions")) == count)
    try:
        eventually(f"{count} interceptions in PostgreSQL",
                   lambda: ended_count(in_postgres(server, database, "interceptions", node)) >= count, patience=60)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{gateway.log()}") from None
    for table in TABLES:
        expected, found = in_sqlite(gateway, table), in_postgres(server, database, table, node)
        assert by_id(found) == by_id(expected), table


def post(gateway, path=ANTHROPIC, body=MESSAGE, headers=()):
    return ask(gateway.address, "POST", path, [*bearer(gateway.token), *headers], body)


def traffic(gateway, count):
    for _ in range(count):
        assert post(gateway).status == 200
    return count


def of_every_kind(gateway):
    """One exchange of each API and ending; how many there were."""
    tools = [("x-mock-tool", "1"), ("x-mock-thinking", "1")]
    assert post(gateway, body=MESSAGE_STREAM, headers=tools).status == 200
    assert post(gateway, "/openai/v1/chat/completions", CHAT).status == 200
    assert post(gateway, "/openai/v1/responses", RESPONSES, tools).status == 200
    assert post(gateway, headers=[("x-mock-status", "529")]).status == 529
    assert post(gateway, body='{"model":"m","messages":[{"role":"user","content":"a\\u0000 \\"ü\\"\\n🌍"}]}'.encode(),
                headers=[("User-Agent", "caf\xe9")]).status == 200
    return 5


def sink_pid(gateway, number=1):
    """Of the weir-sink that weir started as its nth."""
    lines = eventually(f"start {number} of weir-sink", lambda: found if len(
        found := re.findall(r"started weir-sink .*pid=(\d+)", gateway.log())) >= number else None, patience=60)
    return int(lines[number - 1])


# --- JSON lines ---

def test_json_lines_have_what_sqlite_has(begin, mock, tmp_path):
    gateway = begin("a", configuration(mock.port, workers=2, extra=sinks('kind = "jsonl"\npath = "out.jsonl"')))
    count = of_every_kind(gateway)
    assert gateway.stop() == 0, gateway.log()
    path = tmp_path / "a/out.jsonl"
    for table in TABLES:
        assert by_id(in_lines(path, table)) == by_id(in_sqlite(gateway, table)), table
    assert len(in_lines(path, "interceptions")) == count
    assert path.stat().st_mode & 0o777 == 0o600


def test_json_lines_survive_sudden_deaths(begin, mock, tmp_path):
    text = configuration(mock.port, extra=sinks('kind = "jsonl"\npath = "out.jsonl"'))
    for turn in range(3):
        gateway = begin("a", text, name=f"weir{turn}")
        traffic(gateway, 5)
        client = Client(gateway.address)
        client.send(request("POST", ANTHROPIC, bearer(gateway.token) + [("x-mock-step", "1")], MESSAGE_STREAM))
        assert client.head()[0] == 200
        gateway.kill()
        client.close()
    gateway = begin("a", text, name="last")
    assert gateway.stop() == 0, gateway.log()
    rows = in_lines(tmp_path / "a/out.jsonl", "interceptions")
    assert sorted(row["outcome"] for row in rows) == ["completed"] * 15 + ["interrupted"] * 3
    assert len({row["id"] for row in rows}) == 18
    # The two sinks close what was running one after the other, each with the time at which it did so.
    without_end = [{**row, "ended_at": 0} for row in rows]
    assert by_id(without_end) == by_id([{**row, "ended_at": 0} for row in in_sqlite(gateway, "interceptions")])


def test_json_lines_on_standard_output(begin, mock):
    gateway = begin("a", configuration(mock.port, extra=sinks('kind = "jsonl"\npath = "-"')))
    answer = post(gateway)
    line = json.loads(gateway.process.stdout.readline())
    assert (line["id"], line["outcome"]) == (answer.interception, "completed")


def test_a_full_standard_output_stops_neither_traffic_nor_the_other_sink(begin, mock):
    gateway = begin("a", configuration(mock.port, extra=sinks('kind = "jsonl"\npath = "-"')))
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 30000}]}).encode()
    for _ in range(10):  # the pipe takes 64 KiB
        assert post(gateway, body=body).status == 200
    gateway.log_line("nobody reads it")
    eventually("all in SQLite", lambda: ended_count(gateway.rows()) == 10)
    seen = {}
    while len(seen) < 10:
        line = json.loads(gateway.process.stdout.readline())
        seen[line["id"]] = line["user_prompts"][0]["prompt"]
    assert set(seen.values()) == {"x" * 30000}


# --- PostgreSQL ---

@needs_postgres
def test_three_sinks_at_once_have_the_same(begin, mock, tmp_path, server, database):
    more = [to_postgres(tmp_path, server, database), 'kind = "jsonl"\npath = "out.jsonl"']
    gateway = begin("a", configuration(mock.port, workers=2, extra=sinks(*more)))
    count = of_every_kind(gateway) + traffic(gateway, 20)
    eventually("all in SQLite", lambda: ended_count(in_sqlite(gateway, "interceptions")) == count)
    eventually("all in PostgreSQL", lambda: ended_count(in_postgres(server, database, "interceptions")) == count)
    assert gateway.stop() == 0, gateway.log()
    assert "records are left" not in gateway.log()
    for table in TABLES:
        expected = by_id(in_sqlite(gateway, table))
        found = by_id(in_postgres(server, database, table))
        # PostgreSQL has no U+0000.
        assert found == [{k: v.replace("\0", "\ufffd") if isinstance(v, str) else v for k, v in row.items()} for row in expected]
        assert by_id(in_lines(tmp_path / "a/out.jsonl", table)) == expected


@needs_postgres
def test_weir_sink_has_no_boringssl():
    libraries = subprocess.run(["ldd", WEIR_SINK], capture_output=True, text=True, check=True).stdout
    assert "libpq" in libraries
    assert "/android/" not in libraries, libraries
    libraries = subprocess.run(["ldd", WEIR], capture_output=True, text=True, check=True).stdout
    assert "libpq" not in libraries, libraries


@needs_postgres
def test_the_password_is_not_in_the_command_line_and_the_keys_not_in_the_environment(begin, mock, tmp_path, server, database):
    gateway = begin("a", configuration(mock.port, extra=sinks(to_postgres(tmp_path, server, database))))
    process = pathlib.Path(f"/proc/{sink_pid(gateway)}")
    assert b"dbname" not in (process / "cmdline").read_bytes()
    assert rig.ANTHROPIC_KEY.encode() not in (process / "environ").read_bytes()


@needs_postgres
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_weir_sink_is_the_user_that_weir_becomes(mock, server, database):
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory(prefix="weir-user-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)  # a folder that another user may enter, which pytest's own are not
        for program in (WEIR, WEIR_SINK):
            shutil.copy(program, folder)
        connection = to_postgres(folder, server, database)
        os.chown(folder / f"dsn-{database}", nobody.pw_uid, nobody.pw_gid)
        (folder / f"dsn-{database}").chmod(0o600)
        gateway = rig.Weir(folder, configuration(mock.port, extra=sinks(connection)), "--user", "nobody", "--admin",
                           "127.0.0.1:0", binary=str(folder / "weir"))
        try:
            gateway.token = gateway.add_key()
            assert_postgres_has_all(gateway, server, database, traffic(gateway, 5))
            for line in pathlib.Path(f"/proc/{sink_pid(gateway)}/status").read_text(encoding="ascii").splitlines():
                if line.startswith("Uid"):
                    assert line.split()[1:] == [str(nobody.pw_uid)] * 4
                if line.startswith(("CapPrm", "CapEff")):
                    assert int(line.split()[1], 16) == 0
            eventually("nothing is left to bring", lambda: all(
                gateway.metrics()[f'weir_sink_behind_bytes{{sink="{sink}"}}'] == 0 for sink in ("sqlite", "postgres")))
        finally:
            assert gateway.stop() == 0, gateway.log()


@needs_postgres
def test_metrics_tell_which_sink_is_behind(begin, mock, tmp_path, server, database):
    gateway = begin("a", configuration(mock.port, extra=sinks(to_postgres(tmp_path, server, database))), "--admin",
                    "127.0.0.1:0")
    assert_postgres_has_all(gateway, server, database, traffic(gateway, 3))
    with server.locked(database, "token_usages"):
        traffic(gateway, 3)
        eventually("SQLite has them", lambda: gateway.metrics()['weir_sink_behind_bytes{sink="sqlite"}'] == 0)
        metrics = gateway.metrics()
        assert metrics['weir_sink_behind_bytes{sink="postgres"}'] > 0
        assert metrics['weir_sink_state{sink="sqlite",state="ok"}'] == 1
    eventually("PostgreSQL has them", lambda: gateway.metrics()['weir_sink_behind_bytes{sink="postgres"}'] == 0)


@needs_postgres
def test_the_state_of_a_sink_outside_is_seen(begin, mock, tmp_path, server, database):
    only = configuration(mock.port, extra=f"[[sink]]\n{to_postgres(tmp_path, server, database)}")
    gateway = begin("a", only, "--admin", "127.0.0.1:0")

    def states():
        return {name for name, value in gateway.metrics().items() if "_state{" in name and value == 1}

    def both(state):
        return {f'weir_database_state{{state="{state}"}}', f'weir_sink_state{{sink="postgres",state="{state}"}}'}

    eventually("it works", lambda: states() == both("ok"))
    server.stop()
    traffic(gateway, 1)  # while nothing comes nobody asks the server anything
    eventually("it is away", lambda: states() == both("absent"))
    assert ask(gateway.admin, "GET", "/readyz").status == 200, "records wait, traffic goes on"
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 20000}]}).encode()
    while (answer := post(gateway, body=body)).status == 200:
        pass
    assert answer.status == 503, answer
    ready = ask(gateway.admin, "GET", "/readyz")
    assert (ready.status, ready.body) == (503, b"the journal is full; it waits for the sink postgres\n")
    server.start()
    eventually("it works again", lambda: states() == both("ok"))
    eventually("ready again", lambda: ask(gateway.admin, "GET", "/readyz").status == 200)


@needs_postgres
def test_a_sink_that_nobody_serves_is_absent(begin, mock, tmp_path, server, database):
    text = configuration(mock.port, extra=sinks(to_postgres(tmp_path, server, database, more="managed = false\n")))
    gateway = begin("a", text, "--admin", "127.0.0.1:0")
    assert gateway.metric('weir_sink_state{sink="postgres",state="absent"}') == 1
    assert gateway.metric('weir_sink_state{sink="sqlite",state="ok"}') == 1
    assert gateway.metric('weir_database_state{state="ok"}') == 1


@needs_postgres
def test_a_newer_schema_that_only_adds_lets_older_nodes_go_on(begin, mock, tmp_path, server, database):
    text = configuration(mock.port, extra=sinks(to_postgres(tmp_path, server, database)))
    gateway = begin("a", text)
    count = traffic(gateway, 2)
    assert_postgres_has_all(gateway, server, database, count)
    # What a newer weir would do: more tables and columns, and a word on who may still write.
    server.psql(database, "CREATE TABLE newer (id bigint); ALTER TABLE weir_schema ADD COLUMN oldest_writer bigint NOT NULL DEFAULT 1; "
                          "UPDATE weir_schema SET version = 99")
    server.restart()
    count += traffic(gateway, 3)
    eventually("they arrive", lambda: ended_count(in_postgres(server, database, "interceptions")) == count, patience=60)
    # One that says that this node is too old stops it, and it tells why.
    server.psql(database, "UPDATE weir_schema SET oldest_writer = 99")
    server.restart()
    traffic(gateway, 1)
    assert "the tables have version 99" in gateway.log_line("weir-sink ends.*run the newer one", patience=60)
    assert len(in_postgres(server, database, "interceptions")) == count
    # So does one that says nothing about it.
    server.psql(database, "ALTER TABLE weir_schema DROP COLUMN oldest_writer")
    sink_pid(gateway, 3)
    eventually("refused again", lambda: len(re.findall("run the newer one", gateway.log())) >= 3, patience=60)
    server.psql(database, "ALTER TABLE weir_schema ADD COLUMN oldest_writer bigint NOT NULL DEFAULT 0")
    eventually("all arrive", lambda: ended_count(in_postgres(server, database, "interceptions")) == count + 1, patience=90)


@needs_postgres
def test_weir_sink_killed_in_the_middle_of_a_batch(begin, mock, tmp_path, server, database):
    gateway = begin("a", configuration(mock.port, extra=sinks(to_postgres(tmp_path, server, database))))
    count = traffic(gateway, 3)
    assert_postgres_has_all(gateway, server, database, count)
    for turn in range(3):
        with server.locked(database, "token_usages"):
            count += traffic(gateway, 5)
            eventually("a batch that waits", lambda: server.waiting(database) == 1)
            os.kill(sink_pid(gateway, turn + 1), signal.SIGKILL)
            gateway.log_line("weir-sink ended.*signal=9")
            count += traffic(gateway, 5)
        sink_pid(gateway, turn + 2)
        assert_postgres_has_all(gateway, server, database, count)


@needs_postgres
def test_the_server_restarts_under_way(begin, mock, tmp_path, server, database):
    gateway = begin("a", configuration(mock.port, workers=2, extra=sinks(to_postgres(tmp_path, server, database))))
    count = traffic(gateway, 3)
    assert_postgres_has_all(gateway, server, database, count)
    for _ in range(2):
        done = threading.Event()
        sent = []

        def load(done=done, sent=sent):
            while not done.is_set():
                sent.append(post(gateway).status)

        thread = threading.Thread(target=load)
        thread.start()
        try:
            server.restart()
        finally:
            done.set()
            thread.join()
        assert set(sent) == {200}
        count += len(sent)
        assert_postgres_has_all(gateway, server, database, count)
    gateway.log_line("PostgreSQL fails")
    gateway.log_line("PostgreSQL works again")
    assert len(re.findall("started weir-sink", gateway.log())) == 1, "it reconnects by itself"


@needs_postgres
def test_the_network_is_cut_in_the_middle_of_a_batch(begin, mock, tmp_path, server, database):
    wire = postgres.Wire(server)
    with contextlib.closing(wire):
        gateway = begin("a", configuration(mock.port, extra=sinks(to_postgres(tmp_path, server, database, wire.port))))
        count = traffic(gateway, 3)
        assert_postgres_has_all(gateway, server, database, count)
        for commits in (True, False):
            with server.locked(database, "token_usages"):
                count += traffic(gateway, 5)
                eventually("a batch that waits", lambda: server.waiting(database) == 1)
                wire.cut()
                gateway.log_line("PostgreSQL fails")
                count += traffic(gateway, 5)
                if not commits:  # the cut-off session, which still waits for the table, is ended by its successor
                    wire.mend()
                    eventually("the earlier session's end", lambda: server.waiting(database) == 0)
            if commits:  # it commits, and nobody hears of it
                eventually("the earlier session's commit", lambda: server.waiting(database) == 0)
                wire.mend()
            assert_postgres_has_all(gateway, server, database, count)


@needs_postgres
def test_two_nodes_write_to_one_database(begin, mock, tmp_path, server, database):
    text = configuration(mock.port, extra=sinks(to_postgres(tmp_path, server, database)))
    gateways = {node: begin(node, text, "--node", node) for node in ("north", "south")}
    counts = {"north": 12, "south": 7}
    for node, gateway in gateways.items():
        traffic(gateway, counts[node])
    for node, gateway in gateways.items():
        assert_postgres_has_all(gateway, server, database, counts[node], node)
    assert len(in_postgres(server, database, "interceptions")) == 19
    # One dies; only what it left running is closed.
    clients = {}
    for node, gateway in gateways.items():
        clients[node] = Client(gateway.address)
        clients[node].send(request("POST", ANTHROPIC, bearer(gateway.token) + [("x-mock-step", "1")], MESSAGE_STREAM))
        assert clients[node].head()[0] == 200
    eventually("both are running", lambda: len(server.rows(database, "SELECT id FROM interceptions WHERE ended_at IS NULL")) == 2)
    gateways["north"].kill()
    gateways["north"] = begin("north", text, "--node", "north", name="again")
    eventually("one is interrupted", lambda: [row["node"] for row in server.rows(
        database, "SELECT node FROM interceptions WHERE outcome = 'interrupted'")] == ["north"])
    assert [row["node"] for row in server.rows(database, "SELECT node FROM interceptions WHERE ended_at IS NULL")] == ["south"]
    assert {row["node"] for row in server.rows(database, "SELECT DISTINCT node FROM journal_positions")} <= {"north", "south"}
    for client in clients.values():
        client.close()


@needs_postgres
def test_a_second_node_of_the_same_name_is_refused_until_the_first_has_gone(begin, mock, tmp_path, server, database):
    text = configuration(mock.port, extra=sinks(to_postgres(tmp_path, server, database)))
    first = begin("first", text, "--node", "same")
    count = traffic(first, 3)
    assert_postgres_has_all(first, server, database, count)
    second = begin("second", text, "--node", "same")
    line = second.log_line("weir-sink ends.*another weir-sink.*node.*same")
    assert "give each node a name of its own" in line
    traffic(second, 4)
    eventually("SQLite has them", lambda: ended_count(in_sqlite(second, "interceptions")) == 4)
    assert len(in_postgres(server, database, "interceptions")) == 3
    assert first.stop() == 0
    eventually("the second is let in", lambda: len(in_postgres(server, database, "interceptions")) == 7, patience=60)
    assert len({row["id"] for row in in_postgres(server, database, "interceptions")}) == 7


@needs_postgres
def test_what_a_dead_weir_left_waits_for_the_server(begin, mock, tmp_path, server, database):
    text = configuration(mock.port, extra=sinks(to_postgres(tmp_path, server, database)))
    gateway = begin("a", text)
    count = traffic(gateway, 3)
    assert_postgres_has_all(gateway, server, database, count)
    server.stop()
    clients = []
    for turn in range(2):
        count += traffic(gateway, 3)
        clients.append(Client(gateway.address))
        clients[-1].send(request("POST", ANTHROPIC, bearer(gateway.token) + [("x-mock-step", "1")], MESSAGE_STREAM))
        assert clients[-1].head()[0] == 200
        count += 1
        gateway.kill()
        gateway = begin("a", text, name=f"again{turn}")
    left = tmp_path / "a/data/journal"
    assert len(list(left.glob("*.left"))) == 2, "kept for PostgreSQL, though SQLite has them"
    count += traffic(gateway, 3)
    server.start()
    eventually("the files go", lambda: not list(left.glob("*.left")), patience=60)
    eventually("all in PostgreSQL", lambda: ended_count(in_postgres(server, database, "interceptions")) == count)
    rows = in_postgres(server, database, "interceptions")
    assert sorted(row["outcome"] for row in rows) == ["completed"] * (count - 2) + ["interrupted"] * 2
    for table in TABLES[1:]:
        assert in_postgres(server, database, table) == in_sqlite(gateway, table)
    for client in clients:
        client.close()


@needs_postgres
def test_weir_sink_alone_delivers_what_a_dead_weir_wrote(begin, mock, tmp_path, server, database):
    text = configuration(mock.port, extra=sinks(to_postgres(tmp_path, server, database, more="managed = false")))
    gateway = begin("a", text, "--node", "solo")
    count = traffic(gateway, 6)
    eventually("SQLite has them", lambda: ended_count(in_sqlite(gateway, "interceptions")) == count)
    gateway.kill()
    alone = subprocess.Popen([WEIR_SINK, "--data-dir", "data", "--node", "solo"], cwd=tmp_path / "a", text=True,
                             stderr=subprocess.PIPE, env={**rig.ENVIRONMENT, "WEIR_SINK_DSN":
                                                          f"host={server.folder} user={postgres.USER} dbname={database}"})
    try:
        assert_postgres_has_all(gateway, server, database, count)
        # It goes on when weir runs again, with other journals.
        gateway = begin("a", text, "--node", "solo", name="again")
        count += traffic(gateway, 4)
        assert_postgres_has_all(gateway, server, database, count)
    finally:
        alone.terminate()
        _, log = alone.communicate(timeout=30)
    assert alone.returncode == 0, log


@needs_postgres
def test_a_row_that_the_database_refuses_does_not_stop_the_rest(begin, mock, tmp_path, server, database):
    gateway = begin("a", configuration(mock.port, extra=sinks(to_postgres(tmp_path, server, database))))
    assert_postgres_has_all(gateway, server, database, traffic(gateway, 1))
    server.psql(database, "ALTER TABLE user_prompts ADD CHECK (prompt <> 'poison')")
    assert post(gateway, body=MESSAGE.replace(b'"hi"', b'"poison"')).status == 200
    traffic(gateway, 3)
    eventually("all in PostgreSQL", lambda: ended_count(in_postgres(server, database, "interceptions")) == 5)
    assert len(in_postgres(server, database, "user_prompts")) == 4
    gateway.log_line("could not be stored as rows.*refused_rows=1")


def test_weir_sink_says_what_is_wrong(tmp_path):
    def fails(code, *arguments, **environment):
        done = subprocess.run([WEIR_SINK, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60,
                              env={**rig.ENVIRONMENT, **environment})
        assert done.returncode == code, done
        return done.stderr

    assert "--frob is not known" in fails(2, "--frob", "x")
    assert "no connection string" in fails(1, "--data-dir", ".")
    assert "data_dir?" in fails(1, "--data-dir", "missing", WEIR_SINK_DSN="dbname=x")
    assert "cannot read the connection string" in fails(1, "--data-dir", ".", "--dsn-file", "missing")
    done = subprocess.run([WEIR_SINK, "--print-schema"], capture_output=True, text=True, check=True)
    assert "CREATE TABLE interceptions" in done.stdout


@pytest.mark.parametrize("table, why", [
    ('kind = "postgres"', "weir.toml:{next}: sink \"postgres\": needs dsn_file"),
    ('kind = "postgres"\ndsn_file = "missing"', "weir.toml:{last}: sink \"postgres\": cannot read dsn_file missing"),
    ('kind = "jsonl"', 'weir.toml:{line}: sink "jsonl": kind = "jsonl" needs a path'),
])
def test_check_tells_of_a_sink_that_cannot_work(tmp_path, table, why):
    text = configuration(1, extra=f"[[sink]]\n{table}")
    (tmp_path / "weir.toml").write_text(text, encoding="utf-8")
    done = command("check", "--config", "weir.toml", folder=tmp_path)
    assert done.returncode == 2
    line = text[:text.index("[[sink]]")].count("\n") + 1
    assert why.format(line=line, next=line + 1, last=line + 2) in done.stderr


# --- SQLite ---

def test_a_database_locked_for_longer_than_the_journal_lasts(begin, mock):
    gateway = begin("a", configuration(mock.port))
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 20000}]}).encode()
    with contextlib.closing(sqlite3.connect(gateway.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        count, reached = 0, len(mock.requests())
        while (answer := post(gateway, body=body)).status == 200:
            count += 1
        assert answer.status == 503, answer
        assert int(answer.get("Retry-After")) > 0
        assert count > 10
        assert len(mock.requests()) == reached + count, "the provider is not called"
        gateway.log_line("the database fails; records wait in the journals, traffic goes on")
        gateway.log_line("a journal is full; new requests get 503.*sink=sqlite")
        other.execute("ROLLBACK")
    eventually("weir takes requests again", lambda: post(gateway, body=body).status == 200)
    gateway.log_line("the database works again")
    gateway.log_line("every journal has room again")
    rows = eventually("all have arrived", lambda: found if ended_count(found := gateway.rows()) == count + 1 else None)
    assert len({row["id"] for row in rows}) == count + 1
    assert len(rig.query(gateway.database, "SELECT * FROM user_prompts")) == count + 1
