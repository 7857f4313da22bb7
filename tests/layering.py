#!/usr/bin/env python3
"""Checks the direction of includes between the folders of src/ (src/ARCHITECTURE.md, "Layers"), and that only io/ knows liburing."""
import pathlib
import re
import sys

MAY_USE = {
    "base": {"base"},
    "wire": {"wire", "base"},
    "tls": {"tls", "base"},
    "io": {"io", "base"},
    "gateway": {"gateway", "wire", "base"},
    "reader": {"reader", "wire", "base"},
    "record": {"record", "base"},
    "proxy": {"proxy", "wire", "tls", "io", "gateway", "reader", "record", "base"},
    "server": {"server", "proxy", "wire", "tls", "io", "gateway", "reader", "record", "base"},
    "mock": {"mock", "io", "wire", "base"},
    "cli": {"cli", "mock", "server", "proxy", "wire", "tls", "io", "gateway", "reader", "record", "base"},
    "sink": {"sink", "record", "base"},
}
PRIVATE = {"liburing.h": "io", "sqlite3.h": "record", "toml++/toml.h": "gateway", "openssl/ssl.h": "tls", "libpq-fe.h": "sink"}


def main():
    source = pathlib.Path(__file__).resolve().parent.parent / "src"
    wrong, read = [], 0
    for path in sorted(source.rglob("*")):
        if path.suffix not in (".h", ".cc") or path.parent == source:
            continue
        folder, read = path.relative_to(source).parts[0], read + 1
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if found := re.match(r'#include "([a-z_]+)/', line):
                if found[1] not in MAY_USE[folder]:
                    wrong.append(f"{path.relative_to(source.parent)}:{number}: {folder} must not use {found[1]}")
            if found := re.match(r"#include <([^>]+)>", line):
                owner = PRIVATE.get(found[1])
                if owner and owner != folder:
                    wrong.append(f"{path.relative_to(source.parent)}:{number}: only {owner} may include <{found[1]}>")
    print("\n".join(wrong) if wrong else f"layering: {read} files, every include points down")
    return 1 if wrong or not read else 0


if __name__ == "__main__":
    sys.exit(main())
