#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs nvcc and keeps what ptxas reports about each kernel beside the object file, for tests/spills_test.py.

usage: autograd/device/cuda/nvcc.py OBJECT NVCC [ARGUMENT...]
"""
import subprocess
import sys

done = subprocess.run([*sys.argv[2:], "-Xptxas", "-v"], stderr=subprocess.PIPE, text=True)
with open(sys.argv[1] + ".ptxas", "w") as report:
    report.write(done.stderr)
others = [line for line in done.stderr.splitlines() if "ptxas info" not in line and "bytes stack frame" not in line]
if others:
    print("\n".join(others), file=sys.stderr)
sys.exit(done.returncode)
