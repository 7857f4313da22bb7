"""Every scenario for a moment, with weir alone: that scenarios, load, gateway, samples and reports work together, and that no
answer is wrong. How fast is not asked. A test for each scenario, one for the reports, one for the system calls."""
import shutil
import xml.etree.ElementTree

from harness import extras, load, machine, report, runner, systems

SECONDS, WARM_UP, CONNECTIONS, GAP = 0.6, 0.2, 24, "20ms"


def small_case(path):
    """The scenario at a size that fits the time: few connections, streams that end."""
    case = load.Case(path.stem, path.stem)
    overrides = {"connections": min(CONNECTIONS, case.values.get("connections", CONNECTIONS))}
    if case.streams:
        overrides["events"] = min(20, case.values["events"])
        if case.values["gap"] not in ("0ms", "10ms"):
            overrides["gap"] = GAP
    return load.Case(path.stem, path.stem, overrides, SECONDS, WARM_UP)


def judge(case, entry):
    """What is wrong with a scenario's run; "" if nothing."""
    if entry["faults"]:
        return entry["faults"][0]
    figures = entry["median"]
    if figures["exchanges"] == 0:
        return "no exchange ended"
    if case.streams and figures["events"] == 0:
        return "a stream without events"
    if case.streams and figures["open_streams"] == 0:
        return "no stream was open"
    if not 0 < figures["cpu_workers_per_exchange"] <= figures["cpu_whole_per_exchange"]:
        return f"CPU of workers {figures['cpu_workers_per_exchange']}, of all {figures['cpu_whole_per_exchange']}"
    if "cpu_recorder_per_exchange" not in figures:
        return "the recorder was not seen"
    return ""


def check_reports(results):
    """What is wrong with the reports of these results; "" if nothing."""
    text, page = report.markdown(results, []), report.picture(results)
    missing = [name for name in results["cases"] if f"## {name}:" not in text]
    if missing:
        return f"the report lacks {', '.join(missing)}"
    bars = sum(element.tag.endswith("rect") for element in xml.etree.ElementTree.fromstring(page).iter())
    return "" if bars > len(results["cases"]) else "the picture lacks bars"


def check_syscalls(here, mock_pid):
    """(what is wrong, whether it could be measured)"""
    if not shutil.which("strace"):
        return "there is no strace", False
    value, calls, count, wrong = extras.syscalls_per_exchange(here, mock_pid, 1.0)
    if wrong:
        return wrong, "could not attach" not in wrong
    runner.say(f"  system calls: {value:.2f} per exchange ({count} exchanges: {calls})")
    return "" if value <= extras.SYSCALLS_CEILING else f"{value:.2f} system calls per exchange, more than " \
        f"{extras.SYSCALLS_CEILING}: {calls}", True


def run(options):
    passed, failed, skipped = 0, 0, 0
    results = {"machine": machine.describe(), "command": "./dev bench --smoke", "cases": {},
               "flags": {"gateway_cores": options.gateway_cores, "load_cores": options.load_cores, "rounds": 1}}

    def tell(name, wrong, measured=True):
        nonlocal passed, failed, skipped
        passed, failed, skipped = passed + (not wrong), failed + bool(wrong and measured), skipped + (not measured)
        state = "failed" if wrong and measured else "skipped" if wrong else "passed"
        runner.say(f"  {name}: {state}" + (f": {wrong}" if wrong else ""))

    options.journal = "64MiB"
    with runner.place(options) as (here, mock_pid):
        for path in sorted(load.SCENARIOS.glob("*.toml")):
            case = small_case(path)
            measured = runner.measure(here, mock_pid, case, [systems.Weir(here)], 1)
            results["cases"][case.name] = measured
            tell(case.name, judge(case, measured["systems"]["weir"]))
        tell("reports", check_reports(results))
        tell("system calls per exchange", *check_syscalls(here, mock_pid))
    runner.say(f"bench: {passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    if options.results:
        options.results.write_text(f"{passed} {failed} {skipped}\n", encoding="ascii")
    return 1 if failed else 0
