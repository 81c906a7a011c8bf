#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs `meson test` in a build folder and counts test cases, not programs.

A doctest program counts with each of its test cases, any other test as one. A test case that cannot run here prints a
line `SKIPPED: reason`, a script ends with exit code 77: both are counted as skipped, never as passed. A script that leaves
a part out prints such a line too: that part counts as skipped, the rest as passed.

usage: tests/run.py BUILD_FOLDER [arguments of `meson test`]
"""
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

DOCTEST_TOTALS = re.compile(
    r"^\[doctest\] test cases:\s*\d+\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed\s*\|\s*(\d+) skipped", re.MULTILINE)
SKIPPED_CASE = re.compile(r"^SKIPPED: .*$", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def count(test):
    """(passed, failed, skipped, the reasons for skipping) of one entry of Meson's test log."""
    output = COLOUR.sub("", test.get("stdout") or "")
    went_well = test["result"] in ("OK", "EXPECTEDFAIL")
    reasons = SKIPPED_CASE.findall(output)
    totals = DOCTEST_TOTALS.search(output)
    if totals is None:
        if test["result"] == "SKIP":
            return 0, 0, 1, reasons or ["SKIPPED: " + test["name"]]
        return int(went_well), int(not went_well), len(reasons), reasons
    passed, failed, skipped = (int(number) for number in totals.groups())
    if any(word.startswith("--source-file=") for word in test.get("command", [])):
        skipped = 0  # cases of other files, which are tests of their own
    if not went_well and failed == 0:  # ended badly outside of its test cases: killed, timed out, a sanitizer's report
        failed = 1
    ran_and_skipped = min(len(reasons), passed)
    return passed - ran_and_skipped, failed, skipped + ran_and_skipped, reasons


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    build = Path(sys.argv[1])
    log = build / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    status = subprocess.run(["meson", "test", "-C", str(build), "--print-errorlogs", *sys.argv[2:]]).returncode
    tests = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    passed = failed = skipped = 0
    for test in tests:
        p, f, s, reasons = count(test)
        passed, failed, skipped = passed + p, failed + f, skipped + s
        if test["name"].endswith("_emulated"):  # on an imitation of a GPU: never to be taken for one
            print(f"{test['name'].removesuffix('_emulated')}: emulated: {p} passed, {f} failed")
        for reason, cases in Counter(reasons).items():
            print(f"{test['name']}: {reason}" + (f" ({cases} cases)" if cases > 1 else ""))
    if failed == 0 and (status != 0 or not tests):
        print("meson test did not run the tests" if not tests else f"meson test ended with {status}", file=sys.stderr)
        failed = 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
