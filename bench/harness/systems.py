"""What is measured: weir, its peers, and the mock asked directly. Each is started on the gateway's cores, tells how
weir-load reaches it, and is ended by pid."""
import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import sqlite3
import subprocess
import time

from harness import processes, sample

BENCH = pathlib.Path(__file__).resolve().parent.parent
USER_ID = "0c5a2a6b-96a5-4d6e-8f27-3a4d2b1c0d9e"


@dataclasses.dataclass
class Place:
    """Where things are, and on which cores they run; see run.py."""
    weir: pathlib.Path
    load: pathlib.Path
    peers: pathlib.Path  # what ./dev bench --peers has installed from npm and PyPI
    folder: pathlib.Path  # data, configurations and logs of this run
    gateway_cores: str
    load_cores: str
    certificates: dict  # of tests/support/test_ca.py
    mock: str = ""  # HOST:PORT
    journal: str = "256MiB"
    busy_poll: str = "1ms"  # how long load and mock look for work before they sleep


@dataclasses.dataclass
class Variant:
    """How weir differs from its usual benchmark configuration: `--set` pairs, flags, and parts left out."""
    name: str = "weir"
    options: tuple = ()  # of `weir serve`
    workers: int = 1
    rules: bool = True
    recording: str = "full"  # full, length or off
    cores: str = ""  # instead of the place's
    tls_upstream: int = 0  # the port of a TLS front of the mock
    sinks: tuple = ()  # kinds; none: SQLite
    set: dict = dataclasses.field(default_factory=dict)  # overrides of the scenario


class System:
    """A system under test. `exact`: answers are the provider's, byte for byte; else only their status is checked."""
    name, route, exact, tls = "", "provider", True, True
    overrides = {}  # of the scenario, for this system alone
    streams_max = 0  # of paced streams: more would overload it, and then few exchanges end in time to be counted; 0: any
    warmed = (0, 0)  # seconds of warm-up and of measuring, if the scenario has less: what compiles or imports as it goes

    def __init__(self, place):
        self.place, self.process = place, None

    def unavailable(self):
        """Why it cannot be measured here, or None."""
        return None

    @property
    def pid(self):
        return self.process.pid

    def fitted(self, case):
        """The case as this system can be asked."""
        overrides = self.overrides
        if case.paced and self.streams_max and case.values.get("connections", 64) > self.streams_max:
            overrides = overrides | {"connections": self.streams_max}
        return case.over(overrides).warmed(*self.warmed)

    def load_options(self, api):
        """What weir-load needs beyond address and scenario."""
        return []

    def settle(self):
        """Awaits work that was put off; the CPU time that it took, µs by group, and of how many exchanges."""
        return None

    def stop(self):
        if self.process:
            code, self.process = self.process.stop(), None
            return code
        return 0

    def fill_in(self, template, name, **words):
        """A configuration of bench/peers with its @WORDS@ replaced, in this run's folder."""
        text = (BENCH / "peers" / template).read_text(encoding="utf-8")
        words = {"FOLDER": self.place.folder, "MOCK": self.place.mock, **words}
        for word, value in words.items():
            text = text.replace(f"@{word}@", str(value))
        path = self.place.folder / name
        path.write_text(text, encoding="utf-8")
        return path


class Direct(System):
    """The mock itself: what the load and the provider cost in time, to be subtracted from latencies."""
    name, tls = "direct", False

    def start(self):
        self.address = self.place.mock

    @property
    def pid(self):
        return None


class Weir(System):
    name, route = "weir", "gateway"

    def __init__(self, place, variant=None):
        super().__init__(place)
        self.variant = variant or Variant()
        self.name, self.overrides = self.variant.name, self.variant.set
        self.data = None
        self.admin, self.lines = place.folder / "admin.sock", place.folder / "records.jsonl"

    def configuration(self):
        place, variant = self.place, self.variant
        base, authority = f"http://{place.mock}", ""
        if variant.tls_upstream:
            base, authority = f"https://localhost:{variant.tls_upstream}", f'ca_file = "{place.certificates["ca.pem"]}"\n'
        certificate = f'{{ certificate = "{place.certificates["valid.pem"]}", key = "{place.certificates["valid.key"]}" }}'
        text = f"""workers = {variant.workers}
data_dir = "{self.data}"

[[listener]]
name = "public"
address = "127.0.0.1:0"

[[listener]]
name = "tls"
address = "127.0.0.1:0"
tls = {certificate}

[authorizer]
kind = "store"

[record]
prompts = "{variant.recording}"
tools = "{variant.recording}"
thoughts = "{variant.recording}"

[journal]
size = "{place.journal}"

[limits]
connections = 200000

[admin]
address = "unix:{self.admin}"
"""
        for kind in variant.sinks:
            text += f"""
[[sink]]
kind = "{kind}"
"""
            if kind == "jsonl":
                text += f'path = "{self.lines}"\nrotate_size = "16GiB"\n'
        for name, kind, path in (("anthropic", "anthropic", ""), ("openai", "openai", "/v1")):
            text += f"""
[[provider]]
name = "{name}"
type = "{kind}"
base_url = "{base}{path}"
key = {{ env = "WEIR_BENCH_KEY" }}
{authority}"""
        if variant.rules:
            text += """
[[rule]]
name = "internal headers stay inside"
strip = ["x-internal-*"]

[[rule]]
name = "tell the provider's account which team asks"
when = { route = "bridged", auth = "centralized" }
set = { "x-team" = "{initiator.username}" }
"""
        return text

    def unavailable(self):
        """An option that this build does not know, for variants."""
        config = self.place.folder / "check.toml"
        self.data = self.place.folder / "check-data"
        config.write_text(self.configuration(), encoding="utf-8")
        done = subprocess.run([self.place.weir, "check", "--config", config, *self.variant.options], text=True, check=False,
                              capture_output=True, env={**os.environ, "WEIR_BENCH_KEY": "sk-bench-operator-key-0123"})
        return None if done.returncode == 0 else (done.stderr or done.stdout).strip()

    def start(self):
        self.data = self.place.folder / "data"
        shutil.rmtree(self.data, ignore_errors=True)  # each run begins with an empty database
        self.lines.unlink(missing_ok=True)
        config = self.place.folder / "weir.toml"
        config.write_text(self.configuration(), encoding="utf-8")
        key = subprocess.run([self.place.weir, "key", "add", "--user", "bench", "--id", USER_ID, "--config", config],
                             text=True, check=True, capture_output=True)
        self.token = key.stdout.strip()
        cores = self.variant.cores or self.place.gateway_cores
        self.process = processes.Process("weir", [self.place.weir, "serve", "--config", config, *self.variant.options], cores,
                                         self.place.folder, {"WEIR_BENCH_KEY": "sk-bench-operator-key-0123"}, read_output=True)
        addresses = self.process.await_listening_lines(2)
        self.address, self.tls_address = addresses["public"], addresses["tls"]
        self.first = sample.take(self.pid)

    def load_options(self, api):
        return ["--token", self.token]

    def settle(self):
        """Until all that was journaled is recorded: the metrics say that nothing is behind, and the recorder's threads (of
        several sinks, the metrics speak of one) have used no more than 1 ms in the last 150."""
        last, deadline = -1e9, time.monotonic() + 300
        while time.monotonic() < deadline:
            cpu = sample.between(self.first, sample.take(self.pid)).cpu_us
            used = {group: cpu.get(group, 0.0) for group in ("recorder", "keeper")}
            if sum(used.values()) - last < 1000 and self.lag() == 0:
                return used, self.recorded()
            last = sum(used.values())
            time.sleep(0.15)
        raise RuntimeError("the recorder is still behind after five minutes")

    def lag(self):
        """Records that are not in the database yet."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self.admin))
            admin.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            with admin.makefile("r", encoding="utf-8") as answer:
                for line in answer:
                    if line.startswith("weir_recorder_lag_records "):
                        return int(float(line.split()[1]))
        raise RuntimeError("the metrics do not tell the recorder's lag")

    def recorded(self):
        """Interceptions in the database, or lines in the file."""
        if "jsonl" in self.variant.sinks:
            with open(self.lines, "rb") as lines:
                return sum(1 for _ in lines)
        connection = sqlite3.connect(f"file:{self.data}/weir.db?mode=ro", uri=True, timeout=30)
        try:
            return connection.execute("SELECT count(*) FROM interceptions").fetchone()[0]
        finally:
            connection.close()

    def stop(self):
        code = super().stop()
        if self.data:
            shutil.rmtree(self.data, ignore_errors=True)
            self.lines.unlink(missing_ok=True)
        return code


class Proxy(System):
    """A reverse proxy from Debian. `cores`: instead of the gateway's, when it serves as the mock's TLS front."""
    program = ""

    def __init__(self, place, cores=""):
        super().__init__(place)
        self.cores = cores

    def unavailable(self):
        return None if self.binary() else f"not installed (Debian package {self.program}; ./dev bench --peers)"

    def binary(self):
        return shutil.which(self.program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")

    def start(self):
        port, tls_port = processes.free_port(), processes.free_port()
        certificates = self.place.certificates
        combined = self.place.folder / "combined.pem"
        combined.write_text(pathlib.Path(certificates["valid.pem"]).read_text() +
                            pathlib.Path(certificates["valid.key"]).read_text(), encoding="ascii")
        config = self.fill_in(self.template, f"{self.name}.conf", PORT=port, TLS_PORT=tls_port, COMBINED=combined, CONNECTIONS=min(60_000, processes.connections_max()),
                              CERTIFICATE=certificates["valid.pem"], KEY=certificates["valid.key"])
        self.process = processes.Process(self.name, [self.binary(), *self.arguments(config)],
                                         self.cores or self.place.gateway_cores, self.place.folder)
        self.process.await_port(port)
        self.address, self.tls_address, self.tls_port = f"127.0.0.1:{port}", f"127.0.0.1:{tls_port}", tls_port


class Nginx(Proxy):
    name = program = "nginx"
    template = "nginx.conf"

    def arguments(self, config):
        return ["-e", "stderr", "-c", config]


class Haproxy(Proxy):
    name = program = "haproxy"
    template = "haproxy.cfg"

    def arguments(self, config):
        return ["-db", "-f", config]


class Portkey(System):
    """Without a configuration file: its provider comes in headers, and so do those it passes on to the mock."""
    name, tls, warmed, streams_max = "portkey", False, (3, 3), 100
    FORWARDED = "x-mock-id,x-mock-events,x-mock-bytes,x-mock-gap,x-mock-delay,x-mock-status,x-mock-stamped,x-mock-separate"

    @property
    def script(self):
        return self.place.peers / "node/node_modules/@portkey-ai/gateway/build/start-server.js"

    def unavailable(self):
        if not self.script.exists():
            return "not installed (./dev bench --peers)"
        return None if shutil.which("node") else "there is no node"

    def start(self):
        port = processes.free_port()
        self.process = processes.Process("portkey", ["node", self.script, f"--port={port}", "--headless"],
                                         self.place.gateway_cores, self.place.folder, {"NODE_ENV": "production"})
        self.process.await_port(port)
        self.address = f"127.0.0.1:{port}"

    def load_options(self, api):
        provider = "anthropic" if api == "messages" else "openai"
        return ["--token", "sk-bench", "--header", f"x-portkey-provider: {provider}", "--header",
                f"x-portkey-custom-host: http://{self.place.mock}/v1", "--header",
                f"x-portkey-forward-headers: {self.FORWARDED}"]


class Litellm(System):
    name, exact, tls, warmed, streams_max = "litellm", False, False, (3, 3), 20

    @property
    def binary(self):
        return self.place.peers / "python/bin/litellm"

    def unavailable(self):
        return None if self.binary.exists() else "not installed (./dev bench --peers)"

    def start(self):
        port = processes.free_port()
        config = self.fill_in("litellm/config.yaml", "litellm.yaml")
        self.process = processes.Process("litellm", [self.binary, "--config", config, "--host", "127.0.0.1", "--port", port,
                                                     "--num_workers", 1, "--telemetry", "False"],
                                         self.place.gateway_cores, self.place.folder,
                                         {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "NO_PROXY": "*"})
        self.process.await_port(port)
        self.address = f"127.0.0.1:{port}"
        self.ask_once()

    def ask_once(self):
        """It imports what an API needs at the first request, for seconds: no exchange's cost."""
        for path, model in (("/v1/chat/completions", "gpt-5.2"), ("/v1/messages", "claude-sonnet-4-5")):
            for stream in (False, True):
                body = {"model": model, "max_tokens": 16, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
                # Not urllib, which would ask the environment for a proxy.
                with contextlib.closing(http.client.HTTPConnection(self.address, timeout=processes.PATIENCE)) as connection:
                    connection.request("POST", path, json.dumps(body),
                                       {"Authorization": "Bearer sk-bench", "Content-Type": "application/json"})
                    connection.getresponse().read()

    def load_options(self, api):
        return ["--token", "sk-bench"]


PEERS = {"nginx": Nginx, "haproxy": Haproxy, "portkey": Portkey, "litellm": Litellm}


class Mock:
    """The provider. Not a system under test, but its CPU time is shown, so that a reader sees that it was no bottleneck."""

    def __init__(self, place):
        self.process = processes.Process("mock", [place.weir, "mock", "--listen", "127.0.0.1:0", "--keep", "0",
                                                  "--busy-poll", place.busy_poll],
                                         place.load_cores, place.folder, read_output=True)
        addresses = self.process.await_listening_lines(1)
        self.pid, self.address = self.process.pid, next(iter(addresses.values()))
        self.stop = self.process.stop


def version_of(system):
    """What the system says its version is."""
    place = system.place
    commands = {"weir": [place.weir, "version"], "nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"]}
    if isinstance(system, Portkey):
        found = re.search(r'"version": "([^"]+)"', (system.script.parent.parent / "package.json").read_text(encoding="utf-8"))
        return found[1] if found else "?"
    if isinstance(system, Litellm):
        commands["litellm"] = [place.peers / "python/bin/python", "-c",
                               "import importlib.metadata as m; print(m.version('litellm'))"]
    if isinstance(system, Proxy):
        commands[system.name][0] = system.binary()
    command = commands.get("weir" if isinstance(system, Weir) else system.name)
    if not command:
        return ""
    done = subprocess.run([*map(str, command)], text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else "?"
