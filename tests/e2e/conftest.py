import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))

import rig  # noqa: E402
import test_ca  # noqa: E402


@pytest.fixture(scope="session")
def mock_process(tmp_path_factory):
    process = rig.Mock(tmp_path_factory.mktemp("mock"), "--keep", "1000")
    yield process
    assert process.stop() == 0, process.log()


@pytest.fixture
def mock(mock_process):
    mock_process.reset()
    return mock_process


@pytest.fixture(scope="session", params=[1, 2], ids=["1worker", "2workers"])
def gateway_process(request, tmp_path_factory, mock_process):
    """A gateway that many tests share; on one worker, then on two."""
    process = rig.Weir(tmp_path_factory.mktemp("gateway"), rig.configuration(mock_process.port, request.param))
    process.token = process.add_key()
    yield process
    assert process.stop() == 0, process.log()
    assert process.token not in process.log()


@pytest.fixture
def gateway(gateway_process, mock):  # `mock`: reset before each test
    return gateway_process


@pytest.fixture
def start(tmp_path):
    """Starts a gateway of the test's own: start(text, *options). All are stopped at the end, and must end well."""
    started = []

    def starter(text, *options, **settings):
        started.append(rig.Weir(tmp_path, text, *options, **settings))
        return started[-1]

    yield starter
    for process in started:
        if process.process.poll() is None:
            assert process.stop() == 0, process.log()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """Paths by name; see tests/support/test_ca.py."""
    return test_ca.make(tmp_path_factory.mktemp("ca"))


def pytest_terminal_summary(terminalreporter):
    """Tells ./dev how many passed, failed and were skipped."""
    if path := os.environ.get("WEIR_RESULTS"):
        count = {name: len(terminalreporter.stats.get(name, [])) for name in ("passed", "failed", "error", "skipped")}
        with open(path, "w", encoding="ascii") as file:
            print(count["passed"], count["failed"] + count["error"], count["skipped"], file=file)
