#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads what ptxas reported about every CUDA kernel of a build; fails where a kernel of the library spills registers to
memory. Kernels of the programs' own formulas may be of any size: of them it names those that spill.

usage: tests/spills_test.py BUILD_FOLDER
"""
import re
import sys
from pathlib import Path

KERNEL = re.compile(r"Compiling entry function '(\S+)' for '(\S+)'")
SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")


def read(text):
    """[(kernel, architecture, bytes spilled, registers)] of a report."""
    result, kernel, spilled = [], None, 0
    for line in text.splitlines():
        if found := KERNEL.search(line):
            kernel, spilled = found.groups(), 0
        elif found := SPILLS.search(line):
            spilled += int(found[1]) + int(found[2])  # of the kernel, and of functions that it calls
        elif (found := REGISTERS.search(line)) and kernel:
            result.append((*kernel, spilled, int(found[1])))
            kernel = None
    return result


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    library, programs = [], []
    for report in Path(sys.argv[1]).rglob("*.cu.o.ptxas"):
        of_library = any(part.startswith("libtapeloop") for part in report.parts)
        (library if of_library else programs).extend(read(report.read_text()))
    if not library:
        sys.exit("no report of ptxas found; build first")
    spilling = 0
    for owner, kernels in ("the library", library), ("a program", programs):
        for name, architecture, spilled, registers in kernels:
            if spilled > 0:
                print(f"{owner}: {name} for {architecture} spills {spilled} bytes beside its {registers} registers")
                spilling += owner == "the library"
    print(f"the library: {len(library)} kernels, {spilling} spill, at most {max(k[3] for k in library)} registers; "
          f"programs: {len(programs)} kernels")
    sys.exit(1 if spilling else 0)


if __name__ == "__main__":
    main()
