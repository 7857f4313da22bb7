#!/usr/bin/env python3
"""The benchmark: weir and its peers in front of the mock provider, measured from outside. `./dev bench` builds and runs it.

Each case (bench/cases.toml) is a scenario (bench/scenarios) that weir-load asks of every system in turn, round by round.
The gateway has a core of its own; load and mock share another. Prints a table; with --out also results.json, report.md and
report.svg. Figures of a machine that does other work at the time are worth nothing.
"""
import argparse
import datetime
import json
import os
import pathlib
import re
import shlex
import signal
import sys
import time
import tomllib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import extras, growth, load, machine, processes, report, runner, smoke, systems, targets  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent


def read_options():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)
    what = parser.add_argument_group("what is measured")
    what.add_argument("--report", action="store_true", help="all of it, in about 40 minutes: --peers --check --growth --ablate "
                      "--out")
    what.add_argument("--scenario", action="append", metavar="NAME", help="only this case of bench/cases.toml (or this scenario); "
                      "repeatable")
    what.add_argument("--peers", nargs="?", const="nginx,haproxy,portkey,litellm", default="", metavar="LIST",
                      help="also these peers, installed first: nginx,haproxy,portkey,litellm (all)")
    what.add_argument("--check", action="store_true", help="fail when a figure is worse than its ceiling (bench/targets.toml)")
    what.add_argument("--growth", action="store_true", help="also 1 to 10,000 connections, 1,000 to 50,000 open streams, 1 and 2 workers")
    what.add_argument("--ablate", action="store_true", help="also weir with one thing changed at a time (bench/ablations.toml)")
    what.add_argument("--only", action="store_true", help="with --growth or --ablate: nothing else")
    what.add_argument("--smoke", action="store_true", help="every scenario for a moment, weir alone: that all works, not how fast")
    how = parser.add_argument_group("how")
    how.add_argument("--rounds", type=int, default=5, help="of which the medians are reported (5)")
    how.add_argument("--growth-rounds", type=int, default=3, help="of --growth and --ablate, whose runs are short (3)")
    how.add_argument("--seconds", type=float, default=0, help="measured in each run, instead of the scenario's")
    how.add_argument("--warm-up", type=float, default=-1, help="seconds before that, instead of the scenario's")
    how.add_argument("--gateway-cores", default="0", metavar="LIST", help="as for taskset (0)")
    how.add_argument("--load-cores", default="1", metavar="LIST", help="of weir-load and the mock (1)")
    how.add_argument("--busy-poll", default="1ms", metavar="TIME", help="load and mock look for work so long before they sleep, so "
                     "that waking them is not in the gateway's figures; 0: they sleep at once (1ms)")
    how.add_argument("--data", metavar="DIR", help="where weir's database and journal are: /dev/shm, or a disk (the system's "
                     "folder for temporary files)")
    how.add_argument("--journal", default="256MiB", help="size of weir's journal: it must hold what the recorder, which shares "
                     "the gateway's core, has not yet written; if it does not, answers are 503 and marked (256MiB)")
    how.add_argument("--growth-connections", type=numbers, metavar="LIST", help="instead of 1,10,100,1000,10000")
    how.add_argument("--growth-streams", type=numbers, metavar="LIST", help="instead of 1000,10000,50000")
    where = parser.add_argument_group("where")
    where.add_argument("--out", nargs="?", const="", metavar="DIR", help="write the report there (bench/results/DATE-COMMIT)")
    where.add_argument("--build", type=pathlib.Path, default=ROOT / "build-release", metavar="DIR", help=argparse.SUPPRESS)
    where.add_argument("--results", type=pathlib.Path, metavar="FILE", help=argparse.SUPPRESS)  # of --smoke, for ./dev test
    options = parser.parse_args()
    options.build = options.build.resolve()
    if options.report:
        options.check = options.growth = options.ablate = True
        options.peers = options.peers or ",".join(systems.PEERS)
        options.out = options.out or ""
    unknown = set(filter(None, options.peers.split(","))) - set(systems.PEERS)
    if unknown:
        parser.error(f"unknown peer {', '.join(sorted(unknown))}; there are {', '.join(systems.PEERS)}")
    if options.only and options.check:
        parser.error("--only measures nothing that --check knows")
    if min(options.rounds, options.growth_rounds) < 1:
        parser.error("--rounds must be 1 or more")
    cores = os.cpu_count()
    for name in ("gateway_cores", "load_cores"):
        if any(not core.isdigit() or int(core) >= cores for core in getattr(options, name).split(",")):
            parser.error(f"--{name.replace('_', '-')} must be a list of cores below {cores}, such as 0 or 0,1")
    return options


def numbers(text):
    return [int(part) for part in text.split(",")]


def read_cases(options):
    with open(ROOT / "bench/cases.toml", "rb") as file:
        known = tomllib.load(file)
    for path in load.SCENARIOS.glob("*.toml"):
        if path.stem not in {case.get("scenario", name) for name, case in known.items()}:
            known[path.stem] = {}  # a scenario of the user's own
    wanted = options.scenario or list(known)
    if missing := [name for name in wanted if name not in known]:
        sys.exit(f"there is no case {', '.join(missing)}; there are {', '.join(known)}")
    for name in wanted:
        entry = known[name]
        case = load.Case(name, entry.get("scenario", name), entry.get("set", {}), options.seconds, options.warm_up,
                         entry.get("sources", 1), tuple(entry.get("systems", ())), entry.get("direct", False))
        yield case, [systems.Variant(name=v["name"], options=tuple(v["options"])) for v in entry.get("variants", [])]


PATHS = ("build", "results", "out", "data")  # of this machine: nothing that a report should tell


def command():
    """The one that gives this report again."""
    words, skip = ["./dev", "bench"], False
    for argument in sys.argv[1:]:
        if skip:
            skip = False
        elif argument == "--build":  # ./dev says it
            skip = True
        else:
            words.append(argument)
    return shlex.join(words)


def measure(options):
    results = {"machine": machine.describe(), "command": command(), "flags": vars(options).copy(), "cases": {}, "absent": {},
               "versions": {}}
    for name in PATHS:
        results["flags"].pop(name)
    with runner.place(options) as (here, mock_pid):
        peers = []
        for name in filter(None, options.peers.split(",")):
            peer = systems.PEERS[name](here)
            if why := peer.unavailable():
                results["absent"][name] = why
                runner.say(f"{name} is not measured: {why}")
            else:
                peers.append(peer)
        results["versions"] = {system.name: systems.version_of(system) for system in [systems.Weir(here), *peers]}
        if not options.only:
            for case, variants in read_cases(options):
                runner.say(f"{case.name}: {case.values.get('description', '')}")
                weirs = [systems.Weir(here), *(systems.Weir(here, variant) for variant in variants)]
                results["cases"][case.name] = runner.measure(here, mock_pid, case, [*weirs, *peers], options.rounds)
            if not options.scenario:
                results["extras"] = extras.all_of(options, here, mock_pid, runner.say)
        proxies = [peer for peer in peers if isinstance(peer, systems.Proxy)]
        if options.growth:
            runner.say("growth")
            results["growth"] = growth.measure(here, mock_pid, options, proxies)
        if options.ablate:
            runner.say("ablations")
            results["ablations"] = growth.ablate(here, mock_pid, options)
    return results


def write(options, results, verdicts):
    if options.out is None:
        return
    name = f"{datetime.date.today()}-{results['machine']['commit'] or 'unknown'}"
    folder = pathlib.Path(options.out or ROOT / "bench/results" / name)
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in (("results.json", json.dumps(results, indent=1) + "\n"), ("report.md", report.markdown(results, verdicts)),
                       ("report.svg", report.picture(results))):
        # What a program wrote when it failed may name files.
        text = re.sub(r"[^\s\"']*/weir-bench-\w+", "FOLDER", text).replace(str(ROOT), ".")
        (folder / file).write_text(text, encoding="utf-8")
    runner.say(f"written: {os.path.relpath(folder)}/report.md, report.svg, results.json")


def main():
    options = read_options()
    processes.raise_file_limit()
    # As Ctrl-C does: what was started is ended, and the folder goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # What only watches must not share the gateway's core.
    os.sched_setaffinity(0, {int(core) for core in options.load_cores.split(",")})
    if options.smoke:
        return smoke.run(options)
    results = measure(options)
    results["flags"]["minutes"] = round((time.monotonic() - runner.BEGAN) / 60)
    wanted = targets.read()
    if options.scenario:
        wanted = [target for target in wanted if target.get("case") in options.scenario]
    verdicts = targets.judge(results, wanted) if (options.peers or options.check) and not options.only else []
    print(report.terminal(results, verdicts))
    write(options, results, verdicts)
    wrong = [entry for case in results["cases"].values() for entry in case["systems"].values() if entry["faults"]]
    if options.check and any(verdict.state != "met" for verdict in verdicts):
        runner.say("some figures are worse than their ceiling, or were not measured")
        return 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
