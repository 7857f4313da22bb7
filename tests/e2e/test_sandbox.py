"""Least privilege: what a running gateway has given up, seen from outside, and that it still does its work."""
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import sys

import pytest
import rig
from rig import MESSAGE, Weir, ask, bearer, command, configuration, eventually

ANTHROPIC = "/anthropic/v1/messages"
root_only = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


def status_of(pid):
    """What the kernel says about each thread: a list of {name: value}."""
    threads = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        lines = (task / "status").read_text(encoding="ascii").splitlines()
        threads.append(dict(line.split(":\t", 1) for line in lines if ":\t" in line))
    return threads


def confined(gateway):
    """The fields of the line that tells what the sandbox consists of on this kernel."""
    return dict(re.findall(r"(\w+)=(\S+)", gateway.log_line(" confined ")))


def test_every_thread_has_given_up_what_it_does_not_need(start, mock):
    gateway = start(configuration(mock.port, workers=2))
    token = gateway.add_key()
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200
    threads = status_of(gateway.pid)
    assert len(threads) >= 5, "two workers, recorder, resolver, log, control"
    assert {thread["NoNewPrivs"] for thread in threads} == {"1"}
    for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
        assert {int(thread[name], 16) for thread in threads} == {0}, name
    if confined(gateway)["seccomp"] == "on":
        assert {thread["Seccomp"] for thread in threads} == {"2"}


def test_off_means_off(start, mock):
    gateway = start(configuration(mock.port), "--sandbox", "off")
    assert {(thread["Seccomp"], thread["NoNewPrivs"]) for thread in status_of(gateway.pid)} == {("0", "0")}


def test_required_starts_only_with_all_of_it(mock, tmp_path):
    parts = ("landlock", "seccomp", "ring_restrictions")
    gateway = Weir(tmp_path, configuration(mock.port))
    complete = all(confined(gateway)[part] not in ("0", "off") for part in parts)
    assert gateway.stop() == 0
    if complete:
        assert Weir(tmp_path, configuration(mock.port), "--sandbox", "required").stop() == 0
    else:
        done = command("serve", "--config", "weir.toml", "--sandbox", "required", folder=tmp_path)
        assert done.returncode == 1
        assert "--sandbox on runs weir without it" in done.stderr


def test_a_kernel_that_lacks_a_part_is_told_about(tmp_path, mock):
    """Under a seccomp filter of another that hides Landlock, as an old kernel would."""
    (tmp_path / "weir.toml").write_text(configuration(mock.port), encoding="utf-8")
    # Allows all but landlock_create_ruleset (444 on every architecture), which fails with ENOSYS.
    hide = f"""
import ctypes, os, struct, sys
code = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (6, 0, 0, 0x50026), (6, 0, 0, 0x7fff0000)]
filter = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(filter)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""
    command_line = [sys.executable, "-c", hide, rig.WEIR, "serve", "--config", "weir.toml"]
    done = subprocess.run([*command_line, "--sandbox", "required"], capture_output=True, text=True, timeout=60, check=False,
                          cwd=tmp_path, env=rig.ENVIRONMENT)
    assert done.returncode == 2
    assert "no Landlock" in done.stderr
    process = rig.Process(command_line, tmp_path, "without")
    process.log_line("the sandbox is incomplete.*no Landlock")
    assert process.stop() == 0


def test_a_reload_cannot_leave_the_folders_known_at_start(start, mock, tmp_path, tmp_path_factory):
    gateway = start(configuration(mock.port))
    if confined(gateway)["landlock"] == "0":
        pytest.skip("this kernel has no Landlock")
    token = gateway.add_key()
    inside, outside = tmp_path / "new.key", tmp_path_factory.mktemp("outside") / "new.key"
    for key in (inside, outside):
        key.write_text("sk-ant-reloaded-0123456789", encoding="ascii")
        key.chmod(0o600)

    def reload_with(key):
        text = configuration(mock.port).replace('{ env = "WEIR_TEST_ANTHROPIC" }', f'{{ file = "{key}" }}')
        new = tmp_path / "weir.toml.new"  # as editors and packages do: another file under the old name
        new.write_text(text, encoding="utf-8")
        new.rename(gateway.config_path)
        gateway.signal(signal.SIGHUP)

    reload_with(outside)
    line = gateway.log_line("reload refused")
    assert str(outside) in line and "Permission denied" in line and "restart weir" in line
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200
    assert mock.only_request().credentials() == [("x-api-key", rig.ANTHROPIC_KEY)]
    mock.reset()
    reload_with(inside)
    gateway.log_line("configuration reloaded")
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200
    assert mock.only_request().credentials() == [("x-api-key", "sk-ant-reloaded-0123456789")]


def test_names_are_looked_up_and_the_database_is_made_anew_inside_it(start, mock):
    text = configuration(mock.port).replace('base_url = "http://127.0.0.1', 'base_url = "http://localhost')
    gateway = start(text, "--dns-ttl", "1s")
    token = gateway.add_key()
    first = ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE)
    assert first.status == 200, first
    gateway.row(first.interception)
    for path in pathlib.Path(gateway.database).parent.glob("weir.db*"):
        path.unlink()
    token = gateway.add_key()
    again = ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE)
    assert again.status == 200, again
    assert gateway.row(again.interception)["outcome"] == "completed"


@pytest.fixture
def service_folder(tmp_path_factory):
    """A folder that another user may enter, which pytest's own are not."""
    folder = pathlib.Path("/tmp") / f"weir-sandbox-{os.getpid()}"
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


@root_only
def test_root_becomes_another_user_once_keys_and_listeners_are_open(mock, service_folder):
    nobody = pwd.getpwnam("nobody")
    key = service_folder / "root.key"
    key.write_text("sk-ant-only-root-reads-this", encoding="ascii")
    key.chmod(0o600)
    text = configuration(mock.port).replace('{ env = "WEIR_TEST_ANTHROPIC" }', f'{{ file = "{key}" }}')
    gateway = Weir(service_folder, text, "--user", "nobody")
    assert {thread["Uid"] for thread in status_of(gateway.pid)} == {"\t".join([str(nobody.pw_uid)] * 4)}
    assert {thread["Gid"] for thread in status_of(gateway.pid)} == {"\t".join([str(nobody.pw_gid)] * 4)}
    assert {thread["Groups"].strip() for thread in status_of(gateway.pid)} == {""}
    token = gateway.add_key()  # made by root, in a database that is nobody's
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE)
    assert answer.status == 200, answer
    assert mock.only_request().credentials() == [("x-api-key", "sk-ant-only-root-reads-this")]
    assert gateway.row(answer.interception)["outcome"] == "completed"
    assert {path.stat().st_uid for path in (service_folder / "data").rglob("*")} == {nobody.pw_uid}
    gateway.signal(signal.SIGHUP)  # the new user cannot read root's key again
    assert "Permission denied" in gateway.log_line("reload refused")
    assert gateway.stop() == 0
    again = Weir(service_folder, text, "--user", "nobody")
    assert again.stop() == 0


@root_only
def test_a_data_folder_of_another_is_refused_with_the_command_that_mends_it(mock, service_folder):
    (service_folder / "weir.toml").write_text(configuration(mock.port), encoding="utf-8")
    (service_folder / "data").mkdir()
    done = command("serve", "--config", "weir.toml", "--user", "nobody", folder=service_folder)
    assert done.returncode == 1
    assert "belongs to root" in done.stderr and "chown -R nobody data" in done.stderr
    done = command("serve", "--config", "weir.toml", "--user", "no-such-user", folder=service_folder)
    assert done.returncode == 2 and "there is no such user" in done.stderr


def test_it_drains_inside_it(start, mock):
    gateway = start(configuration(mock.port, workers=2))
    token = gateway.add_key()
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE)
    assert answer.status == 200, answer
    assert gateway.stop() == 0
    assert eventually("the end is in the database", lambda: gateway.rows("id = ? AND ended_at IS NOT NULL",
                                                                         answer.interception))
    assert not list(pathlib.Path(gateway.database).parent.glob("journal/*.bad-*"))


def test_the_unit_of_systemd_is_understood_and_hardened():
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd-analyze (Debian: systemd) is not installed")
    unit = rig.ROOT / "src/systemd/weir.service"
    verified = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, timeout=60, check=False)
    complaints = [line for line in verified.stderr.splitlines() if "weir.service" in line and "not executable" not in line]
    assert complaints == []
    judged = subprocess.run([analyze, "security", "--offline=true", "--threshold=15", unit], capture_output=True, text=True,
                            timeout=60, check=False)
    assert judged.returncode == 0, judged.stdout[-200:]  # an exposure of at most 1.5 of 10
