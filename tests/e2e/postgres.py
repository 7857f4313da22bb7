"""A real PostgreSQL server for the tests: Debian's, in a folder of its own, on a Unix socket; and a wire that can be cut."""
import contextlib
import json
import os
import pathlib
import pwd
import shutil
import socket
import struct
import subprocess
import tempfile
import threading

USER = "weir"


def programs():
    """The folder of initdb and pg_ctl; None if there is none."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def unprivileged():
    """PostgreSQL refuses to run as root: a prefix for commands, and the owner of its files."""
    if os.getuid() != 0:
        return [], None
    names = [name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()}]
    return ["runuser", "-u", names[0], "--"], names[0]


class Server:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-pg-"))
        self.folder.chmod(0o755)  # weir-sink has no capability, so that also root's needs rights to reach the socket
        self.prefix, owner = unprivileged()
        if owner:
            shutil.chown(self.folder, owner)
        self._run("initdb", "-D", str(self.folder / "data"), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale", "C", "--no-sync")
        self.running = False
        self.start()

    def _run(self, program, *arguments):
        done = subprocess.run([*self.prefix, str(programs() / program), *arguments], cwd=self.folder, text=True, check=False,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=60)
        assert done.returncode == 0, done.stderr

    def start(self):
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off -c max_connections=50"
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-l", str(self.folder / "log"), "-w", "-o", options, "start")
        self.running = True

    def stop(self, mode="immediate"):
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", mode, "stop")
        self.running = False

    def restart(self):
        self.stop()
        self.start()

    def close(self):
        if self.running:
            self.stop()
        shutil.rmtree(self.folder)

    @property
    def socket_path(self):
        return str(self.folder / ".s.PGSQL.5432")

    def psql(self, database, sql):
        done = subprocess.run(["psql", "-h", str(self.folder), "-U", USER, "-d", database, "-AtqX", "-v", "ON_ERROR_STOP=1", "-c", sql],
                              text=True, check=False, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, database, sql):
        if self.psql(database, "SELECT to_regclass('weir_schema') IS NULL").strip() == "t":
            return []
        return [json.loads(line) for line in self.psql(database, f"SELECT row_to_json(t) FROM ({sql}) t").splitlines()]

    @contextlib.contextmanager
    def locked(self, database, table):
        """Another session holds the table; writers wait."""
        session = subprocess.Popen(["psql", "-h", str(self.folder), "-U", USER, "-d", database, "-AtqX"], text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        session.stdin.write(f"BEGIN; LOCK TABLE {table} IN SHARE MODE; SELECT 'locked';\n")
        session.stdin.flush()
        assert session.stdout.readline() == "locked\n"
        try:
            yield
        finally:
            session.communicate("COMMIT;\n", timeout=30)

    def waiting(self, database):
        """How many sessions of weir-sink wait for a lock."""
        return int(self.psql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'weir-sink%' "
                                         f"AND datname = '{database}' AND wait_event_type = 'Lock'"))


class Wire:
    """TCP on loopback to the server's socket. cut(): the client's side breaks, the server's hangs, nobody gets through."""

    def __init__(self, server):
        self.server, self.whole, self.pairs, self.lock = server, True, [], threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if not self.whole:
                    client.close()
                    continue
                upstream = socket.socket(socket.AF_UNIX)
                try:
                    upstream.connect(self.server.socket_path)
                except OSError:
                    client.close()
                    continue
                self.pairs.append((client, upstream))
            for source, sink in ((client, upstream), (upstream, client)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self.whole:
                    return
                sink.sendall(data)
        if self.whole:
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        with self.lock:
            self.whole = False
            for client, _ in self.pairs:
                with contextlib.suppress(OSError):
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.shutdown(socket.SHUT_RDWR)
                    client.close()

    def mend(self):
        with self.lock:
            self.whole = True

    def close(self):
        self.listener.close()
        with self.lock:
            self.whole = False
            for pair in self.pairs:
                for end in pair:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
                        end.close()
