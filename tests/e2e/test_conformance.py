"""The conformance cases of ../shared, if they are there: every split of the provider's bytes, over plain HTTP and over TLS.

tests/conformance_not_due.txt lists the cases that weir does not pass yet. The list is strict: a listed case that passes in every
run fails test_what_is_not_due_still_fails until it is taken off.
"""
import concurrent.futures
import re
import subprocess
import sys

import pytest
from rig import ANTHROPIC_KEY, OPENAI_KEY, ROOT, SHARED, Weir, configuration, free_port
from tls_front import TlsFront

RUNNER = SHARED / "conformance/run.py"
ALL = [("plain", 1), ("plain", 2), ("tls", 1), ("tls", 2)]
# Byte by byte costs a minute of processor time: each upstream and each number of workers is met once.
CROSSED = [("plain", 1), ("tls", 2)]
SPLITS = {"whole": ALL, "random": ALL, "byte": CROSSED}
# The columns, tool kinds and `extra` names of the second record are not built yet.
RECORD = 1
NOT_DUE = {line.strip() for line in (ROOT / "tests/conformance_not_due.txt").read_text(encoding="ascii").splitlines()
           if line.strip() and not line.startswith("#")}

pytestmark = pytest.mark.skipif(not RUNNER.exists(), reason="there is no ../shared beside the project: conformance cases are left out")


def replay(folder, certificates, split, upstream, workers):
    """What the runner says is wrong, a line each. Its provider speaks plain HTTP; with "tls" weir reaches it through a front of ours."""
    folder.mkdir()
    port, front = free_port(), None
    text = configuration(port, workers)
    if upstream == "tls":
        front = TlsFront(port, certificates["valid.pem"], certificates["valid.key"])
        text = text.replace(f'base_url = "http://127.0.0.1:{port}',
                            f'ca_file = "{certificates["ca.pem"]}"\nbase_url = "https://localhost:{front.port}')
    gateway = Weir(folder, text)
    try:
        token = gateway.add_key()
        assert token not in (ANTHROPIC_KEY, OPENAI_KEY)
        done = subprocess.run([sys.executable, str(RUNNER), "--gateway", gateway.url, "--upstream-port", str(port), "--token", token,
                               "--database", gateway.database, "--split", split, "--record", str(RECORD)], capture_output=True, text=True,
                              check=False, timeout=900)
    finally:
        assert gateway.stop() == 0, gateway.log()
        if front:
            front.close()
    assert front is None or front.handshakes > 0
    assert re.search(r"^\d+ passed, \d+ failed$", done.stdout, re.M), f"the runner died: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return [line for line in done.stdout.splitlines() if re.match(r"[a-z0-9-]+: ", line)]


def case_of(line):
    return line.partition(":")[0]


@pytest.fixture(scope="module")
def failing():
    """By split: the names of the cases that failed in any of its runs."""
    return {}


@pytest.mark.parametrize("split", SPLITS)
def test_conformance(tmp_path, certificates, failing, split):
    """The runs of a split at the same time: each is one exchange after the other, and mostly waits."""
    with concurrent.futures.ThreadPoolExecutor(len(SPLITS[split])) as pool:
        started = {(upstream, workers): pool.submit(replay, tmp_path / f"{upstream}{workers}", certificates, split, upstream, workers)
                   for upstream, workers in SPLITS[split]}
    lines = {run: found.result() for run, found in started.items()}
    failing[split] = {case_of(line) for found in lines.values() for line in found}
    wrong = [f"{upstream}, workers={workers}: {line[:600]}" for (upstream, workers), found in lines.items() for line in found
             if case_of(line) not in NOT_DUE]
    assert not wrong, "\n".join(wrong)[-6000:]


def test_what_is_not_due_still_fails(failing):
    if set(failing) != set(SPLITS):
        pytest.skip("needs all splits in the same run")
    passing = NOT_DUE - set().union(*failing.values())
    assert not passing, f"these pass now, take them off tests/conformance_not_due.txt: {', '.join(sorted(passing))}"
