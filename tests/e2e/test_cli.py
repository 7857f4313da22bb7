"""The command line: what it prints, what it takes, how it fails."""
import json
import os
import re
import signal
import subprocess
import uuid

import pytest
import rig
from rig import CHAT, MESSAGE, ROOT, USER_ID, ask, bearer, command, configuration, eventually

COMMANDS = ["", "serve", "demo", "mock", "key", "key add", "key list", "key revoke", "log", "log show", "usage", "journal", "journal dump", "rules explain", "check",
            "version"]
ANTHROPIC = "/anthropic/v1/messages"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_screen(name):
    done = command(*name.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert 3 <= len(lines) <= (45 if name == "serve" else 40)  # serve's are in groups
    assert max(map(len, lines)) <= 100
    assert "weir" in done.stdout


@pytest.mark.parametrize("arguments, part", [
    (["serve", "--max-bodi", "1"], "weir serve: unknown option '--max-bodi'; did you mean '--max-body'?"),
    (["serve", "--wrokers=3"], "weir serve: unknown option '--wrokers'; did you mean '--workers'?"),
    (["serve", "--nothing-like-it"], "weir serve: unknown option '--nothing-like-it'\n"),
    (["serve", "--batch-wait", "1ms", "--busy-poll", "50us"], "set one of them"),
    (["mock", "--busy-poll", "fast"], "--busy-poll"),
    (["--vesion"], "weir: unknown option '--vesion'; did you mean '--version'?"),
    (["serve", "--max-body", "lots"], "--max-body"),
    (["serve", "--workers", "-3"], "--workers"),
    (["serve", "--listen", "nowhere"], "--listen"),
    (["serve", "--set", "workers"], "KEY=VALUE"),
    (["serve", "--set", "wrokers=2"], "wrokers"),
    (["serve", "--log-format", "xml"], "--log-format"),
    (["serve", "--config", "missing.toml"], "missing.toml"),
    (["sevre"], "weir: unknown command 'sevre'; did you mean 'serve'?"),
    (["lgo", "--json"], "weir: unknown command 'lgo'; did you mean 'log'?"),
    (["logs"], "weir: unknown command 'logs'; did you mean 'log'?"),
    (["--jsn", "log"], "--jsn"),
    (["nothing-like-it"], "weir: unknown command 'nothing-like-it'\n"),
    (["key", "revoek", "7"], "weir: unknown command 'key revoek'; did you mean 'key revoke'?"),
    (["log", "shwo"], "weir: unknown command 'log shwo'; did you mean 'log show'?"),
    (["version", "all"], "all"),
    (["key"], "weir key: add, list or revoke is needed"),
    (["key", "revoke", ""], "ID must not be empty; `weir key list` shows ids"),
    (["log", "show", ""], "ID must not be empty"),
    (["serve", "weir.toml"], "weir serve: unexpected 'weir.toml'; did you mean '--config weir.toml'?"),
    (["serve", "--set", "provider.opnai.base_url=http://127.0.0.1:9/v1"], 'there is no provider "opnai"; did you mean "openai"?'),
    (["check", "--set", "provider.openai.key.env=NOWHERE_SET"], 'provider "openai": key.env "NOWHERE_SET" is not set'),
    (["key", "add"], "--user"),
    (["key", "add", "--user", "a", "--id", "7"], "--id"),
    (["key", "add", "--user", "a", "--expires", "soon"], "--expires"),
    (["log", "--since", "yesterday"], "--since"),
    (["log", "--outcome", "ok"], '--outcome: must be completed, upstream_error, client_disconnected, gateway_error or interrupted (was "ok")'),
    (["log", "--outcome", "complete"], 'did you mean "completed"?'),
    (["usage", "--by", "user,colour"], "credential_kind"),
    (["usage", "--since", "yesterday"], "--since"),
    (["usage", "--json", "--csv"], "--csv"),
    (["rules", "explain", "--provider", "nobody", "--auth", "byok"], "nobody"),
    (["mock", "--gap", "1"], "gap"),
    ([], "Usage"),
])
def test_wrong_usage_is_2_and_says_what_is_wrong(tmp_path, arguments, part):
    done = command(*arguments, folder=tmp_path)
    assert done.returncode == 2, done
    assert part in done.stderr
    assert done.stdout == ""


def test_the_version_names_the_commit_and_the_kernel():
    for arguments in (["--version"], ["version"]):
        done = command(*arguments)
        assert done.returncode == 0
        assert re.match(r"weir \d+\.\d+\.\d+ \(\S+\)\nkernel \S+: io_uring", done.stdout), done


def test_check_names_each_mistake_with_its_line(tmp_path):
    (tmp_path / "bad.toml").write_text("""workers = 2
[limits]
max_hed = "64KiB"
max_body = "0"
[[rule]]
name = "r"
strip = 7
""", encoding="utf-8")
    done = command("check", "--config", "bad.toml", folder=tmp_path)
    assert done.returncode == 2
    for part in ("bad.toml:3: ", "max_head", "bad.toml:4: ", "bad.toml:7: "):
        assert part in done.stderr, done.stderr
    (tmp_path / "good.toml").write_text(configuration(1), encoding="utf-8")
    done = command("check", "--config", "good.toml", folder=tmp_path)
    assert done.returncode == 0, done
    assert "good.toml: good: 1 listener, 4 providers" in done.stdout


# What the configuration alone would end a start with: the same sentence from `check` and from `serve`, with file and line.
@pytest.mark.parametrize("text, told", [
    ('[authorizer]\nkind = "http"\nurl = "http://127.0.0.1:99999/"', '3: authorizer.url "http://127.0.0.1:99999/" must have a port'),
    ('[authorizer]\nkind = "http"\nurl = "https://127.0.0.1/"\nca_file = "none.pem"', "4: authorizer.ca_file: none.pem: cannot read"),
    ('[[listener]]\nname = "a"\naddress = "127.0.0.1:0"\ntls = { certificate = "no.pem", key = "no.key" }',
     '4: listener "a": no.pem: cannot read'),
    ('[[listener]]\nname = "a"\naddress = "192.0.2.1:80"', '3: listener "a": address "192.0.2.1:80": no interface'),
    ('[[listener]]\nname = "a"\naddress = "unix:none/here.sock"', '3: listener "a": address "unix:none/here.sock": the folder'),
    ('[admin]\naddress = "unix:none/here.sock"', '2: admin.address "unix:none/here.sock": the folder'),
    ('[[provider]]\nname = "openai"\nca_file = "none.pem"', '3: provider "openai": none.pem: cannot read'),
    ('[[sink]]\nkind = "jsonl"\npath = "file/below/log.jsonl"', '3: sink "jsonl": path "file/below/log.jsonl" cannot be used: '),
    ('[[sink]]\nkind = "jsonl"\npath = "folder"', '3: sink "jsonl": path "folder" is a folder'),
    ('data_dir = "file/data"', '1: data_dir "file/data" cannot be used: file is not a folder'),
    ('user = "nobody-of-that-name"', '1: user "nobody-of-that-name": there is no such user'),
    ("cpus = [4000]", "1: cpus names core 4000"),
    ('[journal]\nsize = "3MiB"', "2: journal.size must be a power of two"),
])
def test_check_tells_what_would_end_a_start(tmp_path, text, told):
    (tmp_path / "weir.toml").write_text(text, encoding="utf-8")
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for name in ("check", "serve"):
        done = command(name, "--config", "weir.toml", folder=tmp_path)
        assert done.returncode == 2, done
        assert done.stderr.startswith(f"weir: weir.toml:{told}"), done.stderr
        assert not (tmp_path / "weir-data").exists()


def test_what_is_always_refused_is_not_explained_as_if_it_went(tmp_path):
    def explained(provider, auth, *more):
        done = command("rules", "explain", "--provider", provider, "--auth", auth, *more, folder=tmp_path)
        assert done.returncode == 0, done
        return done.stdout

    chatgpt = explained("chatgpt", "centralized")
    assert "refused with 502: no operator key is configured for provider chatgpt: it takes users' own logins only" in chatgpt
    copilot = explained("copilot", "centralized")
    assert "refused with 401: no usable provider credential of your own" in copilot
    for text in (chatgpt, copilot):
        assert "stripped" not in text and "set to" not in text
    byok = explained("copilot", "byok", "--set", "allow_byok=false")
    assert "refused with 403: bringing your own key is not allowed" in byok and "stripped" in byok
    assert "refused" not in explained("chatgpt", "byok")


def test_check_refuses_rules_that_would_leak(tmp_path):
    (tmp_path / "leak.toml").write_text('[[rule]]\nname = "open the door"\nset = { "transfer-encoding" = "chunked" }\n',
                                        encoding="utf-8")
    done = command("check", "--config", "leak.toml", folder=tmp_path)
    assert done.returncode == 2
    assert "leak.toml:1" in done.stderr and "open the door" in done.stderr


def test_rules_are_explained(tmp_path):
    (tmp_path / "weir.toml").write_text(configuration(1, extra='[[rule]]\nname = "tag"\nset = { "x-team" = "blue" }\n'),
                                        encoding="utf-8")
    done = command("rules", "explain", "--provider", "anthropic", "--auth", "byok", "--config", "weir.toml", folder=tmp_path)
    assert done.returncode == 0, done
    for part in ("x-weir-token", "x-api-key", "x-team", "tag"):
        assert part in done.stdout.lower(), done.stdout


def test_a_key_lives(tmp_path):
    data = ["--data-dir", str(tmp_path)]
    added = command("key", "add", "--user", "alice", "--id", USER_ID, "--expires", "30d", *data)
    assert added.returncode == 0, added
    token = added.stdout.strip()
    assert re.fullmatch(r"weir_[A-Za-z0-9_-]{43}", token)
    assert added.stdout == token + "\n"
    assert token not in added.stderr and USER_ID in added.stderr
    second = command("key", "add", "--user", "alice", *data).stdout.strip()
    assert second != token
    keys = [json.loads(line) for line in command("key", "list", "--json", *data).stdout.splitlines()]
    assert [key["initiator_id"] for key in keys] == [USER_ID] * 2, "one user, one id"
    assert [key["state"] for key in keys] == ["live"] * 2
    assert [key["expires_at"] is None for key in keys] == [False, True]
    assert keys[0]["hint"] == f"weir...{token[-4:]}"
    assert command("key", "revoke", keys[0]["id"], *data).returncode == 0
    assert command("key", "revoke", keys[0]["id"], *data).returncode == 1
    table = command("key", "list", *data).stdout
    assert "revoked" in table and "live" in table
    # The token itself is nowhere on the disk.
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes()
    assert (tmp_path / "weir.db").stat().st_mode & 0o077 == 0


def test_a_user_has_the_same_id_on_every_node(tmp_path):
    """Records of several nodes meet in one database: who is who must not depend on the node."""
    space = uuid.UUID("e2ed87d9-5119-43e5-8d13-bd86ed177300")  # README has it

    def ids(node, user):
        done = command("key", "add", "--user", user, "--data-dir", str(tmp_path / node))
        assert done.returncode == 0, done
        keys = command("key", "list", "--json", "--data-dir", str(tmp_path / node)).stdout.splitlines()
        return {key["initiator_id"] for key in map(json.loads, keys) if key["user"] == user}

    for user in ("ann", "Ann", "Jörg <j@example.org>"):
        expected = {str(uuid.uuid5(space, user))}
        assert ids("one", user) == ids("two", user) == ids("two", user) == expected
    # Whom an earlier version, or --id, gave another id keeps it.
    added = command("key", "add", "--user", "bob", "--id", USER_ID, "--data-dir", str(tmp_path / "one"))
    assert added.returncode == 0, added
    assert ids("one", "bob") == {USER_ID}
    assert str(space) in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def logged(start, mock):
    """A gateway through which three exchanges went: alice's message, bob's chat, and bob's that failed."""
    gateway = start(configuration(mock.port))
    alice = gateway.add_key("alice")
    bob = gateway.run("key", "add", "--user", "bob").strip()
    eventually("bob is known", lambda: ask(gateway.address, "GET", "/nowhere", bearer(bob)).status == 404)
    answers = [ask(gateway.address, "POST", ANTHROPIC, bearer(alice), MESSAGE),
               ask(gateway.address, "POST", "/openai/v1/chat/completions", bearer(bob), CHAT),
               ask(gateway.address, "POST", ANTHROPIC,
                   [("X-Weir-Token", bob), ("X-Api-Key", "sk-ant-bob-0123456789"), ("x-mock-status", "529")], MESSAGE)]
    for answer in answers:
        gateway.row(answer.interception)
    gateway.ids = [answer.interception for answer in answers]
    gateway.bob = bob
    return gateway


@pytest.mark.parametrize("filters, found", [
    ([], [2, 1, 0]),
    (["--user", "alice"], [0]),
    (["--user", USER_ID], [0]),
    (["--user", "bob"], [2, 1]),
    (["--provider", "openai"], [1]),
    (["--model", "claude-opus-4-8"], [2, 0]),
    (["--outcome", "upstream_error"], [2]),
    (["--credential-kind", "personal_api_key"], [2]),
    (["--limit", "1"], [2]),
    (["--since", "1h"], [2, 1, 0]),
    (["--since", "2100-01-01"], []),
    (["--until", "2020-01-01T00:00:00Z"], []),
    (["--user", "nobody"], []),
])
def test_the_log_is_filtered(logged, filters, found):
    lines = [json.loads(line) for line in logged.run("log", "--json", *filters).splitlines()]
    assert [line["id"] for line in lines] == [logged.ids[i] for i in found]


def test_the_log_as_a_table_and_as_json(logged):
    heading, *rows = logged.run("log").splitlines()
    assert heading.split()[:4] == ["STARTED", "USER", "CLIENT", "PROVIDER"]
    assert len(rows) == 3
    assert "529" in rows[0] and "sk-a...6789" in rows[0] and logged.ids[2] in rows[0]
    columns = json.loads(logged.run("log", "--json", "--limit", "1"))
    row = logged.rows("id = ?", logged.ids[2])[0]
    assert set(row) <= set(columns)
    assert (columns["upstream_status"], columns["outcome"], columns["error_type"]) == (529, "upstream_error", "overloaded")


def test_the_log_is_followed(logged):
    follower = subprocess.Popen([rig.WEIR, "log", "--follow", "--json", "--data-dir", str(logged.folder / "data")],
                                stdout=subprocess.PIPE, env=rig.ENVIRONMENT)
    try:
        # It prints what ends after it began; how long it takes to begin nobody tells, so exchanges go on until then.
        os.set_blocking(follower.stdout.fileno(), False)
        expected, text = [], b""

        def line_came():
            nonlocal text
            expected.append(ask(logged.address, "POST", ANTHROPIC, bearer(logged.bob), MESSAGE).interception)
            text += follower.stdout.read() or b""
            return b"\n" in text

        eventually("a line", line_came)
        assert json.loads(text.splitlines()[0])["id"] in expected
    finally:
        follower.send_signal(signal.SIGTERM)
        follower.wait(10)
        follower.stdout.close()


def test_one_interception_is_shown(logged):
    shown = logged.run("log", "show", logged.ids[0])
    for part in (logged.ids[0], "alice", "claude-opus-4-8", "hi", "sk-a...cdef"):
        assert part in shown, shown
    document = json.loads(logged.run("log", "show", logged.ids[0], "--json"))
    assert document["id"] == logged.ids[0]
    assert [prompt["prompt"] for prompt in document["user_prompts"]] == ["hi"]
    assert document["token_usages"][0]["output"] > 0
    logged.run("log", "show", "no-such-id", code=1)


@pytest.mark.parametrize("arguments", [["log"], ["log", "show", "7"], ["log", "--session", "7"], ["log", "--follow"], ["usage"], ["key", "list"],
                                       ["key", "revoke", "7"]], ids=" ".join)
def test_reading_without_a_database_says_where_it_looked(tmp_path, arguments):
    done = command(*arguments, "--data-dir", str(tmp_path / "none"))
    assert done.returncode == 1
    assert f"there is no database {tmp_path}/none/weir.db; name its folder with --data-dir" in done.stderr
    assert not (tmp_path / "none").exists()


def test_reading_leaves_a_database_as_it_is(tmp_path):
    added = command("key", "add", "--user", "ann", "--data-dir", str(tmp_path))
    assert f"made the database {tmp_path}/weir.db\n" in added.stderr
    assert "made" not in command("key", "add", "--user", "ann", "--data-dir", str(tmp_path)).stderr
    before = (tmp_path / "weir.db").read_bytes()
    for arguments in (["log"], ["log", "--session", "7"], ["usage"], ["key", "list"]):
        assert command(*arguments, "--data-dir", str(tmp_path)).returncode in (0, 1)
    assert (tmp_path / "weir.db").read_bytes() == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "weir.db").touch()
    done = command("key", "list", "--data-dir", str(tmp_path / "other"))
    assert done.returncode == 1 and "holds nothing of weir" in done.stderr
    assert (tmp_path / "other" / "weir.db").stat().st_size == 0


def test_the_demo_prints_what_works(tmp_path):
    demo = rig.Process([rig.WEIR, "demo", "--listen", "127.0.0.1:0", "--gap", "1ms"], tmp_path, "demo")
    text = ""
    while "Ctrl-C stops" not in text:
        text += demo.process.stdout.readline()
    token = re.search(r"ANTHROPIC_AUTH_TOKEN=(weir_\S+)", text)[1]
    address = demo.listening["public"]
    assert f"ANTHROPIC_BASE_URL=http://{address}/anthropic" in text
    # The curl lines, as they stand there.
    for number, line in enumerate(re.findall(r"curl (?:[^\n]*\\\n)*[^\n]*", text)):
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)
        assert "Hello" in done.stdout, (line, done)
        ended = demo.process.stdout.readline()
        assert "demo" in ended and "completed" in ended and "200" in ended, ended
        assert ("personal_api_key" if number else "centralized") in ended
    assert demo.stop() == 0, demo.log()
    assert token not in demo.log()


def test_without_a_file_the_keys_come_from_the_environment(tmp_path):
    done = command("check", environment={"ANTHROPIC_API_KEY": "sk-ant-0123456789", "OPENAI_API_KEY": "sk-0123456789"},
                   folder=tmp_path)
    assert done.returncode == 0, done
    assert "4 providers" in done.stdout and "no operator key" not in done.stdout
    assert "provider anthropic has no operator key" in command("check", folder=tmp_path).stdout


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_log_has_two_forms(start, mock, form):
    gateway = start(configuration(mock.port), "--log-format", form)
    ask(gateway.address, "GET", "/anthropic/v1/models")
    line = gateway.log_line("no authentication key provided")
    if form == "json":
        assert all(json.loads(text)["level"] for text in gateway.log().splitlines())
        assert json.loads(line)["level"] == "warn"
    else:
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z warn ", line)


def test_the_memory_that_the_limits_imply_is_told_at_start(start, mock):
    gateway = start(configuration(mock.port))
    assert "MiB" in gateway.log_line("memory=")
