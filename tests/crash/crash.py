#!/usr/bin/env python3
"""Kills weir under load, again and again, and holds its database against what the provider saw.

    crash.py BUILD [--kills N] [--seed S] [--results FILE]

BUILD is a release build (weir, and tests/crash: kill_at_store, kill_at_call.so). Rounds of ten kills on one folder: weir is
killed with SIGKILL at a random instant or at an armed point, started again on what is left, and so on; then it ends in
order and everything is checked. A round that fails prints its seed; `--seed` replays it first. FILE receives
"passed failed skipped", a test for each kind of kill.
"""
import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
import rig  # noqa: E402

ROUND = 10  # kills on one folder
CONNECTIONS = 6  # for each worker
# Kinds of kill. A call is (function, text, when, the highest count); it happens while weir runs or while it starts.
RUNNING_CALLS = {
    "before a commit": ("sqlite3_exec", "COMMIT", "before", 6),
    "between a commit and the journal's position": ("sqlite3_exec", "COMMIT", "after", 6),
    "inside a transaction": ("sqlite3_step", "INSERT", "after", 60),
    "inside the database's own writing": ("pwrite64", "", "before", 60),
}
STARTING_CALLS = {
    "while recovering, at a file's new name": ("rename", "journal", None, 3),
    "while recovering, at a file's removal": ("unlink", "journal", None, 2),
    "while recovering, at a row": ("sqlite3_step", "", None, 40),
    "while recovering, at a commit": ("sqlite3_exec", "COMMIT", None, 2),
}
KINDS = ["at a random instant", "after a journal store", "inside a journal store", *RUNNING_CALLS, *STARTING_CALLS]


class Failure(Exception):
    pass


def require(true, what):
    if not true:
        raise Failure(what)


class Load:
    """Clients that ask until weir dies. Each request has a marker of its own, in its request id, a header and its prompt."""

    counter = 0

    def __init__(self, weir, token, connections, seed):
        self.interceptions = set()  # ids that clients were told
        self.threads = [threading.Thread(target=self.ask, args=(weir.address, token, random.Random(f"{seed}/{i}")))
                        for i in range(connections)]
        for thread in self.threads:
            thread.start()

    @classmethod
    def marker(cls):
        cls.counter += 1
        return f"m{cls.counter:09}"

    def ask(self, address, token, rng):
        with contextlib.suppress(OSError, EOFError, ValueError, IndexError):
            client = rig.Client(address)
            while True:
                answer = client.send(self.request(token, rng)).answer()
                if ident := answer.get("X-Weir-Interception-Id"):
                    self.interceptions.add(ident)
                if not answer.complete:
                    return

    def request(self, token, rng):
        marker = self.marker()
        path, text = rng.choice([("/anthropic/v1/messages", "messages"), ("/openai/v1/chat/completions", "messages"),
                                 ("/openai/v1/responses", "input")])
        prompt = marker + " " + "x" * rng.choice([0, 10, 1000, 20000])
        body = {"model": "mock", "max_tokens": 10, "stream": rng.random() < 0.5,
                text: [{"role": "user", "content": prompt}]}
        headers = [("Authorization", f"Bearer {token}"), ("X-Weir-Request-Id", marker), ("x-marker", marker),
                   ("x-mock-events", str(rng.randrange(1, 40)))]
        if rng.random() < 0.2:
            headers.append(("x-mock-tool", "Bash"))
        return rig.request("POST", path, headers, json.dumps(body).encode())

    def join(self):
        for thread in self.threads:
            thread.join(60)
            require(not thread.is_alive(), "a client still waits for a weir that is dead")


class Round:
    def __init__(self, build, seed, kinds, folder):
        self.build, self.seed, self.kinds, self.folder = build, seed, kinds, folder
        self.random = random.Random(seed)
        self.workers = self.random.choice([1, 2])
        self.interceptions = set()
        self.markers_first = Load.counter + 1
        self.confined = 0  # starts with the default sandbox, nearly all of which recover
        self.reached = collections.Counter()  # kills by kind that happened where they were meant to
        self.mock = None

    def run(self):
        self.mock = rig.Mock(self.folder, "--keep", "1000000", binary=self.build / "src/weir")
        try:
            weir = self.start(self.kinds[0])
            token = weir.add_key()
            for kind, following in zip(self.kinds, [*self.kinds[1:], "the end"]):
                if kind in STARTING_CALLS:
                    self.kill_at_random(weir, token)  # leaves something to recover
                    self.kill_starting(kind)
                elif kind in RUNNING_CALLS:
                    weir.stop()
                    self.kill_running(kind, token)
                elif kind.endswith("journal store"):
                    self.kill_at_store(kind, weir, token)
                else:
                    self.kill_at_random(weir, token)
                    self.reached[kind] += 1
                weir = self.start(following)  # recovers what this kill has left
            code = weir.stop()
            require(code == 0, f"weir ended with {code}:\n{weir.log()}")
            seen = self.mock.requests()
        finally:
            self.mock.stop()
        return self.check(seen)

    def start(self, kind, armed=None):
        """A weir for this kind of kill. In its default sandbox, except where it is to be killed from inside: seccomp would end
        it at the system call that kills. One that is to be traced must be dumpable."""
        options = ["--sandbox", "off"] if armed else []
        if kind.endswith("journal store"):
            options += ["--core-dumps", "true"]
        weir = rig.Weir(self.folder, rig.configuration(self.mock.port, self.workers), *options,
                        binary=self.build / "src/weir", environment=armed)
        self.confined += not armed
        return weir

    @contextlib.contextmanager
    def load(self, weir, token):
        load = Load(weir, token, CONNECTIONS * self.workers, f"{self.seed}/{Load.counter}")
        yield load
        load.join()
        self.interceptions |= load.interceptions

    def kill_at_random(self, weir, token):
        with self.load(weir, token):
            time.sleep(self.random.uniform(0, 0.06))  # the instant is what is random
            weir.kill()

    def kill_at_store(self, kind, weir, token):
        worker = self.random.randrange(self.workers)
        when = ["inside", self.random.randrange(300)] if kind.startswith("inside") else ["after", 0]
        with self.load(weir, token):
            time.sleep(self.random.uniform(0, 0.02))
            killed = subprocess.run([self.build / "tests/crash/kill_at_store", str(weir.pid), f"weir-{worker}",
                                     self.folder / f"data/journal/worker-{worker}.journal", when[0],
                                     str(self.random.randrange(1, 5)), str(when[1])], capture_output=True, text=True, check=False)
            require(killed.returncode in (0, 3), f"kill_at_store: {killed.stdout}{killed.stderr}{weir.log()}")
            weir.wait()
        self.reached[kind] += killed.returncode == 0

    def armed(self, call):
        function, text, when, count_max = call
        when = when or self.random.choice(["before", "after"])
        return {"LD_PRELOAD": str(self.build / "tests/crash/kill_at_call.so"),
                "KILL_AT": f"{function}:{text}:{when}:{self.random.randrange(1, count_max + 1)}"}

    def kill_running(self, kind, token):
        armed = self.armed(RUNNING_CALLS[kind])
        try:
            weir = self.start(kind, armed)
        except AssertionError:  # the call was one of the start's
            self.reached[kind] += 1
            return
        with self.load(weir, token):
            try:
                code = weir.process.wait(20)
            except subprocess.TimeoutExpired:
                weir.kill()
                raise Failure(f"never came to {armed['KILL_AT']}") from None
            require(code == -signal.SIGKILL, f"ended with {code} at {armed['KILL_AT']}:\n{weir.log()}")
            weir.wait()
        self.reached[kind] += 1

    def kill_starting(self, kind):
        try:
            weir = self.start(kind, self.armed(STARTING_CALLS[kind]))
        except AssertionError as died:
            require("(-9)" in str(died), str(died))
            self.reached[kind] += 1
            return
        weir.kill()  # it had fewer such calls; dead at its first instant of work

    # --- what must be true ---

    def check(self, seen):
        rows = rig.query(self.folder / "data/weir.db", "SELECT * FROM interceptions")
        by_marker = collections.defaultdict(list)
        for row in rows:
            by_marker[row["request_id"]].append(row)
        for marker, found in by_marker.items():
            require(len(found) == 1, f"{len(found)} interceptions of {marker}")
        for row in rows:
            require(row["ended_at"] is not None and row["outcome"], f"no end: {row}")
        markers = {}
        for request in seen:
            marker, = request.all("x-marker") or [None]
            if marker:
                markers[marker] = request
        for marker in markers:
            require(marker in by_marker, f"{marker} reached the provider and has no interception")
        ids = {row["id"] for row in rows}
        require(self.interceptions <= ids, f"clients were told of {self.interceptions - ids}, which are not there")
        usages = self.facts("token_usages")
        prompts = self.facts("user_prompts")
        for row in rows:
            self.check_row(row, markers.get(row["request_id"]), usages.pop(row["id"], []), prompts.pop(row["id"], []))
        require(not usages and not prompts, f"facts of no interception: {list(usages)} {list(prompts)}")
        integrity = rig.query(self.folder / "data/weir.db", "PRAGMA integrity_check")
        require(integrity == [{"integrity_check": "ok"}], integrity)
        left = [p.name for p in (self.folder / "data/journal").iterdir() if re.search(r"\.(left|bad-.*)$", p.name)]
        require(not left, f"left in the journals' folder: {left}")
        require(len(markers) > 0, "no request reached the provider")
        return len(markers), collections.Counter(row["outcome"] for row in rows)

    def facts(self, table):
        found = collections.defaultdict(list)
        for row in rig.query(self.folder / "data/weir.db", f"SELECT * FROM {table}"):
            found[row["interception_id"]].append(row)
        return found

    def check_row(self, row, request, usages, prompts):
        finished = row["outcome"] == "completed"
        require(finished or row["outcome"] in ("interrupted", "client_disconnected", "upstream_error", "gateway_error"), row)
        require(len(usages) <= 1 and len(prompts) <= 1, f"facts twice: {row} {usages} {prompts}")
        if finished:
            require(request is not None, f"completed, and the provider never saw it: {row}")
            require(len(usages) == 1 and len(prompts) == 1, f"facts missing: {row} {usages} {prompts}")
        for prompt in prompts:
            require(prompt["prompt"].startswith(row["request_id"]), f"another's prompt: {row} {prompt['prompt'][:40]}")
        if request is not None and usages:
            # What the mock reports: a token for four bytes of the request, one for each event of the answer.
            sent = (request.body_size // 4 + 1, int(request.all("x-mock-events")[0]))
            found = (usages[0]["input"], usages[0]["output"])
            require(found == sent or not finished, f"usage {found}, the provider sent {sent}: {row}")


def run_round(build, seed, kinds, outcomes):
    """What went wrong; '' if nothing did."""
    with tempfile.TemporaryDirectory(prefix="weir-crash-") as folder:
        this = Round(build, seed, kinds, pathlib.Path(folder))
        try:
            reached, found = this.run()
        except (Failure, AssertionError) as wrong:
            return this, f"{type(wrong).__name__}: {wrong}"
        outcomes["reached"] += reached
        outcomes.update(found)
        return this, ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results")
    args = parser.parse_args()
    build = args.build.resolve()
    began, kills, outcomes = time.monotonic(), collections.Counter(), collections.Counter()
    confined, failed = 0, set()
    for number in range((args.kills + ROUND - 1) // ROUND):
        seed = args.seed + number
        kinds = [KINDS[(seed * ROUND + i) % len(KINDS)] for i in range(min(ROUND, args.kills - number * ROUND))]
        random.Random(seed).shuffle(kinds)
        this, wrong = run_round(build, seed, kinds, outcomes)
        kills.update(this.reached)
        confined += this.confined
        if wrong:
            print(f"crash: round with --seed {seed} --kills {len(kinds)} ({', '.join(kinds)}): {wrong}", flush=True)
            failed.update(kinds)
    for kind in KINDS[:args.kills]:
        if not kills[kind]:
            print(f"crash: never killed {kind}")
            failed.add(kind)
    asked = [kind for kind in KINDS[:args.kills]]
    print(f"crash: {args.kills} kills in {time.monotonic() - began:.0f} s, {sum(kills.values())} of them where they were meant to be, {confined} starts in the sandbox; "
          + ", ".join(f"{count} {what}" for what, count in outcomes.most_common()))
    print(f"crash: {len(asked) - len(failed)} passed, {len(failed)} failed")
    if args.results:
        pathlib.Path(args.results).write_text(f"{len(asked) - len(failed)} {len(failed)} 0\n", encoding="ascii")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
