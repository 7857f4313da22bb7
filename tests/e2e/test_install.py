"""What ./dev and meson promise somebody who has only cloned the repository."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Whose headers a Debian package brings, by the beginning of the include; what is not here must be libc's or libstdc++'s.
PACKAGES = {"openssl/": "android-libboringssl-dev", "liburing.h": "liburing-dev", "simdjson.h": "libsimdjson-dev", "toml++/": "libtomlplusplus-dev",
            "CLI/": "libcli11-dev", "fmt/": "libfmt-dev", "sqlite3.h": "libsqlite3-dev", "libpq-fe.h": "libpq-dev", "zlib.h": "zlib1g-dev",
            "zstd.h": "libzstd-dev", "brotli/": "libbrotli-dev", "doctest/": "doctest-dev"}
OF_THE_COMPILER = re.compile(r"[a-z_]+|[a-z0-9_]+\.h|(sys|linux|netinet|arpa|net|asm|sanitizer)/[a-z0-9_]+\.h")


def packages_of(*names):
    text = (ROOT / "dev").read_text()
    return {package for name in names for package in re.search(rf'^{name}="([^"]*)"', text, re.M)[1].split()}


def included(*patterns):
    """package → a file that includes a header of it."""
    found = {}
    for pattern in patterns:
        files = sorted(ROOT.glob(pattern))
        assert files, pattern
        for path in files:
            for name in re.findall(r"^#include <([^>]+)>", path.read_text(), re.M):
                package = next((package for begin, package in PACKAGES.items() if name.startswith(begin)), None)
                assert package or OF_THE_COMPILER.fullmatch(name), f"{path}: whose is <{name}>?"
                if package:
                    found[package] = path
    return found


@pytest.mark.parametrize("variables, patterns", [
    (["BUILD_PACKAGES"], ["src/*.cc", "src/**/*.cc", "src/**/*.h"]),
    (["BUILD_PACKAGES", "BENCH_PACKAGES"], ["bench/**/*.cc", "bench/**/*.h", "tests/server/allocation_test.cc", "tests/support/*"]),
    (["BUILD_PACKAGES", "TEST_PACKAGES"], ["tests/**/*.cc", "tests/**/*.h"]),
], ids=["build", "bench", "test"])
def test_each_command_installs_what_it_compiles_with(variables, patterns):
    have = packages_of(*variables)
    missing = {package: str(path) for package, path in included(*patterns).items() if package not in have}
    assert not missing


def test_an_installed_weir_finds_its_libraries(tmp_path):
    build = pathlib.Path(os.environ["WEIR_RELEASE"]).resolve().parents[1]
    if not shutil.which("meson") or not (build / "meson-info").is_dir():
        pytest.skip("there is no build folder to install from")
    done = subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--destdir", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    [weir] = tmp_path.glob("**/bin/weir")
    shown = subprocess.run([weir, "version"], capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert shown.returncode == 0 and shown.stdout.startswith("weir "), shown.stderr


def test_what_the_readme_runs_leaves_the_clone_clean():
    ignored = subprocess.run(["git", "-C", ROOT, "check-ignore", "weir-demo/weir.db", "weir-data/weir.db", "build-release/x"],
                             capture_output=True, text=True)
    if ignored.returncode == 128:
        pytest.skip("this is no clone")
    assert len(ignored.stdout.splitlines()) == 3, ignored.stdout
