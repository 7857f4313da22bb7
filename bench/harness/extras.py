"""Figures that no case gives: system calls of a worker, the journal's and the recorder's speed, allocations."""
import os
import re
import signal
import subprocess

from harness import load, processes, systems

# A worker's system calls for an exchange of `small` at 64 connections. strace stops the worker at each call, which lets
# more completions gather for the next: the true figure is a little higher, but a call for each send or receive would
# show as 3 or more.
SYSCALLS_CEILING = 1.0


def worker_thread(pid):
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/comm", encoding="ascii") as file:
            if file.read().strip() == "weir-0":
                return int(tid)
    raise RuntimeError("weir has no thread weir-0")


def parse_strace(text):
    """Calls by name, of strace -c's table."""
    calls = {}
    for line in text.splitlines():
        if found := re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line):
            if found[2] != "total":
                calls[found[2]] = int(found[1])
    return calls


def syscalls_per_exchange(here, mock_pid, seconds=2.0):
    """(calls per exchange, calls by name, interceptions, what was wrong). strace is attached before the first request and
    detached after the last, so that both counts are of the same exchanges."""
    system = systems.Weir(here)
    case = load.Case("syscalls", "small", set={"connections": 64}, seconds=seconds, warm_up=0.2)
    system.start()
    try:
        table = here.folder / "strace"
        strace = subprocess.Popen(["strace", "-c", "-o", table, "-p", str(worker_thread(system.pid))], stdin=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True)
        attached = strace.stderr.readline()
        if "attached" not in attached:
            strace.wait()
            return None, {}, 0, f"strace could not attach: {attached.strip()}"
        observed = load.observe(here, case, system, mock_pid)
        system.settle()
        recorded = system.recorded()
        strace.send_signal(signal.SIGINT)
        strace.wait(processes.PATIENCE)
        strace.stderr.close()
        calls = parse_strace(table.read_text(encoding="utf-8"))
        if observed.faults or not recorded or not calls:
            return None, calls, recorded, observed.faults or "nothing was counted"
        return sum(calls.values()) / recorded, calls, recorded, ""
    finally:
        system.stop()


# The hot parts, each measured by its own program (bench/micro_PART.cc) and shown with all its lines.
MICROS = ("wire", "ruleset", "reader", "mask", "histogram", "tls", "journal")


def micro(build, folder, cores):
    """{part: [line]} of the micro-benchmarks, on one core. The journal's is in `folder`, whose file system it measures."""
    found = {}
    for part in MICROS:
        program = build / f"bench/micro_{part}"
        if program.exists():
            done = subprocess.run(processes.pinned(cores.split(",")[0], [program]), cwd=folder, text=True, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            found[part] = done.stdout.splitlines() + ([f"exit status {done.returncode}"] if done.returncode else [])
    return found


def journal_figures(lines):
    """What bench/targets.toml asks of the journal and the recorder."""
    text, found = "\n".join(lines), {}
    if match := re.search(r"append 500 B, 100,000/s, disk idle.*?mean\s+(\d+).*?p99\.9\s+(\d+)", text):
        found |= {"journal_append_ns": float(match[1]), "journal_append_p99_9_ns": float(match[2])}
    if match := re.search(r"append 500 B, 100,000/s, disk busy.*?p99\.9\s+(\d+)", text):
        found["journal_append_disk_busy_p99_9_ns"] = float(match[1])
    if match := re.search(r"drain, prompts of 200 B: (\d+) exchanges/s.*?CPU ([\d.]+) us", text):
        found |= {"recorder_exchanges_per_s": float(match[1]), "recorder_cpu_us": float(match[2])}
    return found


def allocations(build):
    """The test counts them; it passes only when there are none."""
    program = build / "tests/allocation_tests"
    if not program.exists():
        return {}
    done = subprocess.run([program], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return {"allocations_per_exchange": 0.0} if done.returncode == 0 else {"allocations_per_exchange": 1.0}


def all_of(options, here, mock_pid, say):
    found = {}
    say("system calls, allocations, micro-benchmarks")
    value, calls, _, wrong = syscalls_per_exchange(here, mock_pid)
    if wrong:
        say(f"  system calls: {wrong}")
    else:
        found |= {"syscalls_per_exchange": value, "syscalls": calls}
    micros = micro(options.build, here.folder, options.gateway_cores)
    return found | journal_figures(micros.get("journal", [])) | allocations(options.build) | {"micro": micros}
