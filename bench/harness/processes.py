"""Processes that the benchmark starts: pinned to cores, awaited until they listen, ended by pid."""
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import time

PATIENCE = 120  # seconds until what should have started counts as failed


class StartFailed(Exception):
    """Says which program and what it wrote."""


def raise_file_limit():
    """As high as this user may: ten thousand streams are twenty thousand sockets. The processes started here inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (1 << 20, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
            return
        except (ValueError, OSError):  # raising the hard limit is for root
            continue


def connections_max():
    """How many clients one proxy can have here: each takes two sockets, and it has some files of its own."""
    return (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200) // 2


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pinned(cores, command):
    """taskset replaces itself by the command, so the pid stays the child's."""
    return ["taskset", "-c", cores, *map(str, command)] if cores else [*map(str, command)]


class Process:
    """One running program; `log` receives what it writes, except standard output when that is read here."""

    def __init__(self, name, command, cores, folder, environment=None, read_output=False):
        self.name, self.command = name, [*map(str, command)]
        self.log = pathlib.Path(folder) / f"{name}.log"
        with open(self.log, "wb") as log:
            self.popen = subprocess.Popen(pinned(cores, command), stdin=subprocess.DEVNULL, stderr=log, cwd=folder, text=True,
                                          stdout=subprocess.PIPE if read_output else log,
                                          env={**os.environ, **(environment or {})})

    @property
    def pid(self):
        return self.popen.pid

    def tail(self):
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])

    def failed(self, what):
        self.stop()
        return StartFailed(f"{self.name}: {what}\n{self.tail()}")

    def await_listening_lines(self, count):
        """The addresses that weir announces, by listener name."""
        addresses = {}
        while len(addresses) < count:
            line = self.popen.stdout.readline()
            if found := re.match(r"listening name=(\S+) address=(\S+)", line):
                addresses[found[1]] = found[2]
            elif not line:
                raise self.failed("did not start")
        return addresses

    def await_port(self, port):
        """Programs that do not say when they are ready: until the port accepts."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.popen.poll() is not None:
                raise self.failed(f"ended with {self.popen.returncode}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise self.failed(f"does not listen on port {port} after {PATIENCE} s")

    def stop(self):
        """Ends it in order, after a while by force. The exit status."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        try:
            code = self.popen.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            code = self.popen.wait()
        if self.popen.stdout:
            self.popen.stdout.close()
        return code
