"""Scenarios, and a run of weir-load on one system with the samples taken at its phases."""
import dataclasses
import json
import pathlib
import subprocess
import tomllib

from harness import processes, sample

SCENARIOS = pathlib.Path(__file__).resolve().parent.parent / "scenarios"


@dataclasses.dataclass
class Case:
    """A scenario as it is run: its file with overrides."""
    name: str
    scenario: str
    set: dict = dataclasses.field(default_factory=dict)
    seconds: float = 0  # 0: the scenario's
    warm_up: float = -1
    sources: int = 1
    systems: tuple = ()  # by name; empty: all
    direct: bool = False  # the mock is asked directly too, also where nothing is subtracted

    def __post_init__(self):
        self.path = SCENARIOS / f"{self.scenario}.toml"
        with open(self.path, "rb") as file:
            self.values = tomllib.load(file) | self.set
        # Ten thousand streams are twenty thousand sockets of the gateway.
        self.wanted = self.values.get("connections", 64)
        if self.wanted > processes.connections_max():
            self.set = self.set | {"connections": processes.connections_max()}
            self.values |= self.set
        self.apis = {self.values.get("api", "chat")} | {r["api"] for r in self.values.get("request", []) if "api" in r}

    def over(self, overrides):
        """The same with more overrides."""
        return dataclasses.replace(self, set=self.set | overrides) if overrides else self

    def warmed(self, warm_up, seconds):
        """The same with at least these times, unless it was told its own."""
        own = self.values.get("warm_up", 0), self.values.get("seconds", 0)
        return dataclasses.replace(self, warm_up=self.warm_up if self.warm_up >= 0 else max(warm_up, own[0]),
                                   seconds=self.seconds or max(seconds, own[1]))

    @property
    def tls(self):
        return self.values.get("tls", False)

    @property
    def paced(self):
        """The time of an answer is the provider's, so what a gateway adds is meaningful."""
        return self.values.get("mode") == "open" or (self.values.get("stream") and self.values.get("gap", "0ms") != "0ms")

    @property
    def note(self):
        """What was changed to fit the machine."""
        have = self.values.get("connections", 64)
        return f"{have:,} connections instead of {self.wanted:,}: the limit of open files (ulimit -n)" if have < self.wanted else ""

    @property
    def streams(self):
        return self.values.get("stream", False)

    def runs(self, system):
        """Whether this case can be asked of the system."""
        always = system.name.startswith("weir") or system.name == "direct"
        if self.systems and system.name not in self.systems and not always:
            return False
        if self.tls and not system.tls:
            return False
        # Portkey is told one provider in a header, LiteLLM has one for each API.
        return len(self.apis) == 1 or system.name not in ("portkey", "litellm")

    def command(self, place, system):
        address = system.tls_address if self.tls else system.address
        command = [place.load, "--hold", "--busy-poll", place.busy_poll, "--target", address, "--route", system.route,
                   "--scenario", self.path, "--reference", place.mock,
                   *system.load_options(sorted(self.apis)[0])]
        for key, value in self.set.items():
            command += ["--set", f"{key}={json.dumps(value)}"]
        if self.seconds:
            command += ["--seconds", self.seconds]
        if self.warm_up >= 0:
            command += ["--warm-up", self.warm_up]
        if self.tls:
            command += ["--ca", place.certificates["ca.pem"]]
        if self.sources > 1:
            command += ["--sources", self.sources]
        if not system.exact:
            command += ["--any-body"]
        return [*map(str, command)]


@dataclasses.dataclass
class Observed:
    """One run: what weir-load said, and the samples. The system's are None for the mock asked directly."""
    results: dict
    idle: sample.Sample | None
    begin: sample.Sample | None
    end: sample.Sample | None
    all_open: sample.Sample | None  # when all streams were
    load: sample.Used
    mock: sample.Used
    faults: str  # "" if every answer was right
    load_sleeps: bool = True  # load and mock, without work; else they look for some all the time


def text_of_faults(code, results, errors):
    if code == 0 and results:
        return ""
    counts = {k: v for k, v in (results or {}).get("errors", {}).items() if v}
    return f"exit status {code}; wrong answers {counts or 'unknown'}; {errors.strip()[-500:]}".rstrip("; ")


def observe(place, case, system, mock_pid):
    """Runs the case once on a system that is up."""
    look = (lambda: sample.take(system.pid)) if system.pid else (lambda: None)
    if system.pid:
        sample.reset_peak(system.pid)
    idle, begin, end, all_open, results = look(), None, None, None, None
    log = place.folder / "weir-load.log"
    with open(log, "w+", encoding="utf-8") as errors:
        load = subprocess.Popen(processes.pinned(place.load_cores, case.command(place, system)), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            ours = theirs = load_used = mock_used = None
            for line in load.stdout:
                told = json.loads(line)
                if told["phase"] == "begin":
                    begin, ours, theirs = look(), sample.take(load.pid), sample.take(mock_pid)
                elif told["phase"] == "open" and system.pid:
                    all_open = look()
                elif told["phase"] == "end":
                    end = look()
                    load_used, mock_used = sample.between(ours, sample.take(load.pid)), sample.between(theirs, sample.take(mock_pid))
                    results = told
                    load.stdin.close()  # now it may close its connections
            code = load.wait()
        finally:
            if load.poll() is None:
                load.kill()
                load.wait()
            load.stdin.close()
            load.stdout.close()
        errors.seek(0)
        faults = text_of_faults(code, results, errors.read())
    return Observed(results, idle, begin, end, all_open, load_used, mock_used, faults, place.busy_poll == "0")
