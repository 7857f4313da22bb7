"""What the end-to-end tests stand on: the real weir and its mock provider as processes, and a client that writes bytes.

Everything listens on 127.0.0.1 at a port that the kernel chooses and lives in a folder of the test's own.
"""
import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import random
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WEIR = os.environ.get("WEIR", str(ROOT / "build-test/src/weir"))
WEIR_RELEASE = os.environ.get("WEIR_RELEASE", WEIR)
NODE = pathlib.Path(os.environ.get("WEIR_NODE", ROOT / "build-test/tools/node"))
SHARED = ROOT.parent / "shared"

ANTHROPIC_KEY = "sk-ant-operator-0123456789abcdef"
OPENAI_KEY = "sk-operator-0123456789abcdef"
USER_ID = "0c5a2a6b-96a5-4d6e-8f27-3a4d2b1c0d9e"
PATIENCE = 20  # seconds until something that should have happened counts as missing

# A sanitizer's finding ends the program, so that a test sees it.
ENVIRONMENT = {"PATH": os.environ["PATH"], "ASAN_OPTIONS": "halt_on_error=1:abort_on_error=1:detect_leaks=1",
               "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_stacktrace=1", "WEIR_TEST_ANTHROPIC": ANTHROPIC_KEY,
               "WEIR_TEST_OPENAI": OPENAI_KEY}


def eventually(what, found, patience=PATIENCE):
    """The first true value of found(), which looks at what nobody announces (a file, a process, a database)."""
    deadline = time.monotonic() + patience
    while not (value := found()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {patience} s")
        time.sleep(0.01)
    return value


def now_us():
    return time.time_ns() // 1000


class Process:
    """A weir command that serves. `listening` maps the names of its listeners to addresses."""

    def __init__(self, command, folder, name, environment=None, listeners=1):
        self.log_path = pathlib.Path(folder) / f"{name}.log"
        self.log_file = open(self.log_path, "ab")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log_file, stdin=subprocess.DEVNULL,
                                        cwd=folder, env={**ENVIRONMENT, **(environment or {})}, text=True)
        self.listening = {}
        for _ in range(listeners):
            line = self.process.stdout.readline()
            found = re.match(r"listening name=(\S+) address=(\S+)", line)
            if not found:
                code = self.process.wait(PATIENCE)
                raise AssertionError(f"{' '.join(map(str, command))} did not start ({code}): {line}{self.log()}")
            self.listening[found[1]] = found[2]

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def log_line(self, pattern, patience=PATIENCE):
        """The first line of the log in which the pattern is found, once it is there."""
        return eventually(f"a log line with {pattern!r} in:\n{self.log()}",
                          lambda: next((l for l in self.log().splitlines() if re.search(pattern, l)), None), patience)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Ends it in order; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"weir did not end within 60 s:\n{self.log()}") from None
        finally:
            self.process.stdout.close()
            self.log_file.close()

    def kill(self):
        self.process.kill()
        self.wait()

    def resident_bytes(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


class Mock(Process):
    def __init__(self, folder, *options, binary=None):
        super().__init__([binary or WEIR, "mock", "--listen", "127.0.0.1:0", "--gap", "0", *options], folder, "mock")
        self.address = self.listening["mock"]
        self.port = int(self.address.rpartition(":")[2])

    def ask(self, path, body=None):
        request = urllib.request.Request(f"http://{self.address}/__mock/{path}", data=body)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.read()

    def state(self):
        return json.loads(self.ask("state"))

    def requests(self):
        return [Seen(json.loads(line)) for line in self.ask("requests").splitlines()]

    def only_request(self):
        found = self.requests()
        assert len(found) == 1, [str(seen) for seen in found]
        return found[0]

    def reset(self):
        self.ask("reset", b"")

    def script(self, *answers):
        self.ask("script", json.dumps(answers).encode())

    def next(self, count=1):
        self.ask(f"next?n={count}", b"")


class Seen:
    """A request as the provider got it."""

    def __init__(self, line):
        self.method, self.target, self.headers = line["method"], line["target"], [tuple(h) for h in line["headers"]]
        self.body_size, self.body_sha256, self.body_start = line["body_size"], line["body_sha256"], line["body_start"]

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def credentials(self):
        return sorted((n.lower(), v) for n, v in self.headers if n.lower() in ("authorization", "x-api-key"))

    def has_body(self, body):
        return self.body_size == len(body) and self.body_sha256 == hashlib.sha256(body).hexdigest()

    def __str__(self):
        return f"{self.method} {self.target} {self.headers} {self.body_start}"


def configuration(mock_port, workers=1, listeners=None, extra="", providers="", top=""):
    """A whole file. `top` are lines before the first table, `extra` after the last."""
    listeners = listeners or '[[listener]]\nname = "public"\naddress = "127.0.0.1:0"\n'
    base = f"http://127.0.0.1:{mock_port}"
    return f"""workers = {workers}
data_dir = "data"
{top}
[journal]
size = "1MiB"
{listeners}
[[provider]]
name = "anthropic"
type = "anthropic"
base_url = "{base}"
key = {{ env = "WEIR_TEST_ANTHROPIC" }}
[[provider]]
name = "openai"
type = "openai"
base_url = "{base}/v1"
key = {{ env = "WEIR_TEST_OPENAI" }}
[[provider]]
name = "chatgpt"
type = "openai"
base_url = "{base}/backend-api/codex"
[[provider]]
name = "copilot"
type = "copilot"
base_url = "{base}"
{providers}
{extra}
"""


class Weir(Process):
    def __init__(self, folder, text, *options, binary=None, environment=None, name="weir"):
        self.folder = pathlib.Path(folder)
        self.config_path = self.folder / "weir.toml"
        self.config_path.write_text(text, encoding="utf-8")
        self.binary = binary or WEIR
        super().__init__([self.binary, "serve", "--config", "weir.toml", *options], folder, name, environment,
                         listeners=text.count("[[listener]]"))
        found = re.search(r"^workers = (\d+)", text, re.M)
        self.workers = int(found[1]) if found else os.cpu_count()
        self.database = str(self.folder / "data/weir.db")
        self.admin = None
        if "--admin" in options:
            found = re.match(r"admin address=(\S+)", line := self.process.stdout.readline())
            assert found, line
            self.admin = found[1]

    @property
    def address(self):
        return self.listening["public"]

    @property
    def port(self):
        return int(self.address.rpartition(":")[2])

    @property
    def url(self):
        return f"http://{self.address}"

    def run(self, *arguments, code=0):
        """Another weir command on the same folder; what it printed."""
        done = command(*arguments, "--data-dir", str(self.folder / "data"), binary=self.binary)
        assert done.returncode == code, done
        return done.stdout

    def add_key(self, user="alice", *options):
        """A token; known to every worker of the gateway when this returns."""
        token = self.run("key", "add", "--user", user, "--id", USER_ID, *options).strip()
        tries = 1 if self.workers == 1 else 12  # the kernel spreads connections over the workers

        def accepted():
            return all(Client(self.address).send(request("GET", "/anthropic/v1/nothing", [("X-Api-Key", token)])).answer().status == 404
                       for _ in range(tries))

        eventually("the new token is accepted", accepted)
        return token

    def metrics(self):
        """Of a gateway that was started with --admin: 'name{labels}' → value."""
        answer = ask(self.admin, "GET", "/metrics")
        assert answer.status == 200, answer
        lines = [line.rpartition(" ") for line in answer.body.decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    def metric(self, name):
        return self.metrics()[name]

    def rows(self, where="1", *values):
        return query(self.database, f"SELECT * FROM interceptions WHERE {where} ORDER BY rowid", *values)

    def row(self, ident):
        """The interception once it has ended."""
        return eventually(f"the end of interception {ident}",
                          lambda: self.rows("id = ? AND ended_at IS NOT NULL", ident))[0]

    def recorded_since(self, began):
        """What started since then (µs). A last exchange is made and awaited first, for records come in order."""
        last = ask(self.address, "POST", "/anthropic/v1/messages", bearer(self.token), MESSAGE).interception
        self.row(last)
        return self.rows("started_at >= ? AND id <> ?", began, last)

    def only_row(self):
        """Of a gateway that is the test's own."""
        rows = eventually("an interception that has ended", lambda: self.rows("ended_at IS NOT NULL"))
        assert len(rows) == 1, rows
        return rows[0]


def query(database, sql, *values):
    try:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, values)]
    except sqlite3.OperationalError as error:
        if "no such table" in str(error) or "unable to open" in str(error):
            return []
        raise


def command(*arguments, binary=None, environment=None, folder=None, stdin=None):
    return subprocess.run([binary or WEIR, *arguments], capture_output=True, text=True, timeout=60, check=False, cwd=folder,
                          input=stdin, env={**ENVIRONMENT, **(environment or {})})


# --- a client that writes bytes ---

def request(method, path, headers=(), body=None, host="localhost"):
    """The bytes of a request; a body gets its Content-Length."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"] + [f"{n}: {v}" for n, v in headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


class Answer:
    def __init__(self, status, reason, headers, body, complete):
        self.status, self.reason, self.headers, self.body, self.complete = status, reason, headers, body, complete

    def get(self, name):
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)

    def json(self):
        return json.loads(self.body)

    def message(self):
        return self.json()["error"]["message"]

    @property
    def interception(self):
        return self.get("X-Weir-Interception-Id")

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:300]!r} complete={self.complete}"


class Client:
    """One connection. Times out after PATIENCE without a byte."""

    def __init__(self, address, context=None, receive_buffer=None, source=None):
        if address.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(PATIENCE)
            self.socket.connect(address[5:])
        else:
            host, _, port = address.rpartition(":")
            self.socket = socket.socket(socket.AF_INET6 if "[" in host else socket.AF_INET)
            self.socket.settimeout(PATIENCE)
            if receive_buffer:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if source:
                self.socket.bind((source, 0))
            self.socket.connect((host.strip("[]"), int(port)))
        if context:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.file = self.socket.makefile("rb")

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before the end of the request; the answer may be there all the same
        return self

    def line(self):
        text = self.file.readline()
        if not text.endswith(b"\r\n"):
            raise EOFError(text)
        return text[:-2]

    def head(self):
        """(status, reason, headers)"""
        _, status, reason = (self.line().decode("latin-1").split(" ", 2) + [""])[:3]
        headers = []
        while text := self.line().decode("latin-1"):
            name, _, value = text.partition(":")
            headers.append((name, value.strip()))
        return int(status), reason, headers

    def chunk(self):
        """The next chunk of a body; empty at its end."""
        size = int(self.line(), 16)
        data = self.file.read(size)
        if len(data) < size:
            raise EOFError(data)
        self.line()
        return data

    def answer(self, method="GET"):
        """The next final answer as a whole."""
        status, reason, headers = self.head()
        while status < 200:
            status, reason, headers = self.head()
        named = {n.lower(): v for n, v in headers}
        body, complete = b"", True
        try:
            if method == "HEAD" or status in (204, 304):
                pass
            elif "chunked" in named.get("transfer-encoding", ""):
                while piece := self.chunk():
                    body += piece
            elif "content-length" in named:
                body = self.file.read(int(named["content-length"]))
                complete = len(body) == int(named["content-length"])
            else:
                body = self.file.read()
        except (EOFError, ConnectionError, ValueError):
            complete = False
        return Answer(status, reason, headers, body, complete)

    def ended(self):
        """Whether the other side has closed: waits for it, and for nothing else."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return False

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def ask(address, method, path, headers=(), body=None, **options):
    """One request on a connection of its own."""
    with Client(address, **options) as client:
        return client.send(request(method, path, headers, body)).answer(method)


class Authorizer:
    """An operator's service: answers each callout with the same status and document."""

    def __init__(self, document, status=200):
        self.asked = asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                asked.append((self.path, dict(self.headers)))
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/v2/users/me"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


MESSAGE = b'{"model":"claude-opus-4-8","max_tokens":64,"messages":[{"role":"user","content":"hi"}]}'
MESSAGE_STREAM = b'{"model":"claude-opus-4-8","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"hi"}]}'
CHAT = b'{"model":"gpt-5.1","messages":[{"role":"user","content":"hi"}]}'
RESPONSES = b'{"model":"gpt-5.1","input":"hi"}'
JSON = [("Content-Type", "application/json")]


def bearer(token):
    return [("Authorization", f"Bearer {token}")]


def free_port():
    """For servers that cannot choose a port themselves: free a moment ago, and none that the kernel gives to clients since."""
    lowest_of_clients = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    while True:
        port = random.randrange(5000, max(lowest_of_clients, 10000))
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def run_client(name, folder, *arguments, **environment):
    """A Node client with a home of its own, told to keep to itself."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    path = NODE / "node_modules/.bin" / name
    assert path.exists(), f"{path} is missing; ./dev test installs it"
    return subprocess.run([str(path), *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False,
                          stdin=subprocess.DEVNULL,
                          env={"PATH": os.environ["PATH"], "HOME": str(home), "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                               "DISABLE_AUTOUPDATER": "1", **environment})
