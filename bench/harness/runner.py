"""Runs a case on several systems in turn, round by round (A B C A B C ...), so that a machine whose speed drifts drifts
for all of them."""
import contextlib
import http.client
import pathlib
import sys
import tempfile
import time

from harness import figures, load, processes, systems

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "tests/support"))
import test_ca  # noqa: E402


BEGAN = time.monotonic()


def say(text):
    """With the time since the start."""
    minutes, seconds = divmod(int(time.monotonic() - BEGAN), 60)
    print(f"{minutes:3}:{seconds:02} {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def place(options):
    """The run's folder with its certificates, and the mock. All of it is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="weir-bench-", dir=options.data) as folder:
        folder = pathlib.Path(folder)
        (folder / "ca").mkdir()
        here = systems.Place(weir=options.build / "src/weir", load=options.build / "bench/weir-load",
                             peers=options.build / "peers", folder=folder, gateway_cores=options.gateway_cores,
                             load_cores=options.load_cores, journal=options.journal, busy_poll=options.busy_poll,
                             certificates={path.name: path for path in map(pathlib.Path, test_ca.make(folder / "ca").values())})
        mock = systems.Mock(here)
        here.mock = mock.address
        try:
            yield here, mock.pid
        finally:
            mock.stop()


def once(here, mock_pid, case, system, direct=None):
    """One run: its figures, and what was wrong ("" if nothing)."""
    case = system.fitted(case)
    try:
        system.start()
        observed = load.observe(here, case, system, mock_pid)
        settled = system.settle() if observed.results and not observed.faults else None
        code = system.stop()
    except (processes.StartFailed, ProcessLookupError, RuntimeError, OSError, http.client.HTTPException) as failure:
        system.stop()
        return None, f"{type(failure).__name__}: {failure}"
    except BaseException:  # Ctrl-C: nothing of ours keeps running
        system.stop()
        raise
    faults = observed.faults
    if code not in (0, -15, 143):  # ended by the signal is as good as exit status 0
        faults = faults or f"{system.name} ended with {code}"
    if not observed.results or not observed.begin and system.pid:
        return None, faults or "weir-load did not measure"
    derived = figures.of_run(case, observed, settled, direct)
    if settled and not faults and settled[1] < observed.results["exchanges"]:
        faults = f"{observed.results['exchanges']} exchanges, but {settled[1]} interceptions in the database"
    return derived, faults


def measure(here, mock_pid, case, candidates, rounds):
    """{"systems": {name: {"rounds": [figures], "median": figures, "faults": [text]}}} of the candidates that this case
    can be asked of. Where latencies are compared, the mock is asked directly in each round."""
    result = {}
    direct = systems.Direct(here)
    order = [direct] if (case.paced or case.direct) and case.runs(direct) else []
    order += [system for system in candidates if case.runs(system)]
    for number in range(rounds):
        baseline = None
        for system in list(order):
            entry = result.setdefault(system.name, {"rounds": [], "faults": []})
            derived, faults = once(here, mock_pid, case, system, baseline)
            if faults:
                say(f"  {case.name}, {system.name}, round {number + 1}: {faults}")
                entry["faults"].append(faults)
                if not derived:  # it will not start the next time either
                    order = [other for other in order if other is not system]
            if derived:
                entry["rounds"].append(derived)
            if system is direct:
                baseline = derived
        say(f"  {case.name}: round {number + 1} of {rounds}, {len(order)} systems")
    for entry in result.values():
        if entry["rounds"]:
            entry["median"] = figures.medians(entry["rounds"])
    usual = case.values.get("connections", 64)
    notes = [case.note] if case.note else []
    for system in candidates:
        if (fewer := system.fitted(case).values.get("connections", 64)) < usual and system.name in result:
            notes.append(f"{system.name}: {fewer:,} connections instead of {usual:,}, which would overload it")
    return {"scenario": case.scenario, "description": case.values.get("description", ""), "set": case.set, "note": "; ".join(notes),
            "systems": result}
