"""The conformance cases of ../shared, if they are there: every split of the provider's bytes."""
import subprocess
import sys

import pytest
from rig import ANTHROPIC_KEY, OPENAI_KEY, SHARED, configuration, free_port

RUNNER = SHARED / "conformance/run.py"


@pytest.mark.skipif(not RUNNER.exists(), reason="there is no ../shared beside the project: conformance cases are left out")
@pytest.mark.parametrize("split, workers", [("whole", 1), ("byte", 1), ("random", 1), ("random", 2)])
def test_conformance(start, split, workers):
    port = free_port()
    gateway = start(configuration(port, workers))
    token = gateway.add_key()
    assert token not in (ANTHROPIC_KEY, OPENAI_KEY)
    done = subprocess.run([sys.executable, str(RUNNER), "--gateway", gateway.url, "--upstream-port", str(port), "--token", token,
                           "--database", gateway.database, "--split", split], capture_output=True, text=True, check=False,
                          timeout=900)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
