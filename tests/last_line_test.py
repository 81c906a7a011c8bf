#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs an example and compares the last line that it prints with the one that its first comment tells a reader to expect.

usage: tests/last_line_test.py SOURCE PROGRAM
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path


def main():
    source, program = sys.argv[1], str(Path(sys.argv[2]).resolve())
    head = re.match(r"(//.*\n)+", Path(source).read_text())[0].replace("\n// ", " ")
    expected = re.search(r'[Ee]xpect .*the last line:? "([^"]+)"', head)[1]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([program], cwd=folder, capture_output=True, text=True)
    last = done.stdout.rstrip("\n").split("\n")[-1]
    print(done.stdout, done.stderr, sep="\n")
    if done.returncode != 0 or last != expected:
        sys.exit(f"exit code {done.returncode}, the last line is '{last}', expected '{expected}'")


if __name__ == "__main__":
    main()
