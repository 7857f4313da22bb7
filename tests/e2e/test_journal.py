"""`weir journal dump`: beside a weir that serves, after its death, and of damaged files; and what the next start makes of them."""
import json
import re

import pytest
from rig import MESSAGE, ask, bearer, command, configuration, query

ANTHROPIC = "/anthropic/v1/messages"
HEADER = 8192


@pytest.fixture
def gateway(start, mock):
    process = start(configuration(mock.port))
    process.token = process.add_key("alice")
    return process


def exchange(gateway):
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token), MESSAGE)
    assert answer.status == 200, answer
    gateway.row(answer.interception)
    return answer.interception


def dump(*arguments):
    """(exit status, JSON lines, standard error)"""
    done = command("journal", "dump", "--json", *map(str, arguments))
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def records(lines):
    return [line for line in lines if "kind" in line]


@pytest.fixture
def killed(gateway, tmp_path):
    """The journal of a weir that was killed after three exchanges, and the offset of its second exchange's start."""
    ids = [exchange(gateway) for _ in range(3)]
    gateway.kill()
    path = gateway.folder / "data/journal/worker-0.journal"
    code, lines, errors = dump(path)
    assert (code, errors) == (0, "")
    offset = next(line["offset"] for line in records(lines) if line["interception_id"] == ids[1])
    return path, ids, offset


def test_the_records_of_a_running_weir(gateway):
    ident = exchange(gateway)
    data = gateway.folder / "data"
    before = {path.name: path.read_bytes() for path in (data / "journal").glob("*.journal")}
    code, lines, errors = dump("--data-dir", data)
    assert (code, errors) == (0, "")
    head, *found = lines
    assert (head["version"], head["worker"], head["pid"], head["ring_bytes"]) == (2, 0, gateway.pid, 1 << 20)
    found = [line for line in found if line["interception_id"] == ident]
    assert [line["kind"] for line in found] == ["start", "user_prompt", "token_usage", "end"]
    assert [line["position"] for line in found] == sorted({line["position"] for line in found})
    assert all(line["offset"] == HEADER + line["position"] for line in found)
    start, prompt, usage, end = found
    assert (start["username"], start["provider"], start["model"]) == ("alice", "anthropic", "claude-opus-4-8")
    assert prompt["prompt_bytes"] == 2 and "prompt" not in prompt
    assert usage["output"] > 0 and end["outcome"] == "completed"
    # Nothing was written, and the weir goes on.
    assert {path.name: path.read_bytes() for path in (data / "journal").glob("*.journal")} == before
    exchange(gateway)

    text = gateway.run("journal", "dump").splitlines()
    assert re.match(rf".*worker-0\.journal: worker 0, .* pid {gateway.pid},", text[0])
    assert any(re.match(rf" +\d+ +\d+  \w+ +user_prompt +{ident}  created_at=\S+Z prompt=2B$", line) for line in text), text
    assert "prompt=hi" in gateway.run("journal", "dump", "--full")


def test_what_a_killed_weir_had_not_delivered_is_pending(killed):
    path, ids, _ = killed
    data = bytearray(path.read_bytes())
    nothing_delivered(data)
    path.write_bytes(data)
    code, lines, _ = dump("--data-dir", path.parent.parent)
    assert code == 0
    assert {line["state"] for line in records(lines)} == {"pending"}
    assert {line["interception_id"] for line in records(lines)} == set(ids)


def nothing_delivered(data):
    data[1152:1160] = bytes(8)  # the tail
    data[5120:5128] = bytes(8)  # the first consumer's position


def flip(data, offset):
    data[offset + 30] ^= 4
    return offset, "no whole record"


def tear(data, offset):
    data[offset + 24:] = bytes(len(data) - offset - 24)
    return offset, "no whole record"


def cut(data, offset):
    del data[offset + 24:]
    return offset + 24, "cut short"


def first_header(data, _):
    data[3] ^= 1
    return 0, "its copy is used"


def impossible_head(data, _):
    data[1024:1032] = b"\xff" * 8
    return 1024, "cannot be true"


@pytest.mark.parametrize("damage, lost", [(flip, 1), (tear, 2), (cut, 2), (first_header, 0), (impossible_head, 0)])
def test_a_damaged_file_is_told_with_its_offset_and_read_as_far_as_it_goes(killed, mock, damage, lost):
    path, ids, offset = killed
    _, whole, _ = dump(path)
    data = bytearray(path.read_bytes())
    at, what = damage(data, offset)
    path.write_bytes(data)
    code, lines, errors = dump(path)
    assert code == 1
    told = next(line for line in lines if what in line.get("damage", ""))
    assert told["offset"] == at and told["file"] == str(path)
    assert f"{path}: offset {at}, {told['bytes']} bytes: " in errors
    starts = {line["interception_id"] for line in records(lines) if line["kind"] == "start"}
    assert starts == (set(ids) if not lost else {ids[0], ids[2]} if damage is flip else {ids[0]})
    wanted = {(line["position"], line["kind"]) for line in records(whole)}
    assert {(line["position"], line["kind"]) for line in records(lines)} <= wanted
    # The text form: the same offset, the same status.
    done = command("journal", "dump", str(path))
    assert done.returncode == 1 and f"offset {at}," in done.stderr


def test_a_foreign_file_and_none_at_all(tmp_path):
    foreign = tmp_path / "worker-0.journal"
    foreign.write_bytes(b"#!/bin/sh\necho\n")
    code, lines, errors = dump(foreign)
    assert (code, len(lines)) == (1, 1)
    assert (lines[0]["offset"], lines[0]["bytes"]) == (0, 15)
    assert "not a journal" in errors
    for missing in ([str(tmp_path / "none")], ["--data-dir", str(tmp_path)]):
        code, lines, errors = dump(*missing)
        assert (code, lines) == (1, []) and str(tmp_path) in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["worker-0.journal"]


def test_a_start_on_a_damaged_journal_recovers_the_rest_and_keeps_the_file(killed, start, mock):
    path, ids, offset = killed
    data = bytearray(path.read_bytes())
    flip(data, offset)
    nothing_delivered(data)
    database = path.parent.parent / "weir.db"
    for file in database.parent.glob("weir.db*"):
        file.unlink()  # so that what is there afterwards has come from the journal
    path.write_bytes(data)
    (path.parent / "worker-5.journal").write_bytes(b"not ours")
    again = start(configuration(mock.port))
    assert f"offset={offset}" in again.log_line("no whole record")
    assert re.search(r"to=\S+\.bad-\d+", again.log_line("kept the damaged journal"))
    assert "worker-5.journal" in again.log_line("set a file aside")
    assert {row["id"] for row in query(str(database), "SELECT id FROM interceptions")} == {ids[0], ids[2]}
    kept = sorted(path.parent.glob("*.bad-*"))
    assert [re.sub(r"-[0-9a-f]{16}", "", file.name.split(".bad-")[0]) for file in kept] == ["worker-0.left", "worker-5.journal"]
    # The dump reads what was set aside, with the same place.
    code, lines, _ = dump(kept[0])
    assert code == 1 and [line["offset"] for line in lines if "damage" in line] == [offset]
    assert dump("--data-dir", path.parent.parent)[0] == 0
