#!/usr/bin/env python3
"""Runs the unit test programs of a build folder and counts their doctest cases.

    run_units.py BUILD [--suite NAME] [--results FILE] [--jobs N]

A program's own output is shown only when it fails. FILE receives "passed failed skipped".
"""
import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys

# As `meson test` sets them: a sanitizer's finding ends the program.
SANITIZERS = {"ASAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_summary=1",
              "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_summary=1:print_stacktrace=1"}
SUMMARY = re.compile(r"test cases:\s*(\d+)\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed\s*\|\s*(\d+) skipped")


def run(test, build):
    """(name, passed, failed, skipped, output to show). In the build folder, as `meson test` does: programs among the arguments
    are relative to it."""
    try:
        done = subprocess.run(test["cmd"], env={**os.environ, **SANITIZERS, **test["env"]}, cwd=test["workdir"] or build,
                              timeout=test["timeout"] or None, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL)
        output, code = done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        output, code = (late.stdout or b"").decode(errors="replace") + f"\nstopped after {test['timeout']} s\n", -1
    if found := SUMMARY.search(re.sub(r"\x1b\[[0-9;]*m", "", output)):
        passed, failed, skipped = (int(found[i]) for i in (2, 3, 4))
    else:  # not a doctest program: it counts as one test
        passed, failed, skipped = int(code == 0), 0, 0
    if code != 0 and failed == 0:
        failed = 1
    return test["name"], passed, failed, skipped, output if code != 0 else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--suite", help="only the tests of this suite; without it, those of no suite `release`")
    parser.add_argument("--results")
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    listed = subprocess.run(["meson", "introspect", "--tests", args.build], check=True, stdout=subprocess.PIPE).stdout
    tests = []
    for test in json.loads(listed):
        suites = {name.split(":")[-1] for name in test["suite"]}
        if args.suite in suites if args.suite else "release" not in suites:
            tests.append(test)
    total = [0, 0, 0]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for name, passed, failed, skipped, output in pool.map(lambda test: run(test, args.build), tests):
            total = [total[0] + passed, total[1] + failed, total[2] + skipped]
            print(output, end="")
            print(f"{name}: {passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    if args.results:
        with open(args.results, "w", encoding="ascii") as file:
            print(*total, file=file)
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main())
