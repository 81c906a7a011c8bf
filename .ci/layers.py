#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks which folder includes headers of which: the table below has every pair that is allowed. Checks, too, that every
operation of the table in ops.h has a row in a table of the tests, and that folders, files and comments are short.

usage: .ci/layers.py [FOLDER]      FOLDER: of the repository, this one by default
"""
import re
import sys
from fnmatch import fnmatch
from pathlib import Path

# A folder may include headers of its own, of the folders in its row, and of those in their rows; of a folder with "=" in
# front only the folder of that row may. Lowest first.
ALLOWED = {
    "autograd/context": [],
    "autograd/number": ["autograd/context"],
    "autograd/tensor": ["autograd/number"],
    "autograd/formula": ["autograd/tensor"],
    "autograd/files": ["autograd/tensor"],
    "autograd/schedule": ["autograd/formula"],
    "autograd/device": ["autograd/schedule"],
    "autograd/device/cpu": ["autograd/device", "=autograd/device/cpu/scan"],
    "autograd/device/cpu/scan": ["autograd/device", "=autograd/device/cpu"],
    "autograd/device/cuda": ["autograd/device"],
    "autograd/device/cuda/recurrent": ["autograd/device/cuda"],
    "autograd/tape": ["autograd/device"],
    "autograd/ops": ["autograd/tape", "=autograd/device/cpu"],  # a user's formula is compiled into the loop of the CPU
    "autograd/look": ["autograd/ops", "autograd/files"],
    "autograd/sequence": ["autograd/look", "=autograd/device/cpu"],  # a Stepper runs on the CPU
    "autograd": ["autograd/sequence", "=autograd/device/cpu"],  # how many threads there are
    "nn/save": ["autograd"],
    "nn/layers": ["nn/save"],
    "nn/look": ["nn/layers"],
    "nn/recurrent": ["nn/layers"],
    "nn/cells/gates": ["autograd/formula"],
    "nn/cells": ["nn/recurrent", "nn/cells/gates", "=nn/cells/normalised", "=nn/cells/scans", "=nn/cells/xlstm"],
    "nn/cells/normalised": ["nn/recurrent", "nn/cells/gates", "=nn/cells"],
    "nn/cells/scans": ["nn/recurrent", "nn/cells/gates", "=nn/cells"],
    "nn/cells/xlstm": ["nn/recurrent", "nn/cells/gates", "=nn/cells"],
    "nn/blocks": ["nn/cells", "nn/cells/xlstm"],
    "nn/choice": ["nn/cells"],
    "nn/decode": ["nn/look"],
    "nn/seq2seq": ["nn/recurrent", "nn/decode"],
    "nn/structures": ["nn/cells"],
    "nn": ["nn/blocks", "nn/choice", "nn/seq2seq", "nn/structures"],
    "optim": ["autograd"],
}

# The most that a reader finds: files in a folder of the library, lines in a file of it, lines in a page of the root,
# columns in a line that is only a comment.
FOLDER_FILES, FILE_LINES, PAGE_LINES, COMMENT_COLUMNS = 30, 400, 130, 100
SOURCES = (".h", ".cpp", ".cu", ".cuh")
LIBRARY = ("autograd", "nn", "optim")

INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]')
# Formula pages are compiled for every device: they include numbers, and below the formulas what lists them.
PAGES = ["autograd/formula/elementwise.h", "autograd/formula/scan.h", "nn/cells/gates/*.h", "nn/recurrent/noise_gates.h",
         "nn/layers/norm_gates.h",
         "nn/seq2seq/scores.h", "nn/structures/edge_gates.h", "nn/structures/grid_gates.h", "optim/updates.h"]
IN_PAGES = {"autograd/number/math.h", "autograd/formula/kernel.h"}

# The tests' tables of operations, and the tests of operations that fit into no table.
OPERATION_ROWS = ["tests/ops/op_table.h", "tests/ops/function_cases.h", "tests/ops/convolution_cases.h"]
OPERATION_TESTS = {"argmax": "tests/ops/choices_test.cpp", "recurrent": "tests/sequence/recurrent_op_test.cpp"}


def reachable(folder):
    found = {folder}
    for below in ALLOWED[folder]:
        if not below.startswith("="):
            found |= reachable(below)
    return found


def allowed(folder):
    return reachable(folder) | {below[1:] for below in ALLOWED[folder] if below.startswith("=")}


def sources_in(folder):
    return [path for path in sorted(folder.rglob("*")) if path.suffix in SOURCES]


def includes_of(root):
    """(file, line, included file) of every include of the library's own headers."""
    for top in LIBRARY:
        for path in sources_in(root / top):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if match and (match[1].startswith("tapeloop/") or (root / match[1]).is_file()):
                    yield path.relative_to(root).as_posix(), number, match[1]


def operations_of(root):
    """The names in the first column of the table at the head of ops.h."""
    head = (root / "autograd/ops/ops.h").read_text().split("#pragma once")[0]
    table = head[head.index("//   operation"):]
    for line in table.splitlines()[1:]:
        column = re.split(r"  +", line.removeprefix("//   "))[0]
        if line.startswith("//    ") or column.startswith("----"):
            continue  # the rest of a row above, or a heading
        yield from re.findall(r"[a-z_]\w+", re.sub(r"\(.*", "", column))


def untested_operations(root):
    rows = " ".join(name for file in OPERATION_ROWS for name in re.findall(r'"([^"]*)"', (root / file).read_text()))
    for name in operations_of(root):
        file = OPERATION_TESTS.get(name)
        if not re.search(rf"\b{name}\b", rows if file is None else (root / file).read_text()):
            yield f"autograd/ops/ops.h: {name} has no row in {file or ' or '.join(OPERATION_ROWS)}"


def too_long(root):
    for page in ("README.md", "ARCHITECTURE.md"):
        lines = len((root / page).read_text().splitlines())
        if lines > PAGE_LINES:
            yield f"{page}: {lines} lines; at most {PAGE_LINES}: move a part to doc/"
    for top in (*LIBRARY, "include", "examples", "tests", "bench"):
        for path in sources_in(root / top):
            file, lines = path.relative_to(root), path.read_text().splitlines()
            if top in LIBRARY and len(lines) > FILE_LINES:
                yield f"{file}: {len(lines)} lines; at most {FILE_LINES}: divide it by subject"
            for number, line in enumerate(lines, 1):
                if line.lstrip().startswith("//") and len(line) > COMMENT_COLUMNS:
                    yield f"{file}:{number}: a comment of {len(line)} columns; at most {COMMENT_COLUMNS}"
    for top in (*LIBRARY, "examples", "tests", "bench"):
        for folder in (root / top, *filter(Path.is_dir, (root / top).rglob("*"))):
            files = sum(path.is_file() and path.suffix != ".safetensors" for path in folder.iterdir())
            if files > FOLDER_FILES:
                yield f"{folder.relative_to(root)}: {files} files; at most {FOLDER_FILES}: divide the folder"


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
    faults = []
    for file, number, header in includes_of(root):
        place = f"{file}:{number}"
        if not header.startswith("tapeloop/"):
            faults.append(f'{place}: "{header}"; the library includes only its own headers, as "tapeloop/..."')
            continue
        header = header.removeprefix("tapeloop/")
        folder, below = str(Path(file).parent), str(Path(header).parent)
        if folder not in ALLOWED:
            faults.append(f"{place}: the folder {folder} has no row in the table of .ci/layers.py")
        elif any(fnmatch(file, page) for page in PAGES) and header not in IN_PAGES:
            faults.append(f"{place}: a formula page includes only {' and '.join(sorted(IN_PAGES))}, not {header}")
        elif below not in allowed(folder):
            faults.append(f"{place}: {folder} must not include {header}; allowed: {', '.join(sorted(allowed(folder)))}")
    faults += [*untested_operations(root), *too_long(root)]
    print("\n".join(faults) or f"{len(ALLOWED)} folders include downward only; all operations have tests; files are short")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
