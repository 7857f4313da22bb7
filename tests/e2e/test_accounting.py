"""What operators read afterwards: a session as a tree, and sums of tokens."""
import csv
import io
import json
import re

import pytest
from rig import CHAT, MESSAGE, ask, bearer, command, configuration, eventually

ANTHROPIC = "/anthropic/v1/messages"
HOSTILE = 'gpt\x1b[2J,"5"\n'  # a model, as a client may name it
SESSION = "5f0c6f0e-0000-4000-8000-1b2c3d4e5f60"


def claude(gateway, body, agent="", parent="", tool=""):
    """One turn of Claude Code; the interception's id and the id of the tool call that was answered."""
    headers = bearer(gateway.token) + [("User-Agent", "claude-cli/2.0"), ("X-Claude-Code-Session-Id", SESSION)]
    headers += [("x-claude-code-agent-id", agent)] if agent else []
    headers += [("x-claude-code-parent-agent-id", parent)] if parent else []
    headers += [("x-mock-tool", tool)] if tool else []
    answer = ask(gateway.address, "POST", ANTHROPIC, headers, body)
    assert answer.status == 200, answer
    gateway.row(answer.interception)
    return answer.interception, next((b["id"] for b in answer.json()["content"] if b["type"] == "tool_use"), None)


def result_of(call):
    return json.dumps({"model": "claude-opus-4-8", "max_tokens": 64, "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": call, "name": "Bash", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": "ok"}]}]}).encode()


@pytest.fixture
def gateway(start, mock):
    process = start(configuration(mock.port))
    process.token = process.add_key("alice")
    return process


def test_a_session_is_a_tree_by_agent_and_tool_call(gateway):
    first, call = claude(gateway, MESSAGE, tool="Bash")
    second, next_call = claude(gateway, result_of(call), tool="Read")
    fork, _ = claude(gateway, result_of(call))
    third, _ = claude(gateway, result_of(next_call))
    sub, _ = claude(gateway, MESSAGE, agent="agent-7", parent="main")
    ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token), MESSAGE)  # of no session

    lines = gateway.run("log", "--session", SESSION).splitlines()
    shape = [re.sub(r"\d\d:\d\d:\d\d  ([0-9a-f-]{36})  .*", r"\1", line) for line in lines]
    assert shape[0].startswith(f"session {SESSION}: 5 interceptions, alice, Claude Code")
    assert shape[1:] == ["main agent", f"└─ {first}", f"   ├─ {second}", f"   │  ↳ {third}", f"   └─ {fork}",
                         "agent agent-7, started by main", f"└─ {sub}"]
    assert re.search(r"claude-opus-4-8  \d+/\d+  completed  \S+  Bash$", lines[2]), lines[2]

    session = json.loads(gateway.run("log", "--session", SESSION, "--json"))
    assert (session["session_id"], session["interceptions"]) == (SESSION, 5)
    main, other = session["agents"]
    (thread,) = main["threads"]
    assert [turn["id"] for turn in thread["turns"]] == [first]
    assert thread["turns"][0]["tools"] == [{"tool_call_id": call, "tool": "Bash"}]
    assert [[turn["id"] for turn in branch["turns"]] for branch in thread["branches"]] == [[second, third], [fork]]
    assert [turn["parent_id"] for turn in thread["branches"][0]["turns"]] == [first, second]
    assert (other["agent_id"], other["parent_agent_id"], other["threads"][0]["branches"]) == ("agent-7", "main", [])

    newest = gateway.run("log", "--session", SESSION, "--limit", "1").splitlines()
    assert [newest[1], sub in newest[2], len(newest)] == ["agent agent-7, started by main", True, 3]


def test_a_session_that_is_not_there_is_a_failure(gateway):
    claude(gateway, MESSAGE)
    for more in ([], ["--json"], ["--user", "nobody"]):
        wanted = SESSION if "--user" in more else "no\nsuch"
        done = command("log", "--session", wanted, *more, "--data-dir", str(gateway.folder / "data"))
        assert (done.returncode, done.stdout) == (1, "")
        assert "no interception of session" in done.stderr and done.stderr.count("\n") == 1


@pytest.fixture
def spent(gateway):
    """Alice asks twice, bob (whose name needs quotes in CSV) once in vain and once with success."""
    bob = gateway.run("key", "add", "--user", 'bob, "the builder"').strip()
    eventually("bob is known", lambda: ask(gateway.address, "GET", "/nowhere", bearer(bob)).status == 404)
    answers = [ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token), MESSAGE),
               ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token), MESSAGE),
               ask(gateway.address, "POST", ANTHROPIC, bearer(bob) + [("x-mock-status", "529")], MESSAGE),
               ask(gateway.address, "POST", "/openai/v1/chat/completions", bearer(bob),
                   CHAT.replace(b"gpt-5.1", rb"gpt\u001b[2J,\"5\"\n"))]
    for answer in answers:
        gateway.row(answer.interception)
    gateway.message_usage, gateway.chat_usage = answers[0].json()["usage"], answers[3].json()["usage"]
    return gateway


def test_usage_is_summed_by_user_and_model(spent):
    lines = [json.loads(line) for line in spent.run("usage", "--json").splitlines()]
    assert [(l["user"], l["model"], l["interceptions"], l["failed"]) for l in lines] == [
        ("alice", "claude-opus-4-8", 2, 0), ('bob, "the builder"', "claude-opus-4-8", 1, 1),
        ('bob, "the builder"', HOSTILE, 1, 0)]
    assert lines[0]["output"] == 2 * spent.message_usage["output_tokens"] > 0
    assert lines[0]["input"] == 2 * spent.message_usage["input_tokens"] > 0
    assert lines[1]["output"] == 0
    assert lines[2]["output"] == spent.chat_usage["completion_tokens"] > 0


def test_usage_as_csv_and_as_a_table(spent):
    text = spent.run("usage", "--csv", "--by", "user,model")
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert [(row["user"], row["model"], row["interceptions"]) for row in rows] == [
        ("alice", "claude-opus-4-8", "2"), ('bob, "the builder"', "claude-opus-4-8", "1"),
        ('bob, "the builder"', HOSTILE.replace("\x1b", "?"), "1")]
    heading, *lines, total = spent.run("usage").splitlines()
    assert heading.split()[:4] == ["USER", "MODEL", "INTERCEPTIONS", "FAILED"]
    assert len(lines) == 3 and len({len(line) for line in (heading, *lines, total)}) == 1
    assert total.split()[:3] == ["total", "4", "1"]
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize("filters, count", [
    ([], 4),
    (["--user", "alice"], 2),
    (["--provider", "openai"], 1),
    (["--model", "claude-opus-4-8"], 3),
    (["--outcome", "upstream_error"], 1),
    (["--since", "1h", "--credential-kind", "centralized"], 4),
    (["--until", "2020-01-01"], 0),
])
def test_usage_is_filtered_and_grouped_by_everything(spent, filters, count):
    by = "day,client,credential_kind,provider,model,user"
    lines = [json.loads(line) for line in spent.run("usage", "--json", "--by", by, *filters).splitlines()]
    assert sum(line["interceptions"] for line in lines) == count
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", line["day"]) for line in lines)
    assert spent.run("usage", *filters).splitlines()[-1].split()[:2] == ["total", str(count)]
