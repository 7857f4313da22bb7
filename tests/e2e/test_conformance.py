"""The conformance cases of ../shared, if they are there: every split of the provider's bytes, over plain HTTP and over TLS."""
import concurrent.futures
import subprocess
import sys

import pytest
from rig import ANTHROPIC_KEY, OPENAI_KEY, SHARED, Weir, configuration, free_port
from tls_front import TlsFront

RUNNER = SHARED / "conformance/run.py"
ALL = [("plain", 1), ("plain", 2), ("tls", 1), ("tls", 2)]
# Byte by byte costs a minute of processor time: each upstream and each number of workers is met once.
CROSSED = [("plain", 1), ("tls", 2)]


def replay(folder, certificates, split, upstream, workers):
    """What the runner says is wrong. Its provider speaks plain HTTP; with "tls" weir reaches it through a front of ours."""
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
                               "--database", gateway.database, "--split", split], capture_output=True, text=True, check=False,
                              timeout=900)
    finally:
        assert gateway.stop() == 0, gateway.log()
        if front:
            front.close()
    assert front is None or front.handshakes > 0
    return "" if done.returncode == 0 else f"{upstream}, workers={workers}:\n{done.stdout[-6000:]}{done.stderr[-2000:]}"


@pytest.mark.skipif(not RUNNER.exists(), reason="there is no ../shared beside the project: conformance cases are left out")
@pytest.mark.parametrize("split, runs", [("whole", ALL), ("random", ALL), ("byte", CROSSED)], ids=["whole", "random", "byte"])
def test_conformance(tmp_path, certificates, split, runs):
    """The runs of a split at the same time: each is one exchange after the other, and mostly waits."""
    with concurrent.futures.ThreadPoolExecutor(len(runs)) as pool:
        started = [pool.submit(replay, tmp_path / f"{upstream}{workers}", certificates, split, upstream, workers)
                   for upstream, workers in runs]
    assert "".join(run.result() for run in started) == ""
