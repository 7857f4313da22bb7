#!/usr/bin/env python3
"""Passes if a deliberately broken simulator fails as a simulation does: canary.py PROGRAM [ARGUMENTS]."""
import subprocess
import sys


def main():
    done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0 and "simulation failed: " in output and "--seed " in output:
        print(output.split("simulation failed: ", 1)[1])
        return 0
    print(f"{sys.argv[1]} is broken on purpose, and the simulation did not find it (exit {done.returncode}):\n{output}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
