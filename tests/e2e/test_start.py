"""What a start is refused for, how it is given up, and what it says."""
import contextlib
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
import rig
from rig import Client, MESSAGE, WEIR, ask, bearer, command, configuration, eventually, free_port, request

ANTHROPIC = "/anthropic/v1/messages"


def listener(address, more=""):
    return f'[[listener]]\nname = "public"\naddress = "{address}"\n{more}'


def refused(folder, text, *options, code=1):
    """A start in a folder of its own that must fail; what it said."""
    folder.mkdir(exist_ok=True)
    (folder / "weir.toml").write_text(text, encoding="utf-8")
    done = command("serve", "--config", "weir.toml", *options, folder=folder)
    assert done.returncode == code, done
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done.stderr


# --- who listens there already ---

@pytest.mark.parametrize("first, second", [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"),
                                           ("[::]", "127.0.0.1"), ("127.0.0.1", "[::]"), ("[::1]", "[::]")])
def test_a_port_that_another_weir_has_is_refused_and_its_pid_named(start, mock, tmp_path, first, second):
    port = free_port()
    gateway = start(configuration(mock.port, workers=2, listeners=listener(f"{first}:{port}")))
    said = refused(tmp_path / "second", configuration(mock.port, workers=2, listeners=listener(f"{second}:{port}")))
    assert f"cannot listen on {second}:{port}: Address already in use" in said
    assert f"weir with pid {gateway.pid} listens there; stop it or choose another --listen" in said


def test_a_port_of_any_other_program_is_refused_too(mock, tmp_path):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        said = refused(tmp_path / "a", configuration(mock.port, listeners=listener(f"127.0.0.1:{other.getsockname()[1]}")))
        assert f"with pid {os.getpid()} listens there" in said


def test_of_two_that_start_at_once_one_is_refused(mock, tmp_path):
    """By the kernel, not by a look beforehand: whoever listens first has the port."""
    for turn in range(3):
        port, running = free_port(), []
        for name in ("a", "b"):
            folder = tmp_path / f"{name}{turn}"
            folder.mkdir()
            (folder / "weir.toml").write_text(configuration(mock.port, 2, listeners=listener(f"127.0.0.1:{port}")), encoding="utf-8")
            running.append(subprocess.Popen([WEIR, "serve", "--config", "weir.toml"], cwd=folder, env=rig.ENVIRONMENT, text=True,
                                            stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        lines = [process.stdout.readline() for process in running]
        assert sorted(bool(line) for line in lines) == [False, True], lines
        loser = running[lines.index("")]
        assert loser.wait(rig.PATIENCE) == 1
        assert "Address already in use" in loser.stderr.read()
        winner = running[1 - lines.index("")]
        winner.terminate()
        assert winner.wait(rig.PATIENCE) == 0
        for process in running:
            process.stdout.close()
            process.stderr.close()


def test_a_restart_right_after_the_end_has_the_port_again(start, mock):
    text = configuration(mock.port, workers=2, listeners=listener(f"127.0.0.1:{free_port()}"))
    for turn, end in enumerate([rig.Weir.stop, rig.Weir.kill] * 3):
        gateway = start(text, name=f"turn{turn}")
        client = Client(gateway.address)  # a connection that the old one leaves in TIME_WAIT, or worse
        client.send(request("GET", "/nowhere")).answer()
        end(gateway)
        client.close()


def test_the_admin_address_in_use_names_its_own_flag(mock, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        said = refused(tmp_path / "a", configuration(mock.port), "--admin", f"127.0.0.1:{other.getsockname()[1]}")
    assert "stop it or choose another --admin" in said
    assert "--listen" not in said


def test_one_weir_may_listen_on_all_addresses_and_on_one_of_them(start, mock):
    port = free_port()
    gateway = start(configuration(mock.port, workers=2, listeners=f"""[[listener]]
name = "public"
address = "[::]:{port}"
[[listener]]
name = "local"
address = "127.0.0.1:{port}"
"""))
    token = gateway.add_key()
    answer = ask(f"127.0.0.1:{port}", "POST", ANTHROPIC, bearer(token), MESSAGE)
    assert gateway.row(answer.interception)["source"] == "local", "the nearer one"


def test_a_live_unix_socket_is_left_alone_and_a_stale_one_replaced(start, mock, tmp_path):
    path = tmp_path / "w.sock"
    text = configuration(mock.port, workers=2, listeners=listener(f"unix:{path}"))
    gateway = start(text)
    said = refused(tmp_path / "second", text)
    assert f"weir with pid {gateway.pid} listens there" in said
    assert ask(f"unix:{path}", "GET", "/nowhere").status == 400, "it still works"
    gateway.kill()
    assert path.exists()
    again = start(text, name="again")
    assert ask(again.address, "GET", "/nowhere").status == 400


def test_a_file_that_is_no_socket_is_never_removed(mock, tmp_path):
    path = tmp_path / "precious"
    path.write_text("data", encoding="ascii")
    said = refused(tmp_path / "a", configuration(mock.port, listeners=listener(f"unix:{path}")))
    assert "a file that is no socket is there" in said
    assert path.read_text(encoding="ascii") == "data"


# --- IPv4 on [::] ---

def test_all_of_ipv6_is_ipv4_too(start, mock):
    gateway = start(configuration(mock.port, listeners=listener("[::]:0"), extra="""[limits]
address_connections = 1
[[rule]]
name = "who"
set = { "x-who" = "{client.address}" }
"""))
    port = gateway.port
    token = gateway.add_key()
    for address in (f"127.0.0.1:{port}", f"[::1]:{port}"):
        eventually("its turn", lambda: ask(address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200)
    assert [seen.all("x-who") for seen in mock.requests()] == [["127.0.0.1"], ["::1"]]
    ask(f"127.0.0.1:{port}", "GET", "/nowhere")
    assert "client=127.0.0.1" in gateway.log_line("no authentication key")
    # Its limit is the one of the IPv4 address: another one has its own.
    with Client(f"127.0.0.1:{port}", source="127.0.0.7") as one, Client(f"127.0.0.1:{port}", source="127.0.0.8") as other:
        for client in (one, other):
            assert client.send(request("GET", "/anthropic/v1/models", bearer(token))).answer().status == 200
        with Client(f"127.0.0.1:{port}", source="127.0.0.7") as second:
            assert second.send(request("GET", "/anthropic/v1/models", bearer(token))).answer().status == 429


def test_ipv6_alone_if_asked_for(start, mock):
    gateway = start(configuration(mock.port, listeners=listener("[::]:0", "v6only = true\n")))
    assert ask(f"[::1]:{gateway.port}", "GET", "/nowhere").status == 400
    with pytest.raises(ConnectionRefusedError):
        Client(f"127.0.0.1:{gateway.port}")


def test_v6only_is_for_ipv6(tmp_path):
    assert 'v6only is for an IPv6 address such as "[::]:4001"' in refused(
        tmp_path / "a", configuration(1, listeners=listener("127.0.0.1:0", "v6only = true\n")), code=2)


# --- files that are none ---

class Odd:
    """Makes something at a path that is no file with content."""

    @staticmethod
    def directory(path):
        path.mkdir()

    @staticmethod
    def pipe(path):
        os.mkfifo(path)

    @staticmethod
    def empty(path):
        path.touch(0o600)

    @staticmethod
    def huge(path):
        with open(path, "wb") as file:
            file.truncate(1 << 40)
        path.chmod(0o600)

    @staticmethod
    def endless(path):
        path.symlink_to("/dev/zero")

    @staticmethod
    def loop(path):
        path.symlink_to(path)

    @staticmethod
    def missing(_):
        pass


ODD = ["directory", "pipe", "empty", "huge", "endless", "loop", "missing"]
PROVIDER = '[[provider]]\nname = "own"\ntype = "anthropic"\nbase_url = "https://127.0.0.1:1"\n'
NAMED = {
    "key": lambda path: configuration(1, providers=PROVIDER + f'key = {{ file = "{path}" }}\n'),
    "CA": lambda path: configuration(1, providers=PROVIDER + f'ca_file = "{path}"\n'),
    "certificate": lambda path: configuration(1, listeners=listener("127.0.0.1:0", f'tls = {{ certificate = "{path}", key = "{path}" }}\n')),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("named", NAMED)
def test_a_file_of_the_configuration_that_is_none_is_told(tmp_path, named, odd):
    path = tmp_path / "odd"
    getattr(Odd, odd)(path)
    began = time.monotonic()
    (tmp_path / "weir.toml").write_text(NAMED[named](path), encoding="utf-8")
    done = command("serve", "--config", "weir.toml", folder=tmp_path)
    assert done.returncode in (1, 2), done
    assert str(path) in done.stderr
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("odd", [odd for odd in ODD if odd != "empty"])
@pytest.mark.parametrize("verb", ["serve", "check"])
def test_a_configuration_that_is_no_file_is_told(tmp_path, verb, odd):
    getattr(Odd, odd)(tmp_path / "odd.toml")
    done = command(verb, "--config", "odd.toml", folder=tmp_path)
    assert done.returncode == 2, done
    assert "odd.toml" in done.stderr


@pytest.mark.parametrize("odd", ODD)
def test_a_reload_that_finds_no_file_changes_nothing(start, mock, odd):
    gateway = start(configuration(mock.port))
    token = gateway.add_key()
    gateway.config_path.unlink()
    getattr(Odd, odd)(gateway.config_path)
    gateway.signal(signal.SIGHUP)
    if odd == "empty":  # a configuration all the same: the defaults
        gateway.log_line("configuration reloaded")
        return
    assert "weir.toml" in gateway.log_line("reload refused")
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200


def test_a_configuration_may_come_by_a_pipe(mock, tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")

    def write():
        with open(tmp_path / "pipe.toml", "w", encoding="utf-8") as file:
            file.write(configuration(mock.port))
            file.flush()
            time.sleep(0.1)  # the rest comes later, as from a slow program
            file.write("# end\n")

    writer = threading.Thread(target=write)
    writer.start()
    eventually("the writer waits for a reader", writer.is_alive)
    # A reader that comes before the writer finds nobody; a shell's process substitution has it the other way round.
    done = eventually("the pipe is read", lambda: d if (d := command(
        "check", "--config", "pipe.toml", folder=tmp_path)).returncode == 0 else None)
    writer.join()
    assert done.returncode == 0


@pytest.mark.parametrize("odd", [odd for odd in ODD if odd not in ("empty", "missing", "endless", "huge")])
@pytest.mark.parametrize("name", ["weir.db", "out.jsonl", "journal", "journal/lock", "journal/worker-0.journal.new", "journal/worker-0.journal"])
def test_a_file_of_data_dir_that_is_none_neither_hangs_nor_aborts(mock, tmp_path, name, odd):
    path = tmp_path / "data" / name
    path.parent.mkdir(parents=True)
    getattr(Odd, odd)(path)
    text = configuration(mock.port, extra='[[sink]]\nkind = "sqlite"\n[[sink]]\nkind = "jsonl"\npath = "data/out.jsonl"')
    (tmp_path / "weir.toml").write_text(text, encoding="utf-8")
    process = subprocess.Popen([WEIR, "serve", "--config", "weir.toml"], cwd=tmp_path, env=rig.ENVIRONMENT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # Either it says why not (2: the configuration names it), or it serves without what it does not need and can be stopped.
    line = process.stdout.readline()
    if line:
        process.terminate()
    _, said = process.communicate(timeout=rig.PATIENCE)
    assert process.returncode == (0 if line else 2 if name == "out.jsonl" else 1), said
    assert "Sanitizer" not in said and "terminate called" not in said, said


@pytest.mark.parametrize("odd", [odd for odd in ODD if odd != "empty"])
def test_a_connection_string_that_is_no_file_is_told(tmp_path, odd):
    path = tmp_path / "dsn"
    getattr(Odd, odd)(path)
    done = subprocess.run([pathlib.Path(WEIR).parent / "weir-sink", "--data-dir", ".", "--dsn-file", path], capture_output=True,
                          text=True, check=False, cwd=tmp_path, timeout=60, env=rig.ENVIRONMENT)
    assert done.returncode == 1, done
    assert f"cannot read the connection string from {path}" in done.stderr


# --- how much is asked for ---

def test_an_absurd_number_of_workers_is_refused(tmp_path):
    said = refused(tmp_path / "a", configuration(1), "--workers", "1000", code=2)
    assert re.search(r"workers is 1000, but this process may use \d+ cores?; at most \d+ are allowed here", said)
    assert not (tmp_path / "a/data").exists()


def test_journals_that_the_disk_has_no_room_for_are_refused_before_they_are_made(mock, tmp_path):
    (tmp_path / "a").mkdir()
    said = refused(tmp_path / "a", configuration(mock.port, 16).replace('size = "1MiB"', 'size = "64GiB"'))
    assert re.search(r"no room on the disk for the journals: 16 of 64GiB need \d+MiB and \d+MiB are free", said), said
    assert list((tmp_path / "a/data/journal").glob("*.journal*")) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_start_can_be_stopped(mock, tmp_path, number):
    """At whatever moment: either it has begun to serve and drains, or it gives up."""
    (tmp_path / "weir.toml").write_text(configuration(mock.port, 16).replace('size = "1MiB"', 'size = "64MiB"'), encoding="utf-8")
    for after in (0.05, 0.2, 0.5, 1):
        process = subprocess.Popen([WEIR, "serve", "--config", "weir.toml"], cwd=tmp_path, env=rig.ENVIRONMENT, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(after)  # any moment will do
        began = time.monotonic()
        process.send_signal(number)
        _, said = process.communicate(timeout=rig.PATIENCE)
        assert process.returncode in ((0, -number) if after < 0.2 else (0,)), said  # before it has got as far as main()
        assert time.monotonic() - began < 5, said
    shutil.rmtree(tmp_path / "data")


def test_sixteen_workers_are_ready_soon(start, mock):
    began = time.monotonic()
    gateway = start(configuration(mock.port, 16).replace('size = "1MiB"', 'size = "64MiB"'))
    ready = time.monotonic() - began
    token = rig.command("key", "add", "--user", "a", "--data-dir", str(gateway.folder / "data")).stdout.strip()
    eventually("the key is known", lambda: ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200)
    assert ready < 6, f"{ready:.1f} s; it was 9 s on two cores without a sanitizer, all of it spent on mapping the journals"


def test_a_start_without_a_network_says_so_once(start, mock, tmp_path):
    names = ("a", "b", "c", "d")
    providers = "".join(f'[[provider]]\nname = "{name}"\ntype = "openai"\nbase_url = "http://{name}.invalid"\n' for name in names)
    gateway = start(configuration(mock.port, providers=providers), environment={"RES_OPTIONS": "timeout:1 attempts:1"})
    gateway.log_line("cannot resolve host names; retrying")
    lines = [line for line in gateway.log().splitlines() if "cannot resolve" in line]
    assert sum(sum(f"{name}.invalid" in line for name in names) for line in lines) == 4
    assert len(lines) <= 2, lines
