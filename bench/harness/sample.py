"""What processes have used so far, read from outside (/proc), and the difference of two such readings.

A sample covers a process with all its descendants. CPU time is the scheduler's own count in nanoseconds (schedstat); its
split into user and system comes from stat, whose sum is the same but which the kernel divides by ticks: good for a share,
not for a short run's exact figure. Time of a thread that ends between two samples is lost; what is measured here keeps its
threads. RSS has two parts: `anonymous` is the process's own memory; the rest is mapped from files: programs, libraries, and
of weir its whole journal, whose pages are written to once at start.
"""
import dataclasses
import os
import pathlib
import re
import time

TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Thread:
    group: str
    cpu_ns: int
    user_ticks: int
    system_ticks: int
    voluntary: int
    involuntary: int


@dataclasses.dataclass
class Sample:
    at_ns: int
    threads: dict  # (pid, tid) -> Thread
    rss: int  # bytes, all processes
    rss_peak: int
    anonymous: int  # of rss


def children():
    """Every process's children: pid -> [pid]."""
    result = {}
    for path in pathlib.Path("/proc").iterdir():
        if not path.name.isdigit():
            continue
        try:
            fields = _stat_fields(path / "stat")
        except OSError:  # it has ended
            continue
        result.setdefault(int(fields[1]), []).append(int(path.name))
    return result


def family(root):
    """root and all its descendants."""
    below, found = children(), [root]
    for pid in found:
        found += below.get(pid, [])
    return found


def group_of(name):
    """weir's threads by what they do; every thread of another program is a worker."""
    if re.fullmatch(r"weir-\d+", name):
        return "workers"
    if name == "weir" or name.startswith("weir-"):
        return name.removeprefix("weir-") if name != "weir" else "control"
    return "workers"


def take(root):
    """A sample of root and its descendants. Raises ProcessLookupError when root is gone."""
    threads, rss, peak, anonymous = {}, 0, 0, 0
    pids = family(root)
    for pid in pids:
        try:
            memory = _status(f"/proc/{pid}/status")
            for tid in os.listdir(f"/proc/{pid}/task"):
                threads[pid, int(tid)] = _thread(f"/proc/{pid}/task/{tid}")
        except (FileNotFoundError, ProcessLookupError):
            if pid == root:
                raise ProcessLookupError(f"process {root} has ended") from None
            continue
        rss += memory.get("VmRSS", 0)
        peak += memory.get("VmHWM", 0)
        anonymous += memory.get("RssAnon", 0)
    return Sample(time.monotonic_ns(), threads, rss, peak, anonymous)


def reset_peak(root):
    """From here on VmHWM is the peak of what follows."""
    for pid in family(root):
        try:
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
        except OSError:  # another user's, or gone: the peak then counts from its start
            pass


@dataclasses.dataclass
class Used:
    """What was used between two samples."""
    seconds: float
    cpu_us: dict  # group -> µs
    user_shares: dict  # group -> 0..1 of its CPU time; "" is all of them
    voluntary: int
    involuntary: int

    @property
    def whole_us(self):
        return sum(self.cpu_us.values())


def between(before, after):
    cpu, ticks, voluntary, involuntary = {}, {"": [0, 0]}, 0, 0
    zero = Thread("", 0, 0, 0, 0, 0)
    for key, now in after.threads.items():
        was = before.threads.get(key, zero)
        cpu[now.group] = cpu.get(now.group, 0.0) + (now.cpu_ns - was.cpu_ns) / 1000
        for counts in (ticks[""], ticks.setdefault(now.group, [0, 0])):
            counts[0] += now.user_ticks - was.user_ticks
            counts[1] += now.system_ticks - was.system_ticks
        voluntary += now.voluntary - was.voluntary
        involuntary += now.involuntary - was.involuntary
    shares = {group: user / (user + system) if user + system else 0.0 for group, (user, system) in ticks.items()}
    return Used((after.at_ns - before.at_ns) / 1e9, cpu, shares, voluntary, involuntary)


def growth(before, after):
    """Of memory."""
    return dataclasses.replace(after, rss=after.rss - before.rss, anonymous=after.anonymous - before.anonymous)


def _stat_fields(path):
    """The fields of a stat file after the name, which may hold anything: [state, ppid, ...]."""
    return pathlib.Path(path).read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def _status(path):
    """Memory in bytes and counts, by name."""
    result = {}
    for line in pathlib.Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name == "Name":
            result[name] = value.strip()
        elif found := re.match(r"\s*(\d+)( kB)?$", value):
            result[name] = int(found[1]) * (1024 if found[2] else 1)
    return result


def _thread(path):
    with open(f"{path}/schedstat", encoding="ascii") as file:
        cpu_ns = int(file.read().split()[0])
    stat, status = _stat_fields(f"{path}/stat"), _status(f"{path}/status")
    return Thread(group_of(status["Name"]), cpu_ns, int(stat[11]), int(stat[12]),
                  status.get("voluntary_ctxt_switches", 0), status.get("nonvoluntary_ctxt_switches", 0))
