#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads what ptxas reported about every CUDA kernel of a build; fails where a kernel spills registers to memory.

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
    kernels = [k for report in Path(sys.argv[1]).rglob("*.cu.o.ptxas") for k in read(report.read_text())]
    spilling = [k for k in kernels if k[2] > 0]
    for name, architecture, spilled, registers in spilling:
        print(f"{name} for {architecture} spills {spilled} bytes beside its {registers} registers")
    if not kernels:
        sys.exit("no report of ptxas found; build first")
    print(f"{len(kernels)} kernels, {len(spilling)} spill, at most {max(k[3] for k in kernels)} registers")
    sys.exit(1 if spilling else 0)


if __name__ == "__main__":
    main()
