#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints what must be built for the named tests: the targets of ninja, one a line. A name that no test has is an error.

usage: tests/needs.py BUILD_FOLDER NAME...
"""
import difflib
import json
import sys
from pathlib import Path


def needed(build, names):
    """(targets, error): the paths of the targets in the build folder, or what to tell the user."""
    tests = json.loads((build / "meson-info" / "intro-tests.json").read_text())
    targets = json.loads((build / "meson-info" / "intro-targets.json").read_text())
    files = {target["id"]: target["filename"] for target in targets}
    known = {test["name"] for test in tests}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3) or sorted(n for n in known if name in n or n in name)[:3]
            hint = f"; similar: {', '.join(near)}" if near else ""
            return [], f"there is no test {name!r}{hint}; all names: meson test -C {build} --list"
    ids = {id for test in tests if test["name"] in names for id in test["depends"]}
    return sorted(str(Path(file).relative_to(build.resolve())) for id in ids for file in files[id]), None


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    targets, error = needed(Path(sys.argv[1]), set(sys.argv[2:]))
    if error:
        sys.exit(error)
    print("\n".join(targets), end="\n" if targets else "")


if __name__ == "__main__":
    main()
