"""On what, and of what, the figures are: machine, kernel, commit, flags."""
import datetime
import os
import pathlib
import platform
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def _run(*command):
    try:
        done = subprocess.run(command, cwd=ROOT, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return ""
    return done.stdout.strip()


def _first(pattern, path):
    try:
        found = re.search(pattern, pathlib.Path(path).read_text(encoding="utf-8", errors="replace"), re.M)
    except OSError:
        return ""
    return found[1].strip() if found else ""


def commit():
    """Short, with + when the tree has changes; empty outside a checkout."""
    name = _run("git", "rev-parse", "--short=10", "HEAD")
    return name + ("+" if name and _run("git", "status", "--porcelain", "--untracked-files=no") else "")


def describe():
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": commit(),
        "cpu": _first(r"^model name\s*:\s*(.+)$", "/proc/cpuinfo"),
        "cores": os.cpu_count(),
        "memory_bytes": int(_first(r"^MemTotal:\s*(\d+) kB", "/proc/meminfo") or 0) * 1024,
        "kernel": platform.release(),
        "system": _first(r'^PRETTY_NAME="(.+)"$', "/etc/os-release"),
        "hypervisor": "yes" if _first(r"^flags\s*:.*\b(hypervisor)\b", "/proc/cpuinfo") else "no",
        "load_average": list(os.getloadavg()),
        "python": platform.python_version(),
    }
