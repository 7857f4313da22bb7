"""Real clients at work through weir: a provider plays a script of several turns with thoughts and tools, the client runs the
tools, and the record must hold what the script says, no more and no less. The scripts are data: scripts/*.json."""
import json
import re
import uuid

import pytest
from rig import configuration, eventually, query, run_client
from scripted import ScriptedProvider, load

TABLES = ("token_usages", "user_prompts", "tool_usages", "model_thoughts")


@pytest.fixture
def play(start):
    """play(script): (the script's provider, a gateway of two workers in front of it)"""
    providers = []

    def player(script):
        providers.append(ScriptedProvider(script))
        gateway = start(configuration(providers[-1].port, workers=2))
        gateway.token = gateway.add_key()
        return providers[-1], gateway

    yield player
    for provider in providers:
        provider.close()


def workplace(folder, script):
    """Where the client runs: nothing there but the script's files."""
    for name, text in script["files"].items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def results_of_tools(asked):
    """What the client sent back: {call id: text}, of both APIs."""
    found = {}
    for message in asked.get("messages", []):
        for block in message["content"] if isinstance(message["content"], list) else []:
            if block["type"] == "tool_result":
                found[block["tool_use_id"]] = text_of(block["content"])
    for item in asked.get("input", []):
        if item["type"] in ("function_call_output", "custom_tool_call_output"):
            found[item["call_id"]] = text_of(item["output"])
    return found


def text_of(content):
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def check_conversation(script, provider, done):
    """The client did what the script made it do: else the record would prove nothing."""
    assert done.returncode == 0, done
    assert script["printed"] in done.stdout, done
    assert len(provider.played) == len(script["turns"]), done
    for asked, turn in zip(provider.played, script["turns"]):
        results = results_of_tools(asked)
        for call_id, parts in turn.get("answered", {}).items():
            assert [part for part in parts if part not in results.get(call_id, "")] == [], results


def check_record(script, gateway, provider, session, client):
    count = len(script["turns"]) + len(provider.asides)
    rows = eventually("all records", lambda: r if len(r := gateway.rows("ended_at IS NOT NULL")) == count else None)
    of_answer = {use["response_id"]: use["interception_id"] for use in query(gateway.database, "SELECT * FROM token_usages")}
    # A record for every request, and all of the one session.
    assert {row["id"] for row in rows} == set(of_answer.values())
    assert {(row["session_id"], row["client"], row["outcome"]) for row in rows} == {(session, client, "completed")}
    for turn in script["turns"]:
        ident = of_answer[turn["answer"]["id"]]
        row = next(row for row in rows if row["id"] == ident)
        wanted = {**turn["expect"]["interception"], "streaming": 1, "upstream_status": 200, "attempts": 1, "error_type": "",
                  "route": script["api"], "credential_kind": "centralized"}
        assert {name: row[name] or "" if wanted[name] == "" else row[name] for name in wanted} == wanted
        for table in TABLES:
            found = query(gateway.database, f"SELECT * FROM {table} WHERE interception_id = ? ORDER BY rowid", ident)
            assert [columns(table, row, want) for row, want in zip(found, turn["expect"][table])] == turn["expect"][table]
            assert len(found) == len(turn["expect"][table]), (table, found)
            assert all(row.get("response_id", turn["answer"]["id"]) == turn["answer"]["id"] for row in found)


def columns(table, row, want):
    """The columns that are expected; JSON as values, for the clients and the API may write it differently."""
    decoded = {name for name in ("arguments", "extra") if isinstance(want.get(name), dict)}
    return {name: json.loads(row[name] or "{}") if name in decoded else row[name] for name in want}


def test_claude_works_through_weir(play, tmp_path):
    session = str(uuid.uuid4())
    script = load("claude_turns", folder=tmp_path / "work", session=session)
    provider, gateway = play(script)
    (tmp_path / "work").mkdir()
    done = run_client("claude", workplace(tmp_path / "work", script), "-p", script["prompt"], *script["arguments"],
                      ANTHROPIC_BASE_URL=f"{gateway.url}/anthropic", ANTHROPIC_AUTH_TOKEN=gateway.token)
    check_conversation(script, provider, done)
    check_record(script, gateway, provider, session, "Claude Code")


@pytest.mark.parametrize("name", ["codex_turns", "codex_custom_tool"])
def test_codex_works_through_weir(play, tmp_path, name):
    script = load(name)
    provider, gateway = play(script)
    (tmp_path / "work").mkdir()
    settings = [f"base_url={gateway.url}/openai/v1", "name=weir", "wire_api=responses", "env_key=TOKEN"]
    flags = [part for setting in settings for part in ("-c", f"model_providers.weir.{setting}")]
    # Its sandbox needs user namespaces, which a container may not give; the script's commands are our own.
    done = run_client("codex", workplace(tmp_path / "work", script), "exec", "--skip-git-repo-check", "--sandbox", "danger-full-access",
                      "-c", "model_provider=weir", *flags, *script["arguments"], script["prompt"], TOKEN=gateway.token)
    check_conversation(script, provider, done)
    session = re.search(r"session id: (\S+)", done.stderr)
    assert session, done
    check_record(script, gateway, provider, session[1], "Codex")
