#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Looks for code that a CPU without AVX-512 could run by accident in the kernels compiled for AVX-512.

An inline function or a template that does not name its instruction set is the same symbol in every source that uses
it, and the linker keeps one copy, perhaps the one compiled for AVX-512: an illegal instruction elsewhere.

usage: tests/isa_symbols_test.py LIBRARY_OF_AVX512_KERNELS
"""
import shutil
import subprocess
import sys

if shutil.which("nm") is None:
    print("SKIPPED: nm is not installed")
    sys.exit(77)
nm = subprocess.run(["nm", "-C", "--defined-only", sys.argv[1]], check=True, stdout=subprocess.PIPE, text=True)
wrong = set()
for line in nm.stdout.splitlines():
    fields = line.split(maxsplit=2)
    if len(fields) == 3 and fields[1] in "WVuTDBR" and "Avx512" not in fields[2] \
            and "kFunctorId<" not in fields[2]:  # data, of which there must be one for all instruction sets
        wrong.add(fields[2])
if wrong:
    sys.exit("compiled for AVX-512, but shared with other CPUs: give each an instruction set (isa::...) as a template "
             "argument, or keep it out of the files in isa_sources:\n  " + "\n  ".join(sorted(wrong)))
