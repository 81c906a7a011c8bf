#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles the product of the persistent CUDA kernels (slice_product.cuh) for sm_90 and counts the instructions of the
innermost loop of each tile. Fails if a kernel spills, needs 255 registers, or loads more than the tile must; or if the
main tile issues more than 100 instructions for 64 FFMA. Skips where nvcc or cuobjdump is missing.

usage: tests/tiles_test.py [SOURCE_FOLDER]     environment: NVCC, CUOBJDUMP: the programs, if they are not in PATH
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SKIPPED = 77
TILES = [(4, 1), (4, 4), (8, 8)]  # kTiles of recurrent_plan.h: columns, rows
MAIN = (4, 4)
MOST_FOR_64_FFMA = 100
SOURCE = """
#include "tapeloop/autograd/device/cuda/recurrent/slice_product.cuh"
namespace tapeloop::cuda {
static_assert(sizeof(kTiles) / sizeof(kTiles[0]) == %d);
%s
template <int kColumns, int kRows>
__global__ void __launch_bounds__(kBlockThreads, 1) tile_kernel(SliceProduct p) {
  multiply_slice<kColumns, kRows>(p);
}
%s
}
"""
INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)\s*([^;]*);")


def find(variable, name):
    return os.environ.get(variable) or shutil.which(name) or shutil.which(name, path="/usr/local/cuda/bin")


def instructions(text):
    """[(address, operation, operands)] of one kernel."""
    return [(int(a, 16), name, rest) for a, name, rest in INSTRUCTION.findall(text)]


def loops(code):
    """The bodies of the innermost loops: from the target of a backward branch to the branch."""
    ranges = []
    for address, name, rest in code:
        target = re.search(r"0x([0-9a-f]+)", rest)
        if name.startswith("BRA") and target and int(target[1], 16) < address:
            ranges.append((int(target[1], 16), address))
    inner = [r for r in ranges if not any(o != r and r[0] <= o[0] and o[1] <= r[1] for o in ranges)]
    return [[name for address, name, _ in code if first <= address <= last] for first, last in inner]


def count(tile, text):
    """(FFMA, shared loads, all instructions) of the loop with most FFMA."""
    best = (0, 0, 0)
    for body in loops(instructions(text)):
        body = [name for name in body if name != "NOP"]
        ffma = sum(name.startswith("FFMA") for name in body)
        best = max(best, (ffma, sum(name.startswith("LDS") for name in body), len(body)))
    if best[0] == 0:
        sys.exit(f"tile {tile}: no loop with FFMA was found in the disassembly")
    return best


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
    nvcc, cuobjdump = find("NVCC", "nvcc"), find("CUOBJDUMP", "cuobjdump")
    if not nvcc or not cuobjdump:
        missing = " and ".join(n for n, found in (("nvcc", nvcc), ("cuobjdump", cuobjdump)) if not found)
        print(f"SKIPPED: {missing} not found; the CUDA toolkit has it")
        sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory() as folder:
        source, cubin = Path(folder) / "tiles.cu", Path(folder) / "tiles.cubin"
        checks = "\n".join(f"static_assert(kTiles[{i}].columns == {c} && kTiles[{i}].rows == {r});"
                           for i, (c, r) in enumerate(TILES))
        kernels = "\n".join(f"template __global__ void tile_kernel<{c}, {r}>(SliceProduct);" for c, r in TILES)
        source.write_text(SOURCE % (len(TILES), checks, kernels))
        done = subprocess.run([nvcc, "-std=c++20", "--expt-relaxed-constexpr", "-arch=sm_90", "-cubin", "-Xptxas", "-v",
                               "-I", str(root), "-I", str(root / "include"), str(source), "-o", str(cubin)],
                              capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stderr)
        text = subprocess.run([cuobjdump, "-sass", str(cubin)], check=True, capture_output=True, text=True).stdout
    wrong = [f"spills: {line.strip()}" for line in done.stderr.splitlines()
             if re.search(r"[1-9]\d* bytes spill", line)]
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", done.stderr)]
    if len(registers) != len(TILES) or max(registers) >= 255:
        wrong.append(f"registers of the kernels: {registers}, expected {len(TILES)} below 255")
    for columns, rows in TILES:
        part = next(p for p in text.split("Function : ") if p.startswith(f"_ZN8tapeloop4cuda11tile_kernelILi{columns}ELi{rows}E"))
        ffma, loads, issued = count((columns, rows), part)
        print(f"tile {columns} x {rows}: {ffma} FFMA, {loads} shared loads, {issued} instructions in the inner loop: "
              f"{loads / ffma:.3f} loads and {issued / ffma:.2f} instructions for each FFMA")
        if loads * 4 * columns * rows > ffma * (columns + rows):
            wrong.append(f"tile {columns} x {rows} loads more than {columns + rows} chunks for {4 * columns * rows} FFMA")
        if (columns, rows) == MAIN and issued * 64 > ffma * MOST_FOR_64_FFMA:
            wrong.append(f"the main tile issues {issued * 64 / ffma:.0f} instructions for 64 FFMA, "
                         f"expected at most {MOST_FOR_64_FFMA}")
    print(f"registers: {registers}; spills: none" if not wrong else "\n".join(wrong))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
