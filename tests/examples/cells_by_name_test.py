#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every program takes every cell by its name, and goes on with it; `cells` repeats no run.

usage: tests/examples/cells_by_name_test.py CELLS CHAR_LM JAZZ SEQ2SEQ
"""
import re
import sys
import tempfile
from pathlib import Path

from programs import check, report, run

SMALL = ("--hidden", "8", "--embedding", "8")  # a MUT1 needs as many inputs as units


def check_cells(folder, cells):
    copy = ("--quick", "--task", "copy", "--only", "lstm, gru(reset=before)", "--out", "copy")
    code, first, error = run(folder, cells, *copy)
    check(code == 0 and error == "" and "2 runs to make" in first, f"cells: {code}, {error}, {first}")
    table = first[first.find("Copy memory"):]
    check("gru(reset=before)" in table, table)
    code, second, error = run(folder, cells, *copy)
    check(code == 0 and "0 runs to make" in second and second.endswith(table), f"again: {code}, {error}, {second}")
    code, more, _ = run(folder, cells, *copy, "--seeds", "2")
    check(code == 0 and "2 runs to make" in more, f"--seeds 2: {code}, {more}")
    check("<svg" in (Path(folder) / "copy/odyssey.svg").read_text(), "the picture is no SVG")
    code, out, error = run(folder, cells, "--quick", "--task", "digits", "--only", "lstm", "--out", "digits")
    check(code == 0 and "digits are left out: give the folder" in out, f"digits: {code}, {out}, {error}")
    code, _, error = run(folder, cells, "--only", "lstm, tree")
    check(code == 2 and "there is no cell 'tree'" in error, f"--only: {code}, {error}")


def main():
    cells, char_lm, jazz, seq2seq = (str(Path(program).resolve()) for program in sys.argv[1:])
    programs = (
        (char_lm, *SMALL, "--streams", "2", "--steps", "4", "--validate-every", "2", "--count", "1"),
        (jazz, *SMALL, "--streams", "2", "--steps", "4", "--evaluate-every", "2", "--takes", "1", "--choruses", "1"),
        (seq2seq, "dates", *SMALL, "--pairs", "20", "--batch", "4", "--validate-every", "2", "--samples", "1"),
    )
    with tempfile.TemporaryDirectory() as folder:
        check_cells(folder, cells)
        for program, *options in programs:
            code, _, error = run(folder, program, "--cell", "tree")
            match = re.search(r"--cell: there is no cell 'tree'; choose one of ([^;]*)", error)
            check(code == 2 and match, f"{program} --cell tree: {code}, {error}")
            code, _, error = run(folder, program, "--cell", "gru(layers=2)")
            check(code == 2 and "layers: give --layers" in error, f"{program} layers: {code}, {error}")
            for name in match[1].split(", ") if match else ():
                out = ("--out", f"{Path(program).name}_{name}")
                if name in ("lru", "s4d") and program == seq2seq:
                    code, _, error = run(folder, program, *options, "--cell", name, *out)
                    check(code == 2 and "as wide as its output" in error, f"seq2seq {name}: {code}, {error}")
                    continue
                for updates, more in (("2", ()), ("4", ("--resume",))):
                    command = (program, *options, "--cell", name, *out, "--updates", updates, *more)
                    code, _, error = run(folder, *command)
                    check(code == 0 and error == "", f"{command[1:]}: {code}, {error}")
    report("every program takes every cell")


if __name__ == "__main__":
    main()
